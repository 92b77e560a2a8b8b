"""What a run did, moment by moment: JSON lines in the dataset's `runs/` folder, for `--status`, plots and people."""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pipeline.build import Watch
from pipeline.progress import Tally
from pipeline.runners import Workers
from shards.ledger import Row
from shards.storage import Missing, Outage, Storage

FOLDER = "runs"


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
    left: float | None = None  # seconds, by the share of the videos that were begun
    stages: list[dict[str, Any]] = field(default_factory=list)  # StageState of each
    pools: list[dict[str, Any]] = field(default_factory=list)  # PoolState of each
    driver_cpu: float = 0.0  # seconds of the driver's processor time
    ended: str | None = None  # "finished" or "stopped" in a run's last moment


class RunLog:
    """One run's moments, a line each. Locally the file grows; an object store has it written anew now and then."""

    def __init__(
        self, storage: Storage, *, local_seconds: float = 5.0, remote_seconds: float = 60.0, at: float | None = None
    ) -> None:
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(at))
        self.path = f"{FOLDER}/{stamp}-{secrets.token_hex(2)}.jsonl"
        self._storage = storage
        self._every = local_seconds if storage.is_local else remote_seconds
        self._written = bytearray()
        self._last = float("-inf")

    def due(self, seconds: float) -> bool:
        """Whether enough time has passed since the last line, `seconds` after the run's begin."""
        return seconds - self._last >= self._every

    def add(self, moment: Moment) -> None:
        """Write a moment; readers of the file find whole lines."""
        self._last = moment.seconds
        line = json.dumps(asdict(moment), separators=(",", ":")).encode() + b"\n"
        if self._storage.is_local and self._written:
            self._storage.append(self.path, line)
        else:
            self._written += line
            self._storage.write(self.path, bytes(self._written))


def moments(storage: Storage, path: str) -> list[Moment]:
    """Every moment of one run; a last line that a crash cut off is left out."""
    lines = storage.read(path).decode().split("\n")[:-1]
    return [Moment(**json.loads(line)) for line in lines]


def runs(storage: Storage) -> list[str]:
    """Paths of all runs' logs, the earliest first."""
    return storage.list(FOLDER, ".jsonl")


def latest(storage: Storage) -> Moment | None:
    """The last moment of the latest run; None where none was logged."""
    for path in reversed(runs(storage)):
        try:
            known = moments(storage, path)
        except Missing:
            continue
        if known:
            return known[-1]
    return None


class Recorder:
    """Watches a build for a log, and passes on what it sees to who else watches."""

    def __init__(
        self, log: RunLog, workers: Workers, outer: Watch, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log, self._workers, self._outer, self._clock = log, workers, outer, clock
        self._tally = Tally(clock)
        self._began = clock()
        self.last = self.moment()  # a second old at most, while the build works; other threads may read it
        self.watch = replace(
            outer, planned=self._planned, admitted=self._admitted, answered=self._answered, looked=self._looked
        )

    def end(self, *, finished: bool) -> None:
        """The run's last moment."""
        self._log.add(replace(self.moment(), ended="finished" if finished else "stopped"))

    def _planned(self, videos: int) -> None:
        self._tally.videos = videos
        self._outer.planned(videos)

    def _admitted(self) -> None:
        self._tally.begun += 1
        self._outer.admitted()

    def _answered(self, row: Row) -> None:
        self._tally.add(row)
        self._outer.answered(row)

    def _looked(self) -> None:
        self._outer.looked()
        seconds = self._clock() - self._began
        if seconds - self.last.seconds >= 1.0:
            self.last = self.moment()
        if self._log.due(seconds):
            try:
                self._log.add(self.moment())
            except Outage:
                return  # a line that is missing harms nobody; what the build cannot do without waits by itself

    def moment(self) -> Moment:
        """How the run stands now."""
        tally = self._tally
        stages, pools = self._workers.state()
        return Moment(
            at=time.time(),
            seconds=round(self._clock() - self._began, 3),
            videos=tally.videos,
            begun=tally.begun,
            passed=tally.passed,
            kept=tally.kept,
            stopped={f"{stage}: {why}": count for (stage, why), count in tally.stopped.most_common()},
            left=tally.seconds_left,
            stages=[asdict(stage) for stage in stages],
            pools=[asdict(pool) for pool in pools],
            driver_cpu=time.process_time(),
        )
