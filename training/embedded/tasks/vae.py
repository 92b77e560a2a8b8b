"""Trains the embedded base's VAE: practice frames to latents of a quarter of their size, and back."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from diffusers.utils.constants import SAFETENSORS_WEIGHTS_NAME
from einops import rearrange
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from pipeline.embedded.tasks.task import TRAINING_SEED, VALIDATION_SEED
from training.embedded.clips import Clips, clip

CHANNELS = 4  # of the latents

KL_WEIGHT = 1e-5
START_LOGVAR = -6.0  # with a draw of spread 1, nothing would come through for the first thousand steps
EDGE_WEIGHT = 0.5  # of differences between neighbours, without which small things blur


class VaeTask:
    """See `Task`."""

    name = "vae"
    learning_rate = 1e-3
    warmup = 100
    weight_decay = 0.0
    clip = 1.0

    def __init__(self, clips: Clips, steps: int, batch_size: int = 16) -> None:
        self.clips = clips
        self.steps = steps
        self.batch_size = batch_size

    def network(self, runs: Path) -> nn.Module:  # noqa: ARG002 - other tasks start from a run
        vae: Any = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            block_out_channels=(32, 64, 96),
            layers_per_block=1,
            latent_channels=CHANNELS,
            norm_num_groups=8,
            mid_block_add_attention=False,
        )
        nn.init.constant_(vae.quant_conv.bias[CHANNELS:], START_LOGVAR)
        network: nn.Module = vae
        return network

    def trained(self, weights: Path) -> nn.Module:
        network = self.network(weights)
        network.load_state_dict(load_file(weights / self.name / SAFETENSORS_WEIGHTS_NAME))
        return network

    def batch(self, step: int) -> Tensor:
        """Frames, uint8 [B, H, W, 3]."""
        rng = np.random.default_rng((TRAINING_SEED, step))
        frames = self.clips.frames(int(rng.integers(len(self.clips.parts()))))
        picked = rng.integers(len(frames), size=self.batch_size), rng.integers(frames.shape[1], size=self.batch_size)
        return torch.from_numpy(frames[picked])

    def losses(self, network: nn.Module, batch: Tensor) -> dict[str, Tensor]:
        vae: Any = network
        images = as_images(batch)
        with torch.autocast(images.device.type, torch.bfloat16):
            spread = vae.encode(images).latent_dist
            drawn = vae.decode(spread.sample()).sample
        drawn = drawn.float()
        edges = torch.stack([l1_loss(drawn.diff(dim=axis), images.diff(dim=axis)) for axis in (-1, -2)]).sum()
        return {
            "pixels": l1_loss(drawn, images),
            "edges": EDGE_WEIGHT * edges,
            "kl": KL_WEIGHT * spread.kl().float().mean(),
        }

    def quality(self, network: nn.Module) -> dict[str, float]:
        """PSNR in dB on unseen frames."""
        vae: Any = network
        frames = np.concatenate([clip(number, VALIDATION_SEED)[0][:2] for number in range(16)])
        images = as_images(torch.from_numpy(frames).to(next(network.parameters()).device))
        drawn = vae.decode(vae.encode(images).latent_dist.mean).sample.clamp(-1, 1)
        error = ((drawn - images) / 2).square().mean()
        return {"psnr": float(-10 * error.log10())}

    def save(self, network: nn.Module, folder: Path) -> None:
        model: Any = deepcopy(network)
        model.half().save_pretrained(folder / self.name)


def as_images(frames: Tensor) -> Tensor:
    """[B, 3, H, W] from -1 to 1."""
    return rearrange(frames, "b h w c -> b c h w").float() / 127.5 - 1


@torch.no_grad()
def latents(vae: Any, clips: Clips) -> tuple[Tensor, float]:
    """Of all clips, float16 [N, C, F, h, w] scaled to a spread of 1, and the factor that scaled them."""
    device = next(vae.parameters()).device
    found = []
    for part in clips.parts():
        frames = torch.from_numpy(np.array(clips.frames(part)))
        means = []
        for some in torch.split(frames, 32):
            with torch.autocast(device.type, torch.bfloat16):
                means.append(vae.encode(as_images(some.to(device).flatten(0, 1))).latent_dist.mean.float())
        found.append(rearrange(torch.cat(means), "(b f) c h w -> b c f h w", f=frames.shape[1]).cpu())
    factor = float(1 / torch.cat([part[:8] for part in found]).std())
    return torch.cat([(part * factor).half() for part in found]), factor
