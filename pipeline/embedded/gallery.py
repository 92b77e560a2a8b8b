"""A picture of the practice world: every noun in every colour, and frames of every case with the truth outlined."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipeline.embedded.drawing import COLOURS, PATTERNS, Look, Pose, draw
from pipeline.embedded.scenes import CASES, Frame, Scene
from pipeline.embedded.silhouettes import NOUNS
from pipeline.embedded.world import World

_CELL = 56  # pixels a side, one noun
_SHOWN = 6  # frames of each case
_GROUND = (150, 156, 150)
_MARKERS = ((255, 0, 255), (0, 255, 255), (255, 255, 0), (0, 255, 0), (255, 96, 0), (0, 0, 0))  # tracks' outlines


def sheet() -> Image.Image:
    """The nouns by colours, and below them the cases, each under its caption."""
    top = Image.fromarray(_nouns())
    strips = [_strip(World().scene(index, case)) for index, case in enumerate(CASES)]
    width = max(top.width, strips[0].width)
    picture = Image.new("RGB", (width, top.height + sum(strip.height for strip in strips)), "white")
    picture.paste(top, ((width - top.width) // 2, 0))
    y = top.height
    for strip in strips:
        picture.paste(strip, (0, y))
        y += strip.height
    return picture


def _nouns() -> NDArray[np.uint8]:
    rows = []
    for i, (colour, rgb) in enumerate(COLOURS.items()):
        looks = [
            Look(noun=noun, colour=colour, rgb=rgb, pattern=PATTERNS[(i + j) % len(PATTERNS)], seed=j)
            for j, noun in enumerate(NOUNS)
        ]
        rows.append(np.concatenate([_portrait(look) for look in looks], axis=1))
    return np.concatenate(rows)


def _portrait(look: Look) -> NDArray[np.uint8]:
    cell = np.full((_CELL, _CELL, 3), _GROUND, np.float32)
    drawn = draw(look, Pose(0.5, 0.5, 0.86), (_CELL, _CELL))
    if drawn is not None:
        height, width = drawn.coverage.shape
        part = cell[drawn.y0 : drawn.y0 + height, drawn.x0 : drawn.x0 + width]
        part[...] = part * (1 - drawn.coverage[..., None] / np.float32(255)) + drawn.paint
    return np.rint(cell).astype(np.uint8)


def _strip(scene: Scene) -> Image.Image:
    """A few frames side by side under the case's name and the caption."""
    times = np.linspace(0, scene.num_frames - 1, _SHOWN).round().astype(int).tolist()
    frames = np.concatenate([_outlined(scene.frame(t)) for t in times], axis=1)
    strip = Image.new("RGB", (frames.shape[1], frames.shape[0] + 14), "white")
    ImageDraw.Draw(strip).text((4, 1), f"{scene.case}: {scene.caption}", fill="black")
    strip.paste(Image.fromarray(frames), (0, 14))
    return strip


def _outlined(frame: Frame) -> NDArray[np.uint8]:
    """The frame with the inner edge of every mask in its track's colour."""
    image = frame.image.copy()
    for mask, marker in zip(frame.masks, _MARKERS, strict=False):
        inside = mask.copy()
        inside[1:-1, 1:-1] &= mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
        image[mask & ~inside] = marker
    return image
