"""A sheet of what the embedded base draws for a few prompts: one row each, every frame."""

from collections.abc import Sequence

import numpy as np
import torch
from einops import rearrange, repeat
from PIL import Image
from torch import Tensor

from training.embedded.clips import NUM_FRAMES, SIZE
from training.generation.ddim import ddim, guided
from training.model.base import VideoBase

PROMPTS = (
    "a red car drives to the right in front of a plain wall",
    "a blue fish swims to the left in front of a plain wall",
    "a yellow bird flies diagonally across a cloudy sky",
    "a green dog runs past a plain wall",
    "a purple umbrella floats in a triangle in front of a plain wall",
    "an orange cat stays still in front of a plain wall",
    "a pink star drifts down in front of a plain wall",
    "a white house slides to the right across a plain wall",
)


@torch.no_grad()
def draw(
    base: VideoBase, prompts: Sequence[str], *, guidance_scale: float = 5.0, steps: int = 50, seed: int = 0
) -> Tensor:
    """Frames, uint8 [B, F, H, W, 3]."""
    device, dtype = base.unet.device, base.unet.dtype
    random = torch.Generator().manual_seed(seed)
    height, width = (side // base.stride for side in SIZE)
    noise = torch.randn(len(prompts), base.unet.config.in_channels, NUM_FRAMES, height, width, generator=random).to(
        device
    )
    text, nothing = base.read(prompts), base.read([""] * len(prompts))

    def predict(latents: Tensor, timesteps: Tensor) -> Tensor:
        both = base.unet(
            repeat(latents, "b ... -> (two b) ...", two=2).to(dtype),
            repeat(timesteps, "b -> (two b)", two=2),
            torch.cat([text, nothing]),
            return_dict=False,
        )[0]
        with_text, without = both.float().chunk(2)
        return guided(with_text, without, guidance_scale)

    latents = noise
    for latents in ddim(predict, noise, base.scheduler, steps):  # noqa: B007 - the last is wanted
        pass
    return base.decode(rearrange(latents, "b c f h w -> b f c h w"))


def sheet(frames: Tensor) -> Image.Image:
    """A row for each clip."""
    rows = rearrange(frames.cpu(), "b f h w c -> (b h) (f w) c")
    return Image.fromarray(np.ascontiguousarray(rows.numpy()))
