"""What many tests share: one Ray cluster, one folder of practice videos."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

from tests import shapes
from tests.wire import s3, wire

__all__ = ["s3", "wire"]

SHAPED = ("model.base", "model.dreamvideo2", "model.loss", "model.masks", "generation.pipeline", "loader.batch")
install_import_hook([f"training.{name}" for name in SHAPED], f"{shapes.__name__}.checked")
"""Their tensors must have the shapes that they say; layers that are compiled have a test of their own."""

REAL = Path(__file__).parents[2] / "shared" / "real"
"""Real clips, where this checkout has them beside it."""


@pytest.fixture(scope="session")
def real_clips() -> Path:
    if not REAL.is_dir():
        pytest.skip(f"no real clips at {REAL}")
    return REAL


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A Ray cluster of four workers for the whole session; starting one takes seconds."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    memory = 100 << 20
    ray.init("local", num_cpus=4, include_dashboard=False, object_store_memory=memory, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def world_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty practice videos with their truth, every case of the world among them."""
    from pipeline.embedded.scenes import CASES
    from pipeline.embedded.world import World, write_videos

    folder = tmp_path_factory.mktemp("world") / "videos"
    write_videos(folder, World(num_frames=16, frame_rate=12.0), 20, cases=(*CASES, None, "plain"))
    return folder
