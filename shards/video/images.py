"""A folder of images as the H.264 clip that a shard ships."""

import io
from collections.abc import Iterator, Sequence
from fractions import Fraction

import fsspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from shards.video import encoding
from shards.video.clip import ClipSize, Transcoded, checked, clip_size
from shards.video.encoding import CRF, KEYFRAME_SECONDS
from shards.video.source import Unreadable


def from_images(
    paths: Sequence[str],
    frame_rate: float,
    *,
    max_side: int | None = None,
    crf: float = CRF,
    keyframe_seconds: float = KEYFRAME_SECONDS,
) -> Transcoded:
    """A clip of images (paths or fsspec URLs) in the given order, `frame_rate` of them a second; PyAV encodes it.

    Images are turned upright by their EXIF. Raises `Unreadable` for a missing or broken image and for one of another
    size, `ValueError` where `paths` is empty.
    """
    if not paths:
        raise ValueError("a clip needs at least one image")
    first = _image(paths[0])
    height, width = first.shape[:2]
    target = clip_size(width, height, max_side)
    pts, time_base = range(len(paths)), 1 / Fraction(frame_rate).limit_denominator(1001)
    pictures = _images(paths, (height, width), target)
    data = encoding.encode(pictures, pts, time_base, crf=crf, keyframe_seconds=keyframe_seconds)
    return checked(data, encoding.in_mp4_units(pts, time_base)[0], target.scale)


def _images(paths: Sequence[str], size: tuple[int, int], target: ClipSize) -> Iterator[NDArray[np.uint8]]:
    for path in paths:
        picture = _image(path)
        if picture.shape[:2] != size:
            (height, width), (first_height, first_width) = picture.shape[:2], size
            raise Unreadable("image_sizes", f"{width}x{height} after {first_width}x{first_height}")
        if target.scale != (1.0, 1.0):
            resized = Image.fromarray(picture).resize(target.scaled, Image.Resampling.BOX)
            picture = np.asarray(resized, np.uint8)
        yield picture


def _image(path: str) -> NDArray[np.uint8]:
    """uint8 [H, W, 3]"""
    try:
        with fsspec.open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise Unreadable("missing", path) from None
    try:
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        return np.asarray(image.convert("RGB"), np.uint8)
    except (OSError, SyntaxError) as error:
        raise Unreadable("not_an_image", str(error)) from None
