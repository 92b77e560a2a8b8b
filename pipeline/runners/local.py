"""The in-process runner: one worker, which does a job whenever answers are asked for."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pipeline.runners import Answer, Workers
from pipeline.runners.attempt import Functions
from pipeline.scheduler.commands import Send, Start
from pipeline.scheduler.policy import Scheduler
from pipeline.scheduler.settings import Scheduling
from pipeline.scheduler.sizing import Node
from pipeline.scheduler.state import PoolState, StageState
from pipeline.stage import AnyStage
from shards.storage import Outage

ALONE = Scheduling(workers=1, gpu_workers=1, ahead=1, first_deadline=None)
"""One worker, which nobody can end but itself."""


@contextmanager
def local(stages: Sequence[AnyStage]) -> Iterator[Workers]:
    """A `Runner` without other processes."""
    yield _Local(stages)


class _Local:
    def __init__(self, stages: Sequence[AnyStage]) -> None:
        self._functions = Functions(stages)
        self._scheduler = Scheduler(stages, ALONE, time.monotonic)
        self._scheduler.resize([Node(cpus=float("inf"), gpus=1.0)])
        self.room, self.put = self._scheduler.room, self._scheduler.put
        self.no_more, self.drain = self._scheduler.no_more, self._scheduler.drain

    def state(self) -> tuple[list[StageState], list[PoolState]]:
        return self._scheduler.state()

    def collect(self) -> list[Answer]:
        commands = self._scheduler.commands()
        for command in commands:
            if isinstance(command, Start):
                self._scheduler.up(command.worker)
        for command in commands + self._scheduler.commands():
            if isinstance(command, Send):
                self._answer(command)
        answers = self._scheduler.answers()
        if not answers and self._scheduler.busy:
            time.sleep(_pause(self._scheduler))
        return answers

    def _answer(self, command: Send) -> None:
        try:
            done = self._functions.answer(command.stage, command.records)
        except Outage as error:
            self._scheduler.no_storage(command.worker, command.ticket, error)
        else:
            self._scheduler.answered(command.worker, command.ticket, *done)


def _pause(scheduler: Scheduler) -> float:
    due = scheduler.wake_at()
    return 0.0 if due is None else min(1.0, max(0.0, due - time.monotonic()))
