"""How a build stands, as another terminal can tell from its dataset."""

import time
from typing import Any

from pipeline import plan
from pipeline.run import as_text, summarise
from pipeline.run_log import Moment, latest
from shards import ledger
from shards.dataset import read_info
from shards.storage import Storage


def status(url: str, now: float | None = None) -> str:
    """Lines for people: what is decided, and what the latest run was at. ValueError where there is no dataset."""
    storage = Storage.at(url)
    info = read_info(storage)
    left = plan.count(storage, ledger.closed(storage))
    lines = [f"{storage.url}: recipe {info.recipe['name']}, {left} planned videos in unfinished shards"]
    lines += as_text(summarise(storage)).splitlines()
    moment = latest(storage)
    if moment is None:
        return "\n".join([*lines, "no run has been logged yet"])
    return "\n".join([*lines, *_lines(moment, time.time() if now is None else now)])


def _lines(moment: Moment, now: float) -> list[str]:
    age = f"{now - moment.at:.0f} s ago"
    state = f"ended, {moment.ended}, {age}" if moment.ended else f"running, as of {age}"
    rate = moment.passed + sum(moment.stopped.values())
    lines = [f"latest run: {state}; {moment.begun}/{moment.videos} videos begun, {rate} clips decided"]
    lines += [_stage_line(stage) for stage in moment.stages]
    lines += [
        f"  workers of {pool['name']}: {pool['up']} up, {pool['starting']} starting, {pool['wanted']} wanted, "
        f"busy {pool['busy_seconds'] / max(pool['up_seconds'], 1e-9):.0%}"
        for pool in moment.pools
    ]
    return lines


def _stage_line(stage: dict[str, Any]) -> str:
    counts = f"{stage['queued']:>7} queued {stage['in_hand']:>5} in hand {stage['answered']:>8} answered"
    each = "" if stage["mean_seconds"] is None else f" {stage['mean_seconds']:>8.2f} s each"
    return f"  {stage['name']:<12} {counts}{each}"
