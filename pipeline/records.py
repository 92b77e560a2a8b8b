"""The records that a clip grows through, from `Video` to `Measured`: each is the one before it and what a stage added.

    Video -> Cutter -> Clip -> Encoder -> Encoded -> Captioner -> Captioned -> Namer -> Named -> Grounder -> Grounded
          -> Screener -> Segmenter -> Segmented -> Tracker -> Tracked -> Measurer -> Measured -> Judge -> Packer

A stage answers every record with a grown one or with `Rejected`. Records hold paths, times, text, boxes and run
lengths, never frames or video bytes, so they are small enough to travel between machines and into the ledger.
"""

import hashlib
import json
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, get_type_hints

from pydantic import Field, TypeAdapter

from shards.rle import Box, Rle


def record_key(*parts: object) -> str:
    """20 hex digits that name `parts`: the same for the same parts on every machine."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:20]


# --- What a source may bring, as a reference that a worker opens where the data lies (pipeline/sources/annotations.py)


@dataclass(frozen=True, kw_only=True)
class IndexedMasks:
    """A folder of palette PNGs, one a frame in name order; pixel value k > 0 is object k (DAVIS)."""

    kind: Literal["indexed_masks"] = "indexed_masks"
    folder: str
    nouns: dict[int, str] = field(default_factory=dict)  # object -> noun, where the source says it


@dataclass(frozen=True, kw_only=True)
class FrameBoxes:
    """One box a frame, `None` where the object is absent (GOT-10k)."""

    kind: Literal["frame_boxes"] = "frame_boxes"
    noun: str
    boxes: tuple[Box | None, ...]
    cover: tuple[int, ...] | None = None  # visible share in eighths, as GOT-10k gives it


@dataclass(frozen=True, kw_only=True)
class FirstMask:
    """The subject's mask on the first frame, an image whose non-zero pixels are the subject (VideoBooth)."""

    kind: Literal["first_mask"] = "first_mask"
    path: str
    noun: str


@dataclass(frozen=True, kw_only=True)
class TrackFile:
    """Exact tracks of every frame in a JSON file: {"size": [h, w], "tracks": [{"id", "noun", "masks": [rle|null]}]}."""

    kind: Literal["track_file"] = "track_file"
    path: str


Annotation: TypeAlias = Annotated[IndexedMasks | FrameBoxes | FirstMask | TrackFile, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True)
class Video:
    """One item of a source: a video file or a folder of frames, and what the source says about it."""

    id: str  # the source's own name for it, stable wherever the source lies: "davis/dog"
    uri: str  # a video file, or a folder of images in name order, as path or fsspec URL
    frame_rate: float | None = None  # frames a second; needed for a folder of images only
    caption: str | None = None
    caption_by: str = "source"  # what stands in the provenance when the caption above is used
    nouns: tuple[str, ...] = ()  # subject words, where the source brings them
    annotation: Annotation | None = None

    @property
    def key(self) -> str:
        return record_key("video", self.id)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A span of a video, [start, end) in its own frames' times."""

    key: str  # record_key(video id, start, end)
    video: Video
    start: float  # seconds, time of the first frame
    end: float  # seconds, time just after the last frame is shown
    first_frame: int  # number of the first frame in the video, from 0
    num_frames: int
    source_sha256: str  # of the video file; of the list of its images' digests for a folder


@dataclass(frozen=True, kw_only=True)
class Encoded(Clip):
    """The clip as it will be shipped: one H.264 MP4, upright, square pixels, even size."""

    path: str  # the MP4, as a path or URL that every worker reads
    sha256: str  # of the MP4
    width: int  # pixels
    height: int
    pts: tuple[int, ...]  # [T], from 0
    time_base: tuple[int, int]  # numerator, denominator of a second
    scale: tuple[float, float]  # clip pixels per source pixel in x and y; an annotation's coordinates times this


@dataclass(frozen=True, kw_only=True)
class Captioned(Encoded):
    caption: str
    caption_author: str  # "source", or the captioner's model


@dataclass(frozen=True, kw_only=True)
class Named(Captioned):
    subjects: tuple[str, ...]  # lower-case nouns, best candidate first
    namer: str  # "source", or who found the nouns


@dataclass(frozen=True, kw_only=True)
class Detection:
    """A box that a detector gave for a noun in one frame."""

    noun: str
    frame: int  # number in the clip, from 0
    box: Box  # clip pixels
    score: float | None  # the detector's, 0-1; None when the source brought the box
    text_score: float | None = None  # how well the box matches the noun, 0-1


@dataclass(frozen=True, kw_only=True)
class Grounded(Named):
    subject: str  # of the candidates the one that the clip is about: the best that is seen
    detections: tuple[Detection, ...]
    detector: str


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A detection's mask in its frame."""

    detection: Detection
    mask: Rle
    predicted_iou: float | None = None  # the segmenter's own guess of its mask's IoU
    stability: float | None = None


@dataclass(frozen=True, kw_only=True)
class Segmented(Grounded):
    segments: tuple[Segment, ...]
    segmenter: str


@dataclass(frozen=True, kw_only=True)
class Tracklet:
    """One subject through the clip: a mask for each frame, `None` where it is not there."""

    id: int
    noun: str
    masks: tuple[Rle | None, ...]  # [T]
    scores: dict[str, float] = field(default_factory=dict)
    series: dict[str, tuple[float | None, ...]] = field(default_factory=dict)  # one value a frame


@dataclass(frozen=True, kw_only=True)
class Tracked(Segmented):
    tracks: tuple[Tracklet, ...]
    tracker: str


@dataclass(frozen=True, kw_only=True)
class Measured(Tracked):
    """A clip with all that was measured on it: what the rules judge by."""

    scores: dict[str, float]
    phash: tuple[str, ...]  # perceptual hashes of four evenly spread frames, 16 hex digits each


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """The data's own fault: why a clip goes no further. Never an exception, never a magic score."""

    stage: str
    why: str  # a rule's name ("size.area") or a short sentence without numbers that change from clip to clip
    value: float | str | None  # what was measured
    scores: dict[str, float] = field(default_factory=dict)  # all that was measured up to here


T = TypeVar("T")


def grow(kind: type[T], record: Any, **added: Any) -> T:
    """`record` grown to `kind` by the fields that `kind` adds."""
    return kind(**{f.name: getattr(record, f.name) for f in fields(record)}, **added)


def to_json(records: Any) -> str:
    """What a stage added to a record, as JSON: the fields of its own class; a list of clips without their video."""
    if isinstance(records, list):
        return json.dumps([_own_fields(record) for record in records], separators=(",", ":"))
    return json.dumps(_own_fields(records), separators=(",", ":"))


def from_json(kind: type[Any], record: Any, added: str) -> Any:
    """The inverse of `to_json`: `record` as it grew to `kind`; from a `Video` to `Clip` it is a list of clips."""
    values = json.loads(added)
    adapters = _own_adapters(kind)
    if kind is Clip:
        return [Clip(video=record, **{n: adapters[n].validate_python(v) for n, v in clip.items()}) for clip in values]
    return grow(kind, record, **{name: adapters[name].validate_python(value) for name, value in values.items()})


def _own_fields(record: Any) -> dict[str, Any]:
    adapters = _own_adapters(type(record))
    return {name: adapter.dump_python(getattr(record, name), mode="json") for name, adapter in adapters.items()}


_adapters: dict[type[Any], dict[str, TypeAdapter[Any]]] = {}


def _own_adapters(kind: type[Any]) -> dict[str, TypeAdapter[Any]]:
    """A codec for each field that `kind` adds to the record before it; a clip's video stands in the plan already."""
    if kind not in _adapters:
        _adapters[kind] = _make_adapters(kind)
    return _adapters[kind]


def _make_adapters(kind: type[Any]) -> dict[str, TypeAdapter[Any]]:
    inherited = {f.name for base in kind.__mro__[1:] if is_dataclass(base) for f in fields(base)} | {"video"}
    hints = get_type_hints(kind, include_extras=True)
    return {f.name: TypeAdapter(hints[f.name]) for f in fields(kind) if f.name not in inherited}
