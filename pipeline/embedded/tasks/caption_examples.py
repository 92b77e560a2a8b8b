"""Practice clips for captioners: a few frames of a scene, its caption, and what stands in every patch of the frames."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pipeline.embedded.drawing import COLOURS
from pipeline.embedded.scenes import Frame, Scene
from pipeline.embedded.silhouettes import NOUNS
from pipeline.embedded.tasks.task import TRAINING_SEED
from pipeline.embedded.world import World
from shards.rle import Size

INPUT: Size = (96, 160)
"""Height and width of a frame as the network sees it."""

PATCH = 16
GRID: Size = (INPUT[0] // PATCH, INPUT[1] // PATCH)
"""Rows and columns of patches of a frame."""

NUM_FRAMES = 4
"""Frames of a clip that the network sees."""

SIZES: dict[Size, float] = {(96, 160): 0.5, (90, 160): 0.2, (120, 160): 0.15, (180, 320): 0.15}
"""Height and width of the drawn frames -> share of the scenes."""

LENGTHS = (16, 24, 32)
"""Frames of the drawn scenes."""

HARD = 0.6
"""Share of the scenes that are one of the hard cases: they are to be named as well as the plain ones."""

LEAST_COVER = 0.12
"""Share of a patch that an object covers where the patch is said to be of it."""


class Patches(NamedTuple):
    """What covers each patch; 0 is the background. int64 [..., rows, columns]"""

    nouns: Tensor  # number in NOUNS + 1
    colours: Tensor  # number in COLOURS + 1
    subject: Tensor  # 1 where it is what the caption is about


class Example(NamedTuple):
    """One clip."""

    frames: NDArray[np.uint8]  # [F, *INPUT, 3]
    caption: str
    patches: Patches  # [F, *GRID]


def examples(step: int, count: int) -> list[Example]:
    """The training clips of a step."""
    rng = np.random.Generator(np.random.Philox(key=(TRAINING_SEED << 64) | step))
    return [_example(step * count + number, rng) for number in range(count)]


def _example(index: int, rng: np.random.Generator) -> Example:
    size = list(SIZES)[rng.choice(len(SIZES), p=list(SIZES.values()))]
    world = World(size=size, num_frames=int(rng.choice(LENGTHS)), seed=TRAINING_SEED, hard=HARD)
    scene = world.scene(index)
    first, stop, caption = 0, scene.num_frames, scene.caption
    if scene.cuts and rng.random() < 0.8:  # a build cuts there: each shot is a clip of its own
        (cut,), shots = scene.cuts, caption.split(", then ")
        first, stop, caption = ((0, cut, shots[0]), (cut, stop, shots[1]))[int(rng.integers(2))]
    frames = [scene.frame(t) for t in _moments(first, stop, rng)]
    subject = len(scene.shots[0].actors) if first else 0
    return Example(_packed([frame.image for frame in frames], rng), caption, patches(scene, frames, subject))


def _moments(first: int, stop: int, rng: np.random.Generator) -> list[int]:
    """One frame of each equal part, not far from its middle."""
    within = (np.arange(NUM_FRAMES) + rng.uniform(0.2, 0.8, NUM_FRAMES)) / NUM_FRAMES
    return [first + int((stop - first) * share) for share in within.tolist()]


def _packed(images: Sequence[NDArray[np.uint8]], rng: np.random.Generator) -> NDArray[np.uint8]:
    """As the frames come out of a codec, some of the time; at the network's size."""
    strip = np.concatenate(images)
    if rng.random() < 0.4:
        packed = io.BytesIO()
        Image.fromarray(strip).save(packed, "JPEG", quality=int(rng.integers(40, 95)))
        strip = np.asarray(Image.open(packed))
    return np.stack([resized(image) for image in np.split(strip, len(images))])


def resized(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if image.shape[:2] == INPUT:
        return image
    return np.asarray(Image.fromarray(image).resize(INPUT[::-1], Image.Resampling.BILINEAR))


def patches(scene: Scene, frames: Sequence[Frame], subject: int) -> Patches:
    """What covers the patches of the frames most; `subject` is the number of the actor whom the caption is about."""
    masks = torch.from_numpy(np.stack([frame.masks for frame in frames]))  # [F, K, H, W]
    cover, who = torch.nn.functional.adaptive_avg_pool2d(masks.float(), GRID).max(1)
    looks = [actor.look for actor in scene.actors]
    nouns = torch.tensor([NOUNS.index(look.noun) + 1 for look in looks])
    colours = torch.tensor([list(COLOURS).index(look.colour) + 1 for look in looks])
    of_subject = torch.tensor([look.noun == looks[subject].noun for look in looks]).long()
    seen = cover >= LEAST_COVER
    return Patches(*(values[who] * seen for values in (nouns, colours, of_subject)))
