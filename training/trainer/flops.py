"""How much a training step computes, counted, and how fast a device can compute at most."""

import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from training.model.base import VideoBase
from training.model.dreamvideo2 import Conditions, DreamVideo2
from training.model.settings import ModelSettings

PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "B200": 2250e12}
"""FLOP a second in bfloat16 without sparsity, as published, by a part of the device's name."""


def step_flops(base: VideoBase, settings: ModelSettings, num_frames: int, height: int, width: int) -> float:
    """FLOPs of the model forward and backward for one clip, counted on the meta device; the VAE and the text encoder
    are not in it."""
    frozen: Any = base.unet
    with torch.device("meta"):
        unet: Any = type(frozen).from_config(frozen.config)
        model = DreamVideo2.beside(unet, settings)
        channels, stride = frozen.config.in_channels, base.stride
        latents = torch.zeros(1, channels, num_frames, height // stride, width // stride)
        words = base.text_encoder.config.max_position_embeddings
        text = torch.zeros(1, words, frozen.config.cross_attention_dim)
        conditions = Conditions(
            text=text,
            masks=torch.zeros(1, num_frames, height, width),
            subject=torch.zeros(1, channels, *latents.shape[-2:]),
            subject_text=text,
        )
        timesteps = torch.zeros(1, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        model.train()(latents, timesteps, conditions).mean().backward()
    return float(counter.get_total_flops())


def published_peak(device: torch.device) -> float | None:
    """FLOP a second of a GPU that `PEAKS` knows; None of another device."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in PEAKS.items() if part in name), None)


def measured_gemm(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP a second that a large matrix product reaches, the best of several."""
    size = 8192 if device.type == "cuda" else 512
    a = torch.full((size, size), 1 / size, device=device, dtype=dtype)  # draws nothing: a run's generator is its own
    best = float("inf")
    for _ in range(6):
        _wait(device)
        began = time.perf_counter()
        a @ a
        _wait(device)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
