"""The processes of one training: which this is, and what they tell each other."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import distributed

A = TypeVar("A")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranks:
    """This process among those that torchrun began; alone without it."""

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Writes what is written once."""
        return self.rank == 0

    def means(self, values: Mapping[str, torch.Tensor]) -> dict[str, float]:
        """Each scalar's mean over the processes; a step's only meeting besides the gradients'."""
        together = torch.stack([value.detach().double().to(self.device) for value in values.values()])
        if self.world > 1:
            distributed.all_reduce(together)
            together /= self.world
        return dict(zip(values, together.tolist(), strict=True))

    def gathered(self, value: Any) -> list[Any]:
        """What each process gives, in their order."""
        if self.world == 1:
            return [value]
        found: list[Any] = [None] * self.world
        distributed.all_gather_object(found, value)
        return found

    def agreed(self, make: Callable[[], A]) -> A:
        """What the leading process makes, in each of them; a ValueError of its is raised in each."""
        if self.world == 1:
            return make()
        held: list[Any] = [_tried(make) if self.leads else None]
        distributed.broadcast_object_list(held, src=0)
        tried: tuple[A, str | None] = held[0]
        return _found(tried)

    def agreed_by_all(self, make: Callable[[], A]) -> A:
        """What each makes for itself; where one of them raises ValueError, all do."""
        own = _tried(make)
        for error in self.gathered(own[1]):
            if error is not None:
                raise ValueError(error)
        return _found(own)


def _tried(make: Callable[[], A]) -> tuple[A, str | None]:
    """What `make` gives, or why it gives nothing."""
    try:
        return make(), None
    except ValueError as error:
        return cast(A, None), str(error)


def _found(tried: tuple[A, str | None]) -> A:
    value, error = tried
    if error is not None:
        raise ValueError(error)
    return value


@contextmanager
def joined(device: str | None) -> Iterator[Ranks]:
    """Meet the other processes of `torchrun`, of a Ray job or of Slurm, by the variables that those set.

    Raises ValueError for a device that is not here.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    place = chosen_device(device)
    if world == 1:
        yield Ranks(rank=0, world=1, device=place)
        return
    distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Ranks(rank=rank, world=world, device=place)
    finally:
        distributed.destroy_process_group()


def chosen_device(name: str | None) -> torch.device:
    """torch's device of that name; None: the GPU where there is one. Raises ValueError for one that is not here."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError:
        raise ValueError(f"device={name!r} is none that torch knows; leave it out, or give cpu or cuda") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise ValueError(f"device={name!r}: no GPU is here; leave it out to use the processor")
        if device.index is None:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    return device
