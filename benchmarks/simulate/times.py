"""Measured times of stages: a real build of practice videos, clip by clip, and a line of stages that take them."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.embedded.world import World, write_videos
from pipeline.estimate.estimate import seconds_of
from pipeline.estimate.probe import read
from pipeline.recipe import load_recipe
from pipeline.records import record_key
from pipeline.run import build
from pipeline.runners.local import local
from pipeline.scheduler.simulation import Fate, SimulatedStage
from pipeline.stage import AnyStage
from pipeline.stages.packer import Packer
from shards.storage import Storage

NEEDS = "modern"
"""The recipe whose stages' needs are taken: shares of GPUs, cores and batches."""
SLOW, TIMES = 0.03, 6.0
"""Share of the clips that are stragglers, and how much longer they take."""
POISON = 0.0005
"""Share of the clips that take their worker down."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What each clip of a build took at each stage that it came to, in the order of `stages`."""

    stages: tuple[AnyStage, ...]
    clips: tuple[tuple[float, ...], ...]
    load_seconds: dict[str, float]


def measure(dataset: str | None, videos: int) -> Measured:
    """Of the dataset that is given, or of so many bare practice videos that are built now by the embedded models."""
    stages = (*load_recipe(NEEDS).stages(""), Packer())
    with tempfile.TemporaryDirectory() as folder:
        if dataset is None:
            write_videos(Path(folder, "videos"), World(num_frames=32, frame_rate=12.0), videos, truth=False)
            dataset = f"{folder}/dataset"
            build(f"{folder}/videos", dataset, load_recipe("embedded"), local)
        found = read(Storage.at(dataset))
    clips = tuple(seconds_of(clip, found, stages) for some in found.clips.values() for clip in some)
    return Measured(stages=stages, clips=clips, load_seconds=found.load_seconds)


def line(measured: Measured, *, troubled: bool) -> list[SimulatedStage]:
    """Stages that take what was measured; clip n takes what one of the measured clips took, by its number's hash.

    With trouble some clips are stragglers at one stage each, and some take their worker down.
    """
    return [_stage(measured, position, troubled) for position in range(len(measured.stages))]


def _stage(measured: Measured, position: int, troubled: bool) -> SimulatedStage:
    real = measured.stages[position]

    def fate(records: Sequence[Any]) -> Fate:
        seconds = sum(_seconds(measured, record, position, troubled) for record in records)
        return Fate(seconds=seconds, dies=troubled and any(_is_poison(record, position) for record in records))

    return SimulatedStage(
        name=real.name,
        needs=real.needs,
        fate=fate,
        load_seconds=measured.load_seconds.get(real.name, 0.0),
        leaves=lambda record: len(clip_of(measured, record)) == position + 1 < len(measured.stages),
    )


def clip_of(measured: Measured, record: int) -> tuple[float, ...]:
    return measured.clips[int(record_key("clip", record)[:8], 16) % len(measured.clips)]


def _seconds(measured: Measured, record: int, position: int, troubled: bool) -> float:
    is_slow = troubled and mood("slow", record, position) < SLOW
    return clip_of(measured, record)[position] * (TIMES if is_slow else 1.0)


def _is_poison(record: int, position: int) -> bool:
    return position == 7 and mood("poison", record) < POISON


def mood(*names: object) -> float:
    """A number in [0, 1) that is the same whenever it is asked for."""
    return int(record_key(*names)[:8], 16) / (1 << 32)
