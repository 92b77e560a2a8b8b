"""The report's plots, as SVG: throughput and busy share over time, where clips went, what the rules measured."""

import io
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.moment import Moment, Pace, pace
from pipeline.report.facts import Facts, Reason
from shards.plots import BAR, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 240
"""Steps of time that a plot shows at most."""
MOST_REASONS = 20
HISTOGRAMS = 6
_KEPT, _LOST = "#3f8f5f", "#c8442b"


def throughput(facts: Facts) -> bytes | None:
    """Clips decided a minute, over the time that runs were at work; runs stand side by side."""
    steps = _steps(facts.runs)
    if not steps:
        return None

    def plot(axes: "Axes") -> None:
        axes.stairs(
            [60 * step.clips for _, _, step in steps], _edges(steps), color=BAR, fill=True, alpha=0.85, baseline=0
        )
        _mark_runs(axes, facts.runs)
        axes.set_ylim(bottom=0)

    return drawn(plot, "Throughput", _time_of(facts.runs), "clips decided a minute", (9.0, 2.8))


def busy(facts: Facts) -> bytes | None:
    """Each stage's share of the time that its pool's workers were up, over time."""
    steps = _steps(facts.runs)
    names = [stage.name for stage in facts.stages]
    if not steps or not names:
        return None
    shares = np.array([[step.busy.get(name, 0.0) for _, _, step in steps] for name in names])

    def plot(axes: "Axes") -> None:
        mesh = axes.pcolormesh(_edges(steps), np.arange(len(names) + 1), shares, cmap="YlGnBu", vmin=0, vmax=1)
        axes.set_yticks(np.arange(len(names)) + 0.5, names)
        axes.invert_yaxis()
        axes.figure.colorbar(mesh, ax=axes, label="share of the pool's time", pad=0.01)
        _mark_runs(axes, facts.runs)

    return drawn(plot, "Busy share", _time_of(facts.runs), "", (9.0, 1.2 + 0.26 * len(names)))


def destinations(facts: Facts) -> bytes | None:
    """Where clips went: kept, or stopped by stage and rule."""
    if not facts.clips:
        return None
    shown = facts.reasons[:MOST_REASONS]
    rest = sum(reason.clips for reason in facts.reasons[MOST_REASONS:])
    bars = [("kept", facts.samples, _KEPT)]
    bars += [
        (_short(f"{reason.stage}: {reason.why}"), reason.clips, BAR if reason.outcome == "rejected" else _LOST)
        for reason in shown
    ]
    bars += [(f"{len(facts.reasons) - MOST_REASONS} others", rest, BAR)] if rest else []

    def plot(axes: "Axes") -> None:
        drawn = axes.barh(range(len(bars)), [count for _, count, _ in bars], color=[c for _, _, c in bars], height=0.72)
        axes.bar_label(drawn, fmt="{:,.0f}", padding=3, fontsize=8, color=INK)
        axes.set_yticks(range(len(bars)), [name for name, _, _ in bars])
        axes.invert_yaxis()
        axes.margins(x=0.1)

    return drawn(plot, "Where clips went", "clips", "", (9.0, 1.0 + 0.26 * len(bars)))


def measured(reasons: Sequence[Reason]) -> bytes | None:
    """What was measured of the clips that each rule stopped, for those that stopped most."""
    shown = [reason for reason in reasons if len(reason.values) > 1 and np.ptp(reason.values) > 0][:HISTOGRAMS]
    if not shown:
        return None
    from matplotlib.figure import Figure

    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(9.0, 2.2 * rows), layout="constrained")
    for number, reason in enumerate(shown):
        axes = figure.add_subplot(rows, columns, number + 1)
        axes.hist(reason.values, bins=min(40, max(5, round(len(reason.values) ** 0.5))), color=BAR)
        axes.set_title(_short(f"{reason.stage}: {reason.why}"), fontsize=9, loc="left", color=INK)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return svg(figure)


_Step = tuple[float, float, Pace]  # from and to, on the time axis, and how fast the runs went between


def _steps(runs: Sequence[Sequence[Moment]]) -> list[_Step]:
    """Runs one after another, in steps of equal length at most `POINTS` in all."""
    whole = sum(run[-1].seconds for run in runs)
    unit, _ = _unit(runs)
    found, begin = [], 0.0
    for run in runs:
        before = Moment(at=run[0].at - run[0].seconds, seconds=0, videos=0, begun=0, passed=0, kept=0)
        for moment in run:
            is_last = moment is run[-1]
            if moment.seconds - before.seconds >= whole / POINTS or (is_last and moment.seconds > before.seconds):
                edges = ((begin + before.seconds) / unit, (begin + moment.seconds) / unit)
                found.append((*edges, pace(before, moment)))
                before = moment
        begin += run[-1].seconds
    return found


def _edges(steps: Sequence[_Step]) -> list[float]:
    return [steps[0][0], *(end for _, end, _ in steps)]


def _mark_runs(axes: "Axes", runs: Sequence[Sequence[Moment]]) -> None:
    begin = 0.0
    for run in runs[:-1]:
        begin += run[-1].seconds / _unit(runs)[0]
        axes.axvline(begin, color=INK, linewidth=0.8, linestyle=":")


def _unit(runs: Sequence[Sequence[Moment]]) -> tuple[float, str]:
    """Seconds of the time axis's unit, and its name."""
    return (3600, "hours") if sum(run[-1].seconds for run in runs) > 2 * 3600 else (60, "minutes")


def _time_of(runs: Sequence[Sequence[Moment]]) -> str:
    return f"{_unit(runs)[1]} at work" + (f" in {len(runs)} runs, parted by dots" if len(runs) > 1 else "")


def _short(text: str) -> str:
    return textwrap.shorten(text, 46, placeholder="…") or "…"


def drawn(plot: Callable[["Axes"], None], title: str, x: str, y: str, inches: tuple[float, float]) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, layout="constrained")
    axes = figure.add_subplot()
    plot(axes)
    axes.set_title(title, fontsize=11, loc="left", color=INK)
    axes.set_xlabel(x, fontsize=9, color=INK)
    axes.set_ylabel(y, fontsize=9, color=INK)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return svg(figure)


def svg(figure: "Figure") -> bytes:
    import matplotlib

    sink = io.BytesIO()
    # Words stay words, whatever signs for formulas are in them.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "dreamreel", "text.parse_math": False}):
        figure.savefig(sink, format="svg", metadata={"Date": None})
    return sink.getvalue()
