"""The stages that judge: `Screener` before segmenting and tracking cost a GPU's time, `Measurer` and `Judge` after it.

Measuring and judging are apart, so that other thresholds need neither a model nor the video.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.records import Encoded, Grounded, Measured, Rejected, Tracked, grow
from pipeline.stage import Stage
from pipeline.stages import measure
from pipeline.stages.rules import Broken, Rules, rejudge
from shards import video


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
        scores = measure.measure_detections(record)
        broken = rejudge(scores, self.rules.on_detections(), source_of(record))
        return _rejected(self.name, broken, scores) if broken else record


class Measurer(Stage[Tracked, Measured]):
    """Measures everything that a rule can ask for, and the clip's perceptual hash; judges nothing."""

    name: ClassVar[str] = "measurer"
    gives: ClassVar[type | None] = Measured
    uses_model: ClassVar[bool] = False

    usable_area: float = Field(measure.USABLE_AREA, gt=0, le=1)  # of the track's median area

    def open(self) -> Callable[[Sequence[Tracked]], list[Measured | Rejected]]:
        return lambda batch: [self._measured(record) for record in batch]

    def _measured(self, record: Tracked) -> Measured:
        scores = measure.measure_detections(record) | measure.measure_tracks(record, self.usable_area)
        return grow(Measured, record, scores=scores, phash=measure.fingerprint(_fingerprint_frames(record)))


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


def _fingerprint_frames(record: Encoded) -> NDArray[np.uint8]:
    """uint8 [4, H, W, 3]; every frame is decoded once, also where a short clip repeats it."""
    wanted = measure.fingerprint_frames(record.num_frames)
    numbers = sorted(set(wanted))
    decoded = dict(zip(numbers, video.frames(record.path, numbers), strict=True))
    return np.stack([decoded[number] for number in wanted])
