"""What training gets: a batch of clips as tensors."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Bool, Float16, Float32, Int64, UInt8
from numpy.typing import NDArray
from torch import Tensor

from training.loader.clips import Clip
from training.loader.example import Example, Told
from training.loader.latents import Latents
from training.loader.rooms import Room, Sent, arrived, sent


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """A sample that could not be read, and was replaced by another."""

    key: str
    shard: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """B clips of F frames, H x W pixels. Boxes are x0, y0, x1, y1 in pixels, half-open, inside the picture."""

    frames: UInt8[Tensor, "batch frames height width 3"] | Float16[Tensor, "batch frames channels h w"]
    """RGB, or latents where they are encoded."""
    boxes: Float32[Tensor, "batch frames 4"]  # zeros where the subject is not in the frame
    present: Bool[Tensor, "batch frames"]  # where there is a box
    subjects: UInt8[Tensor, "batch height width 3"] | Float16[Tensor, "batch channels h w"]
    """The subject images, on a blank background, or latents where they are encoded."""
    masks: Bool[Tensor, "batch frames height width"] | None  # the subjects' own; None unless the loader was asked
    captions: tuple[str, ...]  # [B], "" where it was dropped
    nouns: tuple[str, ...]  # [B]
    keys: tuple[str, ...]  # [B], the samples'
    noise_seeds: Int64[Tensor, " batch"]  # noise and timestep of each clip are drawn from its own seed
    faults: tuple[Fault, ...]  # what could not be read meanwhile
    end: int  # position of the stream behind this global batch
    encoded: bool  # whether frames and subjects are latents, from the cache
    names: tuple[str | None, ...]  # [B], in the latent cache; None where there is none, and of a substitute

    def __len__(self) -> int:
        return len(self.keys)

    def first(self, count: int) -> Self:
        """Its first `count` clips, or all of fewer."""
        tuples = {name: getattr(self, name)[:count] for name in ("captions", "nouns", "keys", "names")}
        return replace(self._each(lambda tensor: tensor[:count]), **tuples)

    def kept(self) -> Self:
        """The same, its pictures in memory of their own."""
        return replace(self, frames=self.frames.clone(), subjects=self.subjects.clone())

    def to(self, device: torch.device) -> Self:
        """The same batch with its tensors on `device`."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """For torch's `DataLoader`."""
        return self._each(Tensor.pin_memory)

    def __reduce__(self) -> tuple[Any, ...]:
        """As a worker sends it: its room by name, and what is small as arrays, for no tensor travels lightly."""
        said = {f.name: getattr(self, f.name) for f in fields(self)}
        small = {name: said.pop(name).numpy() for name in ("boxes", "present", "noise_seeds")}
        room = sent(self.frames)
        if room is not None:
            del said["frames"], said["subjects"]
        return _received, (type(self), said, small, room)

    def _each(self, change: Any) -> Self:
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: change(value) for name, value in tensors.items() if isinstance(value, Tensor)})


def collate(
    examples: Sequence[Example], room: Room, faults: Sequence[Fault], end: int, names: Sequence[str | None]
) -> Batch:
    """A batch of examples of one size, whose frames lie in `room` already."""
    masks = [torch.from_numpy(one.masks) for one in examples if one.masks is not None]
    for place, one in zip(room.subjects, examples, strict=True):
        place.copy_(torch.from_numpy(one.subject))
    return Batch(
        frames=room.frames,
        boxes=torch.stack([torch.from_numpy(one.boxes) for one in examples]),
        present=torch.stack([torch.from_numpy(one.present) for one in examples]),
        subjects=room.subjects,
        masks=torch.stack(masks) if masks else None,
        captions=tuple(one.caption for one in examples),
        nouns=tuple(one.noun for one in examples),
        keys=tuple(one.key for one in examples),
        noise_seeds=torch.tensor([one.noise_seed for one in examples], dtype=torch.int64),
        faults=tuple(faults),
        end=end,
        encoded=False,
        names=tuple(names),
    )


def collate_latents(
    clips: Sequence[Clip], said: Sequence[Told], latents: Sequence[Latents], end: int, names: Sequence[str]
) -> Batch:
    """A batch of clips that were encoded before."""
    return Batch(
        frames=torch.stack([torch.from_numpy(one.frames) for one in latents]),
        boxes=torch.stack([torch.from_numpy(one.boxes) for one in latents]),
        present=torch.stack([torch.from_numpy(one.present) for one in latents]),
        subjects=torch.stack([torch.from_numpy(one.subject) for one in latents]),
        masks=None,
        captions=tuple(one.caption for one in said),
        nouns=tuple(clip.subject for clip in clips),
        keys=tuple(clip.key for clip in clips),
        noise_seeds=torch.tensor([one.noise_seed for one in said], dtype=torch.int64),
        faults=(),
        end=end,
        encoded=True,
        names=tuple(names),
    )


def _received(
    kind: type[Batch], said: dict[str, Any], small: dict[str, NDArray[np.generic]], room: Sent | None
) -> Batch:
    tensors: dict[str, Any] = {name: torch.from_numpy(array) for name, array in small.items()}
    if room is not None:
        tensors |= arrived(room)._asdict()
    return kind(**said, **tensors)
