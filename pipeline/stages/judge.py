"""The stages that judge: `Screener` before segmenting and tracking cost a GPU's time, `Judge` after all is measured.

Measuring (measurer.py) is a stage of its own, so that other thresholds need neither a model nor the video.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

from pipeline.records import Grounded, Measured, Rejected
from pipeline.stage import Stage
from pipeline.stages.measure import measure_detections
from pipeline.stages.rules import Broken, Rules, rejudge


class Screener(Stage[Grounded, Grounded]):
    """Rejects what the detections alone condemn: no subject ("count.none"), and the rules `count` and `size`.

    It takes the same `rules` as the Judge and leaves the others alone.
    """

    name: ClassVar[str] = "screener"
    filters: ClassVar[bool] = True
    reads_video: ClassVar[bool] = False
    uses_model: ClassVar[bool] = False

    rules: Rules

    def open(self) -> Callable[[Sequence[Grounded]], list[Grounded | Rejected]]:
        return lambda batch: [self._screen(record) for record in batch]

    def _screen(self, record: Grounded) -> Grounded | Rejected:
        scores = measure_detections(record)
        broken = rejudge(scores, self.rules.on_detections(), source_of(record))
        return _rejected(self.name, broken, scores) if broken else record


class Judge(Stage[Measured, Measured]):
    """Rejects a clip that breaks a rule, by the first it breaks; the others follow from the stored values.

    The rule `duplicate` needs the other clips and is asked when shards are closed.
    """

    name: ClassVar[str] = "judge"
    filters: ClassVar[bool] = True
    reads_video: ClassVar[bool] = False
    uses_model: ClassVar[bool] = False

    rules: Rules

    def open(self) -> Callable[[Sequence[Measured]], list[Measured | Rejected]]:
        return lambda batch: [self._judge(record) for record in batch]

    def _judge(self, record: Measured) -> Measured | Rejected:
        broken = rejudge(record.scores, self.rules, source_of(record))
        return _rejected(self.name, broken, record.scores) if broken else record


def source_of(record: Grounded) -> str:
    """The source's name: what stands before the first "/" of the video's id."""
    return record.video.id.partition("/")[0]


def _rejected(stage: str, broken: Sequence[Broken], scores: dict[str, float]) -> Rejected:
    return Rejected(stage=stage, why=broken[0].rule, value=broken[0].value, scores=scores)
