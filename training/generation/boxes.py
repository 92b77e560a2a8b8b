"""Where a clip's subject is to be: from a file of boxes, from the first and the last, or from the first and a path."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]  # [F, 4] x0, y0, x1, y1 as shares of the frame; NaN where there is none
Points = NDArray[np.float64]  # [N, 2] x, y

FORMS = (
    '{"boxes": [[x0, y0, x1, y1], null, ...]}, {"first": box, "last": box}, {"first": box, "trajectory": [[x, y], ...]}'
    ', {"first": box, "path": "M ... an SVG path"} or {"video": FILE, "noun": WORD}, in shares of the frame, or with '
    '"size": [height, width] in pixels'
)

CURVE_POINTS = 32
"""Straight pieces that a curve of a path is walked in."""


def read_boxes_file(path: str | Path) -> dict[str, Any]:
    """The object in a JSON file; see `FORMS`. Raises `ValueError`."""
    try:
        said = json.loads(read_text(path, "a file of boxes"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: no JSON ({error}); a file of boxes is {FORMS}") from None
    if not isinstance(said, dict):
        raise ValueError(f"{path}: no object; a file of boxes is {FORMS}")
    return said


def read_text(path: str | Path, what: str) -> str:
    """Raises `ValueError` where `path` is no text that can be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no text"
        raise ValueError(f"{path}: {why}; name {what} (JSON)") from None


def boxes_of(said: dict[str, Any], num_frames: int, where: str = "boxes") -> Boxes:
    """Boxes of `num_frames` frames as the object says. Raises `ValueError` in one line that begins with `where`."""
    height, width = _size(said, where)
    unit = np.array([width, height, width, height])
    if "boxes" in said:
        boxes = _listed(said["boxes"], num_frames, where) / unit
    elif "first" in said and "last" in said:
        boxes = between(_box(said["first"], where) / unit, _box(said["last"], where) / unit, num_frames)
    elif "first" in said and ("trajectory" in said or "path" in said):
        points = svg_points(said["path"], where) if "path" in said else _points(said["trajectory"], where)
        boxes = along(_box(said["first"], where) / unit, points / unit[:2], num_frames)
    else:
        raise ValueError(f"{where}: says {', '.join(said) or 'nothing'}; a file of boxes is {FORMS}")
    return checked(boxes, where)


def between(first: NDArray[np.float64], last: NDArray[np.float64], num_frames: int) -> Boxes:
    """Every edge moves evenly."""
    share = np.linspace(0, 1, num_frames)[:, None]
    return np.asarray((1 - share) * first + share * last)


def along(first: NDArray[np.float64], points: Points, num_frames: int) -> Boxes:
    """The box keeps its size; its centre walks the way of the points, evenly, from where the box is."""
    steps = np.hypot(*np.diff(points, axis=0).T)
    walked = np.concatenate([[0], np.cumsum(steps)])
    at = np.linspace(0, walked[-1], num_frames)
    way = np.stack([np.interp(at, walked, points[:, axis]) for axis in (0, 1)], 1) - points[0]
    return np.asarray(first + np.concatenate([way, way], 1))


def svg_points(path: str, where: str) -> Points:
    """Points along the first stroke of an SVG path, in its own units."""
    from fontTools.pens.recordingPen import RecordingPen
    from fontTools.svgLib.path import parse_path

    pen = RecordingPen()
    try:
        parse_path(path, pen)
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise ValueError(f"{where}: {path[:40]!r} is no SVG path ({error}); write one as 'M 10 10 L 90 50'") from None
    points: list[NDArray[np.float64]] = []
    for command, given in pen.value:
        corners = [np.asarray(point, float) for point in given]
        if command == "moveTo" and points:
            break
        points += [corners[0]] if command == "moveTo" else _piece(points, corners) if corners else []
    return _points(points, where)


def checked(boxes: Boxes, where: str) -> Boxes:
    """The boxes, if each lies in the frame and holds something."""
    for number, (x0, y0, x1, y1) in enumerate(boxes):
        if np.isnan(x0):
            continue
        if min(x0, y0) < -1e-6 or max(x1, y1) > 1 + 1e-6:
            raise ValueError(
                f"{where}: the box of frame {number} leaves the frame "
                f"({x0:.3f}, {y0:.3f}, {x1:.3f}, {y1:.3f} of it); keep every edge within 0 and 1, or within size"
            )
        if x0 >= x1 or y0 >= y1:
            raise ValueError(
                f"{where}: the box of frame {number} is empty; a box is x0, y0, x1, y1 with x0 < x1, y0 < y1"
            )
    if np.isnan(boxes).all():
        raise ValueError(f"{where}: no frame has a box; name at least one")
    return boxes.clip(0, 1)


def _piece(points: Sequence[NDArray[np.float64]], corners: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """A line or a Bezier curve from the last point on, by de Casteljau."""
    found = []
    for share in np.linspace(0, 1, CURVE_POINTS if len(corners) > 1 else 2)[1:]:
        row = [points[-1], *corners]
        while len(row) > 1:
            row = [(1 - share) * a + share * b for a, b in pairwise(row)]
        found.append(row[0])
    return found


def _size(said: dict[str, Any], where: str) -> tuple[float, float]:
    size = said.get("size", (1, 1))
    if (
        not isinstance(size, list | tuple)
        or len(size) != 2
        or not all(isinstance(side, int | float) and side > 0 for side in size)
    ):
        raise ValueError(f"{where}: size {size!r} is none; write [height, width] in pixels")
    return float(size[0]), float(size[1])


def _listed(boxes: Any, num_frames: int, where: str) -> Boxes:
    if not isinstance(boxes, list) or len(boxes) < num_frames:
        count = len(boxes) if isinstance(boxes, list) else 0
        raise ValueError(f"{where}: {count} boxes for {num_frames} frames; give one a frame, null where there is none")
    return np.stack([np.full(4, np.nan) if box is None else _box(box, where) for box in boxes[:num_frames]])


def _box(box: Any, where: str) -> NDArray[np.float64]:
    return _numbers(box, (4,), f"{where}: {str(box)[:60]} is no box; write [x0, y0, x1, y1]")


def _points(points: Any, where: str) -> Points:
    found = _numbers(points, (len(points), 2), f"{where}: {str(points)[:60]} is no way; write [[x, y], ...]")
    if len(found) < 2:
        raise ValueError(f"{where}: a way of {len(found)} points leads nowhere; give at least two")
    return found


def _numbers(values: Any, shape: tuple[int, ...], fault: str) -> NDArray[np.float64]:
    try:
        found = np.asarray(values, float)
    except (TypeError, ValueError):
        raise ValueError(fault) from None
    if found.shape != shape or not np.isfinite(found).all():
        raise ValueError(fault)
    return found
