"""Plots of a dataset: classes, area of the subject, lengths, motion, and what was rejected by which rule."""

import io
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from shards import select

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#22252b"
BAR = "#2f6fb3"
MOST_CLASSES = 40


def draw(index: pa.Table, rejections: Mapping[str, int]) -> dict[str, bytes]:
    """PNGs by file name. `index`: the rows to plot; a plot that has nothing to show is not there."""
    values = select.columns(index)
    subjects = index["subject"].value_counts().to_pylist()
    classes = {item["values"]: item["counts"] for item in subjects}
    areas = [100 * row[0]["area"] for row in index["tracks"].to_pylist()]
    shift = "motion.shift"
    motion = values[shift].drop_null().to_pylist() if shift in values.column_names else []
    plots = {
        "classes.png": _bars(classes, f"Samples by subject ({len(classes)} classes)", "samples"),
        "area.png": _histogram(areas, "Subject's area, mean over frames", "percent of the frame"),
        "durations.png": _histogram(index["duration"].to_pylist(), "Length of the samples", "seconds"),
        "motion.png": _histogram(
            motion, "Motion: shift of the box's centre, first to last frame", "share of the diagonal"
        ),
        "rejections.png": _bars(rejections, "Rejected clips by stage and rule", "clips"),
    }
    return {name: plot for name, plot in plots.items() if plot is not None}


def _bars(counts: Mapping[str, int], title: str, unit: str) -> bytes | None:
    """Horizontal bars, the largest at the top, at most `MOST_CLASSES`, with their counts written."""
    from matplotlib.ticker import MaxNLocator

    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    if not ordered:
        return None
    shown = ordered[:MOST_CLASSES]
    rest = sum(count for _, count in ordered[MOST_CLASSES:])
    unit = f"{unit}; {rest:,} more in {len(ordered) - MOST_CLASSES} others" if rest else unit

    def plot(axes: "Axes") -> None:
        labels = [textwrap.shorten(name, 40, placeholder="…") for name, _ in shown]
        bars = axes.barh(range(len(shown)), [count for _, count in shown], color=BAR, height=0.72)
        axes.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=8, color=INK)
        axes.set_yticks(range(len(shown)), labels, fontsize=9)
        axes.invert_yaxis()
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.1, y=0.5 / len(shown) + 0.01)

    return _figure(plot, title, unit, "", (7.0, 1.5 + 0.24 * len(shown)))


def _histogram(values: Sequence[float], title: str, unit: str) -> bytes | None:
    from matplotlib.ticker import MaxNLocator

    if not values:
        return None
    median = float(np.median(values))

    def plot(axes: "Axes") -> None:
        axes.hist(values, bins=min(40, max(8, round(len(values) ** 0.5))), color=BAR, edgecolor="white")
        axes.axvline(median, color="#c8442b", linewidth=1.2)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))

    return _figure(plot, title, f"{unit}   (red: median {median:.3g})", "samples", (7.0, 3.6))


def _figure(plot: Callable[["Axes"], None], title: str, x: str, y: str, inches: tuple[float, float]) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, dpi=130, layout="constrained")
    axes = figure.add_subplot()
    plot(axes)
    axes.set_title(title, fontsize=12, loc="left", color=INK)
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    sink = io.BytesIO()
    figure.savefig(sink, format="png")
    return sink.getvalue()
