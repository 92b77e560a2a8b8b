"""Where stages run: in this process, or in Ray actors. Both are a `Runner`, and both give the same answers."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from pipeline.stage import AnyStage

if TYPE_CHECKING:
    from pipeline.scheduler.state import PoolState, StageState


@dataclass(frozen=True, kw_only=True)
class Job:
    """A batch of records for one stage."""

    stage: int  # position in the runner's stages
    records: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Crashed:
    """A stage raised on this record, or took its workers down: a bug or a machine's fault, not the data's."""

    error: str  # class of the error
    message: str  # one line
    traceback: str
    may_pass: bool = False  # another try may go well
    quarantined: bool = False  # it took workers down: nothing touches it again until somebody asks for it


Outcome: TypeAlias = Any  # a grown record, a list of clips, `Rejected`, or `Crashed`


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One outcome for each record of a job, in order."""

    job: Job
    outcomes: tuple[Outcome, ...]
    seconds: float  # time the worker was taken by the job
    worker: str


class Workers(Protocol):
    """The stages at work: records are put in, answers come out, in any order."""

    def room(self) -> int:
        """How many more records may enter the line now."""

    def put(self, stage: int, record: Any, size: int = 0) -> None:
        """Hand a record over to a stage; `size` is what it takes, in bytes. Never blocks."""

    def collect(self) -> list[Answer]:
        """Wait a moment for answers; none may come. Raises `StorageError` where the storage stays away."""

    def no_more(self) -> None:
        """Nothing new enters the line: what is put from now on comes of what is under way."""

    def drain(self) -> list[tuple[int, Any]]:
        """Begin nothing more; returns the (stage, record) that no worker has in hand."""

    def state(self) -> "tuple[list[StageState], list[PoolState]]":
        """For those who look on."""


Runner: TypeAlias = Callable[[Sequence[AnyStage]], AbstractContextManager[Workers]]
