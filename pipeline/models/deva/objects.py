"""The objects of a clip in the semi-online mode: what voted for them, how detections merge in, who is dropped."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Labels: TypeAlias = NDArray[np.int64]  # [H, W]; 0 is background, k the k-th thing of a list

SAME = 0.5
"""Two masks show the same object where their IoU is above this."""


@dataclass(frozen=True, kw_only=True)
class Votes:
    """Detections of one object."""

    categories: tuple[int, ...]  # numbers of the nouns that were asked for
    scores: tuple[float, ...]  # the detector's

    @property
    def category(self) -> int:
        """The most frequent one, the smallest of equals."""
        counts = Counter(self.categories)
        return min(counts, key=lambda category: (-counts[category], category))

    @property
    def score(self) -> float:
        return sum(self.scores) / len(self.scores)

    def __add__(self, other: "Votes") -> "Votes":
        return Votes(categories=self.categories + other.categories, scores=self.scores + other.scores)


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """What was detected in a frame: `labels` k shows the object of `votes[k - 1]`."""

    labels: Labels  # [H, W]
    votes: tuple[Votes, ...]


@dataclass(frozen=True, kw_only=True)
class TrackedObject:
    id: int  # from 1, in the order of entering; never given twice
    votes: Votes
    misses: int  # merges in a row in which no detection met it


class Overlay(NamedTuple):
    area: int  # by which it is ordered
    mask: NDArray[np.bool_]  # [H, W]
    channel: int | None  # of a tracked object
    votes: Votes | None  # of a detection


def segmentation(masks: NDArray[np.bool_], categories: Sequence[int], scores: Sequence[float]) -> Segmentation:
    """Detections with masks [N, H, W] painted into one map, smaller over larger; what has no pixel is left out.

    They are numbered in the order of painting.
    """
    areas = masks.sum(axis=(1, 2))
    order = [int(n) for n in np.argsort(-areas, kind="stable") if areas[n]]
    return Segmentation(
        labels=painted(masks.shape[1:], ((number, masks[n]) for number, n in enumerate(order, start=1))),
        votes=tuple(Votes(categories=(categories[n],), scores=(scores[n],)) for n in order),
    )


def painted(size: tuple[int, ...], masks: Iterable[tuple[int, NDArray[np.bool_]]]) -> Labels:
    """A map of `size` with each mask's label, later ones over earlier."""
    labels = np.zeros(size, np.int64)
    for label, mask in masks:
        labels[mask] = label
    return labels


def ious(a: Labels, num_a: int, b: Labels, num_b: int) -> NDArray[np.float64]:
    """Intersection over union of every thing of `a` with every one of `b`, [num_a, num_b]; 0 for empty ones.

    Labels do not overlap, so a row or column has at most one value above 0.5.
    """
    both = np.bincount((a * (num_b + 1) + b).ravel(), minlength=(num_a + 1) * (num_b + 1))
    both = both.reshape(num_a + 1, num_b + 1)
    areas_a, areas_b, common = both.sum(axis=1)[1:], both.sum(axis=0)[1:], both[1:, 1:]
    table: NDArray[np.float64] = common / np.maximum(1, areas_a[:, None] + areas_b[None] - common)
    return table


class ObjectTable:
    """The objects that are tracked, in the order of their channels."""

    def __init__(self, max_missed_detections: int, max_num_objects: int | None) -> None:
        self.objects: tuple[TrackedObject, ...] = ()
        self._max_missed_detections = max_missed_detections
        self._max_num_objects = max_num_objects
        self._next_id = 1

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(tracked.id for tracked in self.objects)

    def merge(self, carried: Labels, new: Segmentation) -> tuple[list[int], NDArray[np.bool_]]:
        """Brings detections into the labels that were carried here, and drops who was missed too often.

        Gives the channels of old objects that stay, and the masks [K, H, W] of these and then of the new objects.
        """
        if self._max_num_objects and len(self.objects) + len(new.votes) > self._max_num_objects:
            new = Segmentation(labels=np.zeros_like(new.labels), votes=())
        num_old, objects = len(self.objects), list(self.objects)
        shown = []
        for overlay in sorted(self._overlays(carried, new), key=lambda overlay: -overlay.area):
            channel = self._update(objects, overlay)
            shown.append((channel + 1, overlay.mask))
        labels = painted(carried.shape, shown)
        stay = [c for c, tracked in enumerate(objects) if tracked.misses <= self._max_missed_detections]
        self.objects = tuple(objects[c] for c in stay)
        masks = labels == np.array(stay, np.int64)[:, None, None] + 1
        return [c for c in stay if c < num_old], masks

    def _overlays(self, carried: Labels, new: Segmentation) -> list[Overlay]:
        """Detections, those that meet a tracked object joined with its mask, then the objects that none meets."""
        same = ious(new.labels, len(new.votes), carried, len(self.objects)) > SAME
        overlays = []
        for n, votes in enumerate(new.votes):
            mask = new.labels == n + 1
            channel = int(same[n].argmax()) if same[n].any() else None
            if channel is not None:
                mask = mask | (carried == channel + 1)
            overlays.append(Overlay(int(mask.sum()), mask, channel, votes))
        for channel in np.flatnonzero(~same.any(axis=0)).tolist():
            mask = carried == channel + 1
            overlays.append(Overlay(int(mask.sum()), mask, channel, None))
        return overlays

    def _update(self, objects: list[TrackedObject], overlay: Overlay) -> int:
        """Enters the overlay in `objects` and gives its channel."""
        if overlay.channel is None:
            assert overlay.votes is not None
            objects.append(TrackedObject(id=self._next_id, votes=overlay.votes, misses=0))
            self._next_id += 1
            return len(objects) - 1
        known = objects[overlay.channel]
        if overlay.votes is None:
            objects[overlay.channel] = replace(known, misses=known.misses + 1)
        else:
            objects[overlay.channel] = replace(known, votes=known.votes + overlay.votes, misses=0)
        return overlay.channel
