"""Memory for the pictures of batches: a worker draws in what it shares with the trainer, and sends each room once.

To send a tensor is a handshake between two processes, and one that decodes is slow to answer: a step would wait for it.
So a room has a name, which is all that goes with the batches after its first.
"""

import itertools
from collections.abc import Iterator, Sequence
from math import prod
from typing import NamedTuple, Self

import torch
from torch import Tensor


class Room(NamedTuple):
    """Where the pictures of a batch are drawn."""

    frames: Tensor  # uint8 [B, F, H, W, 3]
    subjects: Tensor  # uint8 [B, H, W, 3], behind the frames in the same memory

    @classmethod
    def of(cls, frames: Sequence[int], memory: Tensor | None = None) -> Self:
        """A room for frames of this shape; in `memory`, uint8 [N], where it is given."""
        batch, count, *picture = frames
        if memory is None:
            memory = torch.empty(batch * (count + 1) * prod(picture), dtype=torch.uint8)
        size = prod(frames)
        return cls(memory[:size].view(*frames), memory[size:].view(batch, *picture))


class Sent(NamedTuple):
    """A room on its way."""

    name: str
    frames: tuple[int, ...]  # shape
    memory: Tensor | None  # None where the trainer has it


_shared: dict[int, tuple[str, Tensor]] = {}
"""In a worker: its rooms by where their frames begin."""

_known: set[str] = set()
"""In a worker: names of rooms that were sent."""

_here: dict[str, Tensor] = {}
"""In a trainer: the memory of its workers' rooms."""


def rooms(frames: Sequence[int]) -> Iterator[Room]:
    """One after the other for frames of this shape, each in memory of its own."""
    while True:
        yield Room.of(frames)


def shared_rooms(frames: Sequence[int], count: int, owner: str) -> Iterator[Room]:
    """`count` of them by turns, in memory that is shared with the trainer; `owner` names whose they are.

    A system may take longer to find new memory for a batch than a worker to draw into it.
    """
    made = []
    for number in range(count):
        memory = torch.empty(prod(frames) + prod(frames) // frames[1], dtype=torch.uint8)
        memory.share_memory_()  # type: ignore[no-untyped-call]
        made.append(Room.of(frames, memory))
        _shared[memory.data_ptr()] = f"{owner}/{number}", memory
    return itertools.cycle(made)


def sent(frames: Tensor) -> Sent | None:
    """How the room with these frames goes to the trainer; None where it is not one of this worker's."""
    if frames.data_ptr() not in _shared:
        return None
    name, memory = _shared[frames.data_ptr()]
    first = name not in _known
    _known.add(name)
    return Sent(name, tuple(frames.shape), memory if first else None)


def arrived(room: Sent) -> Room:
    memory = _here.setdefault(room.name, room.memory) if room.memory is not None else _here[room.name]
    return Room.of(room.frames, memory)


def in_use() -> int:
    """Rooms of workers that this process knows."""
    return len(_here)


def forget(owner: str) -> None:
    """Let go of the rooms of `owner`'s workers."""
    for name in [name for name in _here if name.startswith(f"{owner}/")]:
        del _here[name]
