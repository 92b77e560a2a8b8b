"""The probe: videos that were drawn go through a real build, whose ledger says what each of their clips took."""

import contextlib
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import fsspec

from pipeline.build import NOBODY, Watch
from pipeline.recipe import Recipe
from pipeline.run import build
from pipeline.run_log import latest
from pipeline.runners import Runner
from shards import Dataset, ledger
from shards.storage import Storage


@dataclass(frozen=True, kw_only=True)
class ProbedClip:
    """What became of a clip, or of a video that gave none."""

    seconds: dict[str, float]  # by stage, in order; the cutter's time is shared by a video's clips
    ending: str  # "kept", or "stage: why"
    subject: str | None = None  # of a clip that was kept
    bytes: int = 0  # that it takes in its shard


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a probe came to."""

    clips: dict[str, tuple[ProbedClip, ...]]  # by the video's id
    start_seconds: float  # from the build's begin until its first answer is under way
    load_seconds: dict[str, float]  # from a stage's first call until it had loaded, by stage
    pack_seconds: float  # for each clip that is kept
    overhead: float  # seconds of the driver's own for each answer, where all runs in one process
    ledger_bytes: float  # for each clip


@contextlib.contextmanager
def scratch(place: str | None) -> Iterator[str]:
    """An empty place for the probe's dataset, gone with all that is in it when the block ends.

    Raises ValueError where there is something at `place` already.
    """
    if place is None:
        with tempfile.TemporaryDirectory(prefix="dreamreel-estimate-") as folder:
            yield f"{folder}/probe"
        return
    storage = Storage.at(place)
    filesystem, path = fsspec.core.url_to_fs(storage.url)
    if filesystem.exists(path) and filesystem.ls(path):
        raise ValueError(f"{place} is not empty, and a probe's place is removed at the end; name a new one")
    try:
        yield storage.url
    finally:
        if filesystem.exists(path):
            filesystem.rm(path, recursive=True)


def probe(
    source: str, place: str, recipe: Recipe, runner: Runner, videos: Collection[str], watch: Watch = NOBODY
) -> Probe | None:
    """Build the videos of these ids at `place`, and read what it took; None where it was stopped before the end."""
    summary = build(source, place, recipe, runner, only=frozenset(videos), who="dreamreel estimate", watch=watch)
    return read(Storage.at(place)) if summary.finished else None


def read(storage: Storage) -> Probe:
    """What the ledger of a finished build says."""
    rows = [row for shard in sorted(ledger.closed(storage)) for row in ledger.read(storage, shard)]
    times = _Times(sorted(rows, key=lambda row: row.at))
    moment = next(reversed(latest(storage)), None)
    stages = {stage["name"]: stage for stage in moment.stages} if moment else {}
    packing = stages["packer"]["seconds"] if "packer" in stages else 0.0
    endings = ledger.endings(storage)
    kept = sum(ending.outcome == "kept" for ending in endings.values())
    size = sum(storage.size(path) for path in storage.list(ledger.FOLDER))
    return Probe(
        clips=_clips(storage, times, endings),
        start_seconds=max(0.0, times.begin - (moment.at - moment.seconds)) if moment else 0.0,
        load_seconds=times.loads,
        pack_seconds=packing / max(1, kept),
        overhead=max(0.0, times.idle - packing) / max(1, len(rows)),
        ledger_bytes=size / max(1, len(endings)),
    )


STILL = 2.0
"""Seconds without an answer that nothing explains: the machine stood still, which is not the build's own time."""


@dataclass
class _Times:
    """What rows in order say of time: a stage's first job loads its model and warms up, and is no measure."""

    rows: list[ledger.Row]
    seconds: dict[tuple[str, str], float] = field(default_factory=dict)  # (clip or video key, stage) -> seconds
    loads: dict[str, float] = field(default_factory=dict)
    begin: float = 0.0  # when the first answer was begun
    idle: float = 0.0  # in which one process was at no stage

    def __post_init__(self) -> None:
        first: dict[tuple[str, str], float] = {}  # (stage, worker) -> seconds of each record of its first job
        warm: dict[str, list[float]] = {}
        cold, before = [], None
        for row in self.rows:
            if row.outcome == "kept" or row.stage in ("source", "packer", "duplicate"):
                continue
            self.begin = self.begin or row.at - row.seconds
            gap = 0.0 if before is None else row.at - before - row.seconds
            if first.setdefault((row.stage, row.worker), row.seconds) == row.seconds:
                cold.append(row)
                self.loads.setdefault(row.stage, max(0.0, gap))
            else:
                warm.setdefault(row.stage, []).append(row.seconds)
                self.seconds[row.clip, row.stage] = row.seconds
                self.idle += gap if gap < STILL else 0.0
            before = row.at
        for row in cold:
            known = warm.get(row.stage, [row.seconds])
            typical = min(row.seconds, sum(known) / len(known))
            self.seconds[row.clip, row.stage] = typical
            self.loads[row.stage] = max(self.loads[row.stage], row.seconds - typical)


def _clips(storage: Storage, times: _Times, endings: dict[str, ledger.Ending]) -> dict[str, tuple[ProbedClip, ...]]:
    kept = _kept(storage)
    cut: dict[str, float] = {}
    stages: dict[str, dict[str, float]] = {}
    for row in times.rows:
        seconds = times.seconds.get((row.clip, row.stage))
        if row.stage == "cutter" and seconds is not None:
            cut[row.video] = seconds
        elif seconds is not None:
            stages.setdefault(row.clip, {})[row.stage] = seconds
    by_video: dict[str, list[ledger.Ending]] = {}
    for ending in endings.values():
        by_video.setdefault(ending.video, []).append(ending)
    return {
        video: tuple(_clip(ending, cut.get(video, 0.0) / len(ended), stages, kept) for ending in ended)
        for video, ended in by_video.items()
    }


def _clip(
    ending: ledger.Ending, cut: float, stages: dict[str, dict[str, float]], kept: dict[str, dict[str, Any]]
) -> ProbedClip:
    seconds = {"cutter": cut, **stages.get(ending.clip, {})}
    if ending.outcome != "kept":
        return ProbedClip(seconds=seconds, ending=f"{ending.stage}: {ending.why}")
    row = kept[ending.clip]
    return ProbedClip(seconds=seconds, ending="kept", subject=row["subject"], bytes=row["bytes"])


def _kept(storage: Storage) -> dict[str, dict[str, Any]]:
    """Subject and bytes of every sample, with its share of its shard's and sidecar's own."""
    dataset = Dataset.open(storage.url, ["subject"])
    each = {
        shard.stem: (shard.bytes + storage.size(shard.sidecar)) / max(1, shard.num_samples) for shard in dataset.shards
    }
    table = dataset.index.select(["key", "subject", "shard"]).to_pylist()
    return {row["key"]: {"subject": row["subject"], "bytes": round(each[row["shard"]])} for row in table}
