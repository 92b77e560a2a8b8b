"""How long a cluster takes: the real scheduler on simulated machines, with the times that the probe measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.scheduler.settings import Scheduling
from pipeline.scheduler.simulation import Fate, SimulatedStage, Simulation
from pipeline.scheduler.sizing import Node
from pipeline.stage import AnyStage

LEAST = 3_000
PER_CORE = 40
"""Clips that are simulated: at least so many, and so many for each core. A larger run goes on as their second half."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A clip's way: seconds at each stage that it came to, in order of the stages."""

    seconds: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Machines, and how work is spread over them."""

    nodes: tuple[Node, ...]
    scheduling: Scheduling

    @property
    def gpus(self) -> float:
        return sum(node.gpus for node in self.nodes)

    @property
    def cpus(self) -> float:
        return sum(node.cpus for node in self.nodes)


def wall_seconds(
    stages: Sequence[AnyStage],
    jobs: Sequence[Job],
    shares: Sequence[float],
    clips: float,
    cluster: Cluster,
    load_seconds: Mapping[str, float],
    seed: int = 0,
) -> float:
    """Seconds until `clips` clips are through, each like one of `jobs`, which come up in these shares."""
    most = max(LEAST, round(PER_CORE * cluster.cpus))
    count = max(1, min(round(clips), most))
    chances = np.clip(np.asarray(shares, dtype=float), 0, None)
    drawn = np.random.default_rng(seed).choice(len(jobs), size=count, p=chances / chances.sum())
    whole = simulated_seconds(stages, [jobs[n] for n in drawn], cluster, load_seconds)
    if clips <= most:
        return whole
    half = simulated_seconds(stages, [jobs[n] for n in drawn[: count // 2]], cluster, load_seconds)
    return whole + (clips - count) * (whole - half) / (count - count // 2)


def simulated_seconds(
    stages: Sequence[AnyStage], jobs: Sequence[Job], cluster: Cluster, load_seconds: Mapping[str, float]
) -> float:
    """Seconds until these very clips are through, in this order."""

    def stage(position: int, real: AnyStage) -> SimulatedStage:
        def fate(records: Sequence[Any]) -> Fate:
            return Fate(seconds=sum(jobs[record].seconds[position] for record in records))

        return SimulatedStage(
            name=real.name,
            needs=real.needs,
            fate=fate,
            load_seconds=load_seconds.get(real.name, 0.0),
            leaves=lambda record: len(jobs[record].seconds) == position + 1 < len(stages),
        )

    simulated = [stage(position, real) for position, real in enumerate(stages)]
    return Simulation(simulated, cluster.nodes, cluster.scheduling).run(range(len(jobs))).seconds
