"""The scheduler on simulated clusters of 4 to 1,000 GPUs: how much of the machines' time becomes work."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.simulate.times import Measured, clip_of, line
from pipeline.scheduler.pools import SHARED
from pipeline.scheduler.settings import Scheduling
from pipeline.scheduler.simulation import Outcome, Simulation
from pipeline.scheduler.sizing import Node

NODE = Node(cpus=48, gpus=4)
MACHINES = (1, 4, 16, 64, 250)
LOST = 0.1
"""Share of the machines that are lost in the middle of a troubled run; half of them come back."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A simulated run."""

    machines: int
    gpus: int
    workers: int  # that were started
    clips: int
    troubled: bool
    seconds: float
    efficiency: float  # clips a second and machine, over those of one machine that nothing troubles
    busy: float  # share of the time that workers of the busiest pool with a GPU were up
    ended: dict[str, int]  # how clips ended -> clips


def points(measured: Measured, clips_per_machine: int, machines: Sequence[int] = MACHINES) -> Iterator[Point]:
    """Each size without and with trouble; clips grow with the machines."""
    alone = _run(measured, clips_per_machine, 1, troubled=False).seconds
    for count in machines:
        for troubled in (False, True):
            run = _run(measured, clips_per_machine, count, troubled=troubled)
            yield Point(
                machines=count,
                gpus=int(NODE.gpus) * count,
                workers=run.starts,
                clips=clips_per_machine * count,
                troubled=troubled,
                seconds=run.seconds,
                efficiency=alone / run.seconds,
                busy=max(pool.busy for pool in run.pools if pool.name != SHARED),
                ended=dict(
                    Counter(how if how in ("passed", "quarantined") else "stopped" for how in run.ended.values())
                ),
            )


def _run(measured: Measured, clips_per_machine: int, machines: int, *, troubled: bool) -> Outcome:
    """In a troubled run a tenth of the machines goes in the middle, and half of that comes back."""
    count = clips_per_machine * machines
    lost = max(1, round(LOST * machines)) if troubled and machines > 1 else 0
    middle = 0.5 * _ideal_seconds(measured, count, machines)
    return Simulation(
        line(measured, troubled=troubled),
        [NODE] * machines,
        Scheduling(),
        losses=[(middle + n, n) for n in range(lost)],
        joins=[(1.2 * middle + n, NODE) for n in range(-(-lost // 2))],
    ).run(range(count))


def _ideal_seconds(measured: Measured, count: int, machines: int) -> float:
    """If no GPU were ever idle."""
    shares = [stage.needs.gpus for stage in measured.stages]
    work = sum(
        seconds * share
        for record in range(min(count, 2000))
        for seconds, share in zip(clip_of(measured, record), shares, strict=False)
    )
    return work * count / min(count, 2000) / (NODE.gpus * machines)
