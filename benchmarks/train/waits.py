"""A real training from shards: its rate, how long steps wait for clips, and how long a save stalls it.

Of the embedded recipe's own run on practice clips, the first steps left out: they start workers and load libraries.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.annotators.report import Line, timed
from pipeline.embedded.world import World
from shards import Storage
from training.embedded.practice_clips import write_clips
from training.trainer.log import LOG, moments
from training.trainer.recipe import load_train_recipe
from training.trainer.run import train

WARM = 5  # steps that are not counted
CLIPS = 32  # of the dataset


def waits(steps: int, settings: Sequence[str]) -> list[Line]:
    recipe = load_train_recipe("embedded", [f"steps={steps}", f"saves.every={max(2, steps // 6)}", *settings])
    loader = recipe.loader
    world = World(
        size=(loader.height, loader.width), num_frames=3 * loader.window.num_frames, frame_rate=2 * loader.window.fps
    )
    with tempfile.TemporaryDirectory() as folder:
        write_clips(Path(folder, "clips"), world, CLIPS)
        train(str(Path(folder, "clips")), str(Path(folder, "run")), recipe)
        return _said(Storage.at(Path(folder, "run")), f"embedded, batch {recipe.batch}")


def _said(storage: Storage, who: str) -> list[Line]:
    told = [moment for moment in moments(storage) if moment.step > WARM]
    events = [json.loads(line) for line in storage.read(LOG).splitlines()]
    step = [moment.seconds for moment in told]
    middle = sorted(step)[len(step) // 2]
    stalls = [event["save_stall"] / middle for event in events if "save_stall" in event]
    return [
        timed("a run from shards", "step", who, "s", step),
        timed("a run from shards", "rate", who, "clips/s", [moment.clips_per_second for moment in told]),
        timed("a run from shards", "wait for clips, share of a step", who, "%", [100 * m.data_wait for m in told]),
        timed("a run from shards", "of a matrix product", who, "%", [100 * (m.of_gemm or 0) for m in told]),
        timed("a run from shards", "stall of a save, in steps", who, "x", stalls),
    ]
