"""What a shard holds: one annotated clip (`Sample`) and its subjects, followed through every frame (`Track`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shards import rle
from shards.rle import Box, Rle, Size

SCHEMA = 1
"""Number of the format that this code writes. It reads every number up to this one."""

Span: TypeAlias = tuple[int, int]  # numbers of its first and last frame


class InvalidSample(ValueError):  # noqa: N818  the name says what is wrong; "Error" would not add to it
    """A sample that breaks a rule of the format; the message lists every broken rule."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Track:
    """One subject in every frame of a clip.

    `masks[t]` is `None` where the subject is not in frame t; `boxes[t]` is then `None` too, never a zero box.
    Boxes derive from masks (`Track.of_masks` computes them) and are kept beside them for readers without an RLE
    decoder. Tracks may overlap.
    """

    id: int  # >= 1, unique in the sample
    noun: str  # lower-case head noun: "dog"
    masks: tuple[Rle | None, ...]  # [T]
    boxes: tuple[Box | None, ...]  # [T], tight, half-open
    scores: Mapping[str, float] = field(default_factory=dict)  # one value a track: detector score, predicted IoU
    series: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)  # one value a frame: confidence

    @classmethod
    def of_masks(
        cls,
        masks: NDArray[np.bool_] | Sequence[Rle | None],
        *,
        id: int,  # noqa: A002  the format's own name
        noun: str,
        size: Size | None = None,
        scores: Mapping[str, float] | None = None,
        series: Mapping[str, tuple[float | None, ...]] | None = None,
    ) -> Self:
        """A track from masks: bool [T, H, W], or T run-length strings together with `size` (height, width)."""
        if isinstance(masks, np.ndarray):
            size = (int(masks.shape[1]), int(masks.shape[2]))
            counts = rle.encode_clip(masks)
        else:
            if size is None:
                raise ValueError("run-length masks need `size` (height, width)")
            counts = tuple(masks)
        boxes = tuple(None if c is None else rle.box(c, size) for c in counts)
        return cls(id=id, noun=noun, masks=counts, boxes=boxes, scores=scores or {}, series=series or {})

    @property
    def lost(self) -> tuple[Span, ...]:
        """Where the subject is out of sight once it was seen: see `lost_spans`."""
        return lost_spans(self.masks)

    def decode(self, size: Size) -> NDArray[np.bool_]:
        """All masks, bool [T, H, W]; frames without the subject are all False."""
        return rle.decode_clip(self.masks, size)


def lost_spans(masks: Sequence[Rle | None]) -> tuple[Span, ...]:
    """The runs of frames without a mask behind the first mask; one that ends before the clip was found again after."""
    seen = [t for t, mask in enumerate(masks) if mask is not None]
    return tuple((a + 1, b - 1) for a, b in pairwise([*seen, len(masks)]) if b > a + 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One annotated clip: H.264 video, the time of every frame, caption, subject, tracks, scores, where it came from.

    Raises `InvalidSample` at construction when a rule of the format is broken (see `violations`).
    """

    key: str  # lower-case hex; the name of its members in the tar
    video: bytes = field(repr=False)  # MP4, H.264 yuv420p
    strip: bytes = field(repr=False)  # JPEG: thumbnails side by side
    pts: tuple[int, ...] = field(repr=False)  # [T], in units of `time_base`, from 0, strictly rising
    time_base: Fraction  # seconds
    width: int  # pixels
    height: int
    caption: str
    subject: str  # noun of the sample's subject: that of its first track
    tracks: tuple[Track, ...]
    scores: Mapping[str, float]  # every value that was measured on the clip, by name
    provenance: Mapping[str, Any]  # plain JSON: source, seconds, who wrote the caption, models, thresholds

    def __post_init__(self) -> None:
        broken = violations(self)
        if broken:
            raise InvalidSample(f"sample {self.key}: " + "; ".join(broken))

    @property
    def size(self) -> Size:
        return self.height, self.width

    @property
    def num_frames(self) -> int:
        return len(self.pts)

    @property
    def times(self) -> tuple[float, ...]:
        """When each frame is shown, seconds from the clip's start, [T]."""
        return tuple(float(p * self.time_base) for p in self.pts)


def violations(sample: Sample) -> list[str]:
    """Every rule of the format that `sample` breaks, in words; empty when it is valid."""
    broken = []
    if not sample.key or set(sample.key) - set("0123456789abcdef"):
        broken.append(f"key {sample.key!r} is not lower-case hex")
    if not sample.pts or sample.pts[0] != 0 or any(a >= b for a, b in zip(sample.pts, sample.pts[1:], strict=False)):
        broken.append("frame times do not rise strictly from 0")
    if sample.time_base <= 0:
        broken.append(f"time base {sample.time_base} is not positive")
    if not sample.caption.strip():
        broken.append("caption is empty")
    if not sample.tracks:
        broken.append("there is no track")
    elif sample.subject != sample.tracks[0].noun:
        broken.append(f"subject {sample.subject!r} is not the first track's noun {sample.tracks[0].noun!r}")
    if len({track.id for track in sample.tracks}) != len(sample.tracks):
        broken.append("track ids repeat")
    for track in sample.tracks:
        broken += [f"track {track.id}: {rule}" for rule in _track_violations(track, sample.size, sample.num_frames)]
    return broken


def _track_violations(track: Track, size: Size, num_frames: int) -> list[str]:
    broken = []
    if track.id < 1:
        broken.append("id is below 1")
    if not track.noun or track.noun != track.noun.strip().lower():
        broken.append(f"noun {track.noun!r} is not a lower-case word")
    for name, row in (("masks", track.masks), ("boxes", track.boxes), *track.series.items()):
        if len(row) != num_frames:
            broken.append(f"{len(row)} {name} for {num_frames} frames")
    if all(mask is None for mask in track.masks):
        broken.append("no frame has a mask")
    for t, (mask, box) in enumerate(zip(track.masks, track.boxes, strict=False)):
        try:
            tight = None if mask is None else rle.box(mask, size)
        except ValueError as error:
            broken.append(f"frame {t}: {error}")
            continue
        if mask is not None and tight is None:
            broken.append(f"frame {t}: an empty mask must be None")
        elif box != tight:
            broken.append(f"frame {t}: box {box} is not the mask's extent {tight}")
    return broken
