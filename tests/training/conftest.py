"""A small dataset of clips that are long enough to train on, a tiny base, and a run of both."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shards.filmed import filmed, write_dataset
from tests.training.tiny_base import write_tiny_base
from tests.training.tiny_run import one_thread, recipe
from training.trainer.run import train

CLIPS, PER_SHARD, FRAMES = 14, 4, 36


@pytest.fixture(scope="session")
def clips_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """14 clips of 36 frames at 24 a second, 48x64 pixels, in four shards; dog, cat, boat in turn."""
    folder = tmp_path_factory.mktemp("clips") / "dataset"
    shards = [range(first, min(first + PER_SHARD, CLIPS)) for first in range(0, CLIPS, PER_SHARD)]
    write_dataset(folder, *[[filmed(number, frames=FRAMES) for number in shard] for shard in shards])
    return folder


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="session")
def whole(tiny_base: Path, clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    with one_thread():
        summary = train(str(clips_folder), str(folder), recipe(tiny_base))
    assert summary.finished
    assert summary.steps == 5
    return folder


@pytest.fixture(scope="module")
def single_thread() -> Iterator[None]:
    with one_thread():
        yield
