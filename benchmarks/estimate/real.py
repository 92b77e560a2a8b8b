"""Estimates of builds that then run: practice videos of heavy-tailed lengths, and a tracker that sleeps by length."""

import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from benchmarks.cluster.traced import ray_here
from benchmarks.estimate.simulated import Trial
from pipeline.embedded.world import World, write_videos
from pipeline.estimate.estimate import Estimate, estimate
from pipeline.estimate.probe import read
from pipeline.estimate.wall import Cluster
from pipeline.estimate.weights import Figure
from pipeline.recipe import Recipe, load_recipe
from pipeline.records import Rejected, Segmented, Tracked, record_key
from pipeline.run import build, summarise
from pipeline.runners import Runner
from pipeline.runners.actors import ray_runner
from pipeline.runners.local import local
from pipeline.scheduler.settings import Scheduling
from pipeline.scheduler.sizing import Node
from pipeline.stages.locate import Tracker
from shards import Dataset
from shards.storage import Storage

WORKERS = 4
SECONDS = 0.03  # of sleep for each frame, on the mean


class SleepyTracker(Tracker):
    """Takes the source's tracks, and as long as a model might: a lognormal time for each frame."""

    outside: ClassVar[frozenset[str]] = Tracker.outside

    def open(self) -> Callable[[Sequence[Segmented]], list[Tracked | Rejected]]:
        answer = super().open()

        def slowly(batch: Sequence[Segmented]) -> list[Tracked | Rejected]:
            for record in batch:
                time.sleep(record.num_frames * SECONDS * random.Random(record.key).lognormvariate(-0.32, 0.8))
            return list(answer(batch))

        return slowly


def write_source(folder: Path, count: int, seed: int = 0) -> None:
    """Practice videos of 12 to 240 frames with their truth; lengths as Pareto has them."""
    lengths = np.minimum(12 * (1 + np.random.default_rng(seed).pareto(1.5, count)), 240).astype(int)
    for number, length in enumerate(lengths.tolist()):
        world = World(num_frames=length, frame_rate=12.0, hard=0.2)
        write_videos(folder / f"{record_key(number)[:2]}", world, 1, first=number)


_CHEAP = ["measurer.camera=null", "rules.own_motion=null", "rules.duplicate=null"]
"""What is measured by looking at many frames is left out: the machine's own work is small beside the sleep."""


def recipe() -> Recipe:
    alone = [f"{stage}.model=null" for stage in ("captioner", "grounder", "segmenter")]
    plain = load_recipe("embedded", [*alone, "cutter.shots=null", "shards.videos=16", *_CHEAP])
    return plain.model_copy(update={"tracker": SleepyTracker()})


def trials(folder: Path, videos: int, probes: int, seeds: Sequence[int]) -> Iterator[Trial]:
    """Each estimate against the one build that follows, in this process and on Ray's workers."""
    source = folder / "videos"
    write_source(source, videos)
    on_ray = Cluster(nodes=(Node(cpus=float(WORKERS), gpus=0.0),), scheduling=Scheduling(workers=WORKERS))
    with ray_here(cpus=WORKERS, gpus=0):
        for name, runner, cluster in (
            ("real, one process", local, None),
            (f"real, {WORKERS} Ray workers", ray_runner("auto", on_ray.scheduling), on_ray),
        ):
            found = [_estimate(source, runner, probes, cluster, seed) for seed in seeds]
            truth = _built(source, folder / "dataset", runner)
            for one in found:
                yield from (Trial(name, what, figure, truth[what]) for what, figure in _figures(one).items())


def _estimate(source: Path, runner: Runner, probes: int, cluster: Cluster | None, seed: int) -> Estimate:
    found = estimate(str(source), recipe(), runner, probes=probes, cluster=cluster, seed=seed)
    assert found is not None
    return found


def _built(source: Path, dataset: Path, runner: Runner) -> dict[str, float]:
    """What the build of all videos came to."""
    began = time.perf_counter()
    build(str(source), str(dataset), recipe(), runner)
    wall = time.perf_counter() - began
    storage = Storage.at(dataset)
    took = read(storage)
    clips = [clip for some in took.clips.values() for clip in some]
    summary = summarise(storage)
    truth = {
        "wall time": wall / 3600,
        "core-hours": (sum(sum(clip.seconds.values()) for clip in clips) + took.pack_seconds * summary.samples) / 3600,
        "samples": float(summary.samples),
        "kept share": summary.samples / summary.clips,
        "disk": float(sum(file.stat().st_size for part in ("shards", "ledger") for file in (dataset / part).iterdir())),
        "classes": float(len(set(Dataset.open(dataset).index["subject"].to_pylist()))),
    }
    shutil.rmtree(dataset)
    return truth


def _figures(found: Estimate) -> dict[str, Figure]:
    return {
        "wall time": found.wall_hours,
        "core-hours": found.core_hours,
        "samples": found.samples,
        "kept share": found.kept_share,
        "disk": found.disk_bytes,
        "classes": found.classes,
    }
