"""Runs of five steps beside the tiny base, what they leave, and processes that train."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from shards import Storage
from training.trainer import checkpoints
from training.trainer.log import Moment, moments
from training.trainer.recipe import TrainRecipe, load_train_recipe

TINY = (
    "steps=5",
    "batch=4",
    "at_once=2",
    "ema=0.9",
    "saves.every=2",
    "optimizer.lr=1e-2",
    "optimizer.warmup=2",
    "loader.height=16",
    "loader.width=24",
    "loader.window.num_frames=3",
    "loader.workers=0",
    "model.motion.encoder_channels=[4,8]",
    "model.motion.temporal_heads=2",
)
"""Five steps of four clips, each in two passes."""

PREVIEWS = ("previews.every=3", "previews.count=1", "previews.num_inference_steps=2")


@contextmanager
def one_thread() -> Iterator[None]:
    """The last bits of a sum depend on how many threads share it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def recipe(base: Path, *changes: str) -> TrainRecipe:
    return load_train_recipe("embedded", [f"base={base}", *TINY, *changes])


def weights(run: Path, step: int = 5, name: str = "model") -> dict[str, torch.Tensor]:
    folder = run / checkpoints.folder_of(step) / name
    files = sorted(folder.rglob("*.safetensors"))
    return {f"{file.parent.name}.{key}": value for file in files for key, value in load_file(file).items()}


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal, bit by bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def log(run: Path) -> list[Moment]:
    return moments(Storage.at(run))


def process(work: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Forked from a process that has loaded what a training needs."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["training.loader.stream", "pandas", "training.trainer.run", "torch._dynamo"])
    started = context.Process(target=work, args=arguments)
    started.start()
    return started
