"""Sources that exist in numbers only: videos with heavy-tailed lengths, and what each of their clips would take."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from pipeline.estimate.probe import Probe, ProbedClip
from pipeline.estimate.strata import Unit
from pipeline.stage import AnyStage, Needs, Stage

Kind: TypeAlias = Literal["lognormal", "pareto", "unrelated"]
"""How lengths are spread; unrelated: times are heavy-tailed too, and have nothing to do with lengths."""

CLIP_FRAMES = 240
CLASSES = 2538
"""Of the paper's dataset."""


class Timed(Stage[object, object]):
    """A stage of which only its needs count; `label` is its name."""

    label: str

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.label


@dataclass(frozen=True, kw_only=True)
class _Cost:
    """Seconds of a clip: fixed, and for each frame."""

    fixed: float
    frame: float
    needs: Needs = field(default_factory=Needs)


COSTS: dict[str, _Cost] = {
    "cutter": _Cost(fixed=0.1, frame=0.004),
    "encoder": _Cost(fixed=0.2, frame=0.010),
    "captioner": _Cost(fixed=1.2, frame=0.0, needs=Needs(gpus=1, cpus=4, batch=8)),
    "grounder": _Cost(fixed=0.15, frame=0.0, needs=Needs(gpus=0.25, cpus=2, batch=16)),
    "tracker": _Cost(fixed=0.5, frame=0.04, needs=Needs(gpus=0.25, cpus=2)),
    "measurer": _Cost(fixed=0.1, frame=0.002),
}
"""Near what is published of such models on one GPU; the tracker's time goes with length, the captioner's does not."""

STAGES: tuple[AnyStage, ...] = tuple(Timed(label=name, needs=cost.needs) for name, cost in COSTS.items())


class Population:
    """So many videos, all of whose clips' times are drawn beforehand; the run that follows is their sum."""

    kept_share: ClassVar[float] = 0.6

    def __init__(self, kind: Kind, count: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.frames = np.ceil(_lengths(kind, count, random))
        per_video = np.ceil(self.frames / CLIP_FRAMES).astype(int)
        self.video = np.repeat(np.arange(count), per_video)  # of each clip
        self.first = np.concatenate([[0], np.cumsum(per_video)])
        length = (self.frames / per_video)[self.video]
        spread = 1.3 if kind == "unrelated" else 0.5
        self.seconds = np.stack(
            [
                (cost.fixed + cost.frame * length) * random.lognormal(-(spread**2) / 2, spread, len(length))
                for cost in COSTS.values()
            ],
            axis=1,
        )  # [clips, stages]
        self.reached = np.where(random.random(len(length)) < 0.9, len(COSTS), 4)  # some stop before the tracker
        self.kept = (self.reached == len(COSTS)) & (random.random(len(length)) < self.kept_share / 0.9)
        shares = 1 / np.arange(1, CLASSES + 1)
        self.subject = random.choice(CLASSES, size=count, p=shares / shares.sum())  # of each video
        self.seconds[np.arange(len(COSTS)) >= self.reached[:, None]] = 0

    def units(self, count: int, random: np.random.Generator) -> list[Unit]:
        """What the headers of so many of the videos say."""
        chosen = random.choice(len(self.frames), size=min(count, len(self.frames)), replace=False)
        return [self._unit(int(video)) for video in chosen]

    def probe(self, units: list[Unit]) -> Probe:
        return Probe(
            clips={unit.id: self._clips(int(unit.id)) for unit in units},
            start_seconds=0.0,
            load_seconds=dict.fromkeys(COSTS, 60.0),
            pack_seconds=0.0,
            overhead=0.0,
            ledger_bytes=2000.0,
        )

    def _unit(self, video: int) -> Unit:
        frames = float(self.frames[video])
        return Unit(id=str(video), kind="bare", num_frames=frames, megapixels=frames * 0.9)

    def _clips(self, video: int) -> tuple[ProbedClip, ...]:
        return tuple(self._clip(clip) for clip in range(self.first[video], self.first[video + 1]))

    def _clip(self, clip: int) -> ProbedClip:
        names = list(COSTS)[: self.reached[clip]]
        return ProbedClip(
            seconds=dict(zip(names, self.seconds[clip].tolist(), strict=False)),
            ending="kept" if self.kept[clip] else "judge: motion.iou",
            subject=str(self.subject[self.video[clip]]) if self.kept[clip] else None,
            bytes=1_000_000 if self.kept[clip] else 0,
        )


def _lengths(kind: Kind, count: int, random: np.random.Generator) -> np.ndarray:
    if kind == "pareto":
        return np.minimum(60 * (1 + random.pareto(1.5, count)), 2e5)
    return random.lognormal(np.log(200), 1.2 if kind == "lognormal" else 0.3, count)
