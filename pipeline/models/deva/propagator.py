"""Carries the masks of one frame through a clip, forwards and backwards."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.models.deva.core import Core
from pipeline.models.deva.frames import (
    Frame,
    Masks,
    Observer,
    TrackedFrame,
    at_size,
    checked,
    to_image,
)
from pipeline.models.deva.network import Deva, aggregate
from pipeline.models.deva.settings import Propagation

BACKWARD_FRAMES = 16
"""Frames held at a time where a clip is followed backwards, since videos are read forwards."""


class Propagator:
    """Tracks given masks. Holds the network and settings only: clips may be tracked side by side.

    Raises `ValueError` for a network in training mode.
    """

    def __init__(self, network: Deva, settings: Propagation) -> None:
        network.check_eval()
        self.network = network
        self.settings = settings

    def track(self, frames: Iterable[Frame], first_masks: Masks) -> Iterator[TrackedFrame]:
        """One answer a frame, uint8 [H, W, 3], as it is read; objects are 1 to K.

        `first_masks` [K, H, W] are the objects in the first frame; where two overlap, the first of them is seen
        there. Raises `ValueError` for masks without a pixel or of another size than the frames.
        """
        _check_masks(first_masks)
        return self._tracked(enumerate(frames), first_masks)

    def track_from(
        self, frames_of: Callable[[range], Iterable[Frame]], num_frames: int, seed: int, masks: Masks
    ) -> Iterator[TrackedFrame]:
        """As `track`, from the masks of frame `seed`: forwards to the clip's end, then backwards to its begin.

        `frames_of` reads the frames of an ascending range. Every frame is answered once, by its index.
        """
        if not 0 <= seed < num_frames:
            raise ValueError(f"frame {seed} with the masks is none of the clip's {num_frames} frames, from 0")
        _check_masks(masks)
        onwards = range(seed, num_frames)
        forwards = self._tracked(_numbered(onwards, frames_of(onwards)), masks)
        if not seed:
            return forwards
        backwards = self._tracked(_backwards(frames_of, seed), masks)
        return chain(forwards, islice(backwards, 1, None))

    def _tracked(self, frames: Iterable[tuple[int, Frame]], masks: Masks) -> Iterator[TrackedFrame]:
        core, observer = Core(self.network, self.settings), Observer()
        ids = tuple(range(1, len(masks) + 1))
        seeded = torch.tensor(masks, device=self.network.device).float()
        for index, frame in checked(frames):
            size = frame.shape[0], frame.shape[1]
            encoded = core.encode(to_image(frame, self.settings.input_size(size), self.network.device))
            if core.memory.num_objects:
                maps = at_size(core.step(encoded), size)
            else:
                _check_size(seeded, size)
                core.step(encoded, covered(seeded, encoded.size))
                # At the frame's own size, not by way of the network's.
                maps = torch.softmax(aggregate(seeded), dim=0)
            yield observer.see(index, maps, ids)


def _check_masks(masks: Masks) -> None:
    if masks.dtype != np.bool_ or masks.ndim != 3 or not len(masks):
        raise ValueError(f"masks are {masks.dtype} {masks.shape}: must be bool (K, H, W) of one object or more")
    for k in np.flatnonzero(~masks.any(axis=(1, 2))):
        raise ValueError(f"the mask of object {k + 1} has no pixel: leave the object out")


def _check_size(masks: Tensor, size: tuple[int, ...]) -> None:
    if masks.shape[1:] != size:
        raise ValueError(f"masks are {tuple(masks.shape[1:])} and frames {size}: give masks of the frames' size")


def covered(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks [K, H, W] at another size: the share of each pixel that an object covers, so that none vanishes."""
    return functional.interpolate(masks[None], size, mode="area")[0] if masks.shape[1:] != size else masks


def _numbered(numbers: range, frames: Iterable[Frame]) -> Iterator[tuple[int, Frame]]:
    read = 0
    for numbered in zip(numbers, frames, strict=False):
        yield numbered
        read += 1
    if read < len(numbers):
        raise ValueError(f"only {read} frames came of {numbers}: num_frames is not the clip's")


def _backwards(frames_of: Callable[[range], Iterable[Frame]], last: int) -> Iterator[tuple[int, Frame]]:
    """Frames from `last` down to 0, a few read forwards at a time."""
    for end in range(last + 1, 0, -BACKWARD_FRAMES):
        part = range(max(0, end - BACKWARD_FRAMES), end)
        yield from reversed(list(_numbered(part, frames_of(part))))
