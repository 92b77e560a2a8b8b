"""What a running build shows: a board of tables on a terminal, a plain line now and then elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from pipeline.build import Watch
from pipeline.moment import Moment, Pace, Recent


@contextmanager
def shown(stopping: Callable[[], bool], out: TextIO, every: float = 5.0) -> Iterator[Watch]:
    """A `Watch` that shows how the work goes until the block ends."""
    with _live(out) if out.isatty() else _plain(out, every) as show:
        yield Watch(stands=show, stopping=stopping)


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
def _plain(out: TextIO, every: float) -> Iterator[Callable[[Moment], None]]:
    last = time.monotonic()

    def show(moment: Moment) -> None:
        nonlocal last
        if time.monotonic() - last >= every or moment.ended:
            last = time.monotonic()
            print(moment.line(), file=out, flush=True)

    yield show


@contextmanager
def _live(out: TextIO) -> Iterator[Callable[[Moment], None]]:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

    from pipeline.board import board

    recent = Recent()
    latest: tuple[Moment, Pace] | None = None

    def picture() -> RenderableType:
        seen = latest  # drawn by a thread of its own; a moment never changes
        return Text("") if seen is None else board(*seen)

    live = Live(console=Console(file=out), get_renderable=picture, refresh_per_second=4, transient=True)

    def show(moment: Moment) -> None:
        nonlocal latest
        latest = moment, recent.add(moment)
        live.start()  # only now, so that what is shown before has the terminal for itself

    try:
        yield show
    finally:
        live.stop()
