"""Workers and the pools they belong to: who is free, who is loading, how busy they were."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipeline.stage import Needs

SHARED = "shared"
"""The pool of all stages without a GPU."""


class Workload(Protocol):
    """What the scheduler knows of a stage."""

    @property
    def name(self) -> str: ...

    @property
    def needs(self) -> Needs: ...


@dataclass(eq=False, slots=True)
class Item:
    """A record on its way through one stage."""

    stage: int
    record: Any
    size: int  # bytes, as JSON
    bucket: int
    strikes: int = 0  # workers that died with it in hand
    attempts: int = 0  # errors that may pass by themselves


@dataclass(eq=False, slots=True)
class Worker:
    name: str
    pool: "Pool"
    is_up: bool = False
    alone: bool = False  # what it has in hand is tried alone: it is suspected of having killed a worker
    leaving: bool = False  # gets nothing more
    in_hand: dict[int, list[Item]] = field(default_factory=dict)  # by ticket, in the order of sending
    since: float = 0.0  # when the first of them began
    known: set[int] = field(default_factory=set)  # stages that it has answered for, so that they are loaded

    def first(self) -> list[Item]:
        return next(iter(self.in_hand.values()))


class Pool:
    """The workers of one stage with a GPU, or of all stages without."""

    def __init__(self, name: str, stages: Sequence[int], needs: Needs) -> None:
        self.name = name
        self.stages = tuple(sorted(stages, reverse=True))  # the last first: work drains
        self.needs = needs
        self.workers: dict[str, Worker] = {}
        self.leaving: dict[str, Worker] = {}  # of them
        self.wanted = 1
        self.suspects: deque[Item] = deque()
        self.failed_starts = 0  # in a row
        self.busy_seconds = 0.0
        self._free: list[dict[str, Worker]] = []  # by jobs in hand
        self._up_seconds = 0.0
        self._up = 0
        self._changed = 0.0

    @property
    def up(self) -> int:
        return self._up

    @property
    def starting(self) -> int:
        return len(self.workers) - self._up

    @property
    def staying(self) -> int:
        return len(self.workers) - len(self.leaving)

    def free(self, in_hand: int) -> Worker | None:
        """The worker that has had so many jobs in hand for longest and may be sent one more."""
        return next(iter(self._free[in_hand].values()), None) if in_hand < len(self._free) else None

    def num_free(self, in_hand: int) -> int:
        return len(self._free[in_hand]) if in_hand < len(self._free) else 0

    def file(self, worker: Worker) -> None:
        """Put a worker where its state belongs, after any change."""
        self.leaving.pop(worker.name, None)
        if worker.leaving and worker.name in self.workers:
            self.leaving[worker.name] = worker
        for group in self._free:
            group.pop(worker.name, None)
        if worker.name in self.workers and worker.is_up and not worker.leaving and not worker.alone:
            while len(self._free) <= len(worker.in_hand):
                self._free.append({})
            self._free[len(worker.in_hand)][worker.name] = worker

    def count(self, now: float) -> None:
        """Note how many workers are up from now on."""
        self._up_seconds += self._up * (now - self._changed)
        self._changed = now
        self._up = sum(worker.is_up for worker in self.workers.values())

    def up_seconds(self, now: float) -> float:
        """That its workers were up, all together."""
        return self._up_seconds + self._up * (now - self._changed)


def pools_for(stages: Sequence[Workload]) -> dict[str, Pool]:
    """A pool for every stage with a GPU, and one for all others."""
    pools = {
        stage.name: Pool(stage.name, [number], stage.needs) for number, stage in enumerate(stages) if stage.needs.gpus
    }
    others = [number for number, stage in enumerate(stages) if not stage.needs.gpus]
    if others:
        cpus = max(stages[number].needs.cpus for number in others)
        pools[SHARED] = Pool(SHARED, others, Needs(cpus=cpus))
    return pools
