"""The paper's metrics (Sec. 5.1, App. A.2) as arithmetic on what models answered; nothing here asks a model.

Boxes are half-open (x0, y0, x1, y1) in pixels, [F, 4], NaN in frames that have none.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shards.rle import Size

Boxes = NDArray[np.float64]  # [F, 4]
Values = NDArray[np.float64]  # [F], one for each frame; NaN where there is nothing to measure
Features = NDArray[np.float32]  # [N, D]

Normaliser = Literal["diagonal", "sides"]

MOVING = 6.0
"""Pixels of flow above which a pair of frames moves, in a frame whose shorter side is `MOVING_SIDE`."""
MOVING_SIDE = 256
FASTEST = 0.05
"""Share of a pair's pixels, the fastest, whose mean flow is that pair's."""


def cosines(features: Features, other: Features) -> Values:
    """Of each row with the same row of `other`, or with its only one."""
    a, b = (np.asarray(rows, np.float64) for rows in (features, other))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(1) / np.maximum(norms, 1e-12))


def consistency(features: Features) -> Values:
    """T. Cons.: of each frame with the next, [F - 1]."""
    return cosines(features[:-1], features[1:])


def ious(found: Boxes, target: Boxes) -> Values:
    """Overlap of the predicted and the target box; NaN where either is missing."""
    sides = np.minimum(found[:, 2:], target[:, 2:]) - np.maximum(found[:, :2], target[:, :2])
    both = np.maximum(sides, 0).prod(1)
    return np.asarray(both / (_areas(found) + _areas(target) - both))


def centre_distances(found: Boxes, target: Boxes, size: Size, by: Normaliser) -> Values:
    """CD: way between the boxes' centres as a share; NaN where either box is missing.

    `diagonal`: of the frame's diagonal. `sides`: each direction as a share of the frame's own side, so that the frame
    is a unit square. The paper says only that it is normalised.
    """
    height, width = size
    way = ((found[:, :2] + found[:, 2:]) - (target[:, :2] + target[:, 2:])) / 2
    unit = np.hypot(height, width) if by == "diagonal" else np.array([width, height])
    return np.asarray(np.hypot(*(way / unit).T))


def with_missing(values: Values, found: Boxes, target: Boxes, missing: float | None) -> Values:
    """`missing` stands where the target is and nothing was found; None leaves those frames out."""
    unseen = np.isnan(found).any(1) & ~np.isnan(target).any(1)
    return np.where(unseen, np.nan if missing is None else missing, values)


def detected(found: Boxes, target: Boxes) -> Values:
    """1 where the subject was found in a frame that it is to be in, 0 where it was not."""
    return np.where(np.isnan(target).any(1), np.nan, ~np.isnan(found).any(1))


def fastest_flow(flow: NDArray[np.float32]) -> float:
    """Mean length of the fastest twentieth of a flow field [H, W, 2], pixels."""
    speeds = np.hypot(flow[..., 0], flow[..., 1]).ravel()
    count = max(1, int(FASTEST * speeds.size))
    return float(np.partition(speeds, -count)[-count:].mean())


def is_dynamic(speeds: Sequence[float], num_frames: int, size: Size) -> bool:
    """DD, VBench's dynamic degree: whether at least round(4 N / 16) pairs of N frames move.

    `speeds` are those of `fastest_flow`. A clip of less than two frames does not move.
    """
    least = max(1, round(4 * num_frames / 16))
    return sum(speed > MOVING * min(size) / MOVING_SIDE for speed in speeds) >= least


def mean(values: Values) -> float | None:
    """Over the frames that have a value; None where none has."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else None


def _areas(boxes: Boxes) -> Values:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).prod(1))
