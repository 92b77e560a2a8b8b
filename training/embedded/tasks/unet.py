"""Trains the embedded base's UNet and text encoder together: on latents of single frames first, then of clips."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet3DConditionModel
from diffusers.models.resnet import TemporalConvLayer
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from diffusers.utils.constants import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from pipeline.embedded.tasks.task import TRAINING_SEED
from training.embedded.tasks import words
from training.embedded.tasks.vae import CHANNELS

NO_TEXT = 0.1
"""Share of clips whose caption is left out, for guidance."""


def schedule() -> DDPMScheduler:
    """ModelScope's."""
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        prediction_type="epsilon",
    )


PACK = 2
"""A square of so many latents a side is one place of the UNet's, in four times the channels: a quarter of the work."""


class Denoising(nn.Module):
    """UNet and text encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = UNet3DConditionModel(
            in_channels=CHANNELS * PACK**2,
            out_channels=CHANNELS * PACK**2,
            down_block_types=("CrossAttnDownBlock3D", "CrossAttnDownBlock3D", "DownBlock3D"),
            up_block_types=("UpBlock3D", "CrossAttnUpBlock3D", "CrossAttnUpBlock3D"),
            block_out_channels=(64, 96, 128),
            layers_per_block=1,
            norm_num_groups=16,
            cross_attention_dim=words.WIDTH,
            attention_head_dim=16,
        )
        for module in self.unet.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0  # there are more clips than so small a network can learn by heart
        for module in temporal(self.unet):
            if isinstance(module, TransformerTemporalModel):  # its convolutions start as nothing by themselves
                nn.init.zeros_(module.proj_out.weight)
                nn.init.zeros_(module.proj_out.bias)
        self.text_encoder = words.text_encoder()

    def forward(self, latents: Tensor, timesteps: Tensor, tokens: Tensor) -> Tensor:
        text = self.text_encoder(tokens).last_hidden_state
        predicted: Tensor = self.unet(latents, timesteps, text, return_dict=False)[0]
        return predicted


def temporal(unet: nn.Module) -> Iterator[nn.Module]:
    """The layers that look at other frames."""
    return (m for m in unet.modules() if isinstance(m, (TemporalConvLayer, TransformerTemporalModel)))


class ImagesTask:
    """Single frames: an eighth of a clip's work teaches shapes, colours and words as well. See `Task`."""

    name = "images"
    learning_rate = 2e-3
    warmup = 200
    weight_decay = 0.01
    clip = 1.0

    def __init__(self, latents: Tensor, captions: list[str], steps: int, batch_size: int = 64) -> None:
        self.latents = latents  # float16 [N, C, F, h, w]
        self.steps = steps
        self.batch_size = batch_size
        self.words = words.tokenizer()
        self.tokens = self._tokens(captions)
        self.nothing = self._tokens([""])
        self.schedule = schedule()

    def network(self, runs: Path) -> nn.Module:  # noqa: ARG002 - other tasks start from a run
        return _still(Denoising())

    def trained(self, weights: Path) -> nn.Module:
        network = Denoising()
        network.unet.load_state_dict(load_file(weights / "unet" / SAFETENSORS_WEIGHTS_NAME))
        network.text_encoder.load_state_dict(load_file(weights / "text_encoder" / "model.safetensors"))
        return _still(network)

    def batch(self, step: int) -> dict[str, Tensor]:
        """`latents` float16 [B, C, F, h, w] and `tokens` [B, LONGEST]."""
        rng = np.random.default_rng((TRAINING_SEED, step))
        rows = torch.from_numpy(rng.integers(len(self.latents), size=self.batch_size))
        silent = torch.from_numpy(rng.random(self.batch_size) < NO_TEXT)[:, None]
        return {
            "latents": self.shown(self.latents[rows], rng),
            "tokens": torch.where(silent, self.nothing, self.tokens[rows]),
        }

    def shown(self, latents: Tensor, rng: np.random.Generator) -> Tensor:
        """What a step sees of clips [B, C, F, h, w]: a frame of each."""
        frames = torch.from_numpy(rng.integers(latents.shape[2], size=len(latents)))
        return latents[torch.arange(len(latents)), :, frames].unsqueeze(2)

    def losses(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        latents = batch["latents"].float()
        timesteps = torch.randint(1000, latents.shape[:1], device=latents.device)
        noise = torch.randn_like(latents)
        noisy = self.schedule.add_noise(latents, noise, timesteps)
        with torch.autocast(latents.device.type, torch.bfloat16, enabled=latents.is_cuda):  # a CPU gains nothing
            predicted = network(noisy, timesteps, batch["tokens"])
        return {"noise": mse_loss(predicted.float(), noise)}

    def quality(self, network: nn.Module) -> dict[str, float]:  # noqa: ARG002 - is looked at, in a sheet of samples
        return {}

    def save(self, network: nn.Module, folder: Path) -> None:
        model: Any = deepcopy(network)
        model.unet.half().save_pretrained(folder / "unet")
        model.text_encoder.half().save_pretrained(folder / "text_encoder")
        self.words.save_pretrained(folder / "tokenizer")
        self.schedule.save_pretrained(folder / "scheduler")

    def _tokens(self, captions: list[str]) -> Tensor:
        tokens: Tensor = self.words(
            captions, padding="max_length", truncation=True, max_length=words.LONGEST, return_tensors="pt"
        )["input_ids"]
        return tokens


class UnetTask(ImagesTask):
    """Whole clips: what `ImagesTask` learnt begins to move."""

    name = "unet"
    learning_rate = 1e-3

    def __init__(self, latents: Tensor, captions: list[str], steps: int, batch_size: int = 8) -> None:
        super().__init__(latents, captions, steps, batch_size)

    def network(self, runs: Path) -> nn.Module:
        network = Denoising()
        average = torch.load(runs / ImagesTask.name / "last.pt", map_location="cpu", weights_only=True)["average"]
        prefix = "module."
        network.load_state_dict({k.removeprefix(prefix): v for k, v in average.items() if k.startswith(prefix)})
        return network

    def shown(self, latents: Tensor, rng: np.random.Generator) -> Tensor:  # noqa: ARG002 - all of them
        return latents


def _still(network: Denoising) -> Denoising:
    """Past its temporal layers, which keep what they know: a frame alone has no use for them."""
    for module in temporal(network.unet):
        module.requires_grad_(False)
        module.forward = _tuple if isinstance(module, TransformerTemporalModel) else _same
    return network


def _same(hidden: Tensor, **_: object) -> Tensor:
    return hidden


def _tuple(hidden: Tensor, **_: object) -> tuple[Tensor]:
    return (hidden,)
