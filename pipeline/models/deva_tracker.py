"""DEVA as a tracker: carries the masks of segments through a clip (the paper's choice, Sec. 4.4), or finds them too."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from pipeline.models import store
from pipeline.models.catalog import Weights
from pipeline.models.choices import DetectorModel, SegmenterModel
from pipeline.models.deva.settings import SIZES, Propagation, SemiOnline, Size
from pipeline.models.pretrained import Device, chosen_device
from pipeline.models.tracking import (
    ABSENT,
    Ahead,
    ClipFrames,
    Frame,
    Masks,
    Row,
    Seen,
    TrackSegments,
    rows_of,
    track_segments,
    tracklet,
)
from pipeline.models.weights import sha256
from pipeline.records import Tracklet
from pipeline.stage import Settings
from shards import rle

if TYPE_CHECKING:
    from pipeline.models.deva.network import Deva
    from pipeline.models.deva.objects import Segmentation, Votes
    from pipeline.models.deva.semi_online import SemiOnlineTracker


WEIGHTS: dict[Size, str] = {"published": "DEVA-propagation.pth", "embedded": "deva.safetensors"}
"""Each size's weights, by their name in the catalog."""


class _DevaNetwork(Settings):
    """Which network, and how it carries masks."""

    checkpoint: str | None = None  # path of the weights; None is the catalog's file of `size`
    size: Size = "published"
    propagation: Propagation = Propagation()
    device: Device = "auto"

    def weights(self) -> tuple[Weights, ...]:
        """What it loads."""
        return (store.weights_of(self.checkpoint, WEIGHTS[self.size]),)

    def fingerprint(self) -> str:
        """sha256 of the checkpoint."""
        return sha256(self._checkpoint())

    def load(self) -> "Deva":
        from pipeline.models.deva.build import load

        return load(self._checkpoint(), SIZES[self.size], chosen_device(self.device))

    def check(self) -> None:
        """Holds the weights' names and shapes against the network. Raises `ValueError` where they do not fit."""
        from pipeline.models.deva.build import check

        check(self._checkpoint(), SIZES[self.size])

    def _checkpoint(self) -> Path:
        return store.checkpoint_path(self.checkpoint, WEIGHTS[self.size])


class DevaTracker(_DevaNetwork):
    """Propagation from the frame of each detection to both ends of the clip; masks of one frame are disjoint.

    `open()` gives a function from a clip's path, its number of frames and segments to their tracklets: see
    `pipeline.models.tracking.track_segments`.
    """

    def open(self) -> TrackSegments:
        from pipeline.models.deva.propagator import Propagator

        propagator = Propagator(self.load(), self.propagation)

        def follow(clip: ClipFrames, seed: int, masks: Masks) -> Iterator[Seen]:
            return propagator.track_from(clip, clip.num_frames, seed, masks)

        return lambda path, num_frames, segments, ahead=None: track_segments(path, num_frames, segments, follow, ahead)


class DevaSemiOnline(_DevaNetwork):
    """DEVA's own text mode: a detector and a segmenter are asked every few frames, what they agree on is tracked.

    Finds subjects that enter late, and lets go of those that left. `open()` gives a function from a clip's path, its
    number of frames and a noun to the tracklets of that noun: see `track_noun`.
    """

    mode: Literal["semi_online"]  # by which it is told from `DevaTracker`
    semi_online: SemiOnline = SemiOnline()
    detector: DetectorModel | None = None  # in a recipe, None is the grounder's
    segmenter: SegmenterModel | None = None  # in a recipe, None is the segmenter's

    def weights(self) -> tuple[Weights, ...]:
        """What it loads, of what it asks only where it names that itself."""
        return (*super().weights(), *(found for model in self._named() for found in model.weights()))

    def check(self) -> None:
        """As of the network alone, and of what it names itself."""
        super().check()
        for model in self._named():
            model.check()

    def fingerprint(self) -> str:
        """sha256 of the checkpoint, and the fingerprints of detector and segmenter."""
        return ", ".join([super().fingerprint(), *(model.fingerprint() for model in self._asked())])

    def open(self) -> "TrackNoun":
        from pipeline.models.deva.semi_online import SemiOnlineTracker

        network, detect = self.load(), self._detecting()

        def track(path: str, num_frames: int, noun: str, ahead: Ahead | None = None) -> tuple[Tracklet, ...]:
            tracker = SemiOnlineTracker(network, self.propagation, self.semi_online, partial(detect, noun))
            return track_noun(path, num_frames, noun, tracker, ahead)

        return track

    def _named(self) -> tuple[DetectorModel | SegmenterModel, ...]:
        return tuple(model for model in (self.detector, self.segmenter) if model is not None)

    def _asked(self) -> tuple[DetectorModel, SegmenterModel]:
        if self.detector is None or self.segmenter is None:
            missing = "detector" if self.detector is None else "segmenter"
            raise ValueError(f"DEVA's semi-online mode has no {missing} to ask: set `{missing}`, or the recipe's own")
        return self.detector, self.segmenter

    def _detecting(self) -> "Callable[[str, Frame], Segmentation]":
        from pipeline.models.deva.objects import segmentation

        detector, segmenter = self._asked()
        detect, segment = detector.open(), segmenter.open()

        def found(noun: str, frame: Frame) -> "Segmentation":
            size = frame.shape[0], frame.shape[1]
            (detections,) = detect([(frame, (noun,))])
            (segments,) = segment([(frame, detections)])
            masks = rle.decode_clip([s.mask for s in segments], size) if segments else np.zeros((0, *size), bool)
            return segmentation(masks, [0] * len(masks), [s.detection.score or 0.0 for s in segments])

        return found


class TrackNoun(Protocol):
    """A tracker that finds what it tracks: a clip's path, its number of frames and a noun to that noun's tracklets."""

    def __call__(self, path: str, num_frames: int, noun: str, ahead: Ahead | None = None) -> tuple[Tracklet, ...]: ...


def track_noun(
    path: str, num_frames: int, noun: str, tracker: "SemiOnlineTracker", ahead: Ahead | None = None
) -> tuple[Tracklet, ...]:
    """What `tracker` finds in the clip, as tracklets of `noun` in the order in which they entered.

    A tracklet is without a mask before the vote by which it entered, and after the one by which it was dropped.

    scores   detector: mean of the detections that voted for it, votes: their number, confidence: mean over the frames
             with a mask
    series   as in `pipeline.models.tracking.track_segments`

    Raises `shards.video.Unreadable`, and `ValueError` where `num_frames` is not the clip's.
    """
    clip = ClipFrames(path, num_frames, ahead)
    rows: dict[int, dict[int, Row]] = {}
    votes: dict[int, Votes] = {}
    for seen in tracker.track(clip(range(num_frames))):
        for known, row in zip(seen.objects, rows_of(seen), strict=True):
            rows.setdefault(known.id, {})[seen.index] = row
            votes[known.id] = known.votes
    return tuple(
        tracklet(
            k,
            noun,
            [rows[k].get(t, ABSENT) for t in range(num_frames)],
            {"detector": votes[k].score, "votes": float(len(votes[k].scores))},
        )
        for k in sorted(rows)
    )
