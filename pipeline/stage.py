"""What a stage is: frozen settings whose `open()` gives a function over a batch of records."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveFloat, PositiveInt

from pipeline.records import Rejected, record_key

A = TypeVar("A")
B = TypeVar("B")


class Settings(BaseModel):
    """Frozen settings that refuse unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


PLACES = frozenset({"checkpoint", "text_encoder", "device"})
"""Settings of a model that say where it lies and runs; what it is, its fingerprint says."""

_PLACES_OF_MODELS: Any = {
    **dict.fromkeys(PLACES, True),
    **dict.fromkeys(("detector", "segmenter"), dict.fromkeys(PLACES, True)),  # models that a model asks
}


class Needs(Settings):
    """What one worker of a stage takes of a machine. Stages without a GPU share the workers of one pool.

    A share of a GPU is taken at the stage's word: what stands together on one must fit into its memory.
    """

    cpus: PositiveFloat = 1.0
    gpus: NonNegativeFloat = 0.0
    memory: PositiveFloat | None = None  # GiB of the machine's; a worker that takes more is ended
    batch: PositiveInt = 1  # records a call


@dataclass(frozen=True)
class TwoStep(Generic[A, B]):
    """A stage's function in two parts: what can be done on the CPU while the GPU is at the batch before, and the rest.

    `run(batch, prepare(batch))` is the answer; called as it is, it does both. `load` is told what was prepared, and
    loads what the rest will need: that is part of a worker's start, and no batch's time.
    """

    prepare: Callable[[Sequence[A]], Any]
    run: Callable[[Sequence[A], Any], list[B | Rejected]]
    load: Callable[[Any], None] = lambda prepared: None

    def __call__(self, batch: Sequence[A]) -> list[B | Rejected]:
        return self.run(batch, self.prepare(batch))


class Stage(Settings, Generic[A, B]):
    """A step of a clip's way. The settings object is the recipe's entry, the stage, and what the record says of it.

    `open()` loads what is heavy, in the worker that will use it, and returns a function from a batch of records to
    one answer each, in order: the grown record or `Rejected`. Only the `Cutter` answers with many (a list).
    """

    name: ClassVar[str]
    gives: ClassVar[type | None] = None  # the record it grows; None for a filter
    filters: ClassVar[bool] = False  # passes a record unchanged or rejects it: later answers do not depend on it
    reads_video: ClassVar[bool] = True  # opens the clip's MP4
    uses_model: ClassVar[bool] = True  # costs what is worth keeping: never run again by `refilter`
    outside: ClassVar[frozenset[str]] = frozenset({"needs"})  # settings that cannot change an answer
    models: ClassVar[frozenset[str]] = frozenset({"model"})  # settings that are a model's

    needs: Needs = Needs()

    def open(self) -> Callable[[Sequence[A]], Sequence[B | Rejected]]:
        raise NotImplementedError(f"{type(self).__name__} has no open()")

    def fingerprint(self) -> str:
        """Names whatever besides the settings decides the answers: weights, library versions."""
        return ""

    def digest(self) -> str:
        """Settings and fingerprint in one name: equal digests promise equal answers."""
        places = dict.fromkeys(self.models, _PLACES_OF_MODELS)
        settings = self.model_dump_json(exclude={**dict.fromkeys(self.outside, True), **places})
        return record_key(self.name, settings, self.fingerprint())


AnyStage: TypeAlias = Stage[Any, Any]
