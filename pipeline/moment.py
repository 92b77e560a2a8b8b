"""A run at one moment: the one source of the numbers on the terminal, in the log, for Prometheus and in the report."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from shards.ledger import Row

if TYPE_CHECKING:
    from pipeline.scheduler.state import PoolState, StageState


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A run at one moment; counts are of this run."""

    at: float  # seconds since 1970
    seconds: float  # since the run began
    videos: int  # that were still to be decided when it began
    begun: int  # of them
    passed: int  # clips that every rule let through
    kept: int  # clips that stand in shards
    stopped: dict[str, int] = field(default_factory=dict)  # "stage: why" -> clips
    left: float | None = None  # seconds, by the clips decided so far; None where that is not known
    stages: list[dict[str, Any]] = field(default_factory=list)  # StageState of each
    pools: list[dict[str, Any]] = field(default_factory=list)  # PoolState of each
    driver_cpu: float = 0.0  # seconds of the driver's processor time
    ended: str | None = None  # "finished" or "stopped" in a run's last moment

    @property
    def decided(self) -> int:
        """Clips whose way has ended, or that every rule let through."""
        return self.passed + sum(self.stopped.values())

    @property
    def rate(self) -> float:
        """Clips decided a second since the run began."""
        return self.decided / max(self.seconds, 1e-9)

    def line(self) -> str:
        """For people, in a line."""
        left = "" if self.left is None else f", about {duration(self.left)} left"
        return (
            f"{self.begun}/{self.videos} videos: {self.passed} clips passed, {sum(self.stopped.values())} stopped, "
            f"{self.kept} in shards, {self.rate:.1f} clips/s{left}"
        )


class Tally:
    """Counts what a build tells of itself, and makes moments of it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._first: float | None = None  # when the first row was written
        self.videos = 0  # that were still to be decided when the run began
        self.begun = 0  # of them
        self._judged = self._kept = 0
        self._stopped: Counter[tuple[str, str]] = Counter()  # (stage, why) -> clips

    def add(self, row: Row) -> None:
        self._first = self._clock() if self._first is None else self._first
        self._judged += row.stage == "judge"
        if row.outcome == "kept":
            self._kept += 1
        elif row.outcome != "done":
            self._stopped[row.stage, row.why or ""] += 1

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return self._clock() - self._began

    def moment(self, stages: "Sequence[StageState]", pools: "Sequence[PoolState]") -> Moment:
        """How the run stands now."""
        passed = self._judged - sum(count for (stage, _), count in self._stopped.items() if stage == "judge")
        under_way = sum(stage.queued + stage.in_hand for stage in stages)
        return Moment(
            at=time.time(),
            seconds=round(self.seconds, 3),
            videos=self.videos,
            begun=self.begun,
            passed=passed,
            kept=self._kept,
            stopped={f"{stage}: {why}": count for (stage, why), count in self._stopped.most_common()},
            left=self._left(passed + self._stopped.total(), under_way),
            stages=[asdict(stage) for stage in stages],
            pools=[asdict(pool) for pool in pools],
            driver_cpu=time.process_time(),
        )

    def _left(self, decided: int, under_way: int) -> float | None:
        """Seconds, where the videos that are not begun hold as many clips each as those that are."""
        if not decided or not self.begun or self._first is None:
            return None
        clips = (decided + under_way) * max(1.0, self.videos / self.begun)
        return (clips - decided) * (self._clock() - self._first) / decided if clips > decided else None


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast a run went between two of its moments."""

    clips: float  # decided a second
    stages: dict[str, float]  # records answered a second, by stage
    busy: dict[str, float]  # share of its pool's time that a stage's answers took, by stage
    pools: dict[str, float]  # share of the time that their workers were busy, by pool


def pace(before: Moment, now: Moment) -> Pace:
    """Between two moments of one run; from its beginning where they are the same."""
    if before.at == now.at:
        before = Moment(at=now.at - now.seconds, seconds=0, videos=0, begun=0, passed=0, kept=0)
    seconds = max(now.seconds - before.seconds, 1e-9)
    stages_before = {stage["name"]: stage for stage in before.stages}
    pools_before = {pool["name"]: pool for pool in before.pools}

    def grown(name: str, now_: dict[str, Any], old: dict[str, dict[str, Any]]) -> float:
        return float(now_.get(name, 0.0)) - float(old.get(now_["name"], {}).get(name, 0.0))

    up = {pool["name"]: max(grown("up_seconds", pool, pools_before), 1e-9) for pool in now.pools}
    pool_of = {stage: pool["name"] for pool in now.pools for stage in pool["stages"]}
    return Pace(
        clips=(now.decided - before.decided) / seconds,
        stages={stage["name"]: grown("answered", stage, stages_before) / seconds for stage in now.stages},
        busy={
            stage["name"]: min(1.0, grown("seconds", stage, stages_before) / up[pool_of[stage["name"]]])
            for stage in now.stages
            if stage["name"] in pool_of
        },
        pools={
            pool["name"]: min(1.0, grown("busy_seconds", pool, pools_before) / up[pool["name"]]) for pool in now.pools
        },
    )


class Recent:
    """The moments of the last minute, for the pace of just now."""

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._moments: deque[Moment] = deque()

    def add(self, moment: Moment) -> Pace:
        """The pace up to this moment."""
        self._moments.append(moment)
        while self._moments[0].seconds < moment.seconds - self._seconds and len(self._moments) > 2:
            self._moments.popleft()
        return pace(self._moments[0], moment)


def duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s" if rest >= 60 else f"{rest} s"
