"""A cluster that exists in numbers only: the real scheduler drives it, on a clock that jumps from event to event."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from pipeline.runners import Answer, Crashed
from pipeline.scheduler.commands import Command, Send, Start
from pipeline.scheduler.policy import Scheduler
from pipeline.scheduler.settings import Scheduling
from pipeline.scheduler.sizing import Demand, Node, Room
from pipeline.scheduler.state import PoolState
from pipeline.stage import Needs


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What a job comes to: after `seconds` every record is answered, or the worker dies; None: it hangs."""

    seconds: float | None
    dies: bool = False


@dataclass(frozen=True, kw_only=True)
class SimulatedStage:
    """A stage of which only the times are known."""

    name: str
    needs: Needs
    fate: Callable[[Sequence[Any]], Fate]  # of a job with these records
    load_seconds: float = 0.0  # from a worker's start to its being up
    leaves: Callable[[Any], bool] = lambda record: False  # whether the record's way ends here


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a simulated run came to."""

    seconds: float  # from the start to the last answer
    first_output: float | None  # seconds until a record had passed every stage
    answers: int  # of stages
    ended: dict[Any, str]  # record -> "passed", the stage at which it left, or "quarantined"
    starts: int  # of workers
    pools: list[PoolState]
    outputs: list[float] = field(repr=False)  # when each record passed the last stage


@dataclass(eq=False)
class _SimulatedWorker:
    start: Start
    node: int | None = None  # None: the cluster has no room for it yet
    jobs: list[Send] = field(default_factory=list)  # the first is in work


class Simulation:
    """Runs records through simulated stages on simulated nodes.

    `losses`: at these seconds the node of that number is gone, with everything on it; `joins`: nodes that come.
    """

    def __init__(
        self,
        stages: Sequence[SimulatedStage],
        nodes: Sequence[Node],
        scheduling: Scheduling,
        *,
        losses: Sequence[tuple[float, int]] = (),
        joins: Sequence[tuple[float, Node]] = (),
    ) -> None:
        self.now = 0.0
        self._stages = list(stages)
        self._nodes: dict[int, Node] = dict(enumerate(nodes))
        self._scheduler = Scheduler(stages, scheduling, lambda: self.now)
        self._scheduler.resize(nodes)
        self._workers: dict[str, _SimulatedWorker] = {}
        self._unplaced: dict[str, None] = {}  # workers that the cluster has no room for yet, in order
        self._changed = False  # room came or is asked for
        self._numbers = count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._starts = 0
        self._ended: dict[Any, str] = {}
        self._outputs: list[float] = []
        self._answered = 0
        for when, node in losses:
            self._at(when, lambda node=node: self._lose(node))  # type: ignore[misc]
        for when, joined in joins:
            self._at(when, lambda joined=joined: self._join(joined))  # type: ignore[misc]

    def run(self, records: Sequence[Any]) -> Outcome:
        """Every record (hashable, each once) from the first stage to its end. Raises what the scheduler raises."""
        waiting = list(reversed(records))
        while waiting or self._scheduler.busy:
            while waiting and self._scheduler.room() > 0:
                self._scheduler.put(0, waiting.pop())
            if not waiting:
                self._scheduler.no_more()
            self._act(self._scheduler.commands())
            for answer in self._scheduler.answers():
                self._settle(answer)
            self._act(self._scheduler.commands())
            if waiting and self._scheduler.room() > 0:
                continue
            if self._scheduler.busy:
                self._pass_time()
        return Outcome(
            seconds=self.now,
            first_output=self._outputs[0] if self._outputs else None,
            answers=self._answered,
            ended=self._ended,
            starts=self._starts,
            pools=self._scheduler.state()[1],
            outputs=self._outputs,
        )

    def _settle(self, answer: Answer) -> None:
        stage = answer.job.stage
        for record, outcome in zip(answer.job.records, answer.outcomes, strict=True):
            self._answered += 1
            if isinstance(outcome, Crashed):
                self._ended[record] = "quarantined"
            elif self._stages[stage].leaves(record):
                self._ended[record] = self._stages[stage].name
            elif stage + 1 < len(self._stages):
                self._scheduler.put(stage + 1, record)
            else:
                self._ended[record] = "passed"
                self._outputs.append(self.now)

    def _pass_time(self) -> None:
        """On to the next event, or to when the scheduler wants to be asked."""
        due = self._scheduler.wake_at()
        if self._events and (due is None or self._events[0][0] <= due):
            self.now, _, happen = heapq.heappop(self._events)
            happen()
        elif due is not None:
            self.now = max(self.now, due)
        else:
            raise RuntimeError(f"at {self.now:.1f} s records wait, but nothing will ever happen")

    def _at(self, when: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), happen))

    # --- commands

    def _act(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if isinstance(command, Start):
                self._starts += 1
                self._workers[command.worker] = _SimulatedWorker(command)
                self._unplaced[command.worker] = None
                self._changed = True
            elif isinstance(command, Send):
                worker = self._workers[command.worker]
                worker.jobs.append(command)
                if len(worker.jobs) == 1:
                    self._work(command.worker)
            else:
                self._remove(command.worker)
        if self._changed:
            self._changed = False
            self._place()

    def _remove(self, name: str) -> None:
        del self._workers[name]
        self._unplaced.pop(name, None)
        self._changed = True

    def _place(self) -> None:
        """Give workers that wait for it their room, the first first."""
        if not self._unplaced:
            return
        free = {number: Room([node]) for number, node in self._nodes.items()}
        for worker in self._workers.values():
            if worker.node is not None:
                free[worker.node].place(_demand(worker.start))
        for name in list(self._unplaced):
            worker = self._workers[name]
            worker.node = next((n for n, room in free.items() if room.place(_demand(worker.start))), None)
            if worker.node is not None:
                del self._unplaced[name]
                seconds = max((self._stages[stage].load_seconds for stage in worker.start.loads), default=0.0)
                self._at(self.now + seconds, lambda name=name: self._scheduler.up(name))  # type: ignore[misc]

    def _work(self, name: str) -> None:
        worker = self._workers[name]
        job = worker.jobs[0]
        fate = self._stages[job.stage].fate(job.records)
        if fate.seconds is None:
            return
        seconds = fate.seconds
        if fate.dies:
            self._at(self.now + seconds, lambda: self._die(worker, name, job))
        else:
            self._at(self.now + seconds, lambda: self._answer(worker, name, job, seconds))

    def _answer(self, worker: _SimulatedWorker, name: str, job: Send, seconds: float) -> None:
        if self._workers.get(name) is not worker:
            return  # it was ended meanwhile
        worker.jobs.remove(job)
        self._scheduler.answered(name, job.ticket, job.records, seconds)
        if worker.jobs:
            self._work(name)

    def _die(self, worker: _SimulatedWorker, name: str, job: Send) -> None:
        if self._workers.get(name) is worker and job in worker.jobs:
            self._remove(name)
            self._scheduler.died(name, "simulated")

    # --- nodes

    def _lose(self, number: int) -> None:
        self._nodes.pop(number, None)
        for name in [name for name, worker in self._workers.items() if worker.node == number]:
            self._remove(name)
            self._scheduler.died(name, "its node has died", blame=False)
        self._scheduler.resize(tuple(self._nodes.values()))

    def _join(self, node: Node) -> None:
        self._nodes[max(self._nodes, default=-1) + 1] = node
        self._changed = True
        self._scheduler.resize(tuple(self._nodes.values()))


def _demand(start: Start) -> Demand:
    return Demand(cpus=start.cpus, gpus=start.gpus, load=None)
