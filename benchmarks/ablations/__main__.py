"""The paper's ablations (Tab. 5 and 6) at embedded size: trains every row alike, makes the same clips, measures them.

    python -m benchmarks.ablations [--base FOLDER] [--minutes M | --steps N] [--rows NAME ...] [--runs FOLDER]

All rows have the same clips, seeds, noise and number of steps, and are measured on practice scenes that neither they
nor the base were trained on. It goes on where it was stopped: trainings from their checkpoints, clips and answers one
by one. Two rows are for orientation: the scenes themselves, and the base alone moved by attention masks.
"""

import argparse
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from benchmarks.ablations import report
from benchmarks.ablations.variants import DEFAULT, FIRST, VARIANTS, slug
from benchmarks.ablations.verdicts import Items
from pipeline.embedded.world import World
from pipeline.recipe import load_recipe
from shards import Storage
from training.embedded.practice_clips import write_clips
from training.evaluation.attention_masks import MaskedAttentionMaker
from training.evaluation.making import Maker, RunMaker, make_videos
from training.evaluation.manifest import Entry, read_manifest
from training.evaluation.practice_suite import SEED as ITEMS_SEED
from training.evaluation.practice_suite import practice_items
from training.evaluation.run import evaluate
from training.evaluation.settings import load_settings
from training.evaluation.suite import write_practice_suite
from training.generation.pictures import write_clip
from training.generation.run import open_run
from training.model.base import EMBEDDED, VideoBase
from training.trainer.recipe import TrainRecipe, load_train_recipe
from training.trainer.run import train

RESULTS = Path(__file__).parents[1] / "results"
CLIPS_SEED = 2500
"""Of the world whose scenes are trained on."""

TRUTH, FREE = "the scenes themselves", "attention masks, no training"
PACE_STEPS = 6
FPS = 8.0


@dataclass(frozen=True)
class Ablations:
    """One series of trainings in a folder."""

    args: argparse.Namespace
    runs: Path

    def recipe(self, name: str, steps: int) -> TrainRecipe:
        base = [] if self.args.base is None else [f"base={self.args.base}"]
        saves = [f"saves.every={max(1, steps // 4)}", "saves.keep=1"]
        return load_train_recipe("embedded", [*base, *self.args.set, *saves, f"steps={steps}", *VARIANTS[name]])

    @cached_property
    def steps(self) -> int:
        """Of every row's training: as asked for, or as many as the minutes allow by the pace of a few steps."""
        plan = self.runs / "plan.json"
        steps = self.args.steps
        if plan.exists():
            kept = int(json.loads(plan.read_text())["steps"])
            if steps not in (None, kept):
                raise ValueError(f"{self.runs} holds trainings of {kept} steps, not {steps}; name another --runs")
            return kept
        if steps is None:
            steps = max(1, round(60 * self.args.minutes / len(self.args.rows) / self._pace()))
        plan.write_text(json.dumps({"steps": steps}))
        return int(steps)

    def _pace(self) -> float:
        """Seconds of a step; loading and the first steps are not in it."""
        with tempfile.TemporaryDirectory() as folder:
            ends = []
            for steps in (2, 2 + PACE_STEPS):
                began = time.monotonic()
                train(self.dataset, f"{folder}/{steps}", self.recipe(DEFAULT, steps))
                ends.append(time.monotonic() - began)
        return max(1e-3, (ends[1] - ends[0]) / PACE_STEPS)

    @cached_property
    def dataset(self) -> str:
        folder = self.runs / "clips"
        if not (folder / "dataset.json").exists() or not (self.runs / "clips-whole").exists():
            loader = self.recipe(DEFAULT, 1).loader
            world = World(
                size=(loader.height, loader.width),
                num_frames=loader.window.num_frames,
                frame_rate=FPS,
                seed=CLIPS_SEED,
            )
            write_clips(folder, world, self.args.clips)
            (self.runs / "clips-whole").touch()
        return str(folder)

    @cached_property
    def suite(self) -> Path:
        loader = self.recipe(DEFAULT, 1).loader
        size = loader.height, loader.width
        return write_practice_suite(self.runs / "suite", self.args.items, size, loader.window.num_frames)

    @cached_property
    def entries(self) -> list[Entry]:
        """Every item with each seed of the noise; videos of one item bear its number first."""
        return [
            entry.model_copy(
                update={"video": f"{Path(entry.video).stem}-{number}.mp4", "seed": 1000 * number + entry.seed}
            )
            for entry in read_manifest(self.suite)
            for number in range(self.args.seeds)
        ]

    def row(self, name: str) -> Items:
        """Trained, made and measured, or as much of it as is not there yet."""
        run = self.runs / slug(name)
        recipe = self.recipe(name, self.steps)
        summary = train(self.dataset, str(run), recipe, resume=True)
        print(f"{name}: {summary.steps} steps", flush=True)
        opened = open_run(run, self.device)
        maker = RunMaker(
            opened, {"run": slug(name), "step": recipe.steps}, self.args.sampling_steps, self.args.guidance
        )
        return self._measured(name, maker)

    def free(self) -> Items:
        loader = self.recipe(DEFAULT, 1).loader
        maker = MaskedAttentionMaker(
            VideoBase.from_pretrained(self.args.base or EMBEDDED, device=self.device),
            {"attention masks": str(self.args.base)},
            (loader.height, loader.width),
            loader.window.num_frames,
            FPS,
            steps=self.args.sampling_steps,
            guidance_scale=self.args.guidance,
        )
        return self._measured(FREE, maker)

    def truth(self) -> Items:
        videos = self.runs / "truth" / "videos"
        loader = self.recipe(DEFAULT, 1).loader
        items = practice_items(self.args.items, (loader.height, loader.width), loader.window.num_frames)
        for number, item in enumerate(items):
            for seed in range(self.args.seeds):
                path = videos / f"{number:04d}-{seed}.mp4"
                if not path.exists():
                    write_clip(path, item.truth(), FPS)
        return self._figures(TRUTH, videos)

    def _measured(self, name: str, maker: Maker) -> Items:
        videos = self.runs / slug(name) / "videos"
        at_once, recipe = self.args.at_once, load_recipe("embedded")
        make_videos(self.entries, self.suite.parent, Storage.at(videos), maker, recipe, at_once=at_once)
        return self._figures(name, videos)

    def _figures(self, name: str, videos: Path) -> Items:
        """Means over the seeds of each item."""
        out = Storage.at(videos.parent / "evaluation")
        settings = load_settings("embedded")
        found = evaluate(self.entries, videos, self.suite.parent, out, settings, name=name, protocol="joint")
        assert found is not None
        assert not found.faults, found.faults[:3]
        by_item: dict[str, list[dict[str, float | None]]] = {}
        for one in found.measured:
            by_item.setdefault(one.asked.entry.video.split("-")[0], []).append(dict(one.scores.video))
        return {item: _averaged(figures) for item, figures in by_item.items()}

    @property
    def device(self) -> str:
        return "cuda" if torch.cuda.is_available() else "cpu"


def _averaged(figures: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for metric in figures[0]:
        values = [value for one in figures if (value := one[metric]) is not None]
        found[metric] = sum(values) / len(values) if values else None
    return found


def main(argv: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if argv is None else list(argv)
    args = _parser().parse_args(given)
    if args.threads:
        torch.set_num_threads(args.threads)
    args.rows = list(dict.fromkeys([DEFAULT, *args.rows]))
    args.runs.mkdir(parents=True, exist_ok=True)
    ablations = Ablations(args, args.runs)
    others = {TRUTH: ablations.truth()}
    others[FREE] = ablations.free()
    rows: dict[str, Items] = {}
    for name in args.rows:
        rows[name] = ablations.row(name)
        text = report.write(args.out, rows, others, _about(given, ablations))
    print(text)
    return 0


def _about(given: Sequence[str], ablations: Ablations) -> dict[str, Any]:
    args = ablations.args
    folders = {str(args.runs), str(args.out), str(args.base)}
    recipe = ablations.recipe(DEFAULT, ablations.steps)
    words = ["python", "-m", "benchmarks.ablations", *("FOLDER" if word in folders else word for word in given)]
    return {
        "command": shlex.join(words),
        "steps": ablations.steps,
        "batch": recipe.batch,
        "lr": recipe.optimizer.lr,
        "clips": args.clips,
        "items": args.items,
        "seeds": {"clips": CLIPS_SEED, "items": ITEMS_SEED, "training": recipe.seed, "noise of an item": args.seeds},
        "sampling steps": args.sampling_steps,
        "guidance": args.guidance,
        "evaluation": load_settings("embedded").model_dump(mode="json"),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablations", description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=Path, help="folder of a base (default: the small one of practice videos)")
    parser.add_argument("--rows", nargs="+", choices=VARIANTS, default=list(FIRST), help="(default: %(default)s)")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--steps", type=int, help="of each training")
    budget.add_argument("--minutes", type=float, default=60.0, help="of all trainings together (default: %(default)s)")
    parser.add_argument("--clips", type=int, default=512, help="to train on (default: %(default)s)")
    parser.add_argument("--items", type=int, default=48, help="scenes to make and measure (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=2, help="clips of each scene, averaged (default: %(default)s)")
    parser.add_argument("--sampling-steps", type=int, default=25, help="of DDIM (default: %(default)s)")
    parser.add_argument("--guidance", type=float, default=5.0, help="of the text (default: %(default)s)")
    parser.add_argument("--at-once", type=int, default=8, help="clips made together (default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="laid over the training's recipe")
    parser.add_argument("--threads", type=int, help="of torch (default: as many as it takes)")
    parser.add_argument("--runs", type=Path, default=Path("out/ablations"), help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
