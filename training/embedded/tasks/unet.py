"""Trains the embedded base's UNet and text encoder together, on latents of practice clips and their captions."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet3DConditionModel
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from pipeline.embedded.tasks.task import TRAINING_SEED
from training.embedded.tasks import words

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


class Denoising(nn.Module):
    """UNet and text encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = UNet3DConditionModel(
            down_block_types=("CrossAttnDownBlock3D", "CrossAttnDownBlock3D", "DownBlock3D"),
            up_block_types=("UpBlock3D", "CrossAttnUpBlock3D", "CrossAttnUpBlock3D"),
            block_out_channels=(48, 96, 192),
            layers_per_block=1,
            norm_num_groups=16,
            cross_attention_dim=words.WIDTH,
            attention_head_dim=16,
        )
        self.text_encoder = words.text_encoder()

    def forward(self, latents: Tensor, timesteps: Tensor, tokens: Tensor) -> Tensor:
        text = self.text_encoder(tokens).last_hidden_state
        predicted: Tensor = self.unet(latents, timesteps, text, return_dict=False)[0]
        return predicted


class UnetTask:
    """See `Task`. Steps are whatever there is time for."""

    name = "unet"
    learning_rate = 1e-3
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
        return Denoising()

    def batch(self, step: int) -> dict[str, Tensor]:
        """`latents` float16 [B, C, F, h, w] and `tokens` [B, LONGEST]."""
        rng = np.random.default_rng((TRAINING_SEED, step))
        rows = torch.from_numpy(rng.integers(len(self.latents), size=self.batch_size))
        silent = torch.from_numpy(rng.random(self.batch_size) < NO_TEXT)[:, None]
        return {
            "latents": self.latents[rows],
            "tokens": torch.where(silent, self.nothing, self.tokens[rows]),
        }

    def losses(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        latents = batch["latents"].float()
        timesteps = torch.randint(1000, latents.shape[:1], device=latents.device)
        noise = torch.randn_like(latents)
        noisy = self.schedule.add_noise(latents, noise, timesteps)
        with torch.autocast(latents.device.type, torch.bfloat16, enabled=latents.is_cuda):
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
