"""How well boxes and masks lie on the truth: IoU, J, and which detection is which object."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.stages.measure import box_iou
from shards.rle import Box

Masks: TypeAlias = NDArray[np.bool_]  # [..., H, W]

MATCH = 0.5
"""IoU from which a detection is an object's."""


class NamedBox(NamedTuple):
    """A box and the noun that it is of."""

    noun: str
    box: Box

    @property
    def area(self) -> int:
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


def jaccard(found: Masks, true: Masks) -> NDArray[np.float64]:
    """Region similarity J of every mask, [...]; 1 where both are empty, as DAVIS counts it."""
    both = (found & true).sum((-2, -1))
    either = (found | true).sum((-2, -1))
    return np.where(either == 0, 1.0, both / np.maximum(either, 1))


def returned(visible: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[T] -> the frames with the object that come after a frame without it, itself after one with it."""
    seen = np.maximum.accumulate(visible)
    hidden_since = np.maximum.accumulate(seen & ~visible)
    return visible & hidden_since


def matches(found: Sequence[NamedBox], true: Sequence[NamedBox]) -> list[int | None]:
    """Of each detection, best first, the place of the object of its noun that it covers best; each object once."""
    taken: set[int] = set()
    answer: list[int | None] = []
    for detection in found:
        overlaps = {
            place: box_iou(detection.box, object_.box)
            for place, object_ in enumerate(true)
            if object_.noun == detection.noun and place not in taken
        }
        best = max(overlaps, key=lambda place: overlaps[place], default=None)
        if best is not None and overlaps[best] < MATCH:
            best = None
        if best is not None:
            taken.add(best)
        answer.append(best)
    return answer
