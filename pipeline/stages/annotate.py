"""The annotators: caption, subject words, boxes, masks, tracks, each from the source where the source brings it.

What the source does not bring, a model of the recipe writes. A stage without a model rejects the clip there, by name.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import ClassVar, TypeVar

from pydantic import TypeAdapter

from pipeline.models.nouns import NounFinder, Subject
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

SOURCE = "source"
"""Who wrote what the source brought."""

R = TypeVar("R", bound=Encoded)
G = TypeVar("G", bound=Encoded)


class _Annotator(Stage[R, G]):
    """Answers clip by clip; an annotation that does not fit its video is the data's fault."""

    reads_video: ClassVar[bool] = False
    uses_model: ClassVar[bool] = False

    def open(self) -> Callable[[Sequence[R]], list[G | Rejected]]:
        return lambda batch: [self._answer_or_reject(record) for record in batch]

    def _answer_or_reject(self, record: R) -> G | Rejected:
        try:
            return self._answer(record)
        except annotations.BadAnnotation as error:
            return Rejected(stage=self.name, why=error.why, value=error.value)

    def _answer(self, record: R) -> G | Rejected:
        raise NotImplementedError

    def _missing(self, what: str) -> Rejected:
        return Rejected(stage=self.name, why=f"no {what} from the source and no model in the recipe", value=None)


class Captioner(_Annotator[Encoded, Captioned]):
    """The source's own caption wins. `template` writes one for a source that names subjects but has no captions."""

    name: ClassVar[str] = "captioner"
    gives: ClassVar[type | None] = Captioned

    template: str | None = "a {subject}"

    def _answer(self, record: Encoded) -> Captioned | Rejected:
        video = record.video
        caption = " ".join((video.caption or "").split())
        if caption:
            return grow(Captioned, record, caption=caption, caption_author=video.caption_by)
        nouns = _source_nouns(record)
        if self.template is None or not nouns:
            return self._missing("caption")
        caption = self.template.format(subject=" and a ".join(nouns))
        return grow(Captioned, record, caption=caption, caption_author=f"template {self.template!r}")


class Namer(_Annotator[Captioned, Named]):
    """Subject words, best candidate first: the source's own, else those that the model finds in the caption."""

    name: ClassVar[str] = "namer"
    gives: ClassVar[type | None] = Named

    model: NounFinder | None = None

    @property
    def uses_model(self) -> bool:  # type: ignore[override]
        return self.model is not None

    def fingerprint(self) -> str:
        return "" if self.model is None else self.model.fingerprint()

    def _answer(self, record: Captioned) -> Named | Rejected:
        nouns = _source_nouns(record)
        if nouns:
            return grow(Named, record, subjects=nouns, namer=SOURCE)
        if self.model is None:
            return self._missing("subject word")
        find, who = _finder(self.model)
        found = tuple(subject.noun for subject in find([record.caption])[0])
        if not found:
            return Rejected(stage=self.name, why="no subject word in the caption", value=record.caption)
        return grow(Named, record, subjects=found, namer=who)


@lru_cache(maxsize=1)  # a source that brings its subject words never loads the model
def _finder(model: NounFinder) -> tuple[Callable[[Sequence[str]], list[tuple[Subject, ...]]], str]:
    return model.open(), model.fingerprint()


class Grounder(_Annotator[Named, Grounded]):
    """Boxes of the subject words in the first frame (the paper detects there only, Sec. 4.4)."""

    name: ClassVar[str] = "grounder"
    gives: ClassVar[type | None] = Grounded

    def _answer(self, record: Named) -> Grounded | Rejected:
        if record.video.annotation is None:
            return self._missing("box")
        tracks = _source_tracks(record)
        boxes = [
            (track.noun, None if track.masks[0] is None else rle.box(track.masks[0], _size(record))) for track in tracks
        ]
        if isinstance(record.video.annotation, FrameBoxes):
            boxes = [(record.video.annotation.noun, annotations.boxes(record.video.annotation, *_place(record))[0])]
        elif isinstance(record.video.annotation, FirstMask):
            mask = annotations.first_mask(record.video.annotation, *_place(record))
            boxes = [(record.video.annotation.noun, rle.box(mask, _size(record)))]
        found = tuple(Detection(noun=noun, frame=0, box=box, score=None) for noun, box in boxes if box is not None)
        return grow(Grounded, record, detections=found, detector=SOURCE)


class Segmenter(_Annotator[Grounded, Segmented]):
    """A mask for each detection."""

    name: ClassVar[str] = "segmenter"
    gives: ClassVar[type | None] = Segmented

    def _answer(self, record: Grounded) -> Segmented | Rejected:
        annotation = record.video.annotation
        if isinstance(annotation, FirstMask):
            masks = [annotations.first_mask(annotation, *_place(record))]
        else:
            masks = [track.masks[0] for track in _source_tracks(record) if track.masks[0] is not None]
        if not masks:
            return self._missing("mask")
        segments = tuple(
            Segment(detection=detection, mask=mask) for detection, mask in zip(record.detections, masks, strict=True)
        )
        return grow(Segmented, record, segments=segments, segmenter=SOURCE)


class Tracker(_Annotator[Segmented, Tracked]):
    """Each segment's subject followed through every frame."""

    name: ClassVar[str] = "tracker"
    gives: ClassVar[type | None] = Tracked

    def _answer(self, record: Segmented) -> Tracked | Rejected:
        tracks = tuple(track for track in _source_tracks(record) if track.masks[0] is not None)
        return grow(Tracked, record, tracks=tracks, tracker=SOURCE) if tracks else self._missing("track")


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
