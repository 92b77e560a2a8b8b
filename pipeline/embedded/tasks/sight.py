"""Trains the captioner's sight by itself, before it learns to write: a FocalNet that says what covers every patch."""

from pathlib import Path
from typing import Any

import torch
import transformers as typed_transformers
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pipeline.embedded.drawing import COLOURS
from pipeline.embedded.silhouettes import NOUNS
from pipeline.embedded.tasks.caption_examples import GRID, INPUT, Patches, frames_alone, stacked
from pipeline.embedded.tasks.task import VALIDATION_SEED

transformers: Any = typed_transformers  # some of its classes are typed in part only

WIDTH = 128
"""Channels of a patch."""

BACKGROUND = 0.5
"""Weight of the patches without an object, which are many and easy, against all others."""


def vision_config() -> Any:
    """Strides of 4, 8 and 16 pixels."""
    return transformers.FocalNetConfig(
        image_size=list(INPUT),
        patch_size=4,
        embed_dim=WIDTH // 4,
        hidden_sizes=[WIDTH // 4, WIDTH // 2, WIDTH],
        hidden_size=WIDTH,
        depths=[1, 1, 5],
        focal_levels=[2, 2, 2],
        focal_windows=[3, 3, 3],
        use_conv_embed=True,
        mlp_ratio=2.0,
        drop_path_rate=0.0,
    )


class Sight(nn.Module):
    """The network with heads that are thrown away."""

    def __init__(self) -> None:
        super().__init__()
        self.vision = transformers.FocalNetModel(vision_config())
        _wake(self.vision)
        self.nouns = nn.Linear(WIDTH, len(NOUNS) + 1)
        self.colours = nn.Linear(WIDTH, len(COLOURS) + 1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 3, *INPUT] -> scores of the nouns and of the colours, [B, *GRID, .]."""
        seen = self.vision(pixels, output_hidden_states=True).hidden_states[-1].unflatten(1, GRID)
        return self.nouns(seen), self.colours(seen)


def _wake(network: nn.Module) -> None:
    """Starts every layer at the scale of its input.

    A block multiplies what it reads with what stands around; from the usual, small start both are next to nothing, and
    for hundreds of steps no patch knows its neighbours.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")


class SightTask:
    """See `Task`."""

    name = "sight"
    steps = 3000
    learning_rate = 1e-3
    warmup = 100
    weight_decay = 0.02
    clip = 1.0
    batch_size = 32
    looks = 128  # frames on which quality is looked at

    def network(self, runs: Path) -> nn.Module:  # noqa: ARG002  it starts from nothing
        return Sight()

    def trained(self, weights: Path) -> nn.Module:
        raise ValueError(f"{weights}: holds no sight; the captioner that was trained from it is in there")

    def batch(self, step: int) -> dict[str, Any]:
        """Frames uint8 [B, *INPUT, 3] and what covers their patches, [B, *GRID]."""
        return stacked(frames_alone(step, self.batch_size))

    def losses(self, network: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
        frames = batch["frames"]
        with torch.autocast(frames.device.type, torch.bfloat16):
            nouns, colours = network(normalised(frames))
        return patch_losses(nouns.float(), colours.float(), Patches(*batch["patches"]))

    def quality(self, network: nn.Module) -> dict[str, float]:
        """Shares of the patches, with an object and without, that are told right."""
        batch = stacked(frames_alone(0, self.looks, VALIDATION_SEED))
        frames = batch["frames"].to(next(network.parameters()).device)
        nouns, colours = (scores.argmax(-1).cpu() for scores in network(normalised(frames)))
        truth = Patches(*batch["patches"])
        seen = truth.nouns > 0
        return {
            "noun": _share(nouns[seen] == truth.nouns[seen]),
            "colour": _share(colours[seen] == truth.colours[seen]),
            "background": _share(nouns[~seen] == 0),
        }

    def save(self, network: nn.Module, folder: Path) -> None:
        """Nothing: the captioner holds it."""


def normalised(frames: Tensor) -> Tensor:
    """uint8 [..., H, W, 3] -> what the captioner's processor makes of it, [..., 3, H, W]."""
    return frames.movedim(-1, -3) / 63.75 - 2.0


def patch_losses(nouns: Tensor, colours: Tensor, truth: Patches) -> dict[str, Tensor]:
    """Of the scores of patches, of which those with an object count as much as there are few of them."""
    seen = truth.nouns > 0
    return {
        "nouns": cross_entropy(nouns[seen], truth.nouns[seen]),
        "background": BACKGROUND * cross_entropy(nouns[~seen], truth.nouns[~seen]),
        "colours": 0.5 * cross_entropy(colours[seen], truth.colours[seen]),
    }


def _share(right: Tensor) -> float:
    return right.float().mean().item()
