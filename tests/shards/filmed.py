"""Samples with real video and exact masks: two shapes that move over a ground, small enough to make by the dozen."""

import hashlib
import io
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shards import Sample, Track, video
from shards.storage import Storage
from shards.writer import DatasetInfo, write_info, write_shard

NOUNS = ("dog", "cat", "boat")


def filmed(number: int = 0, *, frames: int = 6, size: tuple[int, int] = (48, 64), **changes: Any) -> Sample:
    """A disc, the subject, and a square that is away in frame 1, in `frames` frames of `size` (height, width)."""
    masks, media = _film(number % 7, frames, size)
    noun = NOUNS[number % len(NOUNS)]
    fields: dict[str, Any] = {
        "key": key(number),
        "video": media[0],
        "strip": media[1],
        "pts": tuple(range(frames)),
        "time_base": Fraction(1, 24),
        "width": size[1],
        "height": size[0],
        "caption": f"A {noun} nr {number} glides past a red ball.",
        "subject": noun,
        "tracks": (
            Track.of_masks(masks[0], id=1, noun=noun, scores={"detector": 0.75}),
            Track.of_masks(masks[1], id=2, noun="ball"),
        ),
        "scores": {"area": float(masks[0].mean()), "width": 0.3, "motion.shift": number / 100},
        "provenance": {
            "video": f"practice/{number // 2}",
            "start": 0.5,
            "end": 0.5 + frames / 24,
            "caption_by": "source",
            "source_sha256": "00" * 32,
            "recipe": "embedded",
            "models": {"tracker": "exact"},
        },
    }
    return Sample(**{**fields, **changes})


def key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()[:20]


def frames_of(masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """uint8 [T, H, W, 3]: the masks [2, T, H, W] as coloured shapes on a ground."""
    pictures = np.full((*masks.shape[1:], 3), (70, 90, 110), np.uint8)
    pictures[masks[0]] = (60, 180, 75)
    pictures[masks[1]] = (200, 60, 50)
    return pictures


def write_dataset(folder: Path, *shards: Sequence[Sample], name: str = "practice") -> Storage:
    """A dataset of these shards."""
    storage = Storage.at(folder)
    write_info(storage, DatasetInfo(name=name, recipe={"name": "embedded"}, models={"tracker": "exact"}, code="0"))
    for number, samples in enumerate(shards):
        write_shard(storage, name, number, samples)
    return storage


def strip(pictures: NDArray[np.uint8]) -> bytes:
    """Eight frames of uint8 [T, H, W, 3], 96 px high, side by side as JPEG."""
    height, width = pictures.shape[1:3]
    tile = (96 * width // height, 96)
    sheet = Image.new("RGB", (8 * tile[0], 96))
    for place, t in enumerate(np.linspace(0, len(pictures) - 1, 8).round().astype(int)):
        sheet.paste(Image.fromarray(pictures[t]).resize(tile), (place * tile[0], 0))
    sink = io.BytesIO()
    sheet.save(sink, "JPEG")
    return sink.getvalue()


@cache
def _film(shift: int, frames: int, size: tuple[int, int]) -> tuple[NDArray[np.bool_], tuple[bytes, bytes]]:
    height, width = size
    y, x = np.mgrid[:height, :width]
    masks = np.zeros((2, frames, height, width), bool)
    for t in range(frames):
        centre = width * (0.25 + 0.5 * t / frames) + shift
        masks[0, t] = (x - centre) ** 2 + (y - height / 2) ** 2 < (height / 5) ** 2
        if t != 1:
            masks[1, t, height // 8 : height // 3, width // 2 - t : width // 2 + height // 4 - t] = True
    pictures = frames_of(masks)
    encoded = video.encode(iter(pictures), tuple(range(frames)), Fraction(1, 24))
    return masks, (encoded, strip(pictures))
