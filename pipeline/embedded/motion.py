"""Paths through a frame: FreeTraj's eight canonical trajectories by name, straight lines and splines.

Points are (x, y) as shares of the frame's width and height; a path is float64 [T, 2].
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Path: TypeAlias = NDArray[np.float64]  # [T, 2] as x, y
XY: TypeAlias = tuple[float, float]

BOX_SIDE = 0.3
"""Side of the canonical trajectories' box, share of the frame's side."""

_LAST = 15  # number of the last of the sixteen canonical frames
_BEFORE, _AFTER = 0.15 + 0.7 * 7 / _LAST, 0.15 + 0.7 * 8 / _LAST  # x of a V's two lowest frames

TRAJECTORIES: dict[str, tuple[tuple[int, float, float], ...]] = {
    "diagonal": ((0, 0.15, 0.15), (15, 0.85, 0.85)),
    "mirrored_diagonal": ((0, 0.85, 0.15), (15, 0.15, 0.85)),
    "l": ((0, 0.25, 0.25), (6, 0.25, 0.75), (15, 0.75, 0.75)),
    "mirrored_l": ((0, 0.75, 0.75), (6, 0.75, 0.25), (15, 0.25, 0.25)),
    "v": ((0, 0.15, 0.15), (7, _BEFORE, 0.85), (8, _AFTER, 0.85), (15, 0.85, 0.15)),
    "inverted_v": ((0, 0.85, 0.85), (7, _AFTER, 0.15), (8, _BEFORE, 0.15), (15, 0.15, 0.85)),
    "there_and_back": ((0, 0.25, 0.5), (7, 0.75, 0.5), (8, 0.75, 0.5), (15, 0.25, 0.5)),
    "triangle": ((0, 0.5, 0.25), (5, 0.75, 0.75), (10, 0.25, 0.75), (15, 0.5, 0.25)),
}
"""Name -> key frames of FreeTraj's single-object trajectories: (frame of 16, x, y of the box's centre)."""

CLOSED = ("there_and_back", "triangle")
"""The trajectories that end where they begin."""


def trajectory(name: str, num_frames: int) -> Path:
    """The centres of a canonical trajectory's box, evenly resampled from 16 frames to `num_frames`.

    Raises ValueError for a name that is not in `TRAJECTORIES`.
    """
    if name not in TRAJECTORIES:
        raise ValueError(f"no trajectory {name!r}: choose one of {', '.join(TRAJECTORIES)}")
    frames, xs, ys = zip(*TRAJECTORIES[name], strict=True)
    at = np.linspace(0, _LAST, num_frames)
    return np.stack((np.interp(at, frames, xs), np.interp(at, frames, ys)), axis=1)


def trajectory_boxes(name: str, num_frames: int) -> NDArray[np.float64]:
    """The canonical box in every frame, [T, 4] as x0, y0, x1, y1, shares of the frame's sides."""
    centres = trajectory(name, num_frames)
    return np.concatenate((centres - BOX_SIDE / 2, centres + BOX_SIDE / 2), axis=1)


def line(start: XY, stop: XY, num_frames: int, *, wait: int = 0, arrive: int | None = None) -> Path:
    """Even motion from `start`, left after frame `wait`, to `stop`, reached in frame `arrive` (default the last)."""
    arrive = num_frames - 1 if arrive is None else arrive
    share = np.clip((np.arange(num_frames) - wait) / max(arrive - wait, 1), 0, 1)[:, None]
    return np.array(start) * (1 - share) + np.array(stop) * share


def spline(through: Sequence[XY], num_frames: int) -> Path:
    """A smooth path through at least two points (Catmull-Rom), with equal time from each to the next."""
    points = np.array(through, float)
    padded = np.concatenate((2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]))
    at = np.linspace(0, len(points) - 1, num_frames)
    span = np.minimum(at.astype(np.intp), len(points) - 2)
    t = (at - span)[:, None]
    before, p, q, beyond = (padded[span + k] for k in range(4))
    curve = 2 * p + (q - before) * t + (2 * before - 5 * p + 4 * q - beyond) * t * t
    path: Path = (curve + (3 * p - before - 3 * q + beyond) * t * t * t) / 2
    return path


def travelled(path: Path, aspect: float) -> NDArray[np.float64]:
    """Way covered up to each frame, [T], in frame heights; `aspect` is width by height."""
    steps = np.diff(path, axis=0, prepend=path[:1]) * (aspect, 1.0)
    way: NDArray[np.float64] = np.cumsum(np.sqrt((steps**2).sum(1)))
    return way
