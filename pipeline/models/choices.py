"""The detectors and the segmenters that a recipe can choose between; whose settings they are, their keys say."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import Discriminator, Tag

from pipeline.models.grounding_dino import GroundingDino
from pipeline.models.grounding_dino_hf import PretrainedGroundingDino
from pipeline.models.sam2_segmenter import Sam2Segmenter
from pipeline.models.segment_anything import SegmentAnything


def _by_model(sized: type, pretrained: type) -> Discriminator:
    """One of two classes, so that what is wrong with settings is said of that one alone."""

    def kind(settings: Any) -> str:
        if not isinstance(settings, Mapping):
            return type(settings).__name__
        return (pretrained if "model" in settings else sized).__name__

    return Discriminator(kind)


DetectorModel: TypeAlias = Annotated[
    Annotated[GroundingDino, Tag("GroundingDino")] | Annotated[PretrainedGroundingDino, Tag("PretrainedGroundingDino")],
    _by_model(GroundingDino, PretrainedGroundingDino),
]

SegmenterModel: TypeAlias = Annotated[
    Annotated[SegmentAnything, Tag("SegmentAnything")] | Annotated[Sam2Segmenter, Tag("Sam2Segmenter")],
    _by_model(SegmentAnything, Sam2Segmenter),
]
