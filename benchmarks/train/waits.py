"""A real training from shards: its rate, how long steps wait for clips, and how long a save stalls it.

    python -m benchmarks.train.waits OUT.json [--steps N] [--set A.B=C ...]

Of a recipe's own run on practice clips, the first steps left out: they start workers and load libraries.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.annotators.report import where
from benchmarks.practice_clips import write_clips
from pipeline.embedded.world import World
from shards import Storage
from training.trainer.log import LOG, moments
from training.trainer.recipe import load_train_recipe
from training.trainer.run import train

WARM = 5  # steps that are not counted


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train.waits", description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--recipe", default="embedded")
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C")
    args = parser.parse_args()
    assignments = [f"steps={args.steps}", f"saves.every={max(2, args.steps // 6)}", *args.set]
    recipe = load_train_recipe(args.recipe, assignments)
    loader = recipe.loader
    size = (loader.height, loader.width)
    frames = int(3 * loader.window.num_frames)
    with tempfile.TemporaryDirectory() as folder:
        dataset, run = Path(folder, "clips"), Path(folder, "run")
        write_clips(dataset, World(size=size, num_frames=frames, frame_rate=16.0), args.clips)
        train(str(dataset), str(run), recipe)
        said = _said(run)
    args.out.write_text(json.dumps({**where(), "settings": assignments, **said}, indent=1) + "\n")
    print(json.dumps(said, indent=1))


def _said(run: Path) -> dict[str, Any]:
    storage = Storage.at(run)
    told = moments(storage)[WARM:]
    events = [json.loads(line) for line in storage.read(LOG).splitlines()]
    stalls = [event["save_stall"] for event in events if "save_stall" in event]
    step = statistics.median(moment.seconds for moment in told)
    return {
        "steps": len(told),
        "step_seconds": _spread([moment.seconds for moment in told]),
        "clips_per_second": _spread([moment.clips_per_second for moment in told]),
        "data_wait_percent": _spread([100 * moment.data_wait for moment in told]),
        "share_of_a_matrix_product": _spread([moment.of_gemm or 0.0 for moment in told]),
        "save_stall_steps": _spread([stall / step for stall in stalls]),
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


if __name__ == "__main__":
    main()
