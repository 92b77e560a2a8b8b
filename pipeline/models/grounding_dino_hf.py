"""Grounding DINO as transformers has it: the same interface, with weights and code under permissive licences."""

from typing import Any

from pydantic import Field, PositiveInt, model_validator

from pipeline.models.grounding_dino.settings import ARCHITECTURES, Detect
from pipeline.models.pretrained import Precision, Pretrained

_PUBLISHED = ARCHITECTURES["swin_t"]


class PretrainedGroundingDino(Pretrained):
    """Boxes of nouns by any `AutoModelForZeroShotObjectDetection` of Grounding DINO's kind, such as
    IDEA-Research/grounding-dino-base.

    `open()` gives a function as `GroundingDino.open` does: prompts, scores by a noun's own tokens, thresholds and NMS
    are the same.
    """

    box_threshold: float = Field(default=0.35, ge=0, le=1)  # score
    text_threshold: float = Field(default=0.25, ge=0, le=1)  # text score
    nms_iou: float = Field(default=0.8, ge=0, le=1)  # of two boxes of a noun above it the better one stays
    short_side: PositiveInt = _PUBLISHED.short_side  # pixels of the input's shorter side
    long_side: PositiveInt = _PUBLISHED.long_side  # pixels; where the longer would be more, both are reduced
    dtype: Precision = "float32"  # half of it loses boxes' edges

    @model_validator(mode="after")
    def _sides_in_order(self) -> "PretrainedGroundingDino":
        if self.short_side > self.long_side:
            raise ValueError(f"short_side {self.short_side} is above long_side {self.long_side}: swap them")
        return self

    @property
    def size(self) -> str:
        """What tells it from other detectors."""
        return self.model

    def network_class(self) -> Any:
        from transformers import AutoModelForZeroShotObjectDetection

        return AutoModelForZeroShotObjectDetection

    def open(self) -> Detect:
        from transformers import AutoTokenizer

        from pipeline.models.grounding_dino.hub_detector import HubDetector

        return HubDetector(self, self.load_network(), self.load(AutoTokenizer))
