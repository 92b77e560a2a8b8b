"""What is measured on a clip's detections and its subject's track; of its frames, see look.py and camera.py.

Nothing here knows a rule's threshold (pipeline/stages/rules.py): rules can be re-applied to stored values.

    count                             detections of the subject word in the frame where it was first detected
    size.width  size.height           the best of those boxes over the clip, ratios of side lengths
    size.area                         ... and of areas
    motion.iou                        IoU of the first and the last box of the track
    motion.shift                      distance of their centres over the clip's diagonal
    effective                         share of all frames with a usable mask
    lost.spans                        gaps in the track, between frames with the subject
    lost.longest                      longest of them over the number of frames
    area.jump                         largest ratio of mask areas of two neighbouring frames, >= 1
    area.mean                         mean share of the frame that the mask covers, over frames with a mask
    border                            share of frames with a mask whose box touches the frame's border
    count.tracks                      subjects that were tracked
"""

from collections.abc import Sequence
from itertools import pairwise
from math import hypot

import numpy as np
from numpy.typing import NDArray

from pipeline.records import Detection, Grounded, Tracked
from shards import rle
from shards.rle import Box, Rle, Size
from shards.sample import lost_spans

USABLE_AREA = 0.25
"""A mask is usable when its area is at least this share of its track's median area: less is a remnant."""


def measure_detections(record: Grounded) -> dict[str, float]:
    """`count`, and unless it is 0 the `size.*` of the detection with the highest score, first of equals."""
    found = _subject_detections(record)
    scores = {"count": float(len(found))}
    if found:
        x0, y0, x1, y1 = max(found, key=lambda detection: detection.score or 0.0).box
        width, height = (x1 - x0) / record.width, (y1 - y0) / record.height
        scores |= {"size.width": width, "size.height": height, "size.area": width * height}
    return scores


def _subject_detections(record: Grounded) -> list[Detection]:
    of_subject = [d for d in record.detections if d.noun == record.subject]
    first = min((d.frame for d in of_subject), default=0)
    return [d for d in of_subject if d.frame == first]


def measure_tracks(record: Tracked, usable_area: float = USABLE_AREA) -> dict[str, float]:
    """Everything about the subject's track, `record.tracks[0]`.

    A subject without a mask in any frame gives `effective` 0 and `count.tracks` only: the rest has no value.
    """
    size = (record.height, record.width)
    masks = record.tracks[0].masks if record.tracks else ()
    boxes = [None if mask is None else rle.box(mask, size) for mask in masks]
    areas = _areas(masks, size)
    scores = {"count.tracks": float(len(record.tracks)), "effective": _effective(areas, usable_area)}
    present = [box for box in boxes if box is not None]
    if present:
        scores |= _motion(present, size) | measure_losses(masks) | _area(areas, size)
        scores["border"] = sum(touches_border(box, size) for box in present) / len(present)
    return scores


def usable_boxes(record: Tracked, usable_area: float = USABLE_AREA) -> tuple[Box | None, ...]:
    """The subject's box in every frame where its mask is usable, [T]; `None` in the others."""
    size = (record.height, record.width)
    masks = record.tracks[0].masks if record.tracks else (None,) * record.num_frames
    usable = _usable(_areas(masks, size), usable_area)
    return tuple(
        rle.box(mask, size) if mask is not None and good else None for mask, good in zip(masks, usable, strict=True)
    )


def _areas(masks: Sequence[Rle | None], size: Size) -> NDArray[np.float64]:
    """Pixels of every mask, [T]; 0 where the subject is absent."""
    return np.array([0 if mask is None else rle.area(mask, size) for mask in masks], dtype=np.float64)


def _effective(areas: NDArray[np.float64], usable_area: float) -> float:
    return float(_usable(areas, usable_area).sum() / areas.size) if areas.size else 0.0


def _usable(areas: NDArray[np.float64], usable_area: float) -> NDArray[np.bool_]:
    """Where a mask is more than a remnant, [T]."""
    present = areas > 0
    if not present.any():
        return present
    return present & (areas >= usable_area * np.median(areas[present]))


def _motion(boxes: Sequence[Box], size: Size) -> dict[str, float]:
    first, last = boxes[0], boxes[-1]
    return {"motion.iou": box_iou(first, last), "motion.shift": centre_shift(first, last, size)}


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union of two half-open boxes that are not empty."""
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union


def centre_shift(a: Box, b: Box, size: Size) -> float:
    """Distance of two boxes' centres over the diagonal of a frame of `size` (height, width)."""
    x = (a[0] + a[2] - b[0] - b[2]) / 2
    y = (a[1] + a[3] - b[1] - b[3]) / 2
    return hypot(x, y) / hypot(*size)


def measure_losses(masks: Sequence[Rle | None]) -> dict[str, float]:
    """`lost.*` of a track by its masks, [T]: a span at whose end the subject is not found again is no gap."""
    gaps = [last - first + 1 for first, last in lost_spans(masks) if last < len(masks) - 1]
    return {"lost.spans": float(len(gaps)), "lost.longest": max(gaps, default=0) / len(masks)}


def _area(areas: NDArray[np.float64], size: Size) -> dict[str, float]:
    # Only neighbouring frames: over a gap an area may change as it likes, and `lost.*` tells of gaps.
    jumps = [max(a / b, b / a) for a, b in pairwise(areas.tolist()) if a and b]
    mean = float(areas[areas > 0].mean()) / (size[0] * size[1])
    return {"area.jump": max(jumps, default=1.0), "area.mean": mean}


def touches_border(box: Box, size: Size) -> bool:
    """Whether a box reaches the first or last row or column of a frame of `size` (height, width)."""
    return box[0] == 0 or box[1] == 0 or box[2] == size[1] or box[3] == size[0]
