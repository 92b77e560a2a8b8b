"""Where stages run: in this process, or in Ray actors. Both are a `Runner`, and both give the same answers."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from pipeline.stage import AnyStage


@dataclass(frozen=True, kw_only=True)
class Job:
    """A batch of records for one stage."""

    stage: int  # position in the runner's stages
    records: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Crashed:
    """A stage raised on this record, or took its worker down: a bug or a machine's fault, not the data's."""

    error: str  # class of the error
    message: str  # one line
    traceback: str


Outcome: TypeAlias = Any  # a grown record, a list of clips, `Rejected`, or `Crashed`


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One outcome for each record of a job, in order."""

    job: Job
    outcomes: tuple[Outcome, ...]
    seconds: float  # time the stage took for the whole job
    worker: str


class Pool(Protocol):
    """Workers that are ready to take jobs."""

    def free(self, stage: int) -> int:
        """How many more jobs of the stage are taken now without piling up."""

    def submit(self, job: Job) -> None:
        """Hand a job over; never blocks."""

    def collect(self) -> list[Answer]:
        """Wait until there are answers, or room for more jobs; a job of several records may be answered in parts."""


Runner: TypeAlias = Callable[[Sequence[AnyStage]], AbstractContextManager[Pool]]
