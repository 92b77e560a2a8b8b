"""What a running build shows: a bar and a table on a terminal, a plain line now and then elsewhere."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import TextIO

from pipeline.build import Watch
from shards.ledger import Row


class Tally:
    """Counts rows as they are written."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self.videos = 0  # that were still to be decided when the run began
        self.begun = 0  # of them
        self.answers: Counter[str] = Counter()  # stage -> answers of this run
        self.stopped: Counter[tuple[str, str]] = Counter()  # (stage, why) -> clips
        self.kept = 0

    def snapshot(self) -> "Tally":
        """A tally that stays as it is. The counters are copied in one step each, without a lock."""
        frozen = copy(self)
        frozen.answers, frozen.stopped = self.answers.copy(), self.stopped.copy()
        return frozen

    def add(self, row: Row) -> None:
        self.answers[row.stage] += 1
        if row.outcome == "kept":
            self.kept += 1
        elif row.outcome != "done":
            self.stopped[row.stage, row.why or ""] += 1

    @property
    def passed(self) -> int:
        """Clips that passed every rule."""
        return self.answers["judge"] - sum(count for (stage, _), count in self.stopped.items() if stage == "judge")

    @property
    def rate(self) -> float:
        """Clips decided a second."""
        return (self.passed + self.stopped.total()) / max(self._clock() - self._began, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """By the share of the videos that were begun; None before any clip is decided, and once all are begun."""
        if not self.rate or self.begun >= self.videos:
            return None
        return (self._clock() - self._began) * (self.videos - self.begun) / self.begun

    def line(self) -> str:
        left = "" if self.seconds_left is None else f", about {_duration(self.seconds_left)} left"
        return (
            f"{self.begun}/{self.videos} videos: {self.passed} clips passed, {self.stopped.total()} stopped, "
            f"{self.kept} in shards, {self.rate:.1f} clips/s{left}"
        )


@contextmanager
def shown(stopping: Callable[[], bool], out: TextIO, every: float = 5.0) -> Iterator[Watch]:
    """A `Watch` that shows how the work goes until the block ends."""
    tally = Tally()
    with _live(tally) if out.isatty() else _plain(tally, out, every) as update:

        def planned(videos: int) -> None:
            tally.videos = videos

        def admitted() -> None:
            tally.begun += 1

        def answered(row: Row) -> None:
            tally.add(row)
            update()

        yield Watch(planned=planned, admitted=admitted, answered=answered, stopping=stopping)


@contextmanager
def counted(what: str, out: TextIO, every: float = 5.0) -> Iterator[Callable[[int, int], None]]:
    """A function that is told how many are done, of how many, and shows it: a bar on a terminal, else now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    last = time.monotonic()

    def plain(done: int, of: int) -> None:
        nonlocal last
        if time.monotonic() - last >= every:
            last = time.monotonic()
            print(f"{done}/{of} {what}", file=out, flush=True)

    if not out.isatty():
        yield plain
        return
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=out), transient=True) as progress:
        task = progress.add_task(what, total=None)

        def bar(done: int, of: int) -> None:
            progress.update(task, completed=done, total=of)
            if done == of:
                progress.stop()

        yield bar


@contextmanager
def _plain(tally: Tally, out: TextIO, every: float) -> Iterator[Callable[[], None]]:
    last = time.monotonic()

    def update() -> None:
        nonlocal last
        if time.monotonic() - last >= every:
            last = time.monotonic()
            print(tally.line(), file=out, flush=True)

    yield update


@contextmanager
def _live(live: Tally) -> Iterator[Callable[[], None]]:
    from rich.console import Console, Group, RenderableType
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    def picture() -> RenderableType:
        tally = live.snapshot()  # drawn by a thread of its own, while rows are counted
        table = Table("stage", "answers", "stopped here", box=None)
        for stage, count in tally.answers.items():
            why = ", ".join(f"{w} {n}" for (s, w), n in tally.stopped.most_common() if s == stage)
            table.add_row(stage, str(count), why)
        return Group(tally.line(), ProgressBar(total=max(tally.videos, 1), completed=tally.begun, width=60), table)

    with Live(console=Console(stderr=True), get_renderable=picture, refresh_per_second=4, transient=True):
        yield lambda: None


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s" if rest >= 60 else f"{rest} s"
