"""Estimates of runs over 230,160 videos that exist in numbers only, many times over, against what the run comes to."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.estimate.populations import COSTS, STAGES, Kind, Population
from pipeline.estimate.estimate import Estimate, told
from pipeline.estimate.glances import MOST
from pipeline.estimate.strata import draw
from pipeline.estimate.wall import Cluster, Job, simulated_seconds
from pipeline.estimate.weights import Figure
from pipeline.scheduler.settings import Scheduling
from pipeline.scheduler.sizing import Node

VIDEOS = 230_160
CLUSTER = Cluster(nodes=(Node(cpus=48, gpus=4),) * 4, scheduling=Scheduling())


class Trial(NamedTuple):
    """One figure of one estimate, and the truth."""

    source: str
    what: str
    estimated: Figure
    truth: float

    @property
    def error(self) -> float:
        return self.estimated.value / self.truth - 1

    @property
    def covered(self) -> bool:
        return self.estimated.low <= self.truth <= self.estimated.high


def totals(kind: Kind, probes: int, trials: int, videos: int = VIDEOS) -> Iterator[Trial]:
    """Work, samples and disk: one population, probed anew in each trial."""
    population = Population(kind, videos, seed=0)
    truth = _truth(population)
    for seed in range(trials):
        found = _estimate(population, probes, seed, None, captioned=True)
        if seed < trials // 4:
            bare = _estimate(population, probes, seed, None, captioned=False).classes
            yield Trial(kind, "classes, by the probe alone", bare, truth["classes"])
        yield from (Trial(kind, what, estimated, truth[what]) for what, estimated in _figures(found).items())


def walls(kind: Kind, probes: int, trials: int, videos: int = VIDEOS) -> Iterator[Trial]:
    """Wall time on four nodes: the whole run is simulated once, clip by clip."""
    population = Population(kind, videos, seed=0)
    jobs = [
        Job(seconds=tuple(row[:reached]))
        for row, reached in zip(population.seconds.tolist(), population.reached, strict=True)
    ]
    order = np.random.default_rng(0).permutation(len(jobs))
    seconds = simulated_seconds(STAGES, [jobs[n] for n in order], CLUSTER, dict.fromkeys(COSTS, 60.0))
    for seed in range(trials):
        found = _estimate(population, probes, seed, CLUSTER, True)
        yield Trial(kind, "wall time on 4 nodes", found.wall_hours, seconds / 3600)


def _estimate(population: Population, probes: int, seed: int, cluster: Cluster | None, captioned: bool) -> Estimate:
    units = population.units(MOST, np.random.default_rng(seed))
    strata = draw(units, probes, seed)
    drawn = [unit for stratum in strata for unit in stratum.drawn]
    named = [str(population.subject[int(unit.id)]) for unit in units] if captioned else None
    return told(strata, population.probe(drawn), STAGES, len(population.frames), cluster=cluster, named=named)


def _truth(population: Population) -> dict[str, float]:
    gpus = np.array([stage.needs.gpus for stage in STAGES])
    cpus = np.array([stage.needs.cpus for stage in STAGES])
    kept = int(population.kept.sum())
    return {
        "GPU-hours": float((population.seconds @ gpus).sum() / 3600),
        "core-hours": float((population.seconds @ cpus).sum() / 3600),
        "clips": float(len(population.video)),
        "samples": float(kept),
        "kept share": kept / len(population.video),
        "disk": kept * 1e6 + 2000.0 * len(population.video),
        "classes": float(len(np.unique(population.subject[population.video[population.kept]]))),
    }


def _figures(found: Estimate) -> dict[str, Figure]:
    return {
        "GPU-hours": found.gpu_hours,
        "core-hours": found.core_hours,
        "clips": found.clips,
        "samples": found.samples,
        "kept share": found.kept_share,
        "disk": found.disk_bytes,
        "classes": found.classes,
    }


def spread(trials: Sequence[Trial]) -> dict[str, float]:
    """Errors of one figure over trials."""
    errors = np.array([trial.error for trial in trials])
    return {
        "trials": len(trials),
        "mean error": float(errors.mean()),
        "median |error|": float(np.median(np.abs(errors))),
        "90th |error|": float(np.quantile(np.abs(errors), 0.9)),
        "within 15 %": float(np.mean(np.abs(errors) <= 0.15)),
        "covered": float(np.mean([trial.covered for trial in trials])),
    }
