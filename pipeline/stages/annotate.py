"""The annotators: caption, subject words, boxes, masks, tracks, each from the source where the source brings it.

What the source does not bring, a model of the recipe writes. A stage without a model rejects the clip there, by name.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from pipeline.models.caption_faults import CaptionFault, checked_caption
from pipeline.models.captioning import Caption, bound_texts, sampled
from pipeline.models.deva_tracker import DevaTracker
from pipeline.models.grounding_dino import GroundingDino
from pipeline.models.nouns import NounFinder, Subject
from pipeline.models.sam2_tracker import Sam2Tracker
from pipeline.models.segment_anything import SegmentAnything
from pipeline.models.tracking import EmptyMask
from pipeline.records import (
    Captioned,
    Detection,
    Encoded,
    FirstMask,
    FrameBoxes,
    Grounded,
    IndexedMasks,
    Named,
    Rejected,
    Segment,
    Segmented,
    Tracked,
    TrackFile,
    Tracklet,
    grow,
)
from pipeline.sources import annotations
from pipeline.stage import Stage
from shards import rle
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
        nouns = _source_nouns(record)
        if self.model is not None or self.template is None or not nouns:
            return None
        caption = self.template.format(subject=" and a ".join(nouns))
        return grow(Captioned, record, caption=caption, caption_author=f"template {self.template!r}")

    def _asking(self) -> Callable[[Sequence[Encoded]], list[Captioned | Rejected]]:
        assert self.model is not None
        settings, write = self.model, self.model.open()

        def ask(records: Sequence[Encoded]) -> list[Captioned | Rejected]:
            clips = [_frames(record, sampled(record.num_frames, settings.num_frames)) for record in records]
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


class Namer(_Annotator[Captioned, Named]):
    """Subject words, best candidate first: the source's own, else those that the model finds in the caption."""

    name: ClassVar[str] = "namer"
    gives: ClassVar[type | None] = Named
    lacks: ClassVar[str] = "subject word"
    reads_video: ClassVar[bool] = False

    model: NounFinder | None = None

    def _brought(self, record: Captioned) -> Named | Rejected | None:
        nouns = _source_nouns(record)
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


class Grounder(_Annotator[Named, Grounded]):
    """Boxes of the subject in the first frame (the paper detects there only, Sec. 4.4).

    The model is asked for every candidate; the subject is the best candidate that it sees.
    """

    name: ClassVar[str] = "grounder"
    gives: ClassVar[type | None] = Grounded
    lacks: ClassVar[str] = "box"

    model: GroundingDino | None = None

    def _brought(self, record: Named) -> Grounded | Rejected | None:
        annotation = record.video.annotation
        if annotation is None:
            return None
        if isinstance(annotation, FrameBoxes):
            boxes = [(annotation.noun, annotations.boxes(annotation, *_place(record))[0])]
        elif isinstance(annotation, FirstMask):
            boxes = [(annotation.noun, rle.box(annotations.first_mask(annotation, *_place(record)), _size(record)))]
        else:
            tracks = _source_tracks(record)
            boxes = [(t.noun, None if t.masks[0] is None else rle.box(t.masks[0], _size(record))) for t in tracks]
        found = tuple(Detection(noun=noun, frame=0, box=box, score=None) for noun, box in boxes if box is not None)
        return grow(Grounded, record, subject=record.subjects[0], detections=found, detector=SOURCE)

    def _asking(self) -> Callable[[Sequence[Named]], list[Grounded | Rejected]]:
        assert self.model is not None
        detect, who = self.model.open(), f"grounding dino {self.model.size}"

        def ask(records: Sequence[Named]) -> list[Grounded | Rejected]:
            found = detect([(_frames(record, (0,))[0], record.subjects) for record in records])
            return [_seen(record, detections, who) for record, detections in zip(records, found, strict=True)]

        return ask


def _seen(record: Named, detections: Sequence[Detection], who: str) -> Grounded:
    """The best candidate that was seen is the subject; other candidates' boxes are left out."""
    nouns = {detection.noun for detection in detections}
    subject = next((noun for noun in record.subjects if noun in nouns), record.subjects[0])
    of_subject = tuple(detection for detection in detections if detection.noun == subject)
    return grow(Grounded, record, subject=subject, detections=of_subject, detector=who)


class Segmenter(_Annotator[Grounded, Segmented]):
    """A mask for each detection."""

    name: ClassVar[str] = "segmenter"
    gives: ClassVar[type | None] = Segmented
    lacks: ClassVar[str] = "mask"

    model: SegmentAnything | None = None

    def _brought(self, record: Grounded) -> Segmented | Rejected | None:
        annotation = record.video.annotation
        if isinstance(annotation, FirstMask):
            masks = [annotations.first_mask(annotation, *_place(record))]
        else:
            masks = [track.masks[0] for track in _source_tracks(record) if track.masks[0] is not None]
        if not masks:
            return None
        segments = tuple(
            Segment(detection=detection, mask=mask) for detection, mask in zip(record.detections, masks, strict=True)
        )
        return grow(Segmented, record, segments=segments, segmenter=SOURCE)

    def _asking(self) -> Callable[[Sequence[Grounded]], list[Segmented | Rejected]]:
        assert self.model is not None
        segment, who = self.model.open(), f"segment anything {self.model.size}"

        def ask(records: Sequence[Grounded]) -> list[Segmented | Rejected]:
            found = segment([(_frames(record, (0,))[0], record.detections) for record in records])
            return [
                grow(Segmented, record, segments=segments, segmenter=who)
                if segments
                else Rejected(stage=self.name, why="no mask in the boxes", value=float(len(record.detections)))
                for record, segments in zip(records, found, strict=True)
            ]

        return ask


class Tracker(_Annotator[Segmented, Tracked]):
    """Each segment's subject followed through every frame."""

    name: ClassVar[str] = "tracker"
    gives: ClassVar[type | None] = Tracked
    lacks: ClassVar[str] = "track"

    model: DevaTracker | Sam2Tracker | None = None

    def _brought(self, record: Segmented) -> Tracked | Rejected | None:
        tracks = tuple(track for track in _source_tracks(record) if track.masks[0] is not None)
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


def _frames(record: Encoded, numbers: Sequence[int]) -> NDArray[np.uint8]:
    """Those frames of the clip, [F, H, W, 3]."""
    return np.stack(list(videos.frames(record.path, numbers)))


def _size(record: Encoded) -> rle.Size:
    return record.height, record.width


def _place(record: Encoded) -> tuple[tuple[int, int], rle.Size, tuple[float, float]]:
    """Where the clip lies in its source: span in frames, size, scale."""
    return (record.first_frame, record.num_frames), _size(record), record.scale


def _source_tracks(record: Encoded) -> tuple[Tracklet, ...]:
    """The tracks that the source brings, of the record's subjects once it has any; in the order of the subjects."""
    annotation = record.video.annotation
    if not isinstance(annotation, IndexedMasks | TrackFile):
        return ()
    text = _ANNOTATION.dump_json(annotation).decode()
    if not isinstance(record, Named):
        return _opened(text, *_place(record), noun=None)
    tracks = _opened(text, *_place(record), noun=record.subjects[0])
    wanted = [track for track in tracks if track.noun in record.subjects]
    return tuple(sorted(wanted, key=lambda track: (record.subjects.index(track.noun), track.id)))


_ANNOTATION: TypeAdapter[IndexedMasks | TrackFile] = TypeAdapter(IndexedMasks | TrackFile)


@lru_cache(maxsize=16)  # a clip's annotators ask one after another
def _opened(
    annotation: str, span: annotations.Span, size: rle.Size, scale: annotations.Scale, noun: str | None
) -> tuple[Tracklet, ...]:
    return annotations.tracks(_ANNOTATION.validate_json(annotation), span, size, scale, noun=noun)


def _source_nouns(record: Encoded) -> tuple[str, ...]:
    """Subject words that the source brings: said of the video, or of what is annotated in it."""
    annotation = record.video.annotation
    if record.video.nouns:
        return record.video.nouns
    if isinstance(annotation, FrameBoxes | FirstMask):
        return (annotation.noun,)
    if isinstance(annotation, IndexedMasks):
        return tuple(dict.fromkeys(annotation.nouns.values()))
    nouns = [track.noun for track in _source_tracks(record) if track.noun]
    return tuple(dict.fromkeys(nouns))
