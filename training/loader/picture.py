"""From a clip's pixels to a batch's: resized to cover the picture, cropped at the centre; masks and boxes too."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from shards.rle import Box, Size

MaskResize: TypeAlias = Literal["area", "nearest"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Crop:
    """How pictures of `source` become pictures of `size`, both (height, width)."""

    source: Size
    scaled: Size  # covers `size`
    top: int  # of the crop in the scaled picture
    left: int
    size: Size

    @classmethod
    def centred(cls, source: Size, size: Size) -> "Crop":
        """The smallest scaled picture that covers `size`, and the middle of it."""
        scale = max(size[0] / source[0], size[1] / source[1])
        scaled = max(size[0], round(source[0] * scale)), max(size[1], round(source[1] * scale))
        return cls(
            source=source, scaled=scaled, top=(scaled[0] - size[0]) // 2, left=(scaled[1] - size[1]) // 2, size=size
        )

    def cut(self, scaled: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The crop of a scaled picture [scaled H, scaled W, ...]."""
        height, width = self.size
        return scaled[self.top : self.top + height, self.left : self.left + width]

    def mask(self, mask: NDArray[np.bool_], how: MaskResize) -> NDArray[np.bool_]:
        """A mask of `source` as one of `size`, bool [H, W]. "area": pixels that it covers by one half or more."""
        height, width = self.scaled
        if how == "nearest":
            resized = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
            return self.cut(np.asarray(resized, np.uint8)).astype(bool)
        shrinks = height * width < mask.shape[0] * mask.shape[1]
        kind = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR  # area of an enlarged picture is nearest
        covered = np.asarray(cv2.resize(255 * mask.astype(np.uint8), (width, height), interpolation=kind), np.uint8)
        return self.cut(covered) >= 128

    def boxes(self, boxes: list[Box | None]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Boxes of `source` in pixels of the crop, float32 [F, 4] x0, y0, x1, y1; and where there is one, bool [F].

        What lies outside the crop is cut off; a box of which nothing is left, and one that was `None`, is four zeros.
        """
        corners = np.array([box or (0, 0, 0, 0) for box in boxes], np.float64).reshape(-1, 4)
        y, x = self.scaled[0] / self.source[0], self.scaled[1] / self.source[1]
        corners = corners * (x, y, x, y) - (self.left, self.top, self.left, self.top)
        corners = corners.clip(0, (self.size[1], self.size[0], self.size[1], self.size[0]))
        there = np.array([box is not None for box in boxes]) & (corners[:, 2:] > corners[:, :2]).all(1)
        return np.where(there[:, None], corners, 0).astype(np.float32), there
