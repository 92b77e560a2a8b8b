"""Sizes at which a training step is measured: a model, a clip, a batch of noise, and the FLOPs that were counted."""

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet3DConditionModel
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from training.model.dreamvideo2 import Conditions, DreamVideo2
from training.model.masks import box_masks
from training.model.settings import ModelSettings, MotionSettings


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Of the model and of a clip."""

    unet: dict[str, Any]
    channels: tuple[int, ...] = (16, 32, 96, 256)
    frames: int = 16
    size: tuple[int, int] = (256, 448)
    words: int = 77

    def network(self) -> UNet3DConditionModel:
        return UNet3DConditionModel(**self.unet)


SHAPES = {
    "published": Shape(unet={"sample_size": 32}),
    "embedded": Shape(  # the small base's, but for its packed latents
        unet={
            "block_out_channels": (64, 96, 128),
            "layers_per_block": 1,
            "attention_head_dim": 16,
            "cross_attention_dim": 128,
            "norm_num_groups": 16,
            "down_block_types": ("CrossAttnDownBlock3D", "CrossAttnDownBlock3D", "DownBlock3D"),
            "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D", "CrossAttnUpBlock3D"),
        },
        channels=(16, 32, 48, 64),
        frames=8,
        size=(64, 96),
        words=32,
    ),
    "tiny": Shape(
        unet={
            "block_out_channels": (32, 64),
            "attention_head_dim": 16,
            "cross_attention_dim": 24,
            "norm_num_groups": 8,
            "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"),
            "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D"),
        },
        frames=2,
        size=(32, 32),
        words=5,
    ),
}


def batch(shape: Shape, clips: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Conditions]:
    """Latents, noise, timesteps, conditions."""
    (height, width), width_of_text = shape.size, shape.unet.get("cross_attention_dim", 1024)
    at = torch.linspace(0, 0.5, shape.frames, device=device)[:, None] * torch.tensor(
        [width, 0, width, 0], device=device
    )
    box = torch.tensor([0.1, 0.2, 0.45, 0.8], device=device) * torch.tensor(
        [width, height, width, height], device=device
    )
    text = torch.randn(clips, shape.words, width_of_text, device=device)
    latents = torch.randn(2, clips, 4, shape.frames, height // 8, width // 8, device=device)
    masks = box_masks((box + at).expand(clips, -1, -1), shape.size)
    subject = torch.randn(clips, 4, height // 8, width // 8, device=device)
    timesteps = torch.randint(1000, (clips,), device=device)
    return latents[0], latents[1], timesteps, Conditions(text, masks, subject, text)


def counted(shape: Shape) -> float:
    """FLOPs of a clip's step, forward and backward, on the meta device."""
    meta = torch.device("meta")
    with meta:
        model = DreamVideo2.beside(
            shape.network(), ModelSettings(motion=MotionSettings(encoder_channels=shape.channels))
        )
        latents, _, timesteps, conditions = batch(shape, 1, meta)
        with FlopCounterMode(display=False) as counter:
            model(latents, timesteps, conditions).square().mean().backward()
    return float(counter.get_total_flops())
