"""A played build on Ray, looked at while it runs: how busy pools are, when clips come out, what the driver takes."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cluster.played import Part, played, with_played_packer, write_source
from pipeline.build import Watch
from pipeline.run import Summary, build
from pipeline.runners import Runner, Workers
from pipeline.runners.actors import ray_runner
from pipeline.scheduler.settings import Scheduling
from pipeline.scheduler.state import PoolState
from pipeline.stage import AnyStage, Needs
from shards.ledger import Row

LOOK = 0.05  # seconds from one look to the next


@dataclass(frozen=True, kw_only=True)
class Look:
    """A run at one moment."""

    at: float  # seconds since the run began
    cpu: float  # the driver's, seconds
    pools: dict[str, PoolState]


@dataclass(kw_only=True)
class Trace:
    """What was seen of a run; times are seconds since its workers were asked for."""

    summary: Summary | None = None
    looks: list[Look] = field(default_factory=list)
    answers: dict[str, list[float]] = field(default_factory=dict)  # stage -> when it answered

    def since_up(self, pool: str, workers: int) -> float:
        """When a pool first had so many workers up."""
        return next(look.at for look in self.looks if look.pools[pool].up >= workers)

    def middle(self, stage: str, first: float = 0.15, last: float = 0.85) -> tuple[float, float]:
        """From when to when that middle part of a stage's answers came."""
        times = self.answers[stage]
        return times[int(first * len(times))], times[int(last * len(times))]

    def rate(self, stage: str) -> float:
        """Answers a second in the middle of the run."""
        began, ended = self.middle(stage)
        return sum(began < at <= ended for at in self.answers[stage]) / (ended - began)

    def busy(self, pool: str, began: float, ended: float) -> float:
        """Share of the time of a pool's workers in which they worked."""
        inside = [look.pools[pool] for look in self.looks if began <= look.at <= ended]
        first, last = inside[0], inside[-1]
        return (last.busy_seconds - first.busy_seconds) / (last.up_seconds - first.up_seconds)


@contextmanager
def ray_here(cpus: int, gpus: int) -> Iterator[None]:
    """A Ray cluster that believes to have so many cores and GPUs; sleeping takes neither."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_prestart_worker_first_driver", "0")  # no process for each core that is not there
    import ray

    memory = 100 << 20
    how: dict[str, Any] = {"include_dashboard": False, "object_store_memory": memory, "log_to_driver": False}
    ray.init("local", num_cpus=cpus, num_gpus=gpus, **how)
    try:
        yield
    finally:
        ray.shutdown()


def traced(
    folder: Path,
    clips: int,
    parts: Mapping[str, Part],
    needs: Mapping[str, Needs],
    scheduling: Scheduling,
    assignments: Sequence[str] = (),
) -> Trace:
    """Build so many played clips into `folder` on the Ray cluster that is there."""
    trace = Trace()
    seen: list[Workers] = []
    began = 0.0

    @contextmanager
    def runner(stages: Sequence[AnyStage]) -> Iterator[Workers]:
        nonlocal began
        inner: Runner = with_played_packer(ray_runner("auto", scheduling))
        with inner(stages) as workers:
            seen.append(workers)
            began = time.monotonic()
            yield workers

    def look() -> None:
        at = time.monotonic() - began
        if not trace.looks or at - trace.looks[-1].at >= LOOK:
            pools = {pool.name: pool for pool in seen[0].state()[1]}
            trace.looks.append(Look(at=at, cpu=time.process_time(), pools=pools))

    def answered(row: Row) -> None:
        trace.answers.setdefault(row.stage, []).append(time.monotonic() - began)

    source = write_source(folder / "source.parquet", clips)
    recipe = played(parts, needs, assignments)
    trace.summary = build(source, str(folder / "dataset"), recipe, runner, watch=Watch(looked=look, answered=answered))
    return trace
