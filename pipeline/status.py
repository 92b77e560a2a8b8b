"""How a build stands, as another terminal can tell from its dataset."""

import io
import time

from rich.console import Console

from pipeline import plan
from pipeline.board import board
from pipeline.moment import Recent
from pipeline.run import as_text, summarise
from pipeline.run_log import latest
from shards import ledger
from shards.dataset import read_info
from shards.storage import Storage

WIDTH = 110


def status(url: str, now: float | None = None) -> str:
    """Lines for people: what is decided, and what the latest run was at. ValueError where there is no dataset."""
    storage = Storage.at(url)
    info = read_info(storage)
    left = plan.count(storage, ledger.closed(storage))
    lines = [f"{storage.url}: recipe {info.recipe['name']}, {left} planned videos in unfinished shards"]
    lines += as_text(summarise(storage)).splitlines()
    known = latest(storage)
    if not known:
        return "\n".join([*lines, "no run has been logged yet"])
    recent = Recent()
    *_, pace = [recent.add(moment) for moment in known]
    age = f"{(time.time() if now is None else now) - known[-1].at:.0f} s ago"
    state = f"ended, {known[-1].ended}, {age}" if known[-1].ended else f"running, as of {age}"
    text = io.StringIO()
    Console(file=text, width=WIDTH).print(board(known[-1], pace, bar=False))
    return "\n".join([*lines, f"latest run: {state}", *(line.rstrip() for line in text.getvalue().splitlines())])
