"""Practice frames for detectors: pictures at the network's input size, and what is seen in them."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pipeline.embedded.scenes import Actor, Case, Scene
from pipeline.embedded.tasks.task import TRAINING_SEED
from pipeline.embedded.world import World
from pipeline.models.grounding_dino.detector import MEAN, STD, input_size
from pipeline.models.grounding_dino.settings import ARCHITECTURES
from shards.rle import Size

SIZES: dict[Size, float] = {(96, 160): 0.4, (90, 160): 0.2, (180, 320): 0.2, (120, 160): 0.2}
"""Height and width of the frames -> share of the batches. A batch has one, so that its pictures stack."""

CASES: dict[Case, float] = {
    "plain": 0.38,
    "static": 0.04,
    "returning": 0.04,
    "two": 0.12,
    "small": 0.14,
    "large": 0.15,
    "late": 0.03,
    "leaving": 0.03,
    "camera": 0.03,
    "occluded": 0.04,
}
"""Case -> share of the scenes: more of what is hard to find than the world has."""

NUM_FRAMES = 24
LEAST_PIXELS, LEAST_SIDE = 20, 4
"""Of what is seen of an object, at the network's input; less than that is neither asked for nor missed."""


class Seen(NamedTuple):
    """One object of a view."""

    noun: str
    colour: str
    box: tuple[float, float, float, float]  # cxcywh, shares of the frame
    clear: bool  # enough of it is seen to be found


class View(NamedTuple):
    """A frame as the network gets it."""

    image: NDArray[np.uint8]  # [h, w, 3]
    objects: tuple[Seen, ...]


def batch_of_views(step: int, count: int) -> list[View]:
    """`count` training views of one size, two of a scene; a pure function of the step."""
    rng = np.random.Generator(np.random.Philox(key=(TRAINING_SEED << 64) | step))
    size = list(SIZES)[rng.choice(len(SIZES), p=list(SIZES.values()))]
    world = World(size=size, num_frames=NUM_FRAMES, seed=TRAINING_SEED)
    views = []
    for number in range((count + 1) // 2):
        case = list(CASES)[rng.choice(len(CASES), p=list(CASES.values()))]
        scene = world.scene(step * count + number, case)
        # The pipeline asks about first frames above all.
        views += [_noisy(view(scene, t), rng) for t in (0, int(rng.integers(NUM_FRAMES)))]
    return views[:count]


def view(scene: Scene, t: int) -> View:
    """Frame `t` of the scene, resized as the detector does."""
    frame = scene.frame(t)
    own = ARCHITECTURES["embedded"]
    height, width = input_size(scene.size, own.short_side, own.long_side, own.least_side)
    reduced = (height / scene.size[0]) * (width / scene.size[1])
    objects = [
        _seen(actor, int(mask.sum()) * reduced, box, scene.size, (height, width))
        for actor, mask, box in zip(scene.actors, frame.masks, frame.boxes(), strict=True)
        if box is not None
    ]
    image = Image.fromarray(frame.image).resize((width, height), Image.Resampling.BILINEAR)
    return View(np.asarray(image), tuple(objects))


def _seen(actor: Actor, pixels: float, box: tuple[int, int, int, int], size: Size, shown: Size) -> Seen:
    x0, y0, x1, y1 = box[0] / size[1], box[1] / size[0], box[2] / size[1], box[3] / size[0]
    side = min((x1 - x0) * shown[1], (y1 - y0) * shown[0])
    return Seen(
        noun=actor.look.noun,
        colour=actor.look.colour,
        box=((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0),
        clear=pixels >= LEAST_PIXELS and side >= LEAST_SIDE,
    )


def _noisy(view: View, rng: np.random.Generator) -> View:
    """As the picture comes out of a codec or a camera, some of the time."""
    image, kind = view.image, rng.random()
    if kind < 0.3:
        packed = io.BytesIO()
        Image.fromarray(image).save(packed, "JPEG", quality=int(rng.integers(40, 95)))
        image = np.asarray(Image.open(packed))
    elif kind < 0.5:
        grain = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(1, 7))
        image = np.clip(image + grain, 0, 255).astype(np.uint8)
    return view._replace(image=image)


def pictures(views: Sequence[View]) -> Tensor:
    """uint8 [B, 3, h, w]."""
    return torch.from_numpy(np.stack([view.image for view in views])).permute(0, 3, 1, 2).contiguous()


def normalised(pictures: Tensor) -> Tensor:
    """uint8 [B, 3, h, w] -> what the network reads."""
    mean, std = (torch.tensor(values, device=pictures.device)[:, None, None] for values in (MEAN, STD))
    images: Tensor = (pictures / 255 - mean) / std
    return images.contiguous(memory_format=torch.channels_last)
