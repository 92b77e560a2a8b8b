"""A sample as its four members in a tar, and back; and the decoder for readers with plain webdataset."""

import hashlib
import json
import zlib
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards import rle
from shards.sample import SCHEMA, InvalidSample, Sample, Track

MEMBERS = ("json", "masks", "mp4", "strip.jpg")
"""What stands behind KEY and a dot, in the order of the tar."""


def to_members(sample: Sample) -> dict[str, bytes]:
    """The content of KEY.json, KEY.masks, KEY.mp4 and KEY.strip.jpg; the same sample always gives the same
    bytes.

    Raises `InvalidSample` where a value has no place in JSON: NaN, infinity, half a surrogate pair.
    """
    try:
        description = canonical_json(_description(sample))
    except ValueError as error:
        raise InvalidSample(f"sample {sample.key}: {error}; measure it anew or leave it out") from None
    members = (description, _masks_member(sample), sample.video, sample.strip)
    return dict(zip(MEMBERS, members, strict=True))


def from_members(key: str, members: Mapping[str, bytes]) -> Sample:
    """The sample that `to_members` took apart; raises `InvalidSample` where the members are not one."""
    missing = [name for name in MEMBERS if name not in members]
    if missing:
        raise InvalidSample(f"sample {key}: no member {', '.join(missing)}")
    try:
        said = _read_description(members["json"])
        masks = _read_masks(members["masks"])
        return _sample(key, said, masks, members["mp4"], members["strip.jpg"])
    except InvalidSample:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, zlib.error) as error:
        raise InvalidSample(f"sample {key}: not as the format has it: {error!r}") from error


def content_sha256(members: Mapping[str, bytes]) -> str:
    """Names what people judge of a sample, its video and its masks; a verdict holds for this content only."""
    digest = hashlib.sha256(members["mp4"])
    digest.update(members["masks"])
    return digest.hexdigest()


def decoder(name: str, data: bytes) -> Any:
    """For `webdataset.WebDataset(...).decode(decoder)`; answers `None` for members that are not of this
    format.

    mp4 -> frames, uint8 [T, H, W, 3] RGB; masks -> {track id: bool [T, H, W]}; json -> the description, boxes
    as [x0, y0, x1, y1] or None for each frame of each track. The thumbnail strip stays JPEG bytes.
    """
    read = {".mp4": _frames, ".masks": decode_masks, ".json": _read_description}.get(name)
    return None if read is None else read(data)


def decode_masks(data: bytes) -> dict[int, NDArray[np.bool_]]:
    """The masks member as arrays: {track id: bool [T, H, W]}."""
    said = _read_masks(data)
    height, width = said["size"]
    return {t["id"]: rle.decode_clip(t["counts"], (height, width)) for t in said["tracks"]}


def run_lengths(data: bytes) -> tuple[rle.Size, dict[int, tuple[rle.Rle | None, ...]]]:
    """The masks member undrawn, for who needs few of its frames: the clip's size, {track id: run lengths [T]}."""
    said = _read_masks(data)
    height, width = said["size"]
    return (height, width), {track["id"]: tuple(track["counts"]) for track in said["tracks"]}


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys, no spaces, UTF-8: the same value always gives the same bytes."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def _description(sample: Sample) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "key": sample.key,
        "caption": sample.caption,
        "subject": sample.subject,
        "width": sample.width,
        "height": sample.height,
        "pts": sample.pts,
        "time_base": [sample.time_base.numerator, sample.time_base.denominator],
        "tracks": [_track_description(track) for track in sample.tracks],
        "scores": dict(sample.scores),
        "provenance": dict(sample.provenance),
    }


def _track_description(track: Track) -> dict[str, Any]:
    return {
        "id": track.id,
        "noun": track.noun,
        "boxes": track.boxes,
        "scores": dict(track.scores),
        "series": dict(track.series),
    }


def _masks_member(sample: Sample) -> bytes:
    tracks = [{"id": track.id, "counts": track.masks} for track in sample.tracks]
    return zlib.compress(canonical_json({"size": sample.size, "tracks": tracks}), 9)


def _read_description(data: bytes) -> dict[str, Any]:
    said = dict(json.loads(data))
    if said["schema"] > SCHEMA:
        wrote = f"sample {said['key']}: written in format {said['schema']}"
        raise InvalidSample(f"{wrote}, this code reads up to {SCHEMA}; update it")
    return said


def _read_masks(data: bytes) -> dict[str, Any]:
    return dict(json.loads(zlib.decompress(data)))


def _frames(data: bytes) -> NDArray[np.uint8]:
    from shards import video  # loads FFmpeg, which those who read no frames do without

    return np.stack(list(video.frames(data)))


def _sample(key: str, said: dict[str, Any], masks: dict[str, Any], mp4: bytes, strip: bytes) -> Sample:
    if said["key"] != key:
        raise InvalidSample(f"sample {key}: its description is of {said['key']}")
    if masks["size"] != [said["height"], said["width"]]:
        raise InvalidSample(f"sample {key}: masks of {masks['size']}, video of {said['height']}, {said['width']}")
    counts = {track["id"]: tuple(track["counts"]) for track in masks["tracks"]}
    if list(counts) != [track["id"] for track in said["tracks"]]:
        raise InvalidSample(f"sample {key}: masks of tracks {list(counts)} beside other boxes")
    return Sample(
        key=key,
        video=bytes(mp4),
        strip=bytes(strip),
        pts=tuple(said["pts"]),
        time_base=Fraction(*said["time_base"]),
        width=said["width"],
        height=said["height"],
        caption=said["caption"],
        subject=said["subject"],
        tracks=tuple(_track(track, counts[track["id"]]) for track in said["tracks"]),
        scores=said["scores"],
        provenance=said["provenance"],
    )


def _track(said: dict[str, Any], counts: tuple[rle.Rle | None, ...]) -> Track:
    return Track(
        id=said["id"],
        noun=said["noun"],
        masks=counts,
        boxes=tuple(None if box is None else _box(*box) for box in said["boxes"]),
        scores=said["scores"],
        series={name: tuple(values) for name, values in said["series"].items()},
    )


def _box(x0: int, y0: int, x1: int, y1: int) -> rle.Box:
    return x0, y0, x1, y1
