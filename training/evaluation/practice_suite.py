"""The embedded suite: practice scenes that no training drew, as prompts, boxes and subject images; and their truth.

The subject image is the same object in another pose, drawn alone on blank, so that no pixel of a target is given away.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.embedded.drawing import Look, Pose, draw
from pipeline.embedded.scenes import Scene
from pipeline.embedded.silhouettes import SILHOUETTES
from pipeline.embedded.world import World
from shards.rle import Size
from training.evaluation.encoders import Picture
from training.generation.boxes import Boxes
from training.loader.settings import Reference

SEED = 2000
"""Of the world that scenes are drawn from: below those of training, and apart from those of other benchmarks."""

SUBJECT_SIDE = 0.7
"""Share of the image's smaller side that a subject's longer one takes."""


class PracticeItem(NamedTuple):
    """A scene as something to generate."""

    scene: Scene
    noun: str
    subject: Picture  # [H, W, 3]
    boxes: Boxes  # [F, 4] shares of the frame; every frame has one

    def truth(self) -> NDArray[np.uint8]:
        """The scene itself, [F, H, W, 3]: what perfect generation would look like."""
        return self.scene.render().frames


def practice_items(count: int, size: Size, num_frames: int, seed: int = SEED) -> list[PracticeItem]:
    """The first `count` scenes of the world whose subject is alone, in every frame, before a camera that stands."""
    found = _items(World(size=size, num_frames=num_frames, seed=seed))
    return [next(found) for _ in range(count)]


def _items(world: World) -> Iterator[PracticeItem]:
    number = 0
    while True:
        scene = world.scene(number, "plain")
        number += 1
        (shot,) = scene.shots
        if len(shot.actors) > 1 or shot.pillars or len(set(shot.camera)) > 1:
            continue
        boxes = [scene.frame(t).boxes()[0] for t in range(scene.num_frames)]
        if any(box is None for box in boxes):
            continue
        height, width = world.size
        shares = np.array(boxes, np.float64) / np.array([width, height, width, height])
        look = shot.actors[0].look
        yield PracticeItem(scene=scene, noun=look.noun, subject=subject_image(look, world.size, number), boxes=shares)


def subject_image(look: Look, size: Size, number: int) -> Picture:
    """The object in the middle of a blank image, a little turned."""
    drawing = SILHOUETTES[look.noun]
    angle = 0.3 * (np.random.default_rng(number).random() - 0.5)
    scale = SUBJECT_SIDE / max(drawing.height, drawing.width * size[0] / size[1])
    drawn = draw(look, Pose(0.5, 0.5, scale, angle, bool(number % 2)), size)
    assert drawn is not None
    blank = np.full((*size, 3), Reference().blank, np.float32)
    rows, columns = (slice(at, at + side) for at, side in zip((drawn.y0, drawn.x0), drawn.coverage.shape, strict=True))
    covered = drawn.coverage[..., None].astype(np.float32) / 255
    blank[rows, columns] = blank[rows, columns] * (1 - covered) + drawn.paint
    return np.rint(blank).clip(0, 255).astype(np.uint8)
