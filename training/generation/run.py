"""What a run has learnt, opened for generation."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from shards import Storage
from shards.rle import Size
from training.generation.pipeline import DreamVideo2Pipeline
from training.model.base import VideoBase
from training.model.dreamvideo2 import DreamVideo2
from training.trainer import checkpoints
from training.trainer.recipe import TrainRecipe
from training.trainer.run_folder import run_info


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A run's pipeline, and the clips that it was trained on the size of."""

    pipeline: DreamVideo2Pipeline
    size: Size  # height, width
    num_frames: int
    fps: float


@dataclass(frozen=True, kw_only=True)
class FoundRun:
    """A checkpoint of a run, of which nothing is loaded yet."""

    storage: Storage
    recipe: TrainRecipe
    step: int

    @property
    def size(self) -> Size:
        """Of its clips: height, width."""
        return self.recipe.loader.height, self.recipe.loader.width

    @property
    def num_frames(self) -> int:
        return self.recipe.loader.window.num_frames

    @property
    def fps(self) -> float:
        return self.recipe.loader.window.fps

    def opened(self, device: str | torch.device, base: str | None = None) -> Opened:
        """Loaded, averaged weights where the run has them; `base` says where the base lies now, if not where it did.

        Raises `ValueError` in one line where there is no base, or another than the run's.
        """
        dtype = self.recipe.speed.dtype if torch.device(device).type == "cuda" else torch.float32
        loaded = VideoBase.named(base or self.recipe.base, dtype=dtype, device=device)
        with tempfile.TemporaryDirectory(prefix="dreamreel-") as aside:
            which = "model" if self.recipe.ema is None else "ema"
            folder = checkpoints.fetched(self.storage, self.step, which, Path(aside))
            model = DreamVideo2.from_pretrained(folder, loaded.unet).to(device)
        pipeline = DreamVideo2Pipeline.of(loaded, model)
        return Opened(pipeline=pipeline, size=self.size, num_frames=self.num_frames, fps=self.fps)


def find_run(url: str | Path, step: int | None = None) -> FoundRun:
    """The run at its last checkpoint, or at that of `step`. Raises `ValueError` in one line where there is none."""
    storage = Storage.at(url)
    recipe = TrainRecipe.model_validate(run_info(storage)["recipe"])
    there = checkpoints.steps(storage)
    if not there:
        raise ValueError(f"{storage.url} has no checkpoint yet; train on with --resume until it has one")
    if step is not None and step not in there:
        raise ValueError(f"{storage.url} has no checkpoint of step {step}; there are {', '.join(map(str, there))}")
    return FoundRun(storage=storage, recipe=recipe, step=max(there) if step is None else step)


def open_run(url: str | Path, device: str | torch.device, step: int | None = None) -> Opened:
    """`find_run`, loaded."""
    return find_run(url, step).opened(device)
