"""What a small model's training is made of; `pipeline.embedded.train` runs it."""

from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

TRAINING_SEED = 2**40
"""Seeds of practice worlds from here on are for training; tests, demo and benchmarks draw below it."""

VALIDATION_SEED = 2**39
"""The world of this seed is for a look at quality during training."""


class Task(Protocol):
    """One small model's training. Every batch is a pure function of its step, so a stopped run goes on exactly."""

    name: str  # of its run and of its weights
    steps: int
    learning_rate: float  # AdamW's highest: reached by a linear warm-up, left by a cosine
    warmup: int  # steps
    weight_decay: float
    clip: float  # greatest norm of all gradients together

    def network(self, runs: Path) -> nn.Module:
        """A fresh network; one that starts from another task's result finds that run's folder in `runs`."""
        ...

    def trained(self, weights: Path) -> nn.Module:
        """The network as `save` left it in the folder `weights`, to be trained on. ValueError where nothing is kept."""
        ...

    def batch(self, step: int) -> Any:
        """The batch of a step: tensors, in tuples or dicts."""
        ...

    def losses(self, network: nn.Module, batch: Any) -> dict[str, Tensor]:
        """Scalars by name, whose sum is minimised."""
        ...

    def quality(self, network: nn.Module) -> dict[str, float]:
        """How well the network does on scenes of `VALIDATION_SEED`."""
        ...

    def save(self, network: nn.Module, folder: Path) -> None:
        """Writes the weights as the pipeline loads them, float16 safetensors, into `folder`."""
        ...
