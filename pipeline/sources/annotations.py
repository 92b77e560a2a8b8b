"""What a source says of its videos' frames, opened by a worker and laid onto a clip: tracks, boxes, masks.

Every function takes the clip's span, its size and its scale. At scale 1 a mask is exact: an odd last row or
column, which the clip lost to its even size, is cut off. At another scale a clip pixel takes the source pixel
under its centre.
"""

import io
import math
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.records import FirstMask, FrameBoxes, IndexedMasks, TrackFile, Tracklet
from pipeline.sources.source import first_error
from shards import rle
from shards.rle import Box, Rle, Size
from shards.storage import Missing, Storage

Span: TypeAlias = tuple[int, int]  # number of the clip's first frame in the video, number of its frames
Scale: TypeAlias = tuple[float, float]  # clip pixels per source pixel in x and y
Labels: TypeAlias = NDArray[np.uint8]  # [H, W]: 0 background, k object k

VOID = 255
"""DAVIS 2017's label for pixels that nobody should judge; in 2016 the one object's label."""


class BadAnnotation(Exception):  # noqa: N818  the name says what is wrong; "Error" would not add to it
    """The data's fault: an annotation that does not fit its video, or cannot be read."""

    def __init__(self, why: str, value: float | str | None) -> None:
        super().__init__(why, value)
        self.why = why  # a short sentence without numbers that change from clip to clip
        self.value = value  # what was found


def tracks(
    annotation: IndexedMasks | TrackFile, span: Span, size: Size, scale: Scale, noun: str | None = None
) -> tuple[Tracklet, ...]:
    """The subjects that are in the clip, by id; a subject in none of its frames is left out.

    Where masks come with nouns for some objects, the others are no subjects. Where they come with none,
    `noun` is that of the clip's only object. Raises `BadAnnotation`, also when no subject is left.
    """
    if isinstance(annotation, IndexedMasks):
        found = list(_indexed(annotation, span, size, scale, noun))
    else:
        found = list(_from_file(annotation, span, size, scale))
    present = tuple(track for track in found if any(mask is not None for mask in track.masks))
    if not present:
        raise BadAnnotation("no subject is in the clip", None)
    return tuple(sorted(present, key=lambda track: track.id))


def boxes(annotation: FrameBoxes, span: Span, size: Size, scale: Scale) -> tuple[Box | None, ...]:
    """The object's box in each frame of the clip, cut to the frame; `None` where it is absent or outside."""
    first, count = span
    if len(annotation.boxes) < first + count:
        raise BadAnnotation("fewer boxes than frames", f"{len(annotation.boxes)} of {first + count}")
    return tuple(None if box is None else _scaled(box, size, scale) for box in annotation.boxes[first : first + count])


def first_mask(annotation: FirstMask, span: Span, size: Size, scale: Scale) -> Rle:
    """The subject's mask in the clip's first frame, which must be the video's."""
    if span[0] != 0:
        raise BadAnnotation("the mask is of the video's first frame, not of the clip's", span[0])
    folder, _, name = annotation.path.rpartition("/")
    mask = _resized(_labels(_read(Storage.at(folder or "/"), name), name), size, scale) != 0
    if not mask.any():
        raise BadAnnotation("the mask is empty", annotation.path)
    return rle.encode(mask)


def _indexed(annotation: IndexedMasks, span: Span, size: Size, scale: Scale, noun: str | None) -> Iterator[Tracklet]:
    first, count = span
    storage = Storage.at(annotation.folder)
    names = storage.list("", ".png")
    if len(names) < first + count:
        raise BadAnnotation("fewer masks than frames", f"{len(names)} of {first + count}")
    inside = names[first : first + count]
    frames = [_labels(_read(storage, name), name) for name in inside]
    objects = _objects(frames)
    labels = np.stack([_resized(frame, size, scale) for frame in frames])
    if VOID in objects:
        others = (_labels(_read(storage, name), name) for name in names if name not in inside)
        binary = objects == [VOID] and not any(set(_objects([other])) - {VOID} for other in others)
        labels[labels == VOID] = 1 if binary else 0
        objects = [1] if binary else objects[:-1]
    for k, named in _named(objects, annotation, noun):
        yield Tracklet(id=k, noun=named, masks=rle.encode_clip(labels == k))


def _objects(frames: Sequence[Labels]) -> list[int]:
    """Every label of the frames but the background, sorted."""
    present = np.zeros(256, bool)
    for frame in frames:  # one by one: counting takes 8 bytes a pixel
        present |= np.bincount(frame.ravel(), minlength=256) > 0
    return [int(k) for k in np.flatnonzero(present) if k != 0]


def _named(objects: Sequence[int], annotation: IndexedMasks, noun: str | None) -> Iterator[tuple[int, str]]:
    if annotation.nouns:
        yield from ((k, annotation.nouns[k]) for k in objects if k in annotation.nouns)
    elif len(objects) == 1 and noun is not None:
        yield objects[0], noun
    elif objects:
        raise BadAnnotation("masks without nouns", f"{len(objects)} objects in {annotation.folder}")


def _labels(data: bytes, name: str) -> Labels:
    """Pixel values of a mask image as they are stored: palette indices, not colours."""
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise BadAnnotation("mask cannot be read", f"{name}: {error}") from None
    values = np.asarray(image)
    if values.ndim == 3:  # some masks of DAVIS 2016 are stored as grey colour images
        colours = values[..., : 1 if image.mode == "LA" else 3]
        if (colours != colours[..., :1]).any():
            raise BadAnnotation("mask is a colour image, not one of labels", name)
        values = colours[..., 0]
    if values.dtype not in (np.uint8, np.bool_):
        raise BadAnnotation("mask has more than 8 bits a pixel", f"{name}: {image.mode}")
    return values.astype(np.uint8)


class _FileTrack(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    id: int
    noun: str
    masks: list[str | None]


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    size: tuple[int, int]
    tracks: list[_FileTrack]


def _from_file(annotation: TrackFile, span: Span, size: Size, scale: Scale) -> Iterator[Tracklet]:
    folder, _, name = annotation.path.rpartition("/")
    try:
        said = _File.model_validate_json(_read(Storage.at(folder or "/"), name))
    except ValidationError as error:
        raise BadAnnotation("track file is broken", f"{name}: {first_error(error)}") from None
    ids = [track.id for track in said.tracks]
    if min(ids, default=1) < 1 or len(set(ids)) != len(ids):
        raise BadAnnotation("track file is broken", f"{name}: ids {ids} repeat or are below 1")
    for track in said.tracks:
        yield _tracklet(track, said.size, span, size, scale)


def _tracklet(track: _FileTrack, source_size: Size, span: Span, size: Size, scale: Scale) -> Tracklet:
    first, count = span
    where = f"track {track.id}"
    noun = " ".join(track.noun.lower().split())
    if not noun:
        raise BadAnnotation("track without a noun", where)
    if len(track.masks) < first + count:
        raise BadAnnotation("fewer masks than frames", f"{where}: {len(track.masks)} of {first + count}")
    try:
        masks = rle.decode_clip(track.masks[first : first + count], source_size)
    except ValueError as error:
        raise BadAnnotation("run lengths are broken", f"{where}: {error}") from None
    return Tracklet(
        id=track.id,
        noun=noun,
        masks=rle.encode_clip(np.stack([_resized(mask, size, scale) for mask in masks])),
    )


def _resized(labels: NDArray[np.uint8], size: Size, scale: Scale) -> NDArray[np.uint8]:
    """[H, W] of the source -> [h, w] of the clip: the source pixel under each clip pixel's centre."""
    height, width = labels.shape
    short = (height * scale[1] - size[0], width * scale[0] - size[1])
    if not all(-1 < missing < 2 for missing in short):  # a clip loses less than 2 pixels to its even size
        raise BadAnnotation(
            "mask size is not the video's", f"{width}x{height} at scale {scale} for {size[1]}x{size[0]}"
        )
    rows = np.minimum(((np.arange(size[0]) + 0.5) / scale[1]).astype(np.intp), height - 1)
    columns = np.minimum(((np.arange(size[1]) + 0.5) / scale[0]).astype(np.intp), width - 1)
    return labels[np.ix_(rows, columns)]


def _scaled(box: Box, size: Size, scale: Scale) -> Box | None:
    """A source box in clip pixels: edges at the nearest pixel edges, at least one pixel, cut to the frame."""
    height, width = size
    x0, y0, x1, y1 = (math.floor(edge * factor + 0.5) for edge, factor in zip(box, (*scale, *scale), strict=True))
    x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _read(storage: Storage, name: str) -> bytes:
    try:
        return storage.read(name)
    except Missing:
        raise BadAnnotation("annotation is missing", f"{storage.url}/{name}") from None
