"""Draws one object of the practice world, anti-aliased: its colours, and how far it covers each pixel."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipeline.embedded.silhouettes import PAINTS, SHADES, SILHOUETTES, Points, Rgb, Silhouette
from shards.rle import Size

Pattern: TypeAlias = Literal["plain", "striped", "spotted", "mottled"]

PATTERNS: tuple[Pattern, ...] = ("plain", "striped", "spotted", "mottled")

COLOURS: dict[str, Rgb] = {
    "black": (42, 40, 46),
    "blue": (38, 88, 218),
    "brown": (126, 76, 38),
    "green": (40, 160, 58),
    "orange": (246, 136, 26),
    "pink": (248, 138, 186),
    "purple": (134, 54, 176),
    "red": (216, 38, 40),
    "white": (240, 240, 236),
    "yellow": (248, 218, 46),
}

SUPERSAMPLING = 4  # sub-pixels a side: coverage comes in sixteenths
_TILE = 96  # texels across the unit square of an object's surface


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What an object looks like, wherever it is."""

    noun: str  # one of silhouettes.NOUNS
    colour: str  # one of COLOURS
    rgb: Rgb  # the shade of that colour
    pattern: Pattern = "plain"
    seed: int = 0  # where the pattern's spots and specks lie


class Pose(NamedTuple):
    """Where an object is at one moment."""

    x: float  # centre, share of the frame's width
    y: float  # centre, share of the frame's height
    scale: float  # longer side of the drawing, in frame heights
    angle: float = 0.0  # radians, clockwise
    left: bool = False  # faces left
    stride: float = 0.0  # cycles that its legs, wings or wheels have made


class Drawn(NamedTuple):
    """An object's pixels inside the frame."""

    x0: int  # column and row of the first pixel
    y0: int
    coverage: NDArray[np.uint8]  # [h, w], 255 where the object fills the pixel
    paint: NDArray[np.float32]  # [h, w, 3], colours 0-255 times the covered share


def draw(look: Look, pose: Pose, size: Size) -> Drawn | None:
    """The object as it stands in a frame of `size` (height, width); None where no pixel of it is inside."""
    silhouette = SILHOUETTES[look.noun]
    outlines = _place(silhouette, pose, size)
    window = _window(outlines, size)
    if window is None:
        return None
    x0, y0, x1, y1 = window
    sheet = Image.new("RGBX", ((x1 - x0) * SUPERSAMPLING, (y1 - y0) * SUPERSAMPLING))
    pen = ImageDraw.Draw(sheet)
    fills = _fills(look)
    corner = np.array((x0, y0), np.int64) * SUPERSAMPLING
    local = (outlines - corner).tolist()
    for part, (start, stop) in zip(silhouette.parts, silhouette.spans, strict=True):
        pen.polygon([tuple(point) for point in local[start:stop]], fill=fills[part.paint])
    pixels = np.asarray(sheet.reduce(SUPERSAMPLING))
    coverage = pixels[..., 3]
    paint = pixels[..., :3] * _light(look, pose, size, window)[..., None]
    return Drawn(x0, y0, coverage, np.minimum(paint, coverage[..., None], dtype=np.float32))


def _place(silhouette: Silhouette, pose: Pose, size: Size) -> NDArray[np.int64]:
    """The sub-pixel of the frame in which each vertex of the drawing lies, [P, 2].

    Rounding to whole sub-pixels here is what makes the drawing the same on machines whose sines differ in the last bit.
    """
    points = silhouette.points.copy()
    for part, (start, stop) in zip(silhouette.parts, silhouette.spans, strict=True):
        if part.hinge is not None:
            turn = part.hinge.swing * math.sin(2 * math.pi * (pose.stride + part.hinge.phase))
            points[start:stop] = _turn(points[start:stop] - part.hinge.at, turn) + part.hinge.at
    if pose.left:
        points[:, 0] = -points[:, 0]
    height, width = size
    placed = _turn(points, pose.angle) * (pose.scale * height) + (pose.x * width, pose.y * height)
    # The pen fills every sub-pixel from vertex to vertex inclusive, so vertices name sub-pixels by their middle.
    return np.rint(placed * SUPERSAMPLING - 0.5).astype(np.int64)


def _turn(points: Points, angle: float) -> Points:
    c, s = math.cos(angle), math.sin(angle)
    x, y = points[:, 0], points[:, 1]
    return np.stack((x * c - y * s, x * s + y * c), axis=1)


def _window(outlines: NDArray[np.int64], size: Size) -> tuple[int, int, int, int] | None:
    """The pixels of the frame that the drawing may touch, as x0, y0, x1, y1."""
    low = outlines.min(0) // SUPERSAMPLING
    high = outlines.max(0) // SUPERSAMPLING + 1
    x0, y0 = max(int(low[0]), 0), max(int(low[1]), 0)
    x1, y1 = min(int(high[0]), size[1]), min(int(high[1]), size[0])
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


@lru_cache(maxsize=1024)
def _fills(look: Look) -> dict[str, tuple[int, int, int, int]]:
    """Paint name -> the colour it has on this object, opaque."""
    shades = {name: (*_shade(look.rgb, amount), 255) for name, amount in SHADES.items()}
    trim = PAINTS["silver" if sum(look.rgb) > 640 else "white"]
    return {name: (*rgb, 255) for name, rgb in PAINTS.items()} | shades | {"trim": (*trim, 255)}


def _shade(rgb: Rgb, amount: float) -> Rgb:
    """`rgb` moved towards white or black; a colour that is nearly black moves towards white either way."""
    if sum(rgb) < 180:
        amount = abs(amount) * 0.6
    end = 255 if amount > 0 else 0
    r, g, b = (round(v + (end - v) * abs(amount)) for v in rgb)
    return r, g, b


def _light(look: Look, pose: Pose, size: Size, window: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """How bright the surface is at every pixel of the window: its pattern under light from above, [h, w]."""
    x0, y0, x1, y1 = window
    height, width = size
    texel = _TILE / (pose.scale * height)  # texels a pixel
    c, s = math.cos(pose.angle) * texel, math.sin(pose.angle) * texel
    dx = np.arange(x0, x1) + (0.5 - pose.x * width)
    dy = np.arange(y0, y1)[:, None] + (0.5 - pose.y * height)
    u, v = dx * c + dy * s, dy * c - dx * s
    column = np.clip((-u if pose.left else u) + _TILE / 2, 0, _TILE - 1).astype(np.intp)
    row = np.clip(v + _TILE / 2, 0, _TILE - 1).astype(np.intp)
    lit: NDArray[np.float32] = _surface(look.pattern, look.seed)[row, column]
    return lit


@lru_cache(maxsize=1024)
def _surface(pattern: Pattern, seed: int) -> NDArray[np.float32]:
    """Brightness over the unit square of an object, around 1, [_TILE, _TILE]."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    u = np.arange(_TILE, dtype=np.float32) / np.float32(_TILE)
    v = u[:, None]
    light: NDArray[np.float32] = 1.14 - 0.32 * v - 0.06 * u
    if pattern == "striped":
        slope, period = np.float32(rng.uniform(-1, 1)), np.float32(rng.uniform(0.1, 0.2))
        phase = (u + slope * v) / period % 1
        light -= 0.26 * np.clip((0.25 - np.abs(phase - 0.5)) * period * _TILE + 0.5, 0, 1)
    elif pattern == "spotted":
        for x, y, r in rng.uniform((0, 0, 0.04), (1, 1, 0.09), (24, 3)).astype(np.float32):
            light[(u - x) ** 2 + (v - y) ** 2 < r * r] *= 0.76
    elif pattern == "mottled":
        coarse = Image.fromarray(rng.random((10, 10), np.float32))
        light += 0.5 * (np.asarray(coarse.resize((_TILE, _TILE), Image.Resampling.BICUBIC)) - 0.5)
    return light
