"""Box masks: drawn from boxes, brought to the size of a feature map, blended, and turned into the control signal."""

from collections.abc import Sequence
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Size = tuple[int, int]  # height, width


def box_masks(boxes: Float[Tensor, "*batch 4"], size: Size) -> Float[Tensor, "*batch height width"]:
    """M of the paper: 1 inside the box, 0 outside.

    `boxes` are (x0, y0, x1, y1) in pixels of `size`, half-open; a pixel is inside if its centre is. A box of NaN is
    none, and its mask is empty.
    """
    y, x = (torch.arange(side, device=boxes.device, dtype=boxes.dtype) + 0.5 for side in size)
    x0, y0, x1, y1 = (edge[..., None] for edge in boxes.unbind(-1))
    across, down = (x0 <= x) & (x < x1), (y0 <= y) & (y < y1)
    return (down[..., :, None] & across[..., None, :]).to(boxes.dtype)


def resized(
    masks: Float[Tensor, "batch frames height width"], size: Size, how: Literal["area", "nearest"]
) -> Float[Tensor, "batch frames h w"]:
    return functional.interpolate(masks, size=size, mode=how)


def blended(masks: Float[Tensor, "*shape"], lambda_m: float) -> Float[Tensor, "*shape"]:
    """M^ of Eq. 4."""
    return masks + lambda_m * (1 - masks)


def control_signal(masks: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """c_m of Sec. 4.2: blank inside the box, as the subject image's background is."""
    return 1 - masks


def feature_sizes(size: Size, levels: int) -> list[Size]:
    """Of a UNet's feature maps, from the latents' own `size` down; each level's convolution of stride 2 rounds up."""
    sizes = [size]
    for _ in range(levels - 1):
        height, width = sizes[-1]
        sizes.append((-(-height // 2), -(-width // 2)))
    return sizes


def token_weights(
    masks: Float[Tensor, "batch frames height width"],
    sizes: Sequence[Size],
    lambda_m: float,
    how: Literal["area", "nearest"],
) -> list[Float[Tensor, "batch_frames tokens 1"]]:
    """M^ for each token of a video, at every level of the UNet."""
    levels = [blended(resized(masks, size, how), lambda_m) for size in sizes]
    return [rearrange(level, "b f h w -> (b f) (h w) 1") for level in levels]
