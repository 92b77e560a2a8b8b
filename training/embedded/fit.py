"""Trains DreamVideo-2 beside the embedded base: `python -m training.embedded.fit`; resumable.

On practice clips with their exact boxes. What it learns is what a training with `start: embedded` begins with.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.embedded.tasks.task import TRAINING_SEED
from pipeline.embedded.world import World
from pipeline.models.sums import write_sums
from training.embedded.practice_clips import write_clips
from training.generation.run import open_run
from training.model.base import EMBEDDED
from training.model.dreamvideo2 import DreamVideo2
from training.model.settings import ModelSettings
from training.trainer.recipe import STARTS, TrainRecipe, load_train_recipe
from training.trainer.run import train


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.embedded.fit", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("out/embedded_fit"), help="clips and the run")
    parser.add_argument("--weights", type=Path, default=STARTS["embedded"], help="where they go (default: the package)")
    parser.add_argument("--steps", type=int, default=1000, help="(default: %(default)s)")
    parser.add_argument("--clips", type=int, default=512, help="to draw and learn from (default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="a setting of the training")
    args = parser.parse_args(argv)
    recipe = load_train_recipe("embedded", [f"steps={args.steps}", "saves.every=40", *args.set])
    if not (args.runs / "clips").exists():
        write_clips(args.runs / "clips", practice_world(recipe, TRAINING_SEED), args.clips)
    run = args.runs / "run"
    train(str(args.runs / "clips"), str(run), recipe, resume=True)
    _save(run, args.weights)
    if args.weights == STARTS["embedded"]:
        write_sums(EMBEDDED)
    return 0


def practice_world(recipe: TrainRecipe, seed: int) -> World:
    """Of clips that are what the recipe's trainings see."""
    loader = recipe.loader
    size, window = (loader.height, loader.width), loader.window
    return World(size=size, num_frames=window.num_frames, frame_rate=window.fps, seed=seed)


def _save(run: Path, weights: Path) -> None:
    """What the run has learnt, float16."""
    learnt: Any = open_run(run, "cpu").pipeline
    parts = learnt.reference_attention.half(), learnt.motion_module.half()
    settings = ModelSettings.model_validate(learnt.config.settings)
    DreamVideo2(learnt.unet, *parts, settings).save_pretrained(weights)


if __name__ == "__main__":
    sys.exit(main())
