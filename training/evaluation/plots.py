"""The report's plots, as SVG: IoU over time, CD over videos, and every metric around a radar."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pipeline.report.plots import drawn, svg
from shards.plots import BAR, INK
from training.evaluation.intervals import Estimate
from training.evaluation.paper import BETTER
from training.evaluation.run import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 33
"""Moments of a video at which videos of any length are averaged."""


def iou_over_time(evaluation: Evaluation) -> bytes | None:
    """IoU in the course of a video: each video's, and their mean."""
    tracks = [
        np.interp(np.linspace(0, 1, POINTS), np.linspace(0, 1, len(values))[there], values[there])
        for one in evaluation.measured
        if (values := one.scores.frames.get("mIoU")) is not None and (there := ~np.isnan(values)).any()
    ]
    if not tracks:
        return None

    def plot(axes: "Axes") -> None:
        at = np.linspace(0, 1, POINTS)
        for track in tracks[:200]:
            axes.plot(at, track, color=BAR, linewidth=0.5, alpha=0.25)
        axes.plot(at, np.mean(tracks, 0), color=INK, linewidth=2)
        axes.set_ylim(0, 1)
        axes.set_xlim(0, 1)

    return drawn(plot, "IoU, frame by frame", "share of the video (dark: mean)", "IoU with the target box", (9.0, 2.8))


def distances(evaluation: Evaluation) -> bytes | None:
    """How many videos have which CD."""
    values = [value for one in evaluation.measured if (value := one.scores.video.get("CD")) is not None]
    if not values:
        return None

    def plot(axes: "Axes") -> None:
        axes.hist(values, bins=np.linspace(0, max(0.5, *values), 41).tolist(), color=BAR, edgecolor="white")
        axes.axvline(float(np.mean(values)), color="#c8442b", linewidth=1.2)

    return drawn(plot, "CD", "distance of the centres (red: mean)", "videos", (9.0, 2.4))


def radar(figures: Mapping[str, Estimate], titles: Mapping[str, str]) -> bytes | None:
    """Every metric between 0 at the centre and 1, so that further out is better."""
    there = [metric for metric in BETTER if metric in figures]
    if len(there) < 3:
        return None
    from matplotlib.figure import Figure

    values = [figures[metric].value if BETTER[metric] > 0 else 1 - figures[metric].value for metric in there]
    names = [titles[metric] if BETTER[metric] > 0 else f"1 - {titles[metric]}" for metric in there]
    angles = np.linspace(0, 2 * np.pi, len(there), endpoint=False).tolist()
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes = figure.add_subplot(projection="polar")
    axes.fill([*angles, angles[0]], [*values, values[0]], color=BAR, alpha=0.25)
    axes.plot([*angles, angles[0]], [*values, values[0]], color=BAR, linewidth=1.6)
    axes.set_xticks(angles, names, fontsize=8)
    axes.set_ylim(0, 1)
    axes.tick_params(axis="y", labelsize=7)
    return svg(figure)
