"""What trackers have in common: segments in, one `Tracklet` for each of them out, whatever carries the masks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.records import Segment, Tracklet
from shards import rle
from shards import video as videos
from shards.rle import Rle

Frame: TypeAlias = NDArray[np.uint8]  # [H, W, 3], RGB
Masks: TypeAlias = NDArray[np.bool_]  # [K, H, W]


DIGITS = 6
"""Decimals of scores and series that are kept: what a float32 knows."""


class EmptyMask(Exception):  # noqa: N818  the name says what is wrong; "Error" would not add to it
    """The data's fault: a segment without a pixel, which nothing can follow."""

    def __init__(self, segment: Segment) -> None:
        self.why = "empty mask"
        self.value = segment.detection.noun
        super().__init__(self.why, self.value)


class Seen(Protocol):
    """Where K objects are in one frame of the clip."""

    @property
    def index(self) -> int: ...  # number of the frame, from 0

    @property
    def masks(self) -> Masks: ...

    @property
    def confidence(self) -> Sequence[float | None]: ...  # [K], 0-1; None where the mask is empty

    @property
    def area(self) -> Sequence[float]: ...  # [K]: share of the frame, 0-1

    @property
    def shift(self) -> Sequence[float | None]: ...  # [K]: way of the mask's centre, over the diagonal


class Follow(Protocol):
    """Carries the masks of frame `seed` through a clip to both of its ends; every frame is answered once."""

    def __call__(self, clip: "ClipFrames", seed: int, masks: Masks) -> Iterable[Seen]: ...


Ahead: TypeAlias = dict[int, Frame]
"""Frames of a clip that were decoded beforehand, by number; each is given away once."""


class TrackSegments(Protocol):
    """A tracker: a clip's path, its number of frames and segments to their tracklets (see `track_segments`)."""

    def __call__(
        self, path: str, num_frames: int, segments: Sequence[Segment], ahead: Ahead | None = None
    ) -> tuple[Tracklet, ...]: ...


class ClipFrames:
    """Frames of a clip's file, which is opened anew for every range. Raises `ValueError` for another length."""

    def __init__(self, path: str, num_frames: int, ahead: Ahead | None = None) -> None:
        self._path, self._ahead = path, {} if ahead is None else ahead
        self._info = videos.probe(path)
        if self._info.num_frames != num_frames:
            raise ValueError(f"{path} has {self._info.num_frames} frames, not {num_frames}: give the clip's own number")

    @property
    def num_frames(self) -> int:
        return self._info.num_frames

    @property
    def size(self) -> rle.Size:
        return self._info.height, self._info.width

    def __call__(self, numbers: range) -> Iterator[Frame]:
        """The frames of an ascending range, decoded as they are asked for, if they are not yet."""
        for place, number in enumerate(numbers):
            if number not in self._ahead:
                yield from videos.frames(self._path, numbers[place:], info=self._info)
                return
            yield self._ahead.pop(number)


class Row(NamedTuple):
    """One frame's entry of a track."""

    mask: Rle | None
    confidence: float | None
    area: float
    shift: float | None


ABSENT = Row(None, None, 0.0, None)


def track_segments(
    path: str, num_frames: int, segments: Sequence[Segment], follow: Follow, ahead: Ahead | None = None
) -> tuple[Tracklet, ...]:
    """A tracklet for each segment, in their order, ids from 1.

    Segments of one frame are followed together, in one reading of the clip from that frame on; what lies before is
    read backwards. A tracklet is without any mask where another segment of its frame hides it.

    scores   detector, text, predicted_iou, stability: the segment's, where it has them;
             confidence: mean over the frames with a mask
    series   confidence; area: share of the frame; shift: way of the centre since the frame tracked before, over the
             diagonal, None in the detection's frame and where one of the two has no mask

    Raises `EmptyMask`, `shards.video.Unreadable`, and `ValueError` where `num_frames` or the masks' size is not the
    clip's.
    """
    clip = ClipFrames(path, num_frames, ahead)
    masks = np.stack([_mask(segment, clip.size) for segment in segments]) if segments else np.zeros((0, 1, 1), bool)
    rows: dict[int, dict[int, Row]] = {k: {} for k in range(len(segments))}
    for seed, group in _by_frame(segments):
        for seen in follow(clip, seed, masks[group]):
            for k, row in zip(group, rows_of(seen), strict=True):
                rows[k][seen.index] = row
    return tuple(
        tracklet(k + 1, segment.detection.noun, [rows[k][t] for t in range(num_frames)], _scores(segment))
        for k, segment in enumerate(segments)
    )


def rows_of(seen: Seen) -> list[Row]:
    """The entry of each of a frame's objects."""
    columns = zip(rle.encode_clip(seen.masks), seen.confidence, seen.area, seen.shift, strict=True)
    return [Row(mask, _rounded(sure), round(area, DIGITS), _rounded(shift)) for mask, sure, area, shift in columns]


def tracklet(track_id: int, noun: str, rows: Sequence[Row], scores: Mapping[str, float | None]) -> Tracklet:
    """A track of its entries in every frame; to those of `scores` that are known comes the mean confidence."""
    sure = [row.confidence for row in rows if row.confidence is not None]
    scores = {**scores, "confidence": sum(sure) / len(sure) if sure else None}
    return Tracklet(
        id=track_id,
        noun=noun,
        masks=tuple(row.mask for row in rows),
        scores={name: round(score, DIGITS) for name, score in scores.items() if score is not None},
        series={
            "confidence": tuple(row.confidence for row in rows),
            "area": tuple(row.area for row in rows),
            "shift": tuple(row.shift for row in rows),
        },
    )


def _mask(segment: Segment, size: rle.Size) -> NDArray[np.bool_]:
    mask = rle.decode(segment.mask, size)
    if not mask.any():
        raise EmptyMask(segment)
    return mask


def _by_frame(segments: Sequence[Segment]) -> list[tuple[int, list[int]]]:
    """Frames with segments, ascending, and the places of their segments."""
    frames = sorted({segment.detection.frame for segment in segments})
    return [(t, [k for k, segment in enumerate(segments) if segment.detection.frame == t]) for t in frames]


def _scores(segment: Segment) -> dict[str, float | None]:
    return {
        "detector": segment.detection.score,
        "text": segment.detection.text_score,
        "predicted_iou": segment.predicted_iou,
        "stability": segment.stability,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
