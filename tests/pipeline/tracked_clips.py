"""Clips in which a dog is tracked through given boxes, as records alone and with their file: what is measured."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.records import Detection, Tracked, Tracklet, Video
from shards import rle, video
from shards.rle import Box, Size

SIZE: Size = (64, 96)
WALK: tuple[Box | None, ...] = tuple((8 + 4 * t, 16, 40 + 4 * t, 48) for t in range(8))
STILL: tuple[Box | None, ...] = ((8, 16, 40, 48),) * 8


def filmed(
    folder: Path, boxes: Sequence[Box | None] = WALK, *, seed: int = 0, source: str = "practice", dogs: int = 1
) -> Tracked:
    """A clip of a bright dog of `SIZE`, its file in `folder`, on a background of its own for every `seed`."""
    coarse = np.random.default_rng(seed).integers(0, 200, (4, 6, 3), dtype=np.uint8)
    frames = np.stack([np.kron(coarse, np.ones((16, 16, 1), np.uint8))] * len(boxes))
    frames[filled(boxes, SIZE)] = 250
    path = folder / f"{seed}-{len(boxes)}.mp4"
    path.write_bytes(video.encode(frames, range(len(boxes)), Fraction(1, 25)))
    return tracked(boxes, SIZE, path=str(path), source=source, dogs=dogs)


def tracked(
    boxes: Sequence[Box | None], size: Size, *, path: str = "dog.mp4", source: str = "practice", dogs: int = 1
) -> Tracked:
    """A clip at 25 frames a second whose dog fills its boxes; `dogs` are detected where it is first."""
    first = next((box for box in boxes if box is not None), (0, 0, 32, 32))
    return Tracked(
        key="0f",
        video=Video(id=f"{source}/dog", uri="dog.mp4"),
        start=0.0,
        end=len(boxes) / 25,
        first_frame=0,
        num_frames=len(boxes),
        source_sha256="5e",
        path=path,
        sha256="5e",
        width=size[1],
        height=size[0],
        pts=tuple(range(len(boxes))),
        time_base=(1, 25),
        scale=(1.0, 1.0),
        caption="a dog",
        caption_author="source",
        subjects=("dog",),
        subject="dog",
        namer="source",
        detections=(Detection(noun="dog", frame=0, box=first, score=0.9),) * dogs,
        detector="source",
        segments=(),
        segmenter="source",
        tracks=(Tracklet(id=1, noun="dog", masks=rle.encode_clip(filled(boxes, size))),),
        tracker="source",
    )


def filled(boxes: Sequence[Box | None], size: Size) -> NDArray[np.bool_]:
    """Masks of full boxes, [T, H, W]."""
    masks = np.zeros((len(boxes), *size), dtype=bool)
    for mask, box in zip(masks, boxes, strict=True):
        if box is not None:
            mask[box[1] : box[3], box[0] : box[2]] = True
    return masks
