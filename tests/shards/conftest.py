"""Samples with exact masks, and places to put them: a folder, an object store in memory."""

import hashlib
import secrets
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from shards import Sample, Track

MakeSample = Callable[..., Sample]


def _make_sample(number: int = 0, *, frames: int = 4, size: tuple[int, int] = (24, 32), **changes: Any) -> Sample:
    """A sample about two overlapping rectangles, the second absent in frame 1; its media are just bytes."""
    height, width = size
    noise = np.random.default_rng(number)
    masks = np.zeros((2, frames, height, width), bool)
    for t in range(frames):
        masks[0, t, 2 : 12 + t, 3 : 20 + number % 5] = True
        masks[1, t, 8:20, 10 + t : 30] = t != 1
    series = tuple(None if t == 1 else t / 8 for t in range(frames))
    dog = Track.of_masks(masks[0], id=1, noun="dog", scores={"detector": 0.75})
    cat = Track.of_masks(masks[1], id=7, noun="cat", series={"confidence": series})
    fields: dict[str, Any] = {
        "key": hashlib.sha256(str(number).encode()).hexdigest()[:20],
        "video": noise.bytes(3000 + number),
        "strip": noise.bytes(200),
        "pts": tuple(range(0, 2 * frames, 2)),
        "time_base": Fraction(1, 48),
        "width": width,
        "height": height,
        "caption": f"a dög and cat nr {number}",
        "subject": "dog",
        "tracks": (dog, cat),
        "scores": {"area": 0.25, "motion.iou": number / 7},
        "provenance": {
            "video": f"practice/{number}",
            "start": 1.5,
            "end": 1.5 + frames / 24,
            "caption_by": "source",
            "source_sha256": "00" * 32,
            "recipe": "embedded",
            "models": {"tracker": "exact"},
        },
    }
    return Sample(**{**fields, **changes})


@pytest.fixture(scope="session")
def make_sample() -> MakeSample:
    return _make_sample


@pytest.fixture(params=["folder", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A local folder, and an object store, that do not exist yet."""
    if request.param == "folder":
        yield str(tmp_path / "place")
        return
    url = f"memory://{secrets.token_hex(4)}/place"
    yield url
    memory = fsspec.filesystem("memory")
    if memory.exists(url):
        memory.rm(url, recursive=True)
