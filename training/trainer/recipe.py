"""Recipes of a training: every setting in one typed object, from a YAML file and `--set a.b=c`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from pipeline.settings_file import load, names_in
from pipeline.stage import Settings
from training.loader import Loader
from training.model.base import EMBEDDED
from training.model.settings import ModelSettings
from training.model.speed import SpeedSettings
from training.trainer.parallel import Parallel

FOLDER = Path(__file__).parents[1] / "recipes"

STARTS = {"embedded": EMBEDDED / "dreamvideo2"}
"""Weights to begin with that come with this project, by name."""

GOES_ON_WITH = frozenset(
    {"steps", "at_once", "speed", "parallel", "saves", "previews", "tensorboard", "device", "latents"}
)
"""Settings that a resumed run may have otherwise than it began with; with all others it would be another run."""


class Optimizer(Settings):
    """AdamW."""

    lr: PositiveFloat = 1e-4
    betas: tuple[NonNegativeFloat, NonNegativeFloat] = (0.9, 0.999)
    eps: PositiveFloat = 1e-8
    weight_decay: NonNegativeFloat = 0.0
    warmup: NonNegativeInt = 0  # steps over which the rate rises; silent in the paper
    clip: PositiveFloat | None = None  # of the gradient's norm; silent in the paper


class Saves(Settings):
    """Checkpoints."""

    every: PositiveInt = 500  # steps; the last step is saved too
    keep: PositiveInt = 3


class Previews(Settings):
    """Clips that are generated on the way, with their target boxes drawn."""

    every: PositiveInt = 1000  # steps
    count: PositiveInt = 2
    num_inference_steps: PositiveInt = 25
    guidance_scale: PositiveFloat = 9.0


class TrainRecipe(Settings):
    """A training from first to last setting."""

    name: str
    base: str = "embedded"  # folder or hub name of a text-to-video base of diffusers, or the small one that is here
    start: str | None = None  # a checkpoint's model folder to begin with, or "embedded"; None: fresh weights
    seed: int = Field(default=0, ge=0, lt=2**63)  # of the fresh weights
    steps: PositiveInt = 30_000
    batch: PositiveInt = 144  # clips of a step, over all devices
    at_once: PositiveInt = 4  # clips that a device has in hand; a step takes as many passes as it needs
    optimizer: Optimizer = Optimizer()
    ema: float | None = Field(default=None, gt=0, lt=1)  # decay of averaged weights; the paper has none
    loader: Loader = Loader()
    latents: str | None = None  # folder that keeps the clips' latents, so that each is encoded once
    model: ModelSettings = ModelSettings()
    speed: SpeedSettings = SpeedSettings()
    parallel: Parallel = "ddp"  # each process has all of the model; "fsdp2": a shard, the frozen base's too
    saves: Saves = Saves()
    previews: Previews | None = None
    tensorboard: bool = False  # also write what TensorBoard reads
    device: str | None = None  # torch's name; None: the GPU where there is one

    @model_validator(mode="after")
    def _keeps_what_comes_again(self) -> Self:
        if self.latents is not None and (not self.loader.freeze or self.loader.masks):
            raise ValueError(
                "latents are kept of clips that always show the same, without masks: set loader.freeze=true"
            )
        return self

    def settings(self) -> dict[str, Any]:
        """Every setting as plain JSON, for `run.json`."""
        return self.model_dump(mode="json")

    def identity(self) -> dict[str, Any]:
        """The settings that make it this run and no other."""
        return {name: value for name, value in self.settings().items() if name not in GOES_ON_WITH}


def load_train_recipe(name: str, assignments: Iterable[str] = ()) -> TrainRecipe:
    """The recipe called `name`, or in the YAML file `name`, with `a.b=c` assignments laid over. Raises ValueError."""
    return load(TrainRecipe, FOLDER, name, assignments)


def train_recipe_names() -> list[str]:
    return names_in(FOLDER)
