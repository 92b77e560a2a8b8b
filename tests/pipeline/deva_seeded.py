"""Weights, frames and masks for DEVA that follow from a number, the same on every machine."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.models.deva.build import build
from pipeline.models.deva.network import Deva
from pipeline.models.deva.settings import PUBLISHED, SMALL, Widths

HEIGHT, WIDTH = 96, 128

# Without these, affinities and masks of such weights are nearly flat.
BOOST = {"key_proj.key_proj.weight": 3.0, "mask_decoder.pred.weight": 2.0}
MASK_CHANNEL_BOOST = 16.0


def seeded_network(widths: Widths = PUBLISHED, seed: int = 1) -> Deva:
    network = build(widths).eval()
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    network.load_state_dict(seeded_weights(shapes, seed))
    return network


def seeded_weights(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    return {name: _weight(i, name, shapes[name], seed) for i, name in enumerate(sorted(shapes), start=1)}


def _weight(i: int, name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.zeros((), dtype=torch.int64)
    number = int(np.prod(shape))
    j = np.arange(1, number + 1, dtype=np.int64)
    u = (31 * j**2 + (14 * i + 22 * seed + 7) * j + 1009 * i + 271 * seed) % 1_000_003
    wave = np.sin(u.astype(np.float64)).reshape(shape)
    if name.endswith("running_mean"):
        wave = 0.1 * wave
    elif name.endswith("running_var"):
        wave = 1 + 0.5 * wave**2
    elif name.endswith(".bias"):
        wave = 0.05 * wave
    elif len(shape) == 1:
        wave = 1 + 0.1 * wave
    else:
        wave = wave * np.sqrt(2 / (number // shape[0])) * BOOST.get(name, 1.0)
    if name == "mask_encoder.conv1.weight":
        wave[:, 3] *= MASK_CHANNEL_BOOST
    return torch.from_numpy(wave.astype(np.float32))


def seeded_frames(num_frames: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.float32]:
    """Waves with a bright patch that moves over them, 0-1, [T, 3, H, W]."""
    y, x = np.arange(height, dtype=np.float64)[:, None], np.arange(width, dtype=np.float64)[None]
    frames = np.zeros((num_frames, 3, height, width))
    for t in range(num_frames):
        for c in range(3):
            slow = 0.25 * np.sin(0.11 * (c + 1) * x + 0.07 * y + 0.3 * t + 0.9 * c + 0.5)
            fast = 0.15 * np.cos(0.05 * x - 0.13 * (c + 1) * y + 0.2 * t + 0.4)
            frames[t, c] = 0.5 + slow + fast
        top, left = height // 4 + 2 * t, width // 8 + 5 * t
        patch = frames[t, :, top : top + height // 4, left : left + width // 5]
        patch[:] = np.array([0.95, 0.80, 0.10])[:, None, None]
    return np.clip(frames, 0, 1).astype(np.float32)


def normalised(frames: NDArray[np.float32]) -> Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (torch.from_numpy(frames) - mean.view(3, 1, 1)) / std.view(3, 1, 1)


def as_bytes(frames: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Frames [T, 3, H, W] as a video's, uint8 [T, H, W, 3]."""
    return np.rint(255 * frames).astype(np.uint8).transpose(0, 2, 3, 1)


def seeded_masks(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.bool_]:
    """Two boxes of the first frame, the patch and one below it, [2, H, W]."""
    masks = np.zeros((2, height, width), bool)
    masks[0, height // 4 : height // 4 + height // 4, width // 8 : width // 8 + width // 5] = True
    masks[1, height // 2 + height // 8 : height - height // 12, width // 2 : width - width // 8] = True
    return masks


def repeating_network() -> Deva:
    """A network wired to see every object where it last was, on a grid of 16 pixels: all weights 0 but a single way."""
    network = build(SMALL).eval()
    weights = network.state_dict()
    for name, _ in network.named_parameters():
        weights[name].zero_()
    weights["mask_decoder.sensory_compress.weight"][0, SMALL.value] = 1  # the last mask, into channel 0
    # A position is the object's where half of it was: the difference of two ramps, in channels 1 and 2.
    conv1, conv2 = "mask_decoder.fuser.block1.conv1", "mask_decoder.fuser.block1.conv2"
    weights[conv1 + ".weight"][1:3, SMALL.pixel, 1, 1] = 40
    weights[conv1 + ".bias"][1:3] = torch.tensor([-19.5, -20.5])
    weights[conv2 + ".weight"][0, 1:3, 1, 1] = torch.tensor([1.0, -1.0])
    weights["mask_decoder.up_16_8.out_conv.downsample.weight"][0, 0] = 1
    weights["mask_decoder.pred.weight"][0, 0, 1, 1] = 40
    weights["mask_decoder.pred.bias"][:] = -25  # attention at rest adds a quarter: half is 40 * 1.25 / 2
    return network
