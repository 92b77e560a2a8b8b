"""What the driver writes down: the ledger's row for each outcome, and who is told of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pipeline.journal import Journal
from pipeline.line import Line
from pipeline.records import Measured, Rejected, Video, to_json
from pipeline.runners import Crashed, Outcome
from pipeline.sources import SourceFault
from shards import ledger
from shards.ledger import Row


class Books:
    """Turns outcomes into rows of the journal."""

    def __init__(self, line: Line, journal: Journal, told: Callable[[Row], None]) -> None:
        self._line, self._journal, self._told = line, journal, told

    def answered(
        self, shard: int, record: Any, stage: int, outcome: Outcome, seconds: float = 0.0, worker: str = ""
    ) -> None:
        """The stage at position `stage` answered a video or clip."""
        video = record if isinstance(record, Video) else record.video
        name = self._line.stages[stage].name
        row = self._row(shard, video.id, record.key, name, self._line.stage_key(stage, record), outcome)
        if self._line.stages[stage].gives is not None and row.outcome == "done":  # a filter adds nothing
            row = replace(row, added=to_json(outcome), scores=getattr(outcome, "scores", {}))
        self._write(replace(row, model=self._line.models.get(name, ""), seconds=seconds, worker=worker))

    def faulty(self, shard: int, entry: SourceFault) -> None:
        """An entry of the source that is no video."""
        rejected = Rejected(stage="source", why=entry.why, value=entry.value)
        self._write_once(self._row(shard, entry.id, entry.id, "source", entry.id, rejected))

    def stopped(self, shard: int, clip: Measured, stage: str, outcome: Rejected | Crashed) -> None:
        """A clip that passed every stage is not in its shard after all."""
        self._write_once(self._row(shard, clip.video.id, clip.key, stage, self._end_key(clip), outcome))

    def kept(self, shard: int, clip: Measured) -> None:
        """A clip stands in its shard."""
        row = self._row(shard, clip.video.id, clip.key, "packer", self._end_key(clip), None)
        added = json.dumps({"phash": clip.phash})
        self._write_once(replace(row, outcome="kept", scores=clip.scores, added=added))

    def _end_key(self, clip: Measured) -> str:
        return self._line.stage_key(len(self._line) - 1, clip) + "-packed"

    def _row(self, shard: int, video: str, clip: str, stage: str, stage_key: str, outcome: Outcome) -> Row:
        at = self._journal.now()
        row = Row(shard=shard, video=video, clip=clip, stage=stage, stage_key=stage_key, outcome="done", at=at)
        if isinstance(outcome, Rejected):
            value = None if outcome.value is None else json.dumps(outcome.value)
            return replace(row, outcome="rejected", why=outcome.why, value=value, scores=outcome.scores)
        if isinstance(outcome, Crashed):
            ending: ledger.Outcome = "quarantined" if outcome.quarantined else "failed"
            return replace(row, outcome=ending, why=outcome.error, value=outcome.message, error=outcome.traceback)
        return row

    def _write_once(self, row: Row) -> None:
        known = self._journal.known(row.shard, row.clip, row.stage_key)
        if known is None or known.outcome != row.outcome:
            self._write(row)

    def _write(self, row: Row) -> None:
        self._journal.add(row)
        self._told(row)
