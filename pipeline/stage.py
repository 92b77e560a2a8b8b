"""What a stage is: frozen settings whose `open()` gives a function over a batch of records."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from pipeline.records import Rejected, record_key

A = TypeVar("A")
B = TypeVar("B")


class Settings(BaseModel):
    """Frozen settings that refuse unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Needs(Settings):
    """What one worker of a stage takes of a machine."""

    cpus: float = 1.0
    gpus: float = 0.0
    batch: int = 1  # records a call


class Stage(Settings, Generic[A, B]):
    """A step of a clip's way. The settings object is the recipe's entry, the stage, and what the record says of it.

    `open()` loads what is heavy, in the worker that will use it, and returns a function from a batch of records to
    one answer each, in order: the grown record or `Rejected`. A stage that makes many of one (`Cutter`) answers with
    a list of records.
    """

    name: ClassVar[str]
    needs: Needs = Needs()

    def open(self) -> "Callable[[Sequence[A]], Sequence[B | Rejected]]":
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Names whatever besides the settings decides the answers: weights, library versions."""
        return ""

    def holds(self, record: B) -> bool:  # noqa: ARG002  only a stage with effects needs the record
        """Whether an answer given earlier can still be built on (the Encoder's file may be gone)."""
        return True

    def digest(self) -> str:
        """Settings and fingerprint in one name; what a worker takes of a machine is not part of it."""
        return record_key(self.name, self.model_dump_json(exclude={"needs"}), self.fingerprint())


AnyStage = Stage[Any, Any]
