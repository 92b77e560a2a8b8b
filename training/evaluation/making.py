"""A suite's videos made by a trained run, or without training: batches, one file a video, none of them twice."""

import hashlib
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline.recipe import Recipe
from shards import Storage
from shards.entry import canonical_json
from shards.rle import Size
from shards.video import encode
from training.evaluation.manifest import Entry
from training.evaluation.readers import target_boxes
from training.generation.requests import Prepared, Request, prepared
from training.generation.run import Opened

MADE_BY = "made-by.json"
"""What made the videos of a folder: another maker's would not be told apart from them."""


class Conditions(NamedTuple):
    """What a batch of clips is to show."""

    prompts: list[str]
    nouns: list[str]
    subjects: UInt8[Tensor, "batch height width 3"]
    boxes: Float[Tensor, "batch frames 4"]  # pixels
    seeds: list[int]


class Maker(Protocol):
    """What makes clips, and the clips that it makes."""

    size: Size
    num_frames: int
    fps: float

    def described(self) -> dict[str, object]:
        """All that decides the videos, as plain JSON."""
        ...

    def make(self, conditions: Conditions) -> UInt8[Tensor, "batch frames height width 3"]: ...


class RunMaker:
    """A trained run."""

    def __init__(self, opened: Opened, described: dict[str, object], steps: int, guidance_scale: float) -> None:
        self.size, self.num_frames, self.fps = opened.size, opened.num_frames, opened.fps
        self._opened, self._described = opened, described
        self._steps, self._guidance_scale = steps, guidance_scale
        opened.pipeline.set_progress_bar_config(disable=True)

    def described(self) -> dict[str, object]:
        return {**self._described, "steps": self._steps, "guidance_scale": self._guidance_scale}

    def make(self, conditions: Conditions) -> UInt8[Tensor, "batch frames height width 3"]:
        return self._opened.pipeline(
            conditions.prompts,
            conditions.subjects,
            conditions.boxes,
            seeds=conditions.seeds,
            num_inference_steps=self._steps,
            guidance_scale=self._guidance_scale,
        )


def make_videos(
    entries: Sequence[Entry],
    beside: Path,
    videos: Storage,
    maker: Maker,
    recipe: Recipe,
    *,
    at_once: int,
    stopping: Callable[[], bool] = lambda: False,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> bool:
    """Make the videos that are not there; False where `stopping` said so before the end.

    Raises `ValueError` for what cannot be made, before anything is, and where the folder holds another maker's videos.
    """
    _claim(videos, maker, entries)
    missing = [entry for entry in entries if not videos.exists(entry.video)]
    ready = [(entry, _prepared(entry, beside, maker, recipe)) for entry in missing]
    for first in range(0, len(ready), at_once):
        if stopping():
            return False
        batch = ready[first : first + at_once]
        frames = maker.make(_conditions(batch)).cpu().numpy()
        for (entry, _), clip in zip(batch, frames, strict=True):
            time_base = 1 / Fraction(maker.fps).limit_denominator(1001)
            videos.write(entry.video, encode(clip, range(len(clip)), time_base))
        tell(len(entries) - len(missing) + first + len(batch), len(entries))
    return True


def _claim(videos: Storage, maker: Maker, entries: Sequence[Entry]) -> None:
    suite = hashlib.sha256(canonical_json([entry.model_dump(mode="json") for entry in entries])).hexdigest()
    said = canonical_json({**maker.described(), "suite": suite})
    if not videos.exists(MADE_BY):
        videos.write(MADE_BY, said)
    elif videos.read(MADE_BY) != said:
        raise ValueError(f"{videos.url} holds videos that were made otherwise, see {MADE_BY}; name another folder")


def _prepared(entry: Entry, beside: Path, maker: Maker, recipe: Recipe) -> Prepared:
    lacking = [name for name in ("prompt", "noun", "subject", "boxes") if getattr(entry, name) is None]
    if lacking or entry.boxes is None or entry.subject is None or entry.prompt is None:
        raise ValueError(f"{entry.video}: the suite gives no {', '.join(lacking)}, and nothing is made without")
    shares = target_boxes(entry.boxes, beside, maker.num_frames)
    boxes = [None if np.isnan(box[0]) else box.tolist() for box in shares]
    request = Request(
        prompt=entry.prompt,
        subject=str(beside / entry.subject),
        boxes={"boxes": boxes},
        out=entry.video,
        mask=None if entry.mask is None else str(beside / entry.mask),
        noun=entry.noun,
        seed=entry.seed,
    )
    return prepared(request, maker.size, maker.num_frames, maker.fps, recipe)


def _conditions(batch: Sequence[tuple[Entry, Prepared]]) -> Conditions:
    return Conditions(
        prompts=[one.request.prompt for _, one in batch],
        nouns=[entry.noun or "" for entry, _ in batch],
        subjects=torch.from_numpy(np.stack([one.subject for _, one in batch])),
        boxes=torch.from_numpy(np.stack([one.boxes for _, one in batch])),
        seeds=[one.request.seed for _, one in batch],
    )
