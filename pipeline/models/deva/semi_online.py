"""DEVA's semi-online mode: a detector asked every few frames, its answers voted on and merged into the tracking."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.models.deva.consensus import consensus
from pipeline.models.deva.core import Core, EncodedFrame, Merged
from pipeline.models.deva.frames import Frame, Observer, TrackedFrame, at_size, checked, to_image
from pipeline.models.deva.network import Deva
from pipeline.models.deva.objects import Labels, ObjectTable, Segmentation, TrackedObject
from pipeline.models.deva.settings import Propagation, SemiOnline

Detect: TypeAlias = Callable[[Frame], Segmentation]


@dataclass(frozen=True, kw_only=True)
class SemiOnlineFrame(TrackedFrame):
    objects: tuple[TrackedObject, ...]  # [K], as they were known when the frame was tracked


class SemiOnlineTracker:
    """Tracks whatever `detect` finds, which gives labels of the frame's size (`segmentation` paints them).

    Raises `ValueError` for a network in training mode.
    """

    def __init__(self, network: Deva, propagation: Propagation, settings: SemiOnline, detect: Detect) -> None:
        network.check_eval()
        self.network = network
        self.propagation = propagation
        self.settings = settings
        self.detect = detect

    def track(self, frames: Iterable[Frame]) -> Iterator[SemiOnlineFrame]:
        """One answer a frame, uint8 [H, W, 3], up to `num_voting_frames` - 1 frames after it was read.

        A clip shorter than `num_voting_frames` is never voted on and has no objects.
        """
        clip = _Clip(Core(self.network, self.propagation), self.settings)
        waiting: list[tuple[EncodedFrame, Segmentation]] = []
        vote_at = self.settings.num_voting_frames - 1
        for t, frame in checked(enumerate(frames)):
            clip.size = frame.shape[0], frame.shape[1]
            image = to_image(frame, self.propagation.input_size(clip.size), self.network.device)
            encoded = clip.core.encode(image)
            if t + self.settings.num_voting_frames <= vote_at:
                yield clip.step(encoded)
                continue
            waiting.append((encoded, _reduced(self._detected(frame), encoded.size)))
            if t == vote_at:
                yield clip.vote(waiting)
                yield from (clip.step(later) for later, _ in waiting[1:])
                waiting = []
                vote_at += self.settings.detection_every
        yield from (clip.step(left) for left, _ in waiting)

    def _detected(self, frame: Frame) -> Segmentation:
        found = self.detect(frame)
        if found.labels.shape != frame.shape[:2]:
            raise ValueError(f"detected labels are {found.labels.shape}, the frame {frame.shape[:2]}: give its size")
        return found


class _Clip:
    """What is known of one clip on its way."""

    def __init__(self, core: Core, settings: SemiOnline) -> None:
        self.core = core
        self.size = (0, 0)  # of its frames
        self._table = ObjectTable(settings.max_missed_detections, settings.max_num_objects)
        self._observer = Observer()

    def step(self, frame: EncodedFrame) -> SemiOnlineFrame:
        return self._seen(self.core.step(frame))

    def vote(self, waiting: list[tuple[EncodedFrame, Segmentation]]) -> SemiOnlineFrame:
        """Brings what the waiting frames agree on into the first of them."""
        first = waiting[0][0]
        agreed = consensus([aligned(self.core, frame, detected, first) for frame, detected in waiting])
        padded = first.pad(torch.from_numpy(agreed.labels)[None])[0].numpy()

        def merge(carried: Tensor) -> Merged:
            new = Segmentation(labels=padded, votes=agreed.votes)
            kept, masks = self._table.merge(carried.cpu().numpy(), new)
            return Merged(kept, torch.from_numpy(masks).to(carried.device))

        return self._seen(self.core.incorporate(first, merge))

    def _seen(self, maps: Tensor) -> SemiOnlineFrame:
        seen = self._observer.see(self.core.time, at_size(maps, self.size), self._table.ids)
        inherited = {field.name: getattr(seen, field.name) for field in fields(seen)}
        return SemiOnlineFrame(**inherited, objects=self._table.objects)


def aligned(core: Core, source: EncodedFrame, detected: Segmentation, target: EncodedFrame) -> Segmentation:
    """What was detected in `source` where the network sees it in `target`."""
    if source is target or not detected.votes:
        return detected
    masks = np.arange(1, len(detected.votes) + 1)[:, None, None] == detected.labels
    maps = core.aligned(source, torch.from_numpy(masks).to(core.network.device), target)
    return Segmentation(labels=maps.argmax(dim=0).cpu().numpy(), votes=detected.votes)


def _reduced(detected: Segmentation, size: tuple[int, int]) -> Segmentation:
    if detected.labels.shape == size:
        return detected
    labels = torch.from_numpy(detected.labels)[None, None].double()
    reduced: Labels = functional.interpolate(labels, size, mode="nearest-exact")[0, 0].long().numpy()
    return Segmentation(labels=reduced, votes=detected.votes)
