"""The in-process runner: every job is done at once, in the order of submission."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pipeline.runners import Answer, Job, Pool
from pipeline.runners.attempt import Functions
from pipeline.stage import AnyStage


@contextmanager
def local(stages: Sequence[AnyStage]) -> Iterator[Pool]:
    """A `Runner` without other processes."""
    yield _LocalPool(Functions(stages))


class _LocalPool:
    def __init__(self, functions: Functions) -> None:
        self._functions = functions
        self._waiting: list[Job] = []

    def free(self, stage: int) -> int:  # noqa: ARG002  one worker serves every stage
        return 1 - len(self._waiting)

    def submit(self, job: Job) -> None:
        self._waiting.append(job)

    def collect(self) -> list[Answer]:
        jobs, self._waiting = self._waiting, []
        answers = []
        for job in jobs:
            outcomes, seconds = self._functions.answer(job.stage, job.records)
            answers.append(Answer(job=job, outcomes=outcomes, seconds=seconds, worker="local"))
        return answers
