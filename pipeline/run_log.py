"""What a run did, moment by moment: JSON lines in the dataset's `runs/` folder, for `--status`, plots and people."""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, replace

from pipeline.build import Watch
from pipeline.moment import Moment, Tally
from pipeline.runners import Workers
from shards.ledger import Row
from shards.storage import Missing, Outage, Storage

FOLDER = "runs"


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


def moments(storage: Storage, path: str, most: int | None = None) -> list[Moment]:
    """Every moment of one run, or about `most` spread over it, the last always; a line that a crash cut off is none."""
    lines = storage.read(path).split(b"\n")[:-1]
    step = max(1, len(lines) // most) if most else 1
    return [Moment(**json.loads(line)) for line in reversed(lines[::-step])]


def runs(storage: Storage) -> list[str]:
    """Paths of all runs' logs, the earliest first."""
    return storage.list(FOLDER, ".jsonl")


def latest(storage: Storage) -> list[Moment]:
    """The moments of the latest run that was logged; none where none was."""
    for path in reversed(runs(storage)):
        try:
            known = moments(storage, path)
        except Missing:
            continue
        if known:
            return known
    return []


class Recorder:
    """Watches a build for a log, and passes on what it sees to who else watches."""

    def __init__(
        self, log: RunLog, workers: Workers, outer: Watch, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log, self._workers, self._outer = log, workers, outer
        self._tally = Tally(clock)
        self.last = self.moment()  # a second old at most, while the build works; other threads may read it
        self.watch = replace(
            outer, planned=self._planned, admitted=self._admitted, answered=self._answered, looked=self._looked
        )

    def end(self, *, finished: bool) -> None:
        """The run's last moment."""
        self.last = replace(self.moment(), ended="finished" if finished else "stopped")
        self._log.add(self.last)
        self._outer.stands(self.last)

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
        seconds = self._tally.seconds
        if seconds - self.last.seconds >= 1.0:
            self.last = self.moment()
            self._outer.stands(self.last)
        if self._log.due(seconds):
            try:
                self._log.add(self.moment())
            except Outage:
                return  # a line that is missing harms nobody; what the build cannot do without waits by itself

    def moment(self) -> Moment:
        """How the run stands now."""
        return self._tally.moment(*self._workers.state())
