"""A small dataset of clips that are long enough to train on."""

from pathlib import Path

import pytest

from tests.shards.filmed import filmed, write_dataset

CLIPS, PER_SHARD, FRAMES = 14, 4, 36


@pytest.fixture(scope="session")
def clips_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """14 clips of 36 frames at 24 a second, 48x64 pixels, in four shards; dog, cat, boat in turn."""
    folder = tmp_path_factory.mktemp("clips") / "dataset"
    shards = [range(first, min(first + PER_SHARD, CLIPS)) for first in range(0, CLIPS, PER_SHARD)]
    write_dataset(folder, *[[filmed(number, frames=FRAMES) for number in shard] for shard in shards])
    return folder
