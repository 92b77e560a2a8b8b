"""A run as a board of tables: stages with their workers, queues and pace, and why clips were stopped."""

from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.moment import Moment, Pace, duration

REASONS = 8
"""Rules that are shown, those that stopped most clips."""


def board(moment: Moment, pace: Pace, *, bar: bool = True) -> RenderableType:
    """A run as it stands at `moment`, at the pace of just before."""
    begun = Table.grid()
    if bar:
        begun.add_row(ProgressBar(total=max(moment.videos, 1), completed=moment.begun, width=60))
    return Group(_head(moment, pace), begun, _stages(moment, pace), *_pools(moment, pace), *_reasons(moment))


def _head(moment: Moment, pace: Pace) -> Text:
    left = "" if moment.left is None else f", about {duration(moment.left)} left"
    stopped = sum(moment.stopped.values())
    return Text(
        f"{moment.begun:,}/{moment.videos:,} videos begun; {moment.decided:,} clips decided: {moment.passed:,} passed, "
        f"{stopped:,} stopped; {moment.kept:,} in shards; {pace.clips:.2f} clips/s{left}"
    )


def _stages(moment: Moment, pace: Pace) -> Table:
    table = Table("stage", "pool", box=None, pad_edge=False)
    for name in ("waiting", "in hand", "answered", "a second", "s each", "busy"):
        table.add_column(name, justify="right")
    pool_of = {stage: pool["name"] for pool in moment.pools for stage in pool["stages"]}
    for stage in moment.stages:
        name = stage["name"]
        counts = [f"{stage[field]:,}" for field in ("queued", "in_hand", "answered")]
        mean = stage["mean_seconds"]
        table.add_row(
            name,
            pool_of.get(name, ""),
            *counts,
            f"{pace.stages.get(name, 0.0):.2f}",
            "" if mean is None else f"{mean:.3g}",
            f"{pace.busy.get(name, 0.0):.0%}",
        )
    return table


def _pools(moment: Moment, pace: Pace) -> list[Text]:
    return [
        Text(
            f"workers of {pool['name']}: {pool['up']} up, {pool['starting']} starting, {pool['wanted']} wanted, "
            f"busy {pace.pools[pool['name']]:.0%}"
        )
        for pool in moment.pools
    ]


def _reasons(moment: Moment) -> list[Text]:
    ordered = sorted(moment.stopped.items(), key=lambda item: (-item[1], item[0]))
    lines = [Text(f"{count:>9,} stopped at {why}") for why, count in ordered[:REASONS]]
    rest: Any = sum(count for _, count in ordered[REASONS:])
    return [*lines, Text(f"{rest:>9,} stopped by {len(ordered) - REASONS} other rules")] if rest else lines
