"""The estimate: a source is looked at, a few videos of it are built, and the whole is told with its intervals."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from pipeline.build import NOBODY, Watch
from pipeline.estimate.classes import classes
from pipeline.estimate.glances import glances
from pipeline.estimate.probe import Probe, ProbedClip, probe, scratch
from pipeline.estimate.strata import Stratum, draw
from pipeline.estimate.wall import Cluster, Job, wall_seconds
from pipeline.estimate.weights import Figure, Floats, Weighting, figure
from pipeline.estimate.words import said_subjects
from pipeline.needs import require
from pipeline.recipe import Recipe
from pipeline.records import Video
from pipeline.runners import Runner
from pipeline.scheduler.sizing import Demand, Node, Room
from pipeline.sources import parse_source
from pipeline.stage import AnyStage
from pipeline.stages.packer import Packer


@dataclass(frozen=True, kw_only=True)
class StageEstimate:
    """What one stage will take."""

    name: str
    records: Figure
    hours: Figure  # that workers are taken
    gpus: float  # of a worker
    cpus: float


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a build will take and give. A video without clips counts as one clip, as in the build's summary."""

    videos: int
    faults: int  # entries of the source that are no video
    looked_at: int  # videos whose headers were read
    probed: int
    strata: int
    clips: Figure
    samples: Figure
    kept_share: Figure
    classes: Figure  # a lower bound
    endings: dict[str, Figure]  # "stage: why" -> clips that end there
    stages: tuple[StageEstimate, ...]
    gpu_hours: Figure  # that workers are taken, times the share of a GPU that they take
    core_hours: Figure
    disk_bytes: Figure  # of shards and ledger
    wall_hours: Figure
    paid_gpu_hours: Figure  # all GPUs, from first to last
    cost: Figure | None  # in the price's own currency
    nodes: tuple[Node, ...]  # none: in one process


def estimate(
    source: str,
    recipe: Recipe,
    runner: Runner,
    *,
    probes: int,
    cluster: Cluster | None = None,
    price: float | None = None,
    place: str | None = None,
    seed: int = 0,
    watch: Watch = NOBODY,
    seen: Callable[[int, int], None] = lambda done, of: None,
) -> Estimate | None:
    """Build `probes` videos of `source` at `place` (a temporary folder by default), and tell what all will take.

    The probe's dataset is removed at the end; no later build uses it. `price` is that of a GPU for an hour. None where
    `watch` stopped the probe. Raises ValueError as `build` does, and where a cluster has no room for a stage's worker.
    """
    require(recipe)
    stages = [*recipe.stages(""), Packer()]
    if cluster is not None:
        _check_room(stages, cluster)
    entries = list(parse_source(source).videos())
    videos = [entry for entry in entries if isinstance(entry, Video)]
    units = glances(videos, seen)
    looked_at = {unit.id for unit in units}
    named = said_subjects([video for video in videos if video.id in looked_at], recipe.namer)
    strata = draw(units, probes, seed)
    with scratch(place) as where:
        drawn = [unit.id for stratum in strata for unit in stratum.drawn]
        found = probe(source, where, recipe, runner, drawn, watch)
    if found is None:
        return None
    return told(strata, found, stages, len(videos), len(entries) - len(videos), cluster, price, named)


def told(
    strata: Sequence[Stratum],
    found: Probe,
    stages: Sequence[AnyStage],
    videos: int,
    faults: int = 0,
    cluster: Cluster | None = None,
    price: float | None = None,
    named: Sequence[str] | None = None,
) -> Estimate:
    """What the probe of these strata tells of a source with so many videos, and so many entries that are none.

    `named` are the subjects of all videos that were looked at, where the source itself names them.
    """
    sample = _Sample(strata, found, stages, videos)
    wall = sample.wall_seconds(cluster) * (1 / 3600)
    gpus = cluster.gpus if cluster else float(any(stage.needs.gpus for stage in stages))
    paid = wall * gpus
    clips, samples = sample.total(lambda clip: 1.0), sample.total(lambda clip: float(clip.ending == "kept"))
    return Estimate(
        videos=videos,
        faults=faults,
        looked_at=sum(len(stratum.units) for stratum in strata),
        probed=len(sample.units),
        strata=len(strata),
        clips=clips + faults,
        samples=samples,
        kept_share=sample.kept_share(faults),
        classes=sample.classes(named),
        endings=sample.endings(),
        stages=tuple(sample.stage(position) for position in range(len(stages))),
        gpu_hours=sample.hours(lambda stage: stage.needs.gpus),
        core_hours=sample.hours(lambda stage: stage.needs.cpus),
        disk_bytes=sample.total(lambda clip: clip.bytes + found.ledger_bytes),
        wall_hours=wall,
        paid_gpu_hours=paid,
        cost=None if price is None else paid * price,
        nodes=cluster.nodes if cluster else (),
    )


class _Sample:
    """What was probed, clip by clip, and how it stands for the whole."""

    def __init__(self, strata: Sequence[Stratum], found: Probe, stages: Sequence[AnyStage], videos: int) -> None:
        self.units = [unit for stratum in strata for unit in stratum.drawn if unit.id in found.clips]
        self._found, self._stages = found, stages
        self._weighting = Weighting(strata, self.units, videos)
        self._clips = [(n, clip) for n, unit in enumerate(self.units) for clip in found.clips[unit.id]]
        self._jobs = [Job(seconds=seconds_of(clip, found, stages)) for _, clip in self._clips]

    def total(self, value: Callable[[ProbedClip], float]) -> Figure:
        return self._weighting.total(self._sums([value(clip) for _, clip in self._clips]))

    def kept_share(self, faults: int) -> Figure:
        """Of all clips; every one of `faults` is one that is not kept."""
        kept = self._sums([float(clip.ending == "kept") for _, clip in self._clips])
        count = self._sums([1.0] * len(self._clips)) + faults / max(1.0, float(self._weighting.values.sum()))
        return self._weighting.ratio(kept, count)

    def classes(self, named: Sequence[str] | None) -> Figure:
        """By the subjects that the source names, of the share of its videos that is kept; else by the probe's own.

        Clips of one video are about one thing, so it is videos that are counted.
        """
        subjects = [{clip.subject for clip in self._found.clips[unit.id]} - {None} for unit in self.units]
        kept = np.array([float(bool(some)) for some in subjects])
        if named is None:
            seen = Counter(noun for some in subjects for noun in some)
        else:
            share = self._weighting.ratio(kept, np.ones(len(kept))).value
            taken = np.random.default_rng(0).random(len(named)) < share
            seen = Counter(noun for noun, is_taken in zip(named, taken, strict=True) if is_taken)
        sizes = self._weighting.replicates @ kept
        return classes(sorted(seen.values()), sizes, float(self._weighting.values @ kept))

    def endings(self) -> dict[str, Figure]:
        counted = Counter(clip.ending for _, clip in self._clips if clip.ending != "kept")
        return {
            ending: self.total(lambda clip, ending=ending: float(clip.ending == ending))  # type: ignore[misc]
            for ending, _ in counted.most_common()
        }

    def stage(self, position: int) -> StageEstimate:
        stage = self._stages[position]
        came = self._sums([float(len(job.seconds) > position) for job in self._jobs])
        return StageEstimate(
            name=stage.name,
            records=self._weighting.total(came),
            hours=self._weighting.total(self._taken(position)) * (1 / 3600),
            gpus=stage.needs.gpus,
            cpus=stage.needs.cpus,
        )

    def hours(self, needed: Callable[[AnyStage], float]) -> Figure:
        return self._weighting.total(self._needed(needed)) * (1 / 3600)

    def wall_seconds(self, cluster: Cluster | None) -> Figure:
        """From the first worker's start to the last answer."""
        if cluster is None:
            answers = self._sums([float(len(job.seconds)) for job in self._jobs])
            alone = self._needed(lambda stage: 1.0) + self._found.overhead * answers
            return self._weighting.total(alone) + (self._found.start_seconds + sum(self._found.load_seconds.values()))
        shares = [float(self._weighting.values[n]) for n, _ in self._clips]
        clips = float(self._weighting.values @ self._sums([1.0] * len(self._clips)))
        seconds = wall_seconds(self._stages, self._jobs, shares, clips, cluster, self._found.load_seconds)
        # What binds, the GPUs or the cores, is as uncertain as their work; the wall with it.
        gpu = self._weighting.replicates @ self._needed(lambda stage: stage.needs.gpus) / max(cluster.gpus, 1.0)
        core = self._weighting.replicates @ self._needed(lambda stage: stage.needs.cpus) / cluster.cpus
        bound = np.maximum(gpu, core)
        return figure(seconds, seconds * bound / np.mean(bound)) + self._found.start_seconds

    def _needed(self, needed: Callable[[AnyStage], float]) -> Floats:
        """Seconds of each video's work, each times what the stage needs of something."""
        parts = [needed(stage) * self._taken(position) for position, stage in enumerate(self._stages)]
        return np.sum(parts, axis=0)  # type: ignore[no-any-return]

    def _taken(self, position: int) -> Floats:
        return self._sums([job.seconds[position] if len(job.seconds) > position else 0.0 for job in self._jobs])

    def _sums(self, of_clips: Sequence[float]) -> Floats:
        """Each video's sum of a value of its clips."""
        sums: Floats = np.zeros(len(self.units))
        np.add.at(sums, [n for n, _ in self._clips], np.asarray(of_clips, dtype=float))
        return sums


def seconds_of(clip: ProbedClip, found: Probe, stages: Sequence[AnyStage]) -> tuple[float, ...]:
    """At each stage that the clip came to, the last of which is the packer where it is kept."""
    seconds = clip.seconds | ({Packer.name: found.pack_seconds} if clip.ending == "kept" else {})
    names = [stage.name for stage in stages]
    return tuple(seconds[name] for name in takewhile(seconds.__contains__, names))


def _check_room(stages: Sequence[AnyStage], cluster: Cluster) -> None:
    """Raises ValueError where the cluster has no room for one worker of each pool at a time."""
    room = Room(cluster.nodes)
    shared = max((stage.needs.cpus for stage in stages if not stage.needs.gpus), default=0.0)
    demands = {
        stage.name: Demand(cpus=stage.needs.cpus, gpus=stage.needs.gpus, load=None)
        for stage in stages
        if stage.needs.gpus
    }
    demands["the stages without a GPU"] = Demand(cpus=shared, gpus=0.0, load=None)
    for name, demand in demands.items():
        if not room.place(demand):
            raise ValueError(
                f"{len(cluster.nodes)} nodes have no room for a worker of {name}, which takes {demand.gpus:g} GPUs and "
                f"{demand.cpus:g} cores: give more nodes, or larger ones"
            )
