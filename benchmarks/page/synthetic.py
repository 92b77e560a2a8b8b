"""Datasets of any number of clips, by their sidecars alone: no tar is read to list, filter and sort."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.random import Generator

from shards import DatasetInfo, Storage, sidecar, write_info

SHARD = 5000  # clips
CLASSES = 2538  # of the paper's dataset
FRAMES = 64  # of a clip
SCORES = (
    "area.jump",
    "area.mean",
    "border",
    "count",
    "effective",
    "lost.longest",
    "lost.spans",
    "motion.iou",
    "motion.shift",
    "size.area",
    "size.height",
    "size.width",
)

_RULES: dict[str, dict[str, float]] = {
    "count": {},
    "size": {},
    "motion": {},
    "effective": {},
    "lost": {},
    "area_jump": {},
    "border": {},
}
_ADJECTIVES = ("red", "small", "striped", "old", "quick", "wet", "shy", "tall")
_PLACES = ("meadow", "street", "beach", "kitchen", "forest", "stage", "harbour", "desert")


def write_synthetic(folder: Path, clips: int, *, frames: int = FRAMES, seed: int = 0) -> Path:
    """A dataset of `clips` clips of `frames` frames; classes are as uneven as words are (Zipf)."""
    generator = np.random.default_rng(seed)
    storage = Storage.at(folder)
    write_info(storage, DatasetInfo(name="synthetic", code="0", recipe={"name": "synthetic", "rules": _RULES}))
    for number, first in enumerate(range(0, clips, SHARD)):
        table = _rows(first, min(SHARD, clips - first), frames, generator)
        about = sidecar.About(tar_sha256="0" * 64, tar_bytes=0, num_samples=table.num_rows)
        path = folder / f"shards/synthetic-{number:06d}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table.replace_schema_metadata(about.to_metadata()), path, compression="zstd")
    return folder


def _rows(first: int, count: int, frames: int, generator: Generator) -> pa.Table:
    numbers = np.arange(first, first + count)
    keys = [f"{(number * 0x9E3779B97F4A7C15) % 2**64:016x}" for number in numbers.tolist()]
    classes = np.minimum(generator.zipf(1.3, count), CLASSES)
    nouns = [f"noun{number}" for number in classes.tolist()]
    adjectives, places = generator.integers(8, size=(2, count)).tolist()
    captions = [
        f"a {_ADJECTIVES[a]} {noun} crosses a {_PLACES[p]}, number {n}"
        for a, noun, p, n in zip(adjectives, nouns, places, numbers.tolist(), strict=True)
    ]
    fps = generator.choice([24.0, 25.0, 29.97, 30.0], count)
    words = {"key": keys, "caption": captions, "subject": nouns, "video": [f"practice/{n // 5}" for n in numbers]}
    digest = [f"{key:0>64}" for key in keys]
    values: dict[str, pa.Array] = {
        **{name: pa.array(column) for name, column in words.items()},
        **{f"{prefix}_{what}": pa.array(numbers) for prefix in sidecar.PLACES.values() for what in ("offset", "size")},
        "sha256": pa.array(digest),
        "mp4_sha256": pa.array(digest),
        "caption_by": pa.array(["captioner"] * count),
        "start": pa.array(generator.random(count) * 60),
        "end": pa.array(generator.random(count) * 60 + 60),
        "width": pa.array(np.full(count, 640, np.int32)),
        "height": pa.array(np.full(count, 360, np.int32)),
        "num_frames": pa.array(np.full(count, frames, np.int32)),
        "duration": pa.array(frames / fps),
        "fps": pa.array(fps),
        "time_base_num": pa.array(np.ones(count, np.int64)),
        "time_base_den": pa.array(np.full(count, 90_000, np.int64)),
        "pts": pa.ListArray.from_arrays(
            np.arange(count + 1, dtype=np.int32) * frames, np.tile(np.arange(frames), count)
        ),
        "tracks": _tracks(nouns, frames, generator),
        "scores": _scores(count, generator),
    }
    columns = [values[field.name].cast(field.type) for field in sidecar.SCHEMA]
    return pa.Table.from_arrays(columns, schema=sidecar.SCHEMA)


def _tracks(nouns: list[str], frames: int, generator: Generator) -> pa.Array:
    type_ = sidecar.SCHEMA.field("tracks").type
    area = generator.random(len(nouns)) ** 2
    rows = [
        {"id": 1, "noun": noun, "frames": frames, "area": share, "first_box": [0, 0, 9, 9], "last_box": [1, 1, 9, 9]}
        for noun, share in zip(nouns, area.tolist(), strict=True)
    ]
    ends = pa.array(np.arange(len(nouns) + 1, dtype=np.int32))
    return pa.ListArray.from_arrays(ends, pa.array(rows, type_.value_type))


def _scores(count: int, generator: Generator) -> pa.Array:
    ends = np.arange(count + 1, dtype=np.int32) * len(SCORES)
    values = generator.random((count, len(SCORES)))
    values[:, SCORES.index("count")] = 1
    return pa.MapArray.from_arrays(ends, pa.array(list(SCORES) * count), pa.array(values.ravel()))
