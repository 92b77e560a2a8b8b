"""Settings of the detector, and the numbers of its three sizes."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from pipeline.models import store
from pipeline.models.catalog import PACKAGED, Repository, Weights
from pipeline.models.weights import sha256
from pipeline.records import Detection
from pipeline.stage import Settings

Frame: TypeAlias = NDArray[np.uint8]  # [H, W, 3], RGB
Detect: TypeAlias = Callable[[Sequence[tuple[Frame, tuple[str, ...]]]], list[tuple[Detection, ...]]]
Size: TypeAlias = Literal["swin_t", "swin_b", "embedded"]


class Architecture(Settings):
    """One size of the network. Its width of 256 is fixed by the class that it is built from."""

    weights: str  # their name in the catalog
    text_encoder: str  # where its settings and words are: a name on the hub, or a folder
    backbone: Literal["swin_T_224_1k", "swin_B_384_22k", "conv"]
    num_feature_levels: PositiveInt  # the backbone's at strides 8, 16 and 32, and a fourth at 64
    enc_layers: PositiveInt
    dec_layers: PositiveInt
    nheads: PositiveInt
    num_points: PositiveInt  # sampled by a head in a level
    dim_feedforward: PositiveInt
    num_queries: PositiveInt  # boxes it can give
    fusion_drop_path: float  # share of the fusions of image and text that training leaves out
    short_side: PositiveInt  # pixels of the input it was trained on
    long_side: PositiveInt
    least_side: PositiveInt  # pixels; an input of this square has at least `num_queries` positions


_PUBLISHED = Architecture(
    weights="groundingdino_swint_ogc.pth",
    text_encoder="google-bert/bert-base-uncased",
    backbone="swin_T_224_1k",
    num_feature_levels=4,
    enc_layers=6,
    dec_layers=6,
    nheads=8,
    num_points=4,
    dim_feedforward=2048,
    num_queries=900,
    fusion_drop_path=0.1,
    short_side=800,
    long_side=1333,
    least_side=224,
)

ARCHITECTURES: dict[Size, Architecture] = {
    "swin_t": _PUBLISHED,
    "swin_b": _PUBLISHED.model_copy(
        update={"weights": "groundingdino_swinb_cogcoor.pth", "backbone": "swin_B_384_22k"}
    ),
    "embedded": Architecture(
        weights="grounding_dino/model.safetensors",
        text_encoder=str(PACKAGED / "grounding_dino"),
        backbone="conv",
        num_feature_levels=3,
        enc_layers=1,
        dec_layers=2,
        nheads=4,
        num_points=2,
        dim_feedforward=256,
        num_queries=24,
        fusion_drop_path=0.0,
        short_side=96,
        long_side=160,
        least_side=48,
    ),
}


class GroundingDino(Settings):
    """Boxes of nouns in a frame.

    `open()` gives a function from frames, each with its nouns, to each frame's detections: noun by noun in their
    order, the best first. A detection's `score` is the highest probability among the noun's own tokens, its
    `text_score` their mean, so that a text score near the score says that every word of the noun was met. A box is
    given for every noun for which both lie above their thresholds, and NMS runs within a noun, so a noun's boxes do
    not hang on how another noun scored. A noun with a word that the text encoder has no token for finds nothing.

    Frames of one size share a forward pass. Frames of different sizes do not: the padding of the smaller one would
    change its answer, which must not depend on the frames that happen to lie in the same batch.

    `frame` of a detection is 0, a clip's first; who shows another frame says so with `dataclasses.replace`.
    """

    checkpoint: str | None = None  # path of the weights; None is the catalog's file of `size`
    size: Size = "swin_t"
    text_encoder: str | None = None  # folder or hub name: config.json and tokenizer.json; None is that of `size`
    box_threshold: float = Field(default=0.35, ge=0, le=1)  # score; the published default, as the next
    text_threshold: float = Field(default=0.25, ge=0, le=1)  # text score
    nms_iou: float = Field(default=0.8, ge=0, le=1)  # of two boxes of a noun above it the better one stays
    short_side: PositiveInt = _PUBLISHED.short_side  # pixels of the input's shorter side; each size has its default
    long_side: PositiveInt = _PUBLISHED.long_side  # pixels; where the longer would be more, both are reduced
    device: str = "auto"

    @model_validator(mode="before")
    @classmethod
    def _input_of_its_size(cls, values: Any) -> Any:
        """A network sees little at another input size than its own: each size brings its default."""
        architecture = ARCHITECTURES.get(values.get("size", "swin_t")) if isinstance(values, dict) else None
        if architecture is None:
            return values
        return {"short_side": architecture.short_side, "long_side": architecture.long_side} | values

    @model_validator(mode="after")
    def _input_large_enough(self) -> "GroundingDino":
        least = ARCHITECTURES[self.size].least_side
        if not least <= self.short_side <= self.long_side:
            raise ValueError(
                f"short_side {self.short_side} must lie between {least}, the least that size {self.size} can take, "
                f"and long_side {self.long_side}"
            )
        return self

    def weights(self) -> tuple[Weights, ...]:
        """What it loads."""
        words = self._words()
        return store.weights_of(self.checkpoint, ARCHITECTURES[self.size].weights), *([words] if words else [])

    def fingerprint(self) -> str:
        """Digests of the weights and of the text encoder's files, and the versions of the code behind them."""
        files = [self._checkpoint(), *(self._text_encoder() / name for name in TEXT_ENCODER_FILES)]
        versions = [f"{package} {version(package)}" for package in ("groundingdino-py", "transformers")]
        return ", ".join([sha256(file) for file in files] + versions)

    def open(self) -> Detect:
        from pipeline.models.grounding_dino.detector import Detector
        from pipeline.models.grounding_dino.network import load

        return Detector(self, load(self.size, self._checkpoint(), self._text_encoder()))

    def check(self) -> None:
        """Holds the weights' names and shapes against the network. Raises `ValueError` where they do not fit."""
        from pipeline.models.grounding_dino.network import check

        check(self.size, self._checkpoint(), self._text_encoder())

    def _checkpoint(self) -> Path:
        return store.checkpoint_path(self.checkpoint, ARCHITECTURES[self.size].weights)

    def _words(self) -> Repository | None:
        """The text encoder where it is one of the hub's."""
        named = self.text_encoder or ARCHITECTURES[self.size].text_encoder
        return None if Path(named).is_dir() or Path(named).is_absolute() else store.repository(named, tensors=False)

    def _text_encoder(self) -> Path:
        """Its folder."""
        words = self._words()
        if words is None:
            return Path(self.text_encoder or ARCHITECTURES[self.size].text_encoder)
        folder = store.place(words)
        if folder is None:
            mend = f"run `dreamreel models fetch {words.name}`, or set `text_encoder` to its folder"
            raise ValueError(f"text encoder {words.name} is not on this machine; {mend}")
        return folder


TEXT_ENCODER_FILES = ("config.json", "tokenizer.json")
