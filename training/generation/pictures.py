"""A generated clip as files: MP4, GIF, and side by side with its subject image and its boxes."""

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from shards.video import encode

Frames = NDArray[np.uint8]  # [F, H, W, 3]
Boxes = NDArray[np.float64]  # [F, 4] pixels; NaN where there is none

INK = (255, 64, 64)


def write_clip(path: Path, frames: Frames, fps: float) -> None:
    """MP4, or GIF where `path` ends so."""
    check_ending(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".mp4":
        path.write_bytes(encode(frames, range(len(frames)), 1 / Fraction(fps).limit_denominator(1001)))
    else:
        first, *rest = (Image.fromarray(frame) for frame in frames)
        first.save(path, save_all=True, append_images=rest, duration=round(1000 / fps), loop=0)


def check_ending(path: Path) -> None:
    if path.suffix not in (".mp4", ".gif"):
        raise ValueError(f"{path}: ends neither in .mp4 nor in .gif; name the file so")


def side_by_side(frames: Frames, boxes: Boxes, subject: NDArray[np.uint8]) -> Frames:
    """Subject image, target boxes, and the clip with its boxes, next to each other."""
    blank = np.full_like(frames, 24)
    shown = np.broadcast_to(subject, frames.shape)
    return np.concatenate([shown, with_boxes(blank, boxes), with_boxes(frames, boxes)], axis=2)


def with_boxes(frames: Frames, boxes: Boxes) -> Frames:
    drawn = []
    for frame, box in zip(frames, boxes, strict=True):
        image = Image.fromarray(frame)
        if not np.isnan(box).any():
            x0, y0, x1, y1 = box
            ImageDraw.Draw(image).rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=INK)
        drawn.append(np.asarray(image))
    return np.stack(drawn)
