"""The production line: which stages a clip passes, and the name of every answer they give."""

from collections.abc import Sequence
from typing import Any

from pipeline.records import Video, from_json, record_key
from pipeline.stage import AnyStage


class Line:
    """Stages in order. A stage key names a clip, what its source said of it, and every setting that led to an answer.

    A filter's settings are in its own keys only: a changed threshold leaves the answers of the stages behind it valid.
    """

    def __init__(self, stages: Sequence[AnyStage]) -> None:
        self.stages = tuple(stages)
        self.models = {stage.name: stage.fingerprint() for stage in stages if stage.fingerprint()}
        self._settings: list[str] = []
        before = ""
        for stage in stages:
            self._settings.append(record_key(before, stage.digest()))
            if not stage.filters:
                before = self._settings[-1]

    def __len__(self) -> int:
        return len(self.stages)

    def position(self, name: str) -> int:
        return next(i for i, stage in enumerate(self.stages) if stage.name == name)

    def stage_key(self, position: int, record: Any) -> str:
        video = record if isinstance(record, Video) else record.video
        return record_key(record.key, video.caption, video.nouns, self._settings[position])

    def grow(self, position: int, record: Any, added: str | None) -> Any:
        """The record as the stage at `position` once answered it; the Cutter's answer is a list of clips."""
        kind = self.stages[position].gives
        return record if kind is None or added is None else from_json(kind, record, added)
