"""Clips whose picture and whose mask both say the number of the frame: a test sees whether they belong together.

The picture's bar code stands in its upper half (`tests.barcodes`); the mask is the same bar code, drawn as filled
cells in the grey band below it.
"""

import hashlib
import io
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from math import lcm
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shards import DatasetInfo, Sample, Storage, Track, write_info, write_shard
from tests import torture
from tests.barcodes import draw
from tests.filming import write
from tests.torture import Truth

CELLS = 10  # a filled one, the number's bits (highest first), an empty one
BAND = (0.56, 0.72)  # of the height


def hevc(path: Path) -> Truth:
    """As phones and broadcasters have it: no Chromium of Debian plays it."""
    ticks = range(20)
    write(
        path,
        [draw(n, 96, 64) for n in ticks],
        ticks,
        Fraction(1, 25),
        codec="libx265",
        options={"x265-params": "log-level=error"},
    )
    return Truth(path=path, width=96, height=64, numbers=ticks, times=[n * Fraction(1, 25) for n in ticks])


def ffv1(path: Path) -> Truth:
    """As archives have it, without loss: no browser plays it, in whatever file."""
    ticks = range(20)
    write(path, [draw(n, 96, 64) for n in ticks], ticks, Fraction(1, 25), codec="ffv1")
    return Truth(path=path, width=96, height=64, numbers=ticks, times=[n * Fraction(1, 25) for n in ticks])


SEVEN: Mapping[str, Callable[[Path], Truth]] = {
    "constant.mp4": torture.cfr,
    "variable.mp4": torture.vfr,
    "long_gop.mp4": torture.long_gop,
    "fragmented.mp4": torture.fragmented,
    "trimmed.mp4": torture.cut_by_edit_list,
    "full_range.mp4": torture.full_range,
    "vp9.webm": partial(torture.webm, codec="libvpx-vp9"),
}
"""Encodings that a browser plays, each with another trap for who counts frames by time x rate."""

BY_PROXY: Mapping[str, Callable[[Path], Truth]] = {"hevc.mp4": hevc, "mpeg4.avi": torture.avi, "ffv1.mkv": ffv1}
"""Encodings that it does not play."""


def write_numbered(folder: Path, clips: Mapping[str, Callable[[Path], Truth]]) -> dict[str, str]:
    """A dataset of these clips in `folder`; the key of each."""
    storage = Storage.at(folder / "numbered")
    drawn = folder / "drawn"
    drawn.mkdir(parents=True)
    samples = {name: _sample(name, make(drawn / name)) for name, make in clips.items()}
    write_info(storage, DatasetInfo(name="numbered", code="0"))
    write_shard(storage, "numbered", 0, samples.values())
    return {name: sample.key for name, sample in samples.items()}


def write_many(folder: Path, count: int) -> None:
    """A dataset of `count` clips in `folder`, all of the same pictures."""
    storage = Storage.at(folder / "numbered")
    folder.mkdir(exist_ok=True)
    truth = torture.cfr(folder / "drawn.mp4", num_frames=12)
    write_info(storage, DatasetInfo(name="numbered", code="0"))
    write_shard(storage, "numbered", 0, [_sample(f"clip {number}", truth) for number in range(count)])


def _sample(name: str, truth: Truth) -> Sample:
    unit = Fraction(1, lcm(*(time.denominator for time in truth.times)))
    masks = np.stack([_mask(number, truth.width, truth.height) for number in truth.numbers])
    seconds = float(truth.times[-1] + unit)
    return Sample(
        key=hashlib.sha256(name.encode()).hexdigest()[:20],
        video=truth.path.read_bytes(),
        strip=_strip(),
        pts=tuple(int(time / unit) for time in truth.times),
        time_base=unit,
        width=truth.width,
        height=truth.height,
        caption=f"a bar code in {name}",
        subject="code",
        tracks=(Track.of_masks(masks, id=1, noun="code"),),
        scores={"border": 0.25},
        provenance={"video": name, "start": 0.0, "end": seconds, "caption_by": "drawn", "recipe": "drawn"},
    )


def _mask(number: int, width: int, height: int) -> NDArray[np.bool_]:
    mask = np.zeros((height, width), bool)
    top, bottom = (round(at * height) for at in BAND)
    bits = [1, *(number >> shift & 1 for shift in reversed(range(CELLS - 2))), 0]
    for cell, bit in enumerate(bits):
        left, right = (round(at * width / CELLS) for at in (cell, cell + 1))
        mask[top:bottom, left:right] = bit
    return mask


def _strip() -> bytes:
    sink = io.BytesIO()
    Image.fromarray(np.full((96, 1152, 3), 128, np.uint8)).save(sink, "JPEG")
    return sink.getvalue()
