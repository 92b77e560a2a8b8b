"""A recipe whose stages only play their parts: real records, ledger and shards, while models and videos are pretended.

Each stage is the real class with the real settings, so that its answers have the real names in the ledger; `open()`
alone is another. What a part does besides answering (sleep, count its calls, take its process down) is not a setting.
"""

import ctypes
import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import PrivateAttr

from pipeline.recipe import Recipe, load_recipe
from pipeline.records import (
    Captioned,
    Clip,
    Detection,
    Encoded,
    Grounded,
    Measured,
    Named,
    Segment,
    Segmented,
    Tracked,
    Tracklet,
    Video,
    grow,
    record_key,
)
from pipeline.runners import Runner
from pipeline.stage import Needs, Stage
from pipeline.stages.annotate import Captioner, Namer
from pipeline.stages.cutter import Cutter
from pipeline.stages.encoder import Encoder, part_path
from pipeline.stages.locate import Grounder, Segmenter, Tracker
from pipeline.stages.measurer import Measurer
from pipeline.stages.packer import Load, Packed, Packer, provenance
from shards import Sample, Storage, Track, rle
from shards.video import encode
from shards.writer import write_shard

FRAMES, HEIGHT, WIDTH = 2, 32, 32


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a stage does besides answering."""

    seconds: float = 0.0  # that a record takes
    load_seconds: float = 0.0
    clips: int = 1  # that the cutter makes of a video
    calls: str | None = None  # file that gets the key of every record that is asked about
    troubles: Mapping[str, str] = field(default_factory=dict)  # video id -> "error", "exit", "segfault", "hang", "bomb"


def played(parts: Mapping[str, Part], needs: Mapping[str, Needs], assignments: Sequence[str] = ()) -> Recipe:
    """The embedded recipe, its stages played; `parts` and `needs` are by the stages' names."""
    recipe = load_recipe("embedded", assignments)
    stages: dict[str, Stage[Any, Any]] = {}
    for name, kind in _PLAYERS.items():
        settings = getattr(recipe, name)
        stages[name] = kind(**{n: getattr(settings, n) for n in type(settings).model_fields})
        stages[name] = stages[name].model_copy(update={"needs": needs.get(name, settings.needs)})
        stages[name]._part = parts.get(name, Part())  # type: ignore[attr-defined]
    return recipe.model_copy(update=stages)


def write_source(path: Path, count: int) -> str:
    """A source of so many videos that do not exist; what SOURCE is called."""
    names = [f"{number:06d}" for number in range(count)]
    captions = [f"a bird number {name} flies over a lake" for name in names]
    nouns = pa.array([["bird"]] * count, pa.list_(pa.string()))
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"uri": [f"/nowhere/{name}.mp4" for name in names], "id": names, "caption": captions})
    pq.write_table(table.append_column("nouns", nouns), path)
    return f"parquet:{path}"


def with_played_packer(runner: Runner) -> Runner:
    """`runner`, whose shards hold real samples but for their pictures, which cost most of a packer's time."""
    return lambda stages: runner([*stages[:-1], _Packer()])


class _Played:
    """In front of a stage's class: answers by `_grown` of one record."""

    _part: Part = PrivateAttr(default_factory=Part)

    def open(self) -> Callable[[Sequence[Any]], list[Any]]:
        time.sleep(self._part.load_seconds)
        return lambda batch: [self._answer(record) for record in batch]

    def _answer(self, record: Any) -> Any:
        part = self._part
        if part.calls is not None:
            with open(part.calls, "a") as calls:
                calls.write(f"{record.key}\n")
        if part.seconds:
            time.sleep(part.seconds)
        if part.troubles:
            video = record if isinstance(record, Video) else record.video
            _make_trouble(part.troubles.get(video.id))
        return self._grown(record)

    def _grown(self, record: Any) -> Any:
        raise NotImplementedError


class _Cutter(_Played, Cutter):
    def _grown(self, record: Video) -> list[Clip]:
        return [
            Clip(
                key=record_key(record.id, f"{n:.6f}", f"{n + 1:.6f}"),
                video=record,
                start=n,
                end=n + 1,
                first_frame=n * FRAMES,
                num_frames=FRAMES,
                source_sha256=record_key(record.id),
            )
            for n in range(self._part.clips)
        ]


class _Encoder(_Played, Encoder):
    def _grown(self, record: Clip) -> Encoded:
        data, sha256 = _film()
        Storage.at(self.dataset).write(part_path(record.key), data)
        if isinstance(record, Encoded):
            return record
        return grow(
            Encoded,
            record,
            path=f"{self.dataset}/{part_path(record.key)}",
            sha256=sha256,
            width=WIDTH,
            height=HEIGHT,
            pts=tuple(range(FRAMES)),
            time_base=(1, FRAMES),
            scale=(1.0, 1.0),
        )


class _Captioner(_Played, Captioner):
    def _grown(self, record: Encoded) -> Captioned:
        return grow(Captioned, record, caption=record.video.caption, caption_author="played")


class _Namer(_Played, Namer):
    def _grown(self, record: Captioned) -> Named:
        return grow(Named, record, subjects=("bird",), namer="played")


class _Grounder(_Played, Grounder):
    def _grown(self, record: Named) -> Grounded:
        box = (8, 8, 24, 24)
        found = Detection(noun="bird", frame=0, box=box, score=round(0.5 + _mood(record, "score") / 2, 6))
        return grow(Grounded, record, subject="bird", detections=(found,), detector="played")


class _Segmenter(_Played, Segmenter):
    def _grown(self, record: Grounded) -> Segmented:
        found = tuple(Segment(detection=d, mask=_masks()[0], predicted_iou=0.9) for d in record.detections)
        return grow(Segmented, record, segments=found, segmenter="played")


class _Tracker(_Played, Tracker):
    def _grown(self, record: Segmented) -> Tracked:
        track = Tracklet(id=1, noun="bird", masks=_masks(), scores={"confidence": 0.9})
        return grow(Tracked, record, tracks=(track,), tracker="played")


class _Measurer(_Played, Measurer):
    def _grown(self, record: Tracked) -> Measured:
        scores = dict(_SCORES) | {"border": round(0.6 * _mood(record, "border"), 6)}
        looks = tuple(hashlib.sha256(f"{record.key} {n}".encode()).hexdigest()[:16] for n in range(4))
        return grow(Measured, record, scores=scores, phash=looks)


class _Packer(Packer):
    def open(self) -> Callable[[Sequence[Load]], list[Packed]]:
        return lambda batch: [self._pack(load) for load in batch]

    def _pack(self, load: Load) -> Packed:
        storage = Storage.at(load.dataset)
        samples = (_sample(clip, storage.read(part_path(clip.key)), load) for clip in load.clips)
        return Packed(key=load.key, shard=write_shard(storage, load.name, load.number, samples), failed={})


def _sample(clip: Measured, video: bytes, load: Load) -> Sample:
    track = Track.of_masks(clip.tracks[0].masks, id=1, noun="bird", size=(HEIGHT, WIDTH))
    return Sample(
        key=clip.key,
        video=video,
        strip=b"strip",
        pts=clip.pts,
        time_base=Fraction(*clip.time_base),
        width=WIDTH,
        height=HEIGHT,
        caption=clip.caption,
        subject="bird",
        tracks=(track,),
        scores=clip.scores,
        provenance=provenance(clip, load),
    )


_PLAYERS: dict[str, type[Stage[Any, Any]]] = {
    "cutter": _Cutter,
    "encoder": _Encoder,
    "captioner": _Captioner,
    "namer": _Namer,
    "grounder": _Grounder,
    "segmenter": _Segmenter,
    "tracker": _Tracker,
    "measurer": _Measurer,
}

_SCORES = {
    "count": 1.0,
    "size.width": 0.5,
    "size.height": 0.5,
    "size.area": 0.25,
    "black.share": 0.0,
    "motion.iou": 0.1,
    "motion.shift": 0.5,
    "motion.compensated": 0.5,
    "effective": 1.0,
    "lost.spans": 0.0,
    "lost.longest": 0.0,
    "static.share": 0.1,
    "frozen.share": 0.0,
}
"""What every rule of the embedded recipe lets through; the border, which is played clip by clip, it does not always."""


def _mood(record: Clip, what: str) -> float:
    """A number in [0, 1) that is the same whenever it is asked for."""
    return int(record_key(record.key, what)[:8], 16) / (1 << 32)


@cache
def _film() -> tuple[bytes, str]:
    """The MP4 that every clip shows, and its SHA-256."""
    frames = np.zeros((FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    frames[:, 8:24, 8:24] = 200
    data = encode(frames, range(FRAMES), Fraction(1, FRAMES))
    return data, hashlib.sha256(data).hexdigest()


@cache
def _masks() -> tuple[rle.Rle, ...]:
    masks = np.zeros((FRAMES, HEIGHT, WIDTH), bool)
    for number, mask in enumerate(masks):
        mask[8:24, 8 + number : 16 + number] = True
    return tuple(mask for mask in rle.encode_clip(masks) if mask is not None)


def _make_trouble(kind: str | None) -> None:
    if kind == "error":
        raise LookupError("played")
    if kind == "exit":
        os._exit(3)
    if kind == "segfault":
        ctypes.string_at(0)
    if kind == "hang":
        time.sleep(3600)
    if kind == "bomb":
        hoard = [bytearray(b"1" * (64 << 20)) for _ in range(64)]  # 4 GiB, at once and for a while
        time.sleep(len(hoard))
