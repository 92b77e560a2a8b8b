"""What stands behind the objects: eleven kinds of wall, ground, water and sky, painted over a stretch of the world."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.embedded.silhouettes import Rgb

Tone: TypeAlias = NDArray[np.float32]  # [h, w]: 0 is the darker colour, 1 the lighter


@dataclass(frozen=True, kw_only=True, slots=True)
class Backdrop:
    """A pattern between two colours, fixed to the world except for its own drift."""

    kind: str  # a key of KINDS
    dark: Rgb
    light: Rgb
    period: float  # of the pattern, frame heights
    angle: float  # radians, where the kind has a direction
    drift: tuple[float, float]  # own motion, frame widths and heights a frame
    seed: int

    @property
    def place(self) -> str:
        """What a caption calls it: "a brick wall"."""
        return KINDS[self.kind].place


class _Ground:
    """Coordinates of the pixels to paint, in frame heights, and a source of noise over them."""

    def __init__(self, backdrop: Backdrop, shape: tuple[int, int], pixel: float) -> None:
        self.x: Tone = ((np.arange(shape[1], dtype=np.float32) + 0.5) * np.float32(pixel))[None]
        self.y: Tone = ((np.arange(shape[0], dtype=np.float32) + 0.5) * np.float32(pixel))[:, None]
        self.shape, self.pixel, self.backdrop = shape, pixel, backdrop
        self.random = np.random.Generator(np.random.Philox(key=backdrop.seed)).random

    def along(self, angle: float) -> Tone:
        """Distance from the corner in the direction `angle`, in pattern periods."""
        c, s = (np.float32(round(f(angle), 6) / self.backdrop.period) for f in (math.cos, math.sin))
        distance: Tone = self.x * c + self.y * s
        return distance

    def noise(self, wide: float = 1.0, high: float = 1.0) -> Tone:
        """Smooth value noise in about 0-1, with cells of `wide` by `high` periods."""
        cell = self.backdrop.period / self.pixel  # pixels
        lattice = [max(2, math.ceil(n / (cell * k)) + 1) for n, k in zip(self.shape, (high, wide), strict=True)]
        coarse = Image.fromarray(self.random(lattice, np.float32))
        return np.asarray(coarse.resize(self.shape[::-1], Image.Resampling.BICUBIC))

    def grain(self) -> Tone:
        return self.random(self.shape, np.float32)

    def near(self, phase: Tone, share: float) -> Tone:
        """1 where `phase` (in periods) is within the first `share` of its period, 0 elsewhere, with a soft edge."""
        distance = (share / 2 - np.abs(phase % 1 - share / 2)) * np.float32(self.backdrop.period / self.pixel)
        return _clip(distance + 0.5)


def _plain(g: _Ground) -> Tone:
    tone: Tone = 0.5 * g.noise(6, 6) + 0.3 * g.noise(2, 2) + 0.2 * g.noise(0.2, 0.2)
    return tone


def _striped(g: _Ground) -> Tone:
    return 0.85 * g.near(g.along(g.backdrop.angle), 0.5) + 0.15 * g.noise()


def _bricks(g: _Ground) -> Tone:
    course = g.y / np.float32(g.backdrop.period * 0.5)
    brick = g.near(g.along(0) + 0.5 * (np.floor(course) % 2), 0.9) * _clip((course % 1 - 0.12) * 8)
    tone: Tone = 1 - brick * (0.6 + 0.4 * g.noise(1, 0.5))
    return tone


def _checks(g: _Ground) -> Tone:
    a, b = g.near(g.along(0), 0.5), g.near(g.along(math.pi / 2), 0.5)
    tone: Tone = 0.8 * (a * (1 - b) + b * (1 - a)) + 0.2 * g.noise()
    return tone


def _clouds(g: _Ground) -> Tone:
    puffs = 0.65 * g.noise(4, 2.2) + 0.25 * g.noise(1.6, 1) + 0.1 * g.noise(0.6, 0.5)
    return _clip((puffs - 0.42) * 4)


def _grass(g: _Ground) -> Tone:
    tone: Tone = 0.45 * g.noise(0.15, 0.8) + 0.35 * g.noise(2, 1) + 0.2 * g.grain()
    return tone


def _sand(g: _Ground) -> Tone:
    tone: Tone = 0.5 * g.noise(3, 0.5) + 0.2 * g.noise(1, 0.2) + 0.3 * g.grain()
    return tone


def _dots(g: _Ground) -> Tone:
    u, v = g.along(math.pi / 4) % 1 - 0.5, g.along(-math.pi / 4) % 1 - 0.5
    edge = (0.28 - np.sqrt(u * u + v * v)) * np.float32(g.backdrop.period / g.pixel)
    return 0.85 * _clip(edge + 0.5) + 0.15 * g.noise(2, 2)


def _marble(g: _Ground) -> Tone:
    veins = _clip(np.abs((g.along(g.backdrop.angle) * 0.4 + 1.6 * g.noise(2, 2)) % 1 - 0.5) * 2)
    tone: Tone = 0.2 + 0.5 * veins + 0.2 * g.noise(0.4, 0.4) + 0.1 * g.grain()
    return tone


def _planks(g: _Ground) -> Tone:
    return g.near(g.along(0), 0.93) * (0.45 + 0.55 * g.noise(0.5, 6) - 0.2 * g.noise(0.12, 4))


def _ripples(g: _Ground) -> Tone:
    return _clip(0.5 + 1.3 * (g.noise(1.8, 0.25) - 0.5) + 0.5 * (g.noise(0.8, 0.14) - 0.5))


def _clip(tone: Tone) -> Tone:
    clipped: Tone = np.clip(tone, 0, 1)
    return clipped


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    tone: Callable[[_Ground], Tone]
    place: str
    colours: tuple[Rgb, Rgb] | None = None  # dark and light; None: any muted pair
    period: tuple[float, float]  # least and most, frame heights
    drifts: bool = False


KINDS: dict[str, Kind] = {
    "plain": Kind(tone=_plain, place="a plain wall", period=(0.2, 0.4)),
    "striped": Kind(tone=_striped, place="a striped wall", period=(0.12, 0.36)),
    "bricks": Kind(tone=_bricks, place="a brick wall", colours=((138, 92, 78), (176, 164, 150)), period=(0.2, 0.36)),
    "checks": Kind(tone=_checks, place="a checkered floor", period=(0.24, 0.5)),
    "clouds": Kind(
        tone=_clouds, place="a cloudy sky", colours=((116, 152, 184), (206, 212, 216)), period=(0.14, 0.24), drifts=True
    ),
    "grass": Kind(tone=_grass, place="a grassy field", colours=((84, 112, 62), (138, 158, 96)), period=(0.1, 0.2)),
    "sand": Kind(tone=_sand, place="a sandy beach", colours=((166, 146, 108), (212, 196, 160)), period=(0.15, 0.3)),
    "dots": Kind(tone=_dots, place="a dotted curtain", period=(0.14, 0.3)),
    "marble": Kind(tone=_marble, place="a marble wall", period=(0.3, 0.6)),
    "planks": Kind(tone=_planks, place="a wooden fence", colours=((96, 76, 58), (168, 140, 108)), period=(0.14, 0.26)),
    "ripples": Kind(
        tone=_ripples,
        place="a rippling lake",
        colours=((70, 104, 124), (138, 168, 178)),
        period=(0.25, 0.5),
        drifts=True,
    ),
}


def paint(backdrop: Backdrop, shape: tuple[int, int], pixel: float) -> NDArray[np.uint8]:
    """`shape` (rows, columns) pixels of the world, each `pixel` frame heights wide, from its top left: [h, w, 3]."""
    ground = _Ground(backdrop, shape, pixel)
    tone = np.broadcast_to(KINDS[backdrop.kind].tone(ground), shape)[..., None].astype(np.float32)
    dark, light = np.array(backdrop.dark, np.float32), np.array(backdrop.light, np.float32)
    return np.clip(np.rint(dark + (light - dark) * tone), 0, 255).astype(np.uint8)
