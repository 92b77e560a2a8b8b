"""Frames on their way into the network, and what it says of them on the way back to the frames' own size."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import hypot
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Frame: TypeAlias = NDArray[np.uint8]  # [H, W, 3], RGB
Masks: TypeAlias = NDArray[np.bool_]  # [K, H, W]
Size: TypeAlias = tuple[int, int]  # height, width, pixels

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's RGB, 0-1
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class TrackedFrame:
    """Where K objects are in a frame, and the frame's entry of their series."""

    index: int  # number of the frame in its clip, from 0
    ids: tuple[int, ...]  # [K]: names of the objects, the same in all frames of the clip
    probabilities: Tensor  # [K + 1, H, W] float32, background first; on the network's device
    masks: Masks  # [K, H, W]: where an object is the likeliest; disjoint
    confidence: tuple[float | None, ...]  # [K]: mean probability of the object over its mask; None where it is empty
    area: tuple[float, ...]  # [K]: share of the frame, 0-1
    shift: tuple[float | None, ...]  # [K]: way of the mask's centre since the frame tracked before, over the diagonal


class Observer:
    """Makes `TrackedFrame`s of one clip's frames in the order in which they are tracked."""

    def __init__(self) -> None:
        self._centres: dict[int, tuple[float, float]] = {}  # y, x of the objects seen in the frame before

    @torch.inference_mode()
    def see(self, index: int, probabilities: Tensor, ids: tuple[int, ...]) -> TrackedFrame:
        """The record of a frame from its probabilities [K + 1, H, W], background first."""
        labels = probabilities.argmax(dim=0)
        masks = labels == torch.arange(1, len(ids) + 1, device=labels.device)[:, None, None]
        masks_array = masks.cpu().numpy()
        area = masks_array.mean(axis=(1, 2)).tolist()
        before, self._centres = self._centres, _centres(masks_array, ids)
        return TrackedFrame(
            index=index,
            ids=ids,
            probabilities=probabilities,
            masks=masks_array,
            confidence=tuple(
                float(probabilities[k + 1][masks[k]].mean()) if area[k] else None for k in range(len(ids))
            ),
            area=tuple(area),
            shift=tuple(_shift(before.get(i), self._centres.get(i), labels.shape) for i in ids),
        )


def _centres(masks: Masks, ids: tuple[int, ...]) -> dict[int, tuple[float, float]]:
    centres = {}
    for object_id, mask in zip(ids, masks, strict=True):
        rows, columns = mask.sum(axis=1), mask.sum(axis=0)
        if total := rows.sum():
            y, x = rows @ np.arange(len(rows)) / total, columns @ np.arange(len(columns)) / total
            centres[object_id] = float(y), float(x)
    return centres


def _shift(before: tuple[float, float] | None, now: tuple[float, float] | None, size: torch.Size) -> float | None:
    if before is None or now is None:
        return None
    return hypot(now[0] - before[0], now[1] - before[1]) / hypot(*size)


def checked(frames: Iterable[tuple[int, Frame]]) -> Iterator[tuple[int, Frame]]:
    """The same numbered frames; raises `ValueError` at one that is not uint8 [H, W, 3] of the first one's size."""
    shape = None
    for number, frame in frames:
        shape = shape or frame.shape
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.shape != shape:
            raise ValueError(
                f"frame {number} is {frame.dtype} {frame.shape}: all frames must be uint8 (H, W, 3) of one size"
            )
        yield number, frame


def to_image(frame: Frame, size: Size, device: torch.device) -> Tensor:
    """The network's input [3, *size] from a frame, normalised and then brought to size."""
    image = torch.tensor(frame, device=device).permute(2, 0, 1).float() / 255
    image = (image - image.new_tensor(MEAN)[:, None, None]) / image.new_tensor(STD)[:, None, None]
    return at_size(image, size)


def at_size(maps: Tensor, size: Size) -> Tensor:
    """Maps [C, H, W] brought to `size` bilinearly; untouched where they have it."""
    if maps.shape[-2:] == size:
        return maps
    return functional.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]
