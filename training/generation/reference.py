"""Boxes that follow the subject of a reference video, found by the pipeline's own detector, segmenter and tracker."""

from pathlib import Path

import numpy as np

from pipeline.models.deva_tracker import DevaSemiOnline
from pipeline.recipe import Recipe
from shards import rle
from shards import video as videos
from shards.rle import Size
from training.generation.boxes import Boxes, checked
from training.generation.subject import find
from training.loader.picture import Crop


def boxes_of_video(path: str | Path, noun: str, size: Size, num_frames: int, fps: float, recipe: Recipe) -> Boxes:
    """Of the first `num_frames` frames at `fps`, cropped as a training clip is to `size`, as shares of it.

    Raises `ValueError` where the video is shorter, where its first frame does not show the noun, or where it is lost
    at once.
    """
    try:
        info = videos.probe(str(path))
    except videos.Unreadable as error:
        raise ValueError(f"{path}: no video that can be followed ({error}); give another") from None
    stride = max(1, round(info.num_frames / (info.end - info.pts[0]) / fps))
    wanted = range(0, num_frames * stride, stride)
    if wanted[-1] >= info.num_frames:
        raise ValueError(
            f"{path}: {info.num_frames} frames are too few for {num_frames} at {fps:g} a second; give a longer video"
        )
    (first,) = videos.frames(str(path), [0])
    segment = find(first, noun, recipe, str(path))
    assert recipe.tracker.model is not None
    asking = recipe.tracker.asking(recipe.grounder.model, recipe.segmenter.model)
    assert asking.model is not None
    if isinstance(asking.model, DevaSemiOnline):  # finds the noun by itself
        (track, *_) = asking.model.open()(str(path), info.num_frames, noun)
    else:
        (track, *_) = asking.model.open()(str(path), info.num_frames, [segment])
    boxes = [None if mask is None else rle.box(mask, (info.height, info.width)) for mask in track.masks]
    crop = Crop.centred((info.height, info.width), size)
    pixels, there = crop.boxes([boxes[number] for number in wanted])
    shares = pixels.astype(np.float64) / np.array([size[1], size[0], size[1], size[0]])
    shares[~there] = np.nan
    return checked(shares, str(path))
