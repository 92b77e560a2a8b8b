"""What a run has learnt, opened for generation."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from shards import Storage
from shards.rle import Size
from training.generation.pipeline import DreamVideo2Pipeline
from training.model.base import EMBEDDED, VideoBase
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


def open_run(url: str | Path, device: str | torch.device, step: int | None = None) -> Opened:
    """The run at its last checkpoint, or at that of `step`; averaged weights where the run has them.

    Raises `ValueError` in one line where there is no run, or no such checkpoint.
    """
    storage = Storage.at(url)
    recipe = TrainRecipe.model_validate(run_info(storage)["recipe"])
    there = checkpoints.steps(storage)
    if not there:
        raise ValueError(f"{storage.url} has no checkpoint yet; train on with --resume until it has one")
    if step is not None and step not in there:
        raise ValueError(
            f"{storage.url} has no checkpoint of step {step}; there are {', '.join(map(str, sorted(there)))}"
        )
    on_gpu = torch.device(device).type == "cuda"
    dtype = recipe.speed.dtype if on_gpu else torch.float32
    place = EMBEDDED if recipe.base == "embedded" else recipe.base
    base = VideoBase.from_pretrained(place, dtype=dtype, device=device)
    with tempfile.TemporaryDirectory(prefix="dreamreel-") as aside:
        which = "model" if recipe.ema is None else "ema"
        folder = checkpoints.fetched(storage, step or max(there), which, Path(aside))
        model = DreamVideo2.from_pretrained(folder, base.unet).to(device)
    return Opened(
        pipeline=DreamVideo2Pipeline.of(base, model),
        size=(recipe.loader.height, recipe.loader.width),
        num_frames=recipe.loader.window.num_frames,
        fps=recipe.loader.window.fps,
    )
