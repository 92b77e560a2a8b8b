"""What can be had without learning: masks from boxes, and a first mask carried on."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from shards.rle import Box, Size

Frame: TypeAlias = NDArray[np.uint8]  # [H, W, 3], RGB
Frames: TypeAlias = Sequence[Frame] | NDArray[np.uint8]  # [T, H, W, 3]
Mask: TypeAlias = NDArray[np.bool_]  # [H, W]
Masks: TypeAlias = NDArray[np.bool_]  # [T, H, W]

GRABCUT_ROUNDS = 5


def filled_box(size: Size, box: Box) -> Mask:
    """Every pixel of the box."""
    mask = np.zeros(size, np.bool_)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def grabcut(frame: Frame, box: Box) -> Mask:
    """GrabCut (Rother et al., SIGGRAPH 2004) from a box; the filled box where no pixel lies outside of it."""
    height, width = frame.shape[:2]
    filled = filled_box((height, width), box)
    if filled.all():
        return filled
    cv2.setRNGSeed(0)
    labels = np.where(filled, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cut, *_ = cv2.grabCut(frame, labels, None, *models, GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    found: Mask = (cut == cv2.GC_FGD) | (cut == cv2.GC_PR_FGD)
    return found


def kept(frames: Frames, first: Mask) -> Masks:
    """The first mask in every frame."""
    return np.repeat(first[None], len(frames), axis=0)


def warped(frames: Frames, first: Mask) -> Masks:
    """The first mask moved along dense optical flow (DIS, Kroeger et al., ECCV 2016) from frame to frame."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    rows, columns = np.mgrid[: first.shape[0], : first.shape[1]].astype(np.float32)
    soft: NDArray[Any] = first.astype(np.float32)
    masks = [first]
    for before, now in pairwise(greys):
        way = flow.calc(now, before, np.zeros((*first.shape, 2), np.float32))  # where each pixel was a frame ago
        soft = cv2.remap(soft, columns + way[..., 0], rows + way[..., 1], cv2.INTER_LINEAR)
        masks.append(soft > 0.5)
    return np.stack(masks)
