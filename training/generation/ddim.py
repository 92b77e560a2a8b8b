"""Deterministic sampling (DDIM), as the paper samples: 50 steps, guided by the text."""

from collections.abc import Callable, Iterator

import torch
from diffusers import DDIMScheduler
from torch import Tensor

Predict = Callable[[Tensor, Tensor], Tensor]
"""Latents [B, C, F, h, w] and a timestep [B] to the noise in them."""


def ddim(predict: Predict, noise: Tensor, scheduler: object, steps: int = 50) -> Iterator[Tensor]:
    """Latents after each step, from `noise` to the clip; `scheduler` is the base's, whose betas are taken."""
    ddim = DDIMScheduler.from_config(scheduler.config, clip_sample=False, set_alpha_to_one=False, steps_offset=1)  # type: ignore[attr-defined]
    ddim.set_timesteps(steps, device=noise.device)
    latents = noise
    for timestep in ddim.timesteps:
        predicted = predict(latents, timestep.expand(len(latents)))
        latents = ddim.step(predicted, timestep, latents).prev_sample
        yield latents


def guided(with_text: Tensor, without: Tensor, guidance_scale: float) -> Tensor:
    """Classifier-free guidance over the text."""
    return torch.lerp(without, with_text, guidance_scale)
