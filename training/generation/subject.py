"""A subject image: cut out by its mask, or by the pipeline's own detector and segmenter, on a blank background."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pipeline.recipe import Recipe
from pipeline.records import Detection, Segment
from shards import rle
from shards.rle import Size
from training.loader.picture import Crop
from training.loader.settings import Reference

Picture = NDArray[np.uint8]  # [H, W, 3], RGB
Mask = NDArray[np.bool_]  # [H, W]


def read_image(path: str | Path) -> tuple[Picture, Mask | None]:
    """An image, and its mask where it has transparent pixels. Raises `ValueError`."""
    pixels = _pixels(path, "RGBA", "give a PNG, JPEG or WebP")
    alpha = pixels[..., 3] >= 128
    return np.ascontiguousarray(pixels[..., :3]), None if alpha.all() else alpha


def read_mask(path: str | Path, size: Size) -> Mask:
    """A mask image of `size`: the subject is what is light."""
    mask = _pixels(path, "L", "give a black and white PNG") >= 128
    if mask.shape != size:
        raise ValueError(f"{path}: a mask of {mask.shape} for an image of {size}; give one of the same size")
    return mask


def find(picture: Picture, noun: str, recipe: Recipe, where: str) -> Segment:
    """The best `noun` that the recipe's detector and segmenter see. Raises `ValueError` where there is none."""
    assert recipe.grounder.model is not None
    assert recipe.segmenter.model is not None
    (seen,) = recipe.grounder.model.open()([(picture, (noun,))])
    if not seen:
        raise ValueError(f"{where}: the detector sees no {noun}; give another noun, another image, or a mask")
    best = max(seen, key=_score)
    (segments,) = recipe.segmenter.model.open()([(picture, (best,))])
    if not segments:
        raise ValueError(f"{where}: the segmenter sees nothing in the {noun}'s box; give another image, or a mask")
    return segments[0]


def mask_of(segment: Segment, size: Size) -> Mask:
    mask: Mask = rle.decode(segment.mask, size)
    return mask


def framed(picture: Picture, mask: Mask, size: Size, where: str) -> Picture:
    """The subject at the clip's size, cropped as a training clip is, on the blank that training showed."""
    if not mask.any():
        raise ValueError(f"{where}: no subject in the image, for its mask is empty; give another mask or image")
    crop = Crop.centred(mask.shape, size)
    height, width = crop.scaled
    scaled = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))
    inside = crop.mask(mask, "area")
    if not inside.any():
        raise ValueError(f"{where}: no subject is left in the middle of the image, to which it is cropped; centre it")
    return np.where(inside[..., None], crop.cut(scaled), np.uint8(Reference().blank))


def _pixels(path: str | Path, mode: str, mend: str) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert(mode), np.uint8)
    except UnidentifiedImageError:
        raise ValueError(f"{path}: no image; {mend}") from None
    except OSError as error:  # no file, or one that ends too early
        raise ValueError(f"{path}: {error.strerror or error}; {mend}") from None


def _score(detection: Detection) -> float:
    return detection.score or 0.0
