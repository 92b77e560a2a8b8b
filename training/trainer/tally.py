"""What a step gives: losses and samples of its passes; what the device reached, and what it took."""

import resource
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from training.loader import Batch
from training.model.base import VideoBase
from training.trainer import flops
from training.trainer.ranks import Ranks
from training.trainer.recipe import TrainRecipe

GIB = 1 << 30


@dataclass
class Tally:
    """What the passes of one step give."""

    waited: float = 0.0  # seconds
    keys: list[str] = field(default_factory=list)
    faults: list[Any] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)
    inside: list[Tensor] = field(default_factory=list)
    outside: list[Tensor] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def add(self, batch: Batch, loss: Tensor, inside: Tensor, outside: Tensor) -> None:
        self.keys += batch.keys
        self.faults += batch.faults
        self.sizes.append(len(batch))
        self.losses.append(loss.detach())
        self.inside.append(inside)
        self.outside.append(outside)

    def values(self, norm: Tensor, stop: bool) -> dict[str, Tensor]:
        """Scalars whose means over the processes are the step's; those of passes without a box are left out."""
        inside, outside = torch.stack(self.inside), torch.stack(self.outside)
        return {
            "loss": torch.stack(self.losses).mean(),
            "inside": inside.nansum(),
            "has_inside": (~inside.isnan()).sum(),
            "outside": outside.nansum(),
            "has_outside": (~outside.isnan()).sum(),
            "grad_norm": norm,
            "waited": torch.tensor(self.waited),
            "stop": torch.tensor(float(stop)),
        }

    def not_finite(self) -> list[str]:
        """Keys of the clips of passes whose loss is no number."""
        starts = [sum(self.sizes[:n]) for n in range(len(self.sizes))]
        passes = zip(self.losses, starts, self.sizes, strict=True)
        return [key for loss, at, size in passes if not loss.isfinite() for key in self.keys[at : at + size]]


@dataclass(frozen=True, kw_only=True)
class Meter:
    """What the device reaches of what it could."""

    flops: float  # of a clip
    peak: float | None  # FLOP a second of all processes' devices
    gemm: float

    @classmethod
    def of(cls, recipe: TrainRecipe, base: VideoBase, ranks: Ranks) -> "Meter":
        loader = recipe.loader
        counted = flops.step_flops(base, recipe.model, loader.window.num_frames, loader.height, loader.width)
        peak, gemm = flops.published_peak(ranks.device), flops.measured_gemm(ranks.device, recipe.speed.dtype)
        world = ranks.world
        return cls(flops=counted, peak=peak and peak * world, gemm=gemm * world)

    def mfu(self, clips_per_second: float) -> float | None:
        return self.flops * clips_per_second / self.peak if self.peak else None

    def of_gemm(self, clips_per_second: float) -> float:
        return self.flops * clips_per_second / self.gemm


def memory(device: torch.device) -> float:
    """GiB that were taken at most: the GPU's, or this process's own."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GIB
