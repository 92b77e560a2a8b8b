"""Practice clips for captioners: a few frames of a scene, its caption, and what stands in every patch of the frames."""

import io
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pipeline.embedded.director import SPINS, STILL, Director
from pipeline.embedded.drawing import COLOURS, Pose
from pipeline.embedded.scenes import Actor, Frame, Scene, Shot
from pipeline.embedded.silhouettes import NOUNS
from pipeline.embedded.tasks.task import TRAINING_SEED
from pipeline.embedded.world import World
from shards.rle import Size

INPUT: Size = (128, 208)
"""Height and width of a frame as the network sees it: more than most have, so that small objects fill patches."""

PATCH = 16
GRID: Size = (INPUT[0] // PATCH, INPUT[1] // PATCH)
"""Rows and columns of patches of a frame."""

NUM_FRAMES = 4
"""Frames of a clip that the network sees."""

SIZES: dict[Size, float] = {(96, 160): 0.45, (90, 160): 0.15, (120, 160): 0.1, (180, 320): 0.3}
"""Height and width of the drawn frames -> share of the scenes."""

LENGTHS = (16, 24, 32)
"""Frames of the drawn scenes."""

CROWD = (2, 4)
"""Rows and columns of a crowd."""

CROWD_SIZE: Size = (96, 160)
"""Height and width at which a crowd is drawn."""

CONTRAST = 60
"""Least distance in RGB between an object of a crowd and either colour behind it."""

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
    """One clip, or some frames of one."""

    frames: NDArray[np.uint8]  # [F, *INPUT, 3]
    caption: str
    patches: Patches  # [F, *GRID]


def examples(step: int, count: int) -> list[Example]:
    """The training clips of a step."""
    rng = np.random.Generator(np.random.Philox(key=(TRAINING_SEED << 64) | step))
    return [_example(_scene(step * count + number, TRAINING_SEED, rng), rng) for number in range(count)]


def frames_alone(step: int, count: int, seed: int = TRAINING_SEED) -> list[Example]:
    """`count` frames by themselves: of crowds, and every fourth of a scene, others than those of `examples`."""
    rng = np.random.Generator(np.random.Philox(key=(seed << 64) | step))
    made = []
    for number in range(count):
        scene = crowd(rng) if number % 4 else _scene(2**40 + step * count + number, seed, rng)
        frame = scene.frame(int(rng.integers(scene.num_frames)))
        made.append(Example(_packed([frame.image], rng), "", patches(scene, [frame], 0)))
    return made


def crowd(rng: np.random.Generator) -> Scene:
    """A scene of one frame with an object in every cell of a grid: to learn nouns by the dozen."""
    d = Director(rng, CROWD_SIZE)
    backdrop = d.backdrop(())
    actors = []
    for row, column in np.ndindex(CROWD):
        look = d.look()
        while min(math.dist(look.rgb, rgb) for rgb in (backdrop.dark, backdrop.light)) < CONTRAST:
            look = d.look()
        pose = Pose(
            x=(column + d.between(0.2, 0.8)) / CROWD[1],
            y=(row + d.between(0.2, 0.8)) / CROWD[0],
            scale=math.exp(d.between(math.log(0.15), math.log(0.75))),
            angle=d.between(-0.24, 0.24) if look.noun not in SPINS else d.between(-math.pi, math.pi),
            left=d.chance(0.5),
            stride=d.between(0, 1),
        )
        actors.append(Actor(look=look, path=(pose,), depth=d.between(0, 1)))
    shot = Shot(backdrop=backdrop, camera=(STILL,), actors=tuple(actors))
    nouns = tuple(actor.look.noun for actor in actors)
    return Scene(index=0, case="plain", size=CROWD_SIZE, frame_rate=8.0, caption="", nouns=nouns, shots=(shot,))


def stacked(made: Sequence[Example]) -> dict[str, Any]:
    """Frames uint8 [N, *INPUT, 3] and patches [N, *GRID] of all together."""
    return {
        "frames": torch.from_numpy(np.concatenate([example.frames for example in made])),
        "patches": [torch.cat(values) for values in zip(*(example.patches for example in made), strict=True)],
    }


def _scene(index: int, seed: int, rng: np.random.Generator) -> Scene:
    size = list(SIZES)[rng.choice(len(SIZES), p=list(SIZES.values()))]
    return World(size=size, num_frames=int(rng.choice(LENGTHS)), seed=seed, hard=HARD).scene(index)


def _example(scene: Scene, rng: np.random.Generator) -> Example:
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
    return np.array(Image.fromarray(image).resize(INPUT[::-1], Image.Resampling.BILINEAR))


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
