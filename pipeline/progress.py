"""What a running build shows: a live table on a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from shards.ledger import Row


class Tally:
    """Counts rows as they are written."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self.done: Counter[str] = Counter()  # stage -> answers
        self.stopped: Counter[tuple[str, str]] = Counter()  # (stage, why) -> clips
        self.kept = 0

    def add(self, row: Row) -> None:
        self.done[row.stage] += 1
        if row.outcome == "kept":
            self.kept += 1
        elif row.outcome != "done":
            self.stopped[row.stage, row.why or ""] += 1

    @property
    def rate(self) -> float:
        """Clips decided a second."""
        decided = self.kept + self.stopped.total()
        return decided / max(self._clock() - self._began, 1e-9)

    def line(self) -> str:
        stages = " ".join(f"{stage} {count}" for stage, count in self.done.items() if stage != "packer")
        return f"{self.kept} kept, {self.stopped.total()} stopped, {self.rate:.1f} clips/s | {stages}"


@contextmanager
def shown(out: TextIO = sys.stderr, every: float = 5.0) -> Iterator[Callable[[Row], None]]:
    """Gives a function for every row of the ledger; shows how the work goes until the block ends."""
    tally = Tally()
    with _live(tally) if out.isatty() else _plain(tally, out, every) as update:

        def on_row(row: Row) -> None:
            tally.add(row)
            update()

        yield on_row


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
def _live(tally: Tally) -> Iterator[Callable[[], None]]:
    from rich.live import Live
    from rich.table import Table

    def table() -> Table:
        grid = Table("stage", "answers", "stopped here", title=tally.line().partition(" |")[0], title_justify="left")
        for stage, count in tally.done.items():
            why = ", ".join(f"{w} {n}" for (s, w), n in tally.stopped.most_common() if s == stage)
            grid.add_row(stage, str(count), why)
        return grid

    with Live(get_renderable=table, refresh_per_second=4, transient=True):
        yield lambda: None
