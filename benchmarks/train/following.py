"""What the embedded base learns to follow: loss inside the boxes of unseen clips, and boxes of generated subjects.

    python -m benchmarks.train.following [--folder FOLDER] [--steps N] [--clips N] [--videos N] [--set A.B=C ...]

Trains DreamVideo-2 beside the base on practice clips with their exact boxes, then makes the practice world's suite, a
seed and a subject a video, with what was learnt and with the motion module taken off; the packaged detector says where
the subject is. A folder that stays is gone on with.
"""

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from benchmarks.annotators.report import where
from pipeline.embedded.tasks.task import TRAINING_SEED, VALIDATION_SEED
from pipeline.recipe import load_recipe
from shards import Storage
from training.embedded.fit import practice_world
from training.embedded.practice_clips import write_clips
from training.evaluation import intervals
from training.evaluation.making import RunMaker, make_videos
from training.evaluation.manifest import read_manifest
from training.evaluation.run import evaluate
from training.evaluation.scores import DETECTED
from training.evaluation.settings import load_settings
from training.evaluation.suite import write_practice_suite
from training.generation.pipeline import DreamVideo2Pipeline
from training.generation.run import Opened, open_run
from training.loader import Share, open_stream
from training.model.base import VideoBase
from training.model.dreamvideo2 import DreamVideo2
from training.trainer.learner import Learner
from training.trainer.recipe import TrainRecipe, load_train_recipe
from training.trainer.run import train

RESULTS = Path(__file__).parents[1] / "results" / "following.json"
UNSEEN = 48
"""Clips that losses are measured on, each with a noise and a timestep of its own."""

AT_ONCE = 8


def main(argv: Sequence[str] | None = None) -> None:
    given = sys.argv[1:] if argv is None else argv
    args = _parser().parse_args(given)
    recipe = load_train_recipe("embedded", [f"steps={args.steps}", *args.set])
    with tempfile.TemporaryDirectory() as aside:
        folder = args.folder or Path(aside)
        said = {"loss": _losses(folder, recipe, args.clips), **_following(folder, args.videos, args.ddim_steps)}
    places = {str(args.folder): "FOLDER", str(args.out): "FILE"}  # of this machine alone
    words = [places.get(word, word) for word in given]
    command = shlex.join(["python", "-m", "benchmarks.train.following", *words])
    args.out.write_text(json.dumps({"command": command, **where(), **said}, indent=1) + "\n")
    print(json.dumps(said, indent=1))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train.following", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="for clips, run and videos (default: one that goes)")
    parser.add_argument("--steps", type=int, default=400, help="of training (default: %(default)s)")
    parser.add_argument("--clips", type=int, default=1024, help="to train on (default: %(default)s)")
    parser.add_argument("--videos", type=int, default=32, help="to make, twice (default: %(default)s)")
    parser.add_argument("--ddim-steps", type=int, default=25, help="(default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="a setting of the training")
    parser.add_argument("--out", type=Path, default=RESULTS, help="(default: %(default)s)")
    return parser


def _losses(folder: Path, recipe: TrainRecipe, clips: int) -> dict[str, Any]:
    """Trains; mean squared error of the noise on unseen clips, before and after, inside and outside the boxes."""
    for name, seed, count in (("clips", TRAINING_SEED, clips), ("unseen", VALIDATION_SEED, UNSEEN)):
        if not (folder / name).exists():
            write_clips(folder / name, practice_world(recipe, seed), count)
    before = _loss(folder / "unseen", recipe, None)
    train(str(folder / "clips"), str(folder / "run"), recipe, resume=True)
    after = _loss(folder / "unseen", recipe, open_run(folder / "run", "cpu").pipeline)
    said: dict[str, Any] = {"unseen_clips": UNSEEN, "steps": recipe.steps, "batch": recipe.batch}
    for part in before:
        change = [new - old for old, new in zip(before[part], after[part], strict=True)]
        told = {"before": before[part], "after": after[part], "change, clip by clip": change}
        said[part] = {name: _estimate(values) for name, values in told.items()}
    return said


@torch.no_grad()
def _loss(unseen: Path, recipe: TrainRecipe, pipeline: DreamVideo2Pipeline | None) -> dict[str, list[float]]:
    """Of each clip, by a pipeline's model, or by one as training begins."""
    base = VideoBase.named(recipe.base, dtype=torch.float32, device="cpu")
    model = DreamVideo2.beside(base.unet, recipe.model)
    if pipeline is not None:
        model = DreamVideo2(base.unet, pipeline.reference_attention, pipeline.motion_module, recipe.model)
    learner = Learner(base, recipe.model)
    shown = recipe.loader.model_copy(update={"seed": 1, "text_dropout": 0.0, "workers": 0})
    batches = open_stream(str(unseen), shown, Share(batch=1)).batches()
    losses = [learner.losses(model.eval(), batch) for batch in islice(batches, UNSEEN)]
    return {part: [float(getattr(loss, part)) for loss in losses] for part in ("inside", "outside")}


def _following(folder: Path, videos: int, steps: int) -> dict[str, Any]:
    """Box overlap (mIoU) and distance of centres (CD) of generated subjects, with and without the motion module."""
    opened = open_run(folder / "run", "cpu")
    suite = write_practice_suite(folder / "suite", videos, opened.size, opened.num_frames)
    return {
        name: _measured(folder / name, suite, model, name, steps)
        for name, model in (("with_motion_module", opened), ("without", _without_motion(opened)))
    }


def _without_motion(opened: Opened) -> Opened:
    own: Any = opened.pipeline
    parts = {name: getattr(own, name) for name in ("unet", "vae", "text_encoder", "tokenizer", "scheduler")}
    pipeline = DreamVideo2Pipeline(
        **parts, reference_attention=own.reference_attention, motion_module=None, settings=own.config.settings
    )
    return Opened(pipeline=pipeline, size=opened.size, num_frames=opened.num_frames, fps=opened.fps)


def _measured(folder: Path, suite: Path, opened: Opened, name: str, steps: int) -> dict[str, Any]:
    entries = read_manifest(suite)
    maker = RunMaker(opened, {"with": name}, steps, 9.0)
    make_videos(entries, suite.parent, Storage.at(folder), maker, load_recipe("embedded"), at_once=AT_ONCE)
    settings = load_settings("embedded", [])
    out = Storage.at(folder / "evaluation")
    evaluation = evaluate(entries, folder, suite.parent, out, settings, name=name, protocol="motion")
    assert evaluation is not None
    scores = [one.scores.video for one in evaluation.measured]
    return {
        metric: _estimate([value for of in scores if (value := of.get(metric)) is not None])
        for metric in ("mIoU", "CD", DETECTED)
    }


def _estimate(values: Sequence[float]) -> dict[str, float]:
    found = intervals.mean(values)
    return {"mean": found.value, "low": found.low, "high": found.high, "n": found.n}


if __name__ == "__main__":
    main()
