"""What a clip's source brings of subjects, boxes, masks and tracks, laid onto the clip as the annotators give them.

All of these raise `pipeline.sources.annotations.BadAnnotation` for an annotation that does not fit its video.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from pydantic import TypeAdapter

from pipeline.records import (
    Detection,
    Encoded,
    FirstMask,
    FrameBoxes,
    Grounded,
    IndexedMasks,
    Named,
    Segment,
    Segmented,
    TrackFile,
    Tracklet,
)
from pipeline.sources import annotations
from shards import rle
from shards.rle import Box, Rle


def nouns(record: Encoded) -> tuple[str, ...]:
    """Subject words: said of the video, or of what is annotated in it."""
    annotation = record.video.annotation
    if record.video.nouns:
        return record.video.nouns
    if isinstance(annotation, FrameBoxes | FirstMask):
        return (annotation.noun,)
    if isinstance(annotation, IndexedMasks):
        return tuple(dict.fromkeys(annotation.nouns.values()))
    return tuple(dict.fromkeys(track.noun for track in tracks(record) if track.noun))


def detections(record: Named, frames: Sequence[int]) -> tuple[Detection, ...] | None:
    """The boxes of the first of `frames` in which the clip's subject is, none where it is in none of them.

    A source that brings a mask of the first frame alone has its boxes there, whatever `frames` are. None where the
    source brings no boxes at all.
    """
    annotation = record.video.annotation
    if annotation is None:
        return None
    for frame in (0,) if isinstance(annotation, FirstMask) else frames:
        boxes = [(noun, box) for noun, box in _boxes(record, frame) if box is not None]
        if any(noun == record.subjects[0] for noun, _ in boxes):
            return tuple(Detection(noun=noun, frame=frame, box=box, score=None) for noun, box in boxes)
    return ()


def segments(record: Grounded) -> tuple[Segment, ...]:
    """A mask for each of the source's detections, none where it brings no masks."""
    annotation = record.video.annotation
    if isinstance(annotation, FirstMask):
        masks = [annotations.first_mask(annotation, *_place(record))]
    else:
        masks = [mask for detected in record.detections[:1] for mask in _masks(record, detected.frame)]
    if not masks:
        return ()
    return tuple(Segment(detection=box, mask=mask) for box, mask in zip(record.detections, masks, strict=True))


def followed(record: Segmented) -> tuple[Tracklet, ...]:
    """The tracks that are where the record's segments are."""
    frames = {segment.detection.frame for segment in record.segments}
    return tuple(track for track in tracks(record) if any(track.masks[frame] is not None for frame in frames))


def tracks(record: Encoded) -> tuple[Tracklet, ...]:
    """Tracks of the record's subjects once it has any, in their order."""
    annotation = record.video.annotation
    if not isinstance(annotation, IndexedMasks | TrackFile):
        return ()
    text = _ANNOTATION.dump_json(annotation).decode()
    if not isinstance(record, Named):
        return _opened(text, *_place(record), noun=None)
    found = _opened(text, *_place(record), noun=record.subjects[0])
    wanted = [track for track in found if track.noun in record.subjects]
    return tuple(sorted(wanted, key=lambda track: (record.subjects.index(track.noun), track.id)))


_ANNOTATION: TypeAdapter[IndexedMasks | TrackFile] = TypeAdapter(IndexedMasks | TrackFile)


@lru_cache(maxsize=16)  # a clip's annotators ask one after another
def _opened(
    annotation: str, span: annotations.Span, size: rle.Size, scale: annotations.Scale, noun: str | None
) -> tuple[Tracklet, ...]:
    return annotations.tracks(_ANNOTATION.validate_json(annotation), span, size, scale, noun=noun)


def _boxes(record: Named, frame: int) -> Iterator[tuple[str, Box | None]]:
    """Every annotated thing's noun and its box in a frame."""
    annotation = record.video.annotation
    if isinstance(annotation, FrameBoxes):
        yield annotation.noun, annotations.boxes(annotation, *_place(record))[frame]
    elif isinstance(annotation, FirstMask):
        yield annotation.noun, rle.box(annotations.first_mask(annotation, *_place(record)), _size(record))
    else:
        for track in tracks(record):
            mask = track.masks[frame]
            yield track.noun, None if mask is None else rle.box(mask, _size(record))


def _masks(record: Encoded, frame: int) -> Iterator[Rle]:
    yield from (mask for track in tracks(record) if (mask := track.masks[frame]) is not None)


def _size(record: Encoded) -> rle.Size:
    return record.height, record.width


def _place(record: Encoded) -> tuple[tuple[int, int], rle.Size, tuple[float, float]]:
    """Where the clip lies in its source: span in frames, size, scale."""
    return (record.first_frame, record.num_frames), _size(record), record.scale
