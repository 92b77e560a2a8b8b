"""The annotators that locate a subject: boxes, masks, tracks, each from the source where the source brings it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import Discriminator, Field, StrictInt, Tag

from pipeline.models.choices import DetectorModel, SegmenterModel
from pipeline.models.deva_tracker import DevaSemiOnline, DevaTracker
from pipeline.models.sam2_tracker import Sam2Tracker
from pipeline.models.tracking import Ahead, EmptyMask, Frame
from pipeline.records import (
    Detection,
    Encoded,
    Grounded,
    Named,
    Rejected,
    Segmented,
    Tracked,
    Tracklet,
    grow,
)
from pipeline.stages import brought
from pipeline.stages.annotate import SOURCE, Annotator
from shards import rle
from shards import video as videos

FrameNumber: TypeAlias = StrictInt | Annotated[float, Field(gt=0, lt=1)]
"""A frame of a clip: its number from 0, from -1 backwards from the end, or a share of the clip's length."""


class Grounder(Annotator[Named, Grounded]):
    """Boxes of the subject in the first of `frames`, in the order given, in which it is seen.

    The paper looks at the first frame only (Sec. 4.4); `frames: [0, 0.5, -1]` finds subjects that enter late. A number
    beyond a clip's end stands for the end. A model is asked for every candidate in all frames at once; the subject is
    the best candidate that it sees in any of them. Boxes of one frame only go on, so that no subject counts twice.
    """

    name: ClassVar[str] = "grounder"
    gives: ClassVar[type | None] = Grounded
    lacks: ClassVar[str] = "box"

    model: DetectorModel | None = None
    frames: tuple[FrameNumber, ...] = Field((0,), min_length=1)

    def _brought(self, record: Named) -> Grounded | Rejected | None:
        found = brought.detections(record, frame_numbers(self.frames, record.num_frames))
        if found is None:
            return None
        return grow(Grounded, record, subject=record.subjects[0], detections=found, detector=SOURCE)

    def _look(self, records: Sequence[Named]) -> list[dict[int, Frame]]:
        return [_frames(record, frame_numbers(self.frames, record.num_frames)) for record in records]

    def _asking(self) -> Callable[[Sequence[Named], Any], list[Grounded | Rejected]]:
        assert self.model is not None
        detect, who = self.model.open(), f"grounding dino {self.model.size}"

        def ask(records: Sequence[Named], looks: list[dict[int, Frame]]) -> list[Grounded | Rejected]:
            questions = [
                (frame, record.subjects) for record, look in zip(records, looks, strict=True) for frame in look.values()
            ]
            found = iter(detect(questions))
            return [
                _seen(record, {number: next(found) for number in look}, who)
                for record, look in zip(records, looks, strict=True)
            ]

        return ask


def frame_numbers(frames: Sequence[FrameNumber], num_frames: int) -> tuple[int, ...]:
    """Numbers of those frames in a clip of `num_frames`, in their order, each once."""
    return tuple(dict.fromkeys(_frame_number(frame, num_frames) for frame in frames))


def _frame_number(frame: FrameNumber, num_frames: int) -> int:
    if isinstance(frame, float):
        return int(frame * num_frames)
    return min(frame, num_frames - 1) if frame >= 0 else max(frame + num_frames, 0)


def _frames(record: Encoded, numbers: Sequence[int]) -> dict[int, Frame]:
    """Those frames of the clip, in that order."""
    rising = sorted(numbers)
    frames = dict(zip(rising, videos.frames(record.path, rising), strict=True))
    return {number: frames[number] for number in numbers}


def _seen(record: Named, found: Mapping[int, Sequence[Detection]], who: str) -> Grounded:
    """The best candidate that was seen is the subject; other candidates' boxes and later frames' are left out."""
    nouns = {detection.noun for detections in found.values() for detection in detections}
    subject = next((noun for noun in record.subjects if noun in nouns), record.subjects[0])
    of_subject = (
        tuple(replace(detection, frame=number) for detection in detections if detection.noun == subject)
        for number, detections in found.items()
    )
    return grow(Grounded, record, subject=subject, detections=next(filter(None, of_subject), ()), detector=who)


class Segmenter(Annotator[Grounded, Segmented]):
    """A mask for each detection, in its frame."""

    name: ClassVar[str] = "segmenter"
    gives: ClassVar[type | None] = Segmented
    lacks: ClassVar[str] = "mask"

    model: SegmenterModel | None = None

    def _brought(self, record: Grounded) -> Segmented | Rejected | None:
        segments = brought.segments(record)
        return grow(Segmented, record, segments=segments, segmenter=SOURCE) if segments else None

    def _look(self, records: Sequence[Grounded]) -> list[Frame]:
        return [_detected_frame(record) for record in records]

    def _asking(self) -> Callable[[Sequence[Grounded], Any], list[Segmented | Rejected]]:
        assert self.model is not None
        segment, who = self.model.open(), f"segment anything {self.model.size}"

        def ask(records: Sequence[Grounded], frames: list[Frame]) -> list[Segmented | Rejected]:
            found = segment([(frame, record.detections) for frame, record in zip(frames, records, strict=True)])
            return [
                grow(Segmented, record, segments=segments, segmenter=who)
                if segments
                else Rejected(stage=self.name, why="no mask in the boxes", value=float(len(record.detections)))
                for record, segments in zip(records, found, strict=True)
            ]

        return ask


def _detected_frame(record: Grounded) -> Frame:
    """The frame of the record's detections, which are all of one; the first where there is none."""
    (number,) = {detection.frame for detection in record.detections} or {0}
    return _frames(record, (number,))[number]


def _kind_of_tracker(settings: Any) -> str:
    """The class whose settings these are, so that what is wrong with them is said of that class alone."""
    if not isinstance(settings, Mapping):
        return type(settings).__name__
    return "DevaSemiOnline" if "mode" in settings else "Sam2Tracker" if "model" in settings else "DevaTracker"


TrackerModel: TypeAlias = Annotated[
    Annotated[DevaTracker, Tag("DevaTracker")]
    | Annotated[DevaSemiOnline, Tag("DevaSemiOnline")]
    | Annotated[Sam2Tracker, Tag("Sam2Tracker")],
    Discriminator(_kind_of_tracker),
]

_TRACKERS = {DevaTracker: "deva", DevaSemiOnline: "deva semi-online", Sam2Tracker: "sam 2"}


AHEAD_BYTES = 512 << 20
"""Of frames that are decoded before the tracker has time for them; those behind are decoded as it asks for them."""


class Tracker(Annotator[Segmented, Tracked]):
    """Each segment's subject followed through every frame; or every subject that is found on the way.

    The latter is DEVA's semi-online mode (`model: {mode: semi_online, ...}`): the segments then only say which of the
    tracks is the clip's subject.
    """

    name: ClassVar[str] = "tracker"
    gives: ClassVar[type | None] = Tracked
    lacks: ClassVar[str] = "track"

    model: TrackerModel | None = None

    def asking(self, detector: DetectorModel | None, segmenter: SegmenterModel | None) -> "Tracker":
        """The same, where its model asks a detector and a segmenter but names none: these."""
        if not isinstance(self.model, DevaSemiOnline):
            return self
        named = {"detector": self.model.detector or detector, "segmenter": self.model.segmenter or segmenter}
        return self.model_copy(update={"model": self.model.model_copy(update=named)})

    def _brought(self, record: Segmented) -> Tracked | Rejected | None:
        tracks = brought.followed(record)
        return grow(Tracked, record, tracks=tracks, tracker=SOURCE) if tracks else None

    def _look(self, records: Sequence[Segmented]) -> list[Ahead]:
        return [self._begin(record, AHEAD_BYTES // len(records)) for record in records]

    def _begin(self, record: Segmented, most: int) -> Ahead:
        """The frames that the tracker asks for first, in at most so many bytes."""
        seeds = [] if isinstance(self.model, DevaSemiOnline) else [s.detection.frame for s in record.segments]
        first, room = min(seeds, default=0), most // (record.height * record.width * 3)
        numbers = range(first, min(record.num_frames, first + room))
        return Ahead(zip(numbers, videos.frames(record.path, numbers), strict=True)) if numbers else Ahead()

    def _asking(self) -> Callable[[Sequence[Segmented], Any], list[Tracked | Rejected]]:
        assert self.model is not None
        track, who = self._tracking(), _TRACKERS[type(self.model)]

        def ask_one(record: Segmented, ahead: Ahead) -> Tracked | Rejected:
            try:
                tracks = track(record, ahead)
            except EmptyMask as error:
                return Rejected(stage=self.name, why=error.why, value=error.value)
            present = tuple(found for found in tracks if any(mask is not None for mask in found.masks))
            if not present:
                return Rejected(stage=self.name, why="no mask in any frame", value=None)
            return grow(Tracked, record, tracks=present, tracker=who)

        return lambda records, aheads: [ask_one(record, ahead) for record, ahead in zip(records, aheads, strict=True)]

    def _tracking(self) -> Callable[[Segmented, Ahead], tuple[Tracklet, ...]]:
        assert self.model is not None
        if isinstance(self.model, DevaSemiOnline):
            find = self.model.open()
            return lambda record, ahead: _subject_first(
                record, find(record.path, record.num_frames, record.subject, ahead)
            )
        follow = self.model.open()
        return lambda record, ahead: follow(record.path, record.num_frames, record.segments, ahead)


def _subject_first(record: Segmented, tracks: tuple[Tracklet, ...]) -> tuple[Tracklet, ...]:
    """The track that shows the record's first segment best stands first: it is the clip's subject."""
    if not record.segments:
        return tracks
    subject, size = record.segments[0], (record.height, record.width)

    def likeness(track: Tracklet) -> float:
        mask = track.masks[subject.detection.frame]
        return 0.0 if mask is None else rle.iou(mask, subject.mask, size)

    return tuple(sorted(tracks, key=likeness, reverse=True))
