"""What a worker does with a job: call the stage's function, and let one bad record spoil nobody else's answer."""

import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from pipeline.records import Clip, Rejected
from pipeline.runners import Crashed, Outcome
from pipeline.stage import AnyStage
from shards.storage import Missing, StorageError

StageFunction: TypeAlias = Callable[[Sequence[Any]], Sequence[Any]]


class Functions:
    """The stages' functions in this process, opened when they are first called for."""

    def __init__(self, stages: Sequence[AnyStage]) -> None:
        self._stages = stages
        self._open: dict[int, StageFunction] = {}

    def answer(self, stage: int, records: Sequence[Any]) -> tuple[tuple[Outcome, ...], float]:
        """One outcome for each record, and the seconds it took."""
        if stage not in self._open:
            self._open[stage] = self._stages[stage].open()
        began = time.perf_counter()
        outcomes = attempt(self._open[stage], records)
        return outcomes, time.perf_counter() - began


def attempt(function: StageFunction, records: Sequence[Any]) -> tuple[Outcome, ...]:
    """`function(records)`, checked; after an error every record is tried alone, so that only the guilty one crashes."""
    try:
        answers = function(records)
        _check_lineage(records, answers)
    except Exception as error:
        if isinstance(error, StorageError) and not isinstance(error, Missing):
            raise  # a full or read-only disk is nobody's clip: the build stops, and loses nothing
        if len(records) == 1:
            return (_crashed(error),)
        return tuple(outcome for record in records for outcome in attempt(function, [record]))
    return tuple(answers)


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
    message = " ".join(str(error).split())[:500]
    return Crashed(error=type(error).__name__, message=message, traceback="".join(traceback.format_exception(error)))
