"""The annotators: caption, subject words, boxes, masks, tracks, each from the source where the source brings it.

What the source does not bring, a model of the recipe writes. A stage without a model rejects the clip there, by name.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Annotated, Any, ClassVar, TypeAlias, TypeVar

import numpy as np
from pydantic import Field, StrictInt

from pipeline.models.caption_faults import CaptionFault, checked_caption
from pipeline.models.captioning import Caption, Frames, bound_texts, sampled
from pipeline.models.deva_tracker import DevaTracker
from pipeline.models.grounding_dino import GroundingDino
from pipeline.models.nouns import NounFinder, Subject
from pipeline.models.sam2_tracker import Sam2Tracker
from pipeline.models.segment_anything import SegmentAnything
from pipeline.models.tracking import EmptyMask, Frame
from pipeline.records import (
    Captioned,
    Detection,
    Encoded,
    Grounded,
    Named,
    Rejected,
    Segmented,
    Tracked,
    grow,
)
from pipeline.sources import annotations
from pipeline.stage import Stage
from pipeline.stages import brought
from shards import video as videos

SOURCE = "source"
"""Who wrote what the source brought."""

R = TypeVar("R", bound=Encoded)
G = TypeVar("G", bound=Encoded)


class _Annotator(Stage[R, G]):
    """What the source brings wins; what it does not bring, the model writes; without a model the clip stops here.

    An annotation that does not fit its video is the data's fault.
    """

    lacks: ClassVar[str]  # what is missing where neither source nor model gives it

    @property
    def uses_model(self) -> bool:  # type: ignore[override]
        return self._model is not None

    @property
    def reads_video(self) -> bool:  # type: ignore[override]
        return self._model is not None

    def fingerprint(self) -> str:
        return "" if self._model is None else self._model.fingerprint()

    def open(self) -> Callable[[Sequence[R]], list[G | Rejected]]:
        ask = None if self._model is None else self._asking()

        def annotate(batch: Sequence[R]) -> list[G | Rejected]:
            answers = [self._brought_or_rejected(record) for record in batch]
            left = [number for number, answer in enumerate(answers) if answer is None]
            if left and ask:
                for number, answer in zip(left, ask([batch[number] for number in left]), strict=True):
                    answers[number] = answer
            return [self._lacking() if answer is None else answer for answer in answers]

        return annotate

    @property
    def _model(self) -> Any:
        return getattr(self, "model", None)

    def _brought(self, record: R) -> G | Rejected | None:
        """The answer where the source brings it."""
        raise NotImplementedError

    def _asking(self) -> Callable[[Sequence[R]], list[G | Rejected]]:
        """The model, loaded, as a function over the records that the source leaves open."""
        raise NotImplementedError

    def _brought_or_rejected(self, record: R) -> G | Rejected | None:
        try:
            return self._brought(record)
        except annotations.BadAnnotation as error:
            return Rejected(stage=self.name, why=error.why, value=error.value)

    def _lacking(self) -> Rejected:
        why = f"no {self.lacks} from the source and no model in the recipe"
        return Rejected(stage=self.name, why=why, value=None)


class Captioner(_Annotator[Encoded, Captioned]):
    """Without a model, `template` writes a caption for a source that names subjects but has no captions."""

    name: ClassVar[str] = "captioner"
    gives: ClassVar[type | None] = Captioned
    lacks: ClassVar[str] = "caption"

    model: Caption | None = None
    template: str | None = "a {subject}"

    def _brought(self, record: Encoded) -> Captioned | Rejected | None:
        video = record.video
        caption = " ".join((video.caption or "").split())
        if caption:
            return grow(Captioned, record, caption=caption, caption_author=video.caption_by)
        nouns = brought.nouns(record)
        if self.model is not None or self.template is None or not nouns:
            return None
        caption = self.template.format(subject=" and a ".join(nouns))
        return grow(Captioned, record, caption=caption, caption_author=f"template {self.template!r}")

    def _asking(self) -> Callable[[Sequence[Encoded]], list[Captioned | Rejected]]:
        assert self.model is not None
        settings, write = self.model, self.model.open()

        def ask(records: Sequence[Encoded]) -> list[Captioned | Rejected]:
            clips = [_clip(record, sampled(record.num_frames, settings.num_frames)) for record in records]
            captions = bound_texts(clips, write(clips))
            return [self._checked(record, *caption) for record, caption in zip(records, captions, strict=True)]

        return ask

    def _checked(self, record: Encoded, digest: str, text: str, finished: bool) -> Captioned | Rejected:
        assert self.model is not None
        caption = checked_caption(text, finished=finished)
        if isinstance(caption, CaptionFault):
            return Rejected(stage=self.name, why=caption.why, value=caption.value)
        author = f"{self.model.model}, frames {digest[:16]}"
        return grow(Captioned, record, caption=caption, caption_author=author)


def _clip(record: Encoded, numbers: Sequence[int]) -> Frames:
    """Those frames of the clip, which rise, [F, H, W, 3]."""
    return np.stack(list(videos.frames(record.path, numbers)))


class Namer(_Annotator[Captioned, Named]):
    """Subject words, best candidate first: the source's own, else those that the model finds in the caption."""

    name: ClassVar[str] = "namer"
    gives: ClassVar[type | None] = Named
    lacks: ClassVar[str] = "subject word"
    reads_video: ClassVar[bool] = False

    model: NounFinder | None = None

    def _brought(self, record: Captioned) -> Named | Rejected | None:
        nouns = brought.nouns(record)
        return grow(Named, record, subjects=nouns, namer=SOURCE) if nouns else None

    def _asking(self) -> Callable[[Sequence[Captioned]], list[Named | Rejected]]:
        assert self.model is not None
        model = self.model

        def ask(records: Sequence[Captioned]) -> list[Named | Rejected]:
            find, who = _finder(model)
            found = find([record.caption for record in records])
            return [self._named(record, subjects, who) for record, subjects in zip(records, found, strict=True)]

        return ask

    def _named(self, record: Captioned, subjects: Sequence[Subject], who: str) -> Named | Rejected:
        if not subjects:
            return Rejected(stage=self.name, why="no subject word in the caption", value=record.caption)
        nouns = tuple(dict.fromkeys(subject.noun for subject in subjects))
        return grow(Named, record, subjects=nouns, namer=who)


@lru_cache(maxsize=1)  # a source that brings its subject words never loads the model
def _finder(model: NounFinder) -> tuple[Callable[[Sequence[str]], list[tuple[Subject, ...]]], str]:
    return model.open(), model.fingerprint()


FrameNumber: TypeAlias = StrictInt | Annotated[float, Field(gt=0, lt=1)]
"""A frame of a clip: its number from 0, from -1 backwards from the end, or a share of the clip's length."""


class Grounder(_Annotator[Named, Grounded]):
    """Boxes of the subject in the first of `frames`, in the order given, in which it is seen.

    The paper looks at the first frame only (Sec. 4.4); `frames: [0, 0.5, -1]` finds subjects that enter late. A number
    beyond a clip's end stands for the end. A model is asked for every candidate in all frames at once; the subject is
    the best candidate that it sees in any of them. Boxes of one frame only go on, so that no subject counts twice.
    """

    name: ClassVar[str] = "grounder"
    gives: ClassVar[type | None] = Grounded
    lacks: ClassVar[str] = "box"

    model: GroundingDino | None = None
    frames: tuple[FrameNumber, ...] = Field((0,), min_length=1)

    def _brought(self, record: Named) -> Grounded | Rejected | None:
        found = brought.detections(record, frame_numbers(self.frames, record.num_frames))
        if found is None:
            return None
        return grow(Grounded, record, subject=record.subjects[0], detections=found, detector=SOURCE)

    def _asking(self) -> Callable[[Sequence[Named]], list[Grounded | Rejected]]:
        assert self.model is not None
        detect, who = self.model.open(), f"grounding dino {self.model.size}"

        def ask(records: Sequence[Named]) -> list[Grounded | Rejected]:
            looks = [_look(record, frame_numbers(self.frames, record.num_frames)) for record in records]
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


def _look(record: Encoded, numbers: Sequence[int]) -> dict[int, Frame]:
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


class Segmenter(_Annotator[Grounded, Segmented]):
    """A mask for each detection, in its frame."""

    name: ClassVar[str] = "segmenter"
    gives: ClassVar[type | None] = Segmented
    lacks: ClassVar[str] = "mask"

    model: SegmentAnything | None = None

    def _brought(self, record: Grounded) -> Segmented | Rejected | None:
        segments = brought.segments(record)
        return grow(Segmented, record, segments=segments, segmenter=SOURCE) if segments else None

    def _asking(self) -> Callable[[Sequence[Grounded]], list[Segmented | Rejected]]:
        assert self.model is not None
        segment, who = self.model.open(), f"segment anything {self.model.size}"

        def ask(records: Sequence[Grounded]) -> list[Segmented | Rejected]:
            found = segment([(_detected_frame(record), record.detections) for record in records])
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
    return _look(record, (number,))[number]


class Tracker(_Annotator[Segmented, Tracked]):
    """Each segment's subject followed through every frame."""

    name: ClassVar[str] = "tracker"
    gives: ClassVar[type | None] = Tracked
    lacks: ClassVar[str] = "track"

    model: DevaTracker | Sam2Tracker | None = None

    def _brought(self, record: Segmented) -> Tracked | Rejected | None:
        tracks = brought.followed(record)
        return grow(Tracked, record, tracks=tracks, tracker=SOURCE) if tracks else None

    def _asking(self) -> Callable[[Sequence[Segmented]], list[Tracked | Rejected]]:
        assert self.model is not None
        track, who = self.model.open(), "deva" if isinstance(self.model, DevaTracker) else "sam 2"

        def ask_one(record: Segmented) -> Tracked | Rejected:
            try:
                tracks = track(record.path, record.num_frames, record.segments)
            except EmptyMask as error:
                return Rejected(stage=self.name, why=error.why, value=error.value)
            present = tuple(found for found in tracks if any(mask is not None for mask in found.masks))
            if not present:
                return Rejected(stage=self.name, why="no mask in any frame", value=None)
            return grow(Tracked, record, tracks=present, tracker=who)

        return lambda records: [ask_one(record) for record in records]
