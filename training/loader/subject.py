"""The subject image: which frame it is taken from, and how the subject is cut out of it."""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from training.loader.settings import Augmentation, Reference


def is_informative(mask: NDArray[np.bool_], reference: Reference) -> bool:
    """Whether a frame with this mask, bool [H, W], shows enough of the subject."""
    if np.count_nonzero(mask) < max(reference.min_area * mask.size, 1):
        return False
    edges = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
    return reference.at_border or not any(edge.any() for edge in edges)


def cut_out(
    frame: NDArray[np.uint8], mask: NDArray[np.bool_], reference: Reference, generator: Generator
) -> NDArray[np.uint8]:
    """The subject of `frame`, uint8 [H, W, 3], on a blank background; augmented where the settings say so."""
    if reference.augmentation is not None:
        frame, mask = _augmented(frame, mask, reference.augmentation, generator)
    subject = np.full(frame.shape, reference.blank, np.uint8)
    cv2.copyTo(frame, mask.view(np.uint8), subject)  # many times as fast as numpy's
    return subject


def _augmented(
    frame: NDArray[np.uint8], mask: NDArray[np.bool_], by: Augmentation, generator: Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Moved about the middle of the subject, so that little of it leaves the picture; blurred; recoloured."""
    flip, turn, scale, blur, *colour = generator.random(8)
    height, width = mask.shape
    y, x = np.nonzero(mask)
    centre = (float(x.mean()), float(y.mean())) if x.size else (width / 2, height / 2)
    motion = cv2.getRotationMatrix2D(centre, by.degrees * (2 * turn - 1), 1 + by.scale * (2 * scale - 1))
    if flip < by.flip:
        motion = motion @ np.array([[-1, 0, 2 * centre[0]], [0, 1, 0], [0, 0, 1]])
    moved = cv2.warpAffine(frame, motion, (width, height), borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpAffine(255 * mask.astype(np.uint8), motion, (width, height)) >= 128
    if by.blur * blur > 0.1:
        moved = cv2.GaussianBlur(moved, (0, 0), by.blur * blur)
    gains = 1 + by.colour * (2 * np.array(colour) - 1)
    painted = moved * (gains[0] * gains[1:])
    return painted.round().clip(0, 255).astype(np.uint8), mask
