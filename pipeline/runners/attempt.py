"""What a worker does with a job: call the stage's function, and let one bad record spoil nobody else's answer."""

import errno
import gc
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

from pipeline.records import Clip, Rejected
from pipeline.runners import Crashed, Outcome
from pipeline.stage import AnyStage, TwoStep
from shards.storage import Missing, StorageError

StageFunction: TypeAlias = Callable[[Sequence[Any]], Sequence[Any]]


class Poisoned(RuntimeError):  # noqa: N818  the name is the fact
    """The GPU does not answer this process any more, whatever comes next: the worker must go."""


class Done(NamedTuple):
    """What became of a job."""

    outcomes: tuple[Outcome, ...]
    seconds: float  # that the worker was taken by it
    passed: int | None  # records that went through at a time, where the GPU's memory was too small for all at once


class Functions:
    """The stages' functions in this process, opened when they are first called for.

    Jobs may come in several threads. What a job can prepare without the GPU is done at once; the rest, one job at a
    time, in the order of their coming.
    """

    def __init__(self, stages: Sequence[AnyStage]) -> None:
        self._stages = stages
        self._open: dict[int, StageFunction] = {}
        self._opening = threading.Lock()
        self._turns = _Turns()
        self._ended = 0.0  # when the last job did

    def open(self, stage: int) -> StageFunction:
        with self._opening:
            if stage not in self._open:
                _take_threads(self._stages[stage].needs.cpus)
                self._open[stage] = self._stages[stage].open()
            return self._open[stage]

    def answer(self, stage: int, records: Sequence[Any]) -> Done:
        """One outcome for each record. Raises `StorageError` and `Poisoned`: neither is a record's fault."""
        with self._turns.taken() as my_turn:
            function = self.open(stage)
            came = time.perf_counter()
            function, loading = self._prepared(function, records)
            came += loading
            with my_turn:
                _take_threads(self._stages[stage].needs.cpus)
                outcomes, passed = attempt(function, records)
                began, self._ended = max(came, self._ended), time.perf_counter()
                return Done(outcomes, self._ended - began, passed)

    def _prepared(self, function: StageFunction, records: Sequence[Any]) -> tuple[StageFunction, float]:
        """The function for these records, with what needs no GPU done, and seconds that loading took.

        What goes wrong there comes up again in its turn.
        """
        if not isinstance(function, TwoStep):
            return function, 0.0
        try:
            ready = function.prepare(records)
            began = time.perf_counter()
            with self._opening:
                function.load(ready)
            loading = time.perf_counter() - began
        except Exception:
            return function, 0.0
        return (lambda some: function.run(records, ready) if some is records else function(some)), loading


def attempt(function: StageFunction, records: Sequence[Any]) -> tuple[tuple[Outcome, ...], int | None]:
    """`function(records)`, checked, and how many records went through at a time where memory was short.

    After an error every record is tried alone, so that only the guilty one crashes; where the GPU's memory was too
    small, half of them are.
    """
    try:
        answers = function(records)
        _check_lineage(records, answers)
    except Exception as error:
        if isinstance(error, StorageError) and not isinstance(error, Missing):
            raise  # a full or read-only disk is nobody's clip: the build stops, and loses nothing
        if _is_poison(error):
            raise Poisoned(str(error)) from None
        if len(records) == 1:
            return (_crashed(error),), None
        step, short = 1, _lacks_memory(error)
        error.__traceback__ = None  # its frames hold what fills the memory
    else:
        return tuple(answers), None
    if short:
        _free_memory()
        step = (len(records) + 1) // 2
    outcomes: list[Outcome] = []
    passed = step
    for first in range(0, len(records), step):
        some, fewer = attempt(function, records[first : first + step])
        outcomes += some
        passed = min(passed, fewer or passed)
    return tuple(outcomes), passed if short else None


def _take_threads(cpus: float) -> None:
    """As many as the stage has cores: the sums of a network then do not hang on how many the machine has."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != max(1, round(cpus)):
        torch.set_num_threads(max(1, round(cpus)))


class _Turns:
    """One after another, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self) -> "Iterator[_Turn]":
        turn = _Turn(self._waiting, self._changed)
        with self._changed:
            self._waiting.append(turn)
        try:
            yield turn
        finally:
            with self._changed:
                self._waiting.remove(turn)
                self._changed.notify_all()


class _Turn:
    def __init__(self, waiting: deque[object], changed: threading.Condition) -> None:
        self._waiting, self._changed = waiting, changed

    def __enter__(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting[0] is self)

    def __exit__(self, *_: object) -> None:
        """The turn ends where it was taken."""


def _check_lineage(records: Sequence[Any], answers: Sequence[Any]) -> None:
    """An answer belongs to the record in its place: neither lost, nor doubled, nor swapped with another clip's."""
    if len(answers) != len(records):
        raise RuntimeError(f"the stage gave {len(answers)} answers for {len(records)} records")
    for record, answer in zip(records, answers, strict=True):
        if isinstance(answer, Rejected):
            continue
        clips = answer if isinstance(answer, list) else [answer]
        if not 0 < len(clips) == len({clip.key for clip in clips}):
            raise RuntimeError(f"the stage answered {record.key} with {len(clips)} clips, none or not each once")
        for clip in clips:
            parent = clip.video.key if isinstance(clip, Clip) and isinstance(answer, list) else clip.key
            if parent != record.key:
                raise RuntimeError(f"the stage answered {record.key} with a record of {parent}")


def _crashed(error: Exception) -> Crashed:
    return Crashed(
        error=type(error).__name__,
        message=" ".join(str(error).split())[:500],
        traceback="".join(traceback.format_exception(error)),
        may_pass=_may_pass(error),
    )


_PASSING = frozenset({errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.ENETUNREACH, errno.EHOSTUNREACH})


def _may_pass(error: Exception) -> bool:
    """Errors of the network, of a shared disk, and of a GPU whose memory another worker filled."""
    return (
        isinstance(error, ConnectionError | TimeoutError)
        or (isinstance(error, OSError) and error.errno in _PASSING)
        or _lacks_memory(error)
    )


def _lacks_memory(error: Exception) -> bool:
    """By its name, so that stages without a GPU do not load torch."""
    return type(error).__name__ == "OutOfMemoryError" and type(error).__module__.startswith("torch")


def _is_poison(error: Exception) -> bool:
    if _lacks_memory(error):
        return False
    return type(error).__name__ == "AcceleratorError" or (
        isinstance(error, RuntimeError) and "CUDA error" in str(error)
    )


def _free_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
