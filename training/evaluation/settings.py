"""Every choice that a number of the tables rests on: models, thresholds, and what counts where nothing is found."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, PositiveFloat, PositiveInt, Tag, model_validator

from pipeline.models.choices import DetectorModel
from pipeline.models.grounding_dino import GroundingDino
from pipeline.settings_file import load, names_in
from pipeline.stage import Settings
from training.evaluation.encoders import Clip, Dino
from training.evaluation.flow import DisFlow, Raft
from training.evaluation.metrics import Normaliser
from training.evaluation.stand_ins import CaptionLikelihood, DetectorBackbone, Sight

FOLDER = Path(__file__).parent / "recipes"


def _by_kind(default: type, **kinds: type) -> Discriminator:
    """The class whose `kind` the settings name, so that what is wrong with them is said of that class alone."""

    def name(settings: Any) -> str:
        if not isinstance(settings, Mapping):
            return type(settings).__name__
        return kinds.get(str(settings.get("kind")), default).__name__

    return Discriminator(name)


Semantic: TypeAlias = Annotated[
    Annotated[Clip, Tag("Clip")] | Annotated[Sight, Tag("Sight")], _by_kind(Clip, clip=Clip, sight=Sight)
]
Structural: TypeAlias = Annotated[
    Annotated[Dino, Tag("Dino")] | Annotated[DetectorBackbone, Tag("DetectorBackbone")],
    _by_kind(Dino, dino=Dino, detector_backbone=DetectorBackbone),
]
Flow: TypeAlias = Annotated[
    Annotated[Raft, Tag("Raft")] | Annotated[DisFlow, Tag("DisFlow")], _by_kind(Raft, raft=Raft, dis=DisFlow)
]


class EvaluationSettings(Settings):
    """How videos are measured. The defaults are the paper's models; where it is silent, the choice says so."""

    name: str

    detector: DetectorModel = GroundingDino()
    """Finds the subject in every frame, asked for its noun; its best box counts. The paper names Grounding DINO, and no
    threshold: these are its package's."""

    missing_iou: Literal["zero", "left out"] = "zero"
    """IoU of a frame in which the detector finds nothing. The paper is silent: zero, or a video without its subject
    would cost nothing."""

    missing_distance: Literal["one", "left out"] = "one"
    """CD of such a frame. The paper is silent: one, the whole diagonal."""

    distance_by: Normaliser = "diagonal"
    """What CD is a share of: see `centre_distances`. The paper is silent."""

    semantic: Semantic = Clip()
    """Image encoder of T. Cons., CLIP-I and R-CLIP. The paper says CLIP: ViT-B/32, as in its first author's public
    metrics."""

    text: CaptionLikelihood | None = None
    """What holds frames against the prompt. None: the text side of `semantic`, CLIP's."""

    structural: Structural = Dino()
    """Image encoder of DINO-I and R-DINO: DINO ViT-S/16 in the paper."""

    flow: Flow = Raft()
    """Optical flow of DD: RAFT, as in VBench."""

    flow_fps: PositiveFloat = 8.0
    """Frames a second between which flow is looked at, VBench's; of a slower video every frame."""

    one_size: bool = True
    """Whether a video of another size than most is a fault. False: each is measured at its own size."""

    videos_at_once: PositiveInt = 8
    frames_at_once: PositiveInt = Field(default=128)
    """Frames that a model is given in one call. Neither changes a number."""

    @model_validator(mode="after")
    def _reads_prompts(self) -> Self:
        if self.text is None and not isinstance(self.semantic, Clip):
            raise ValueError("semantic has no text side: set text, or take kind: clip")
        return self

    def titles(self) -> dict[str, str]:
        """The paper's name of a metric -> what it is here, by the models that measure it."""
        by, like = self.semantic.label, self.structural.label
        text = self.semantic.label if self.text is None else self.text.label
        return {
            "CLIP-T": f"{text}-T",
            "R-CLIP": f"R-{by}",
            "R-DINO": f"R-{like}",
            "CLIP-I": f"{by}-I",
            "DINO-I": f"{like}-I",
            "T.Cons": "T.Cons" if by == "CLIP" else f"T.Cons ({by})",
            "mIoU": "mIoU",
            "CD": "CD",
            "DD": "DD" if self.flow.label == "RAFT" else f"DD ({self.flow.label})",
        }


def load_settings(name: str, assignments: tuple[str, ...] | list[str] = ()) -> EvaluationSettings:
    """The settings called `name`, or in the YAML file `name`, with `a.b=c` assignments laid over. Raises ValueError."""
    return load(EvaluationSettings, FOLDER, name, assignments)


def settings_names() -> list[str]:
    return names_in(FOLDER)
