"""Trains the small tracker: DEVA's network, unrolled over short clips of the practice world."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from pipeline.embedded.tasks.task import TRAINING_SEED, VALIDATION_SEED
from pipeline.embedded.tasks.tracker_clips import Clip, draw_clip
from pipeline.embedded.tasks.tracker_quality import follow_scenes, summary
from pipeline.embedded.tasks.tracker_unroll import carried
from pipeline.embedded.world import World
from pipeline.models.deva.build import build
from pipeline.models.deva.core import cropped, padded
from pipeline.models.deva.frames import to_image
from pipeline.models.deva.network import Deva
from pipeline.models.deva.propagator import Propagator, covered
from pipeline.models.deva.settings import SMALL, Propagation
from pipeline.models.weights import load_weights
from shards.rle import Size

PROPAGATION = Propagation(short_side=192, enlarge=True, mem_every=3)
"""What the network is trained for and judged with."""

FILE = "deva.safetensors"

SIZES: dict[Size, float] = {(96, 160): 0.5, (90, 160): 0.15, (120, 160): 0.1, (180, 320): 0.25}
"""Sizes at which scenes are drawn, and their shares."""


class Phase(NamedTuple):
    until: float  # share of all steps
    num_frames: int  # of a clip
    sight: Propagation  # the size at which the network sees the frames
    clips: dict[int, int]  # of a batch, by the number of objects that each follows


# Frames that are not enlarged cost a quarter: who is who and where is learnt on them, then the fine outlines.
PHASES = (
    Phase(0.3, 3, Propagation(short_side=96), {1: 8, 2: 4, 3: 3}),
    Phase(0.5, 6, Propagation(short_side=96), {1: 8, 2: 4, 3: 3}),
    Phase(1.0, 6, PROPAGATION, {1: 4, 2: 2, 3: 2}),
)


class TrackerTask:
    """Learns from a few small frames first, from more and larger ones once it can follow at all."""

    name = "tracker"
    steps = 2400
    learning_rate = 1e-3
    warmup = 200
    weight_decay = 1e-4
    clip = 2.0

    def network(self, runs: Path) -> nn.Module:  # noqa: ARG002
        return build(SMALL).to(memory_format=torch.channels_last)

    def trained(self, weights: Path) -> nn.Module:
        network = build(SMALL)
        load_weights(network, weights / FILE, mend="train the tracker first")
        return network.to(memory_format=torch.channels_last)

    def batch(self, step: int) -> dict[str, Any]:
        """Images [T, B, 3, H', W'], masks `given` [K, B, H', W'], labels [T - 1, B, H, W] of the later frames.

        Images and given masks are as the network sees them, the labels as the scene is drawn.
        """
        rng = np.random.default_rng((TRAINING_SEED, step))
        done = step / self.steps
        phase = next(phase for phase in PHASES if done < phase.until)
        size = tuple(SIZES)[rng.choice(len(SIZES), p=tuple(SIZES.values()))]
        num_objects = int(rng.choice((1, 2, 3), p=(0.5, 0.3, 0.2)))
        clips = [draw_clip(rng, size, num_objects, phase.num_frames) for _ in range(phase.clips[num_objects])]
        every = int(rng.choice((1, 2, 3, phase.num_frames)))
        seen = phase.sight.input_size(size)
        return _collated(clips, seen) | {
            "seen": seen,
            "remembered": [t % every == 0 for t in range(phase.num_frames)],
            "hardest": max(0.2, 1 - 2 * done),
        }

    def losses(self, network: nn.Module, batch: Any) -> dict[str, Tensor]:
        assert isinstance(network, Deva)
        labels = batch["labels"]
        tracked = carried(network, batch["images"], batch["given"], batch["remembered"], bfloat16=True)
        maps = [_at_frame_size(frame, batch["seen"], labels.shape[-2:]) for frame in tracked]
        entropies = [_cross_entropy(*pair, batch["hardest"]) for pair in zip(maps, labels, strict=True)]
        dices = [_dice(*pair) for pair in zip(maps, labels, strict=True)]
        return {"cross_entropy": torch.stack(entropies).mean(), "dice": torch.stack(dices).mean()}

    def quality(self, network: nn.Module) -> dict[str, float]:
        """Mean J and its parts from exact masks; mean J from rough ones, and in large frames."""
        assert isinstance(network, Deva)
        propagator = Propagator(network, PROPAGATION)
        world = World(seed=VALIDATION_SEED)
        large = World(seed=VALIDATION_SEED, size=(180, 320), num_frames=32, frame_rate=12)
        return summary(follow_scenes(propagator, world, range(8))) | {
            "j_rough": summary(follow_scenes(propagator, world, range(8, 12), rough=True))["j"],
            "j_large": summary(follow_scenes(propagator, large, range(16, 18)))["j"],
        }

    def save(self, network: nn.Module, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: value.contiguous() for name, value in network.state_dict().items()}
        half = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
        (folder / FILE).write_bytes(save(half))


def _collated(clips: Sequence[Clip], size: Size) -> dict[str, Tensor]:
    device = torch.device("cpu")
    images = [torch.stack([to_image(frame, size, device) for frame in clip.frames]) for clip in clips]
    labels = [_labels(torch.from_numpy(clip.masks[:, 1:])) for clip in clips]
    given = [covered(torch.from_numpy(clip.given).float(), size) for clip in clips]
    return {
        "images": padded(torch.stack(images, dim=1)),
        "labels": torch.stack(labels, dim=1),
        "given": padded(torch.stack(given, dim=1)),
    }


def _labels(masks: Tensor) -> Tensor:
    """Masks [K, T, H, W] as labels [T, H, W]: 0 is the background, then come the objects."""
    found, which = masks.max(dim=0)
    return (which + 1) * found


def _at_frame_size(maps: Tensor, size: Size, frame_size: Size) -> Tensor:
    """The network's maps [K, B, H', W'], padded from `size`, where the frames are seen: [K, B, H, W]."""
    return functional.interpolate(cropped(maps, size), frame_size, mode="bilinear", align_corners=False)


def _cross_entropy(maps: Tensor, labels: Tensor, hardest: float) -> Tensor:
    """Of the hardest share of each clip's pixels; maps [K + 1, B, H, W], labels [B, H, W]."""
    loss = -maps.gather(0, labels[None])[0].clamp_min(1e-6).log().flatten(1)
    return loss.topk(round(hardest * loss.shape[1]), dim=1, sorted=False).values.mean()


def _dice(maps: Tensor, labels: Tensor) -> Tensor:
    """1 - Dice's overlap of every object; an object that is out of sight must have no probability."""
    truth = functional.one_hot(labels, len(maps)).movedim(-1, 0)[1:]
    both = (maps[1:] * truth).sum((2, 3))
    return (1 - (2 * both + 1) / (maps[1:].sum((2, 3)) + truth.sum((2, 3)) + 1)).mean()
