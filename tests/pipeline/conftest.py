"""What tests of networks share."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch on one thread: the last bits of a sum depend on how many share it."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the annotators' small networks, seeded: see `tests.pipeline.tiny_annotators`."""
    from tests.pipeline.tiny_annotators import write_tiny_weights

    return write_tiny_weights(tmp_path_factory.mktemp("tiny"))
