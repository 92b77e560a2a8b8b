"""What training gets: a batch of clips as tensors."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from jaxtyping import Bool, Float16, Float32, Int64, UInt8
from torch import Tensor

from training.loader.clips import Clip
from training.loader.example import Example, Told
from training.loader.latents import Latents


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
        """The same, its frames in memory of their own."""
        return replace(self, frames=self.frames.clone())

    def to(self, device: torch.device) -> Self:
        """The same batch with its tensors on `device`."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """For torch's `DataLoader`."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Any) -> Self:
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: change(value) for name, value in tensors.items() if isinstance(value, Tensor)})


def collate(
    examples: Sequence[Example], frames: Tensor, faults: Sequence[Fault], end: int, names: Sequence[str | None]
) -> Batch:
    """A batch of examples of one size, whose frames lie in `frames` already."""
    masks = [torch.from_numpy(one.masks) for one in examples if one.masks is not None]
    return Batch(
        frames=frames,
        boxes=torch.stack([torch.from_numpy(one.boxes) for one in examples]),
        present=torch.stack([torch.from_numpy(one.present) for one in examples]),
        subjects=torch.stack([torch.from_numpy(one.subject) for one in examples]),
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


def rooms(shape: Sequence[int]) -> Iterator[Tensor]:
    """Memory for the frames of one batch after the other, uint8 of `shape`."""
    while True:
        yield torch.empty(tuple(shape), dtype=torch.uint8)


def shared_rooms(shape: Sequence[int], count: int) -> Iterator[Tensor]:
    """`count` of them by turns, in memory that is shared with the trainer.

    A system may take longer to find new memory for a batch than a worker to draw into it.
    """
    return itertools.cycle([next(rooms(shape)).share_memory_() for _ in range(count)])  # type: ignore[no-untyped-call]
