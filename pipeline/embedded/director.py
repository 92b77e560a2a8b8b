"""Draws the choices that every scene is made of: looks, sizes, paths, backdrops, from one stream of random numbers."""

import colorsys
import math
from collections.abc import Sequence

import numpy as np

from pipeline.embedded import motion
from pipeline.embedded.backdrops import KINDS, Backdrop
from pipeline.embedded.captions import WAYS
from pipeline.embedded.drawing import COLOURS, PATTERNS, Look, Pose
from pipeline.embedded.motion import XY, Path
from pipeline.embedded.scenes import Actor
from pipeline.embedded.silhouettes import NOUNS, SILHOUETTES, Rgb
from shards.rle import Size

STILL = (0.0, 0.0)

IDLE = {"bird": 0.09, "fish": 0.07, "rocket": 0.3}  # cycles a frame that a part swings without moving on
SPINS = ("ball", "star")
_CONTRAST = 80  # least distance in RGB between an object's colour and either colour behind it


class Director:
    """The choices of one scene. They come from one stream, so their order is part of what a seed means."""

    def __init__(self, rng: np.random.Generator, size: Size) -> None:
        self.rng = rng
        self.aspect = size[1] / size[0]

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * float(self.rng.random())

    def chance(self, share: float) -> bool:
        return float(self.rng.random()) < share

    def sign(self) -> int:
        return 1 if self.chance(0.5) else -1

    def pick(self, among: Sequence[str]) -> str:
        return among[int(self.rng.integers(len(among)))]

    def look(self, without: Sequence[Look] = ()) -> Look:
        """A noun that none of `without` has, in a colour."""
        noun = self.pick([noun for noun in NOUNS if all(noun != other.noun for other in without)])
        colour = self.pick(tuple(COLOURS))
        r, g, b = (min(max(v + int(self.rng.integers(-10, 11)), 0), 255) for v in COLOURS[colour])
        pattern = PATTERNS[int(self.rng.integers(len(PATTERNS)))]
        return Look(noun=noun, colour=colour, rgb=(r, g, b), pattern=pattern, seed=int(self.rng.integers(2**32)))

    def scale(self, look: Look, share: float, widest: float = 0.8) -> float:
        """The scale at which the drawing's box takes `share` of the frame, or less where a side would pass `widest`."""
        drawing = SILHOUETTES[look.noun]
        fitting = math.sqrt(share * self.aspect / (drawing.width * drawing.height))
        return min(fitting, widest / drawing.height, widest * self.aspect / drawing.width)

    def actor(self, look: Look, path: Path, scale: float, *, lively: bool = True, grow: float = 1.0) -> Actor:
        """An object along a path; a lively one moves its legs, sways or spins; it ends `grow` times as large."""
        count = len(path)
        gone = motion.travelled(path, self.aspect)
        time = np.arange(count) / max(count - 1, 1)
        scales = scale * (1 + (grow - 1) * time)
        stride = (0.9 * gone / scale + IDLE.get(look.noun, 0.0) * np.arange(count)) * lively
        angle = np.full(count, self.between(-0.12, 0.12) * lively)
        if lively and look.noun in SPINS:
            angle += self.sign() * self.between(0.5, 1.5) * 2 * gone / scale
        elif lively:
            angle += self.between(-0.12, 0.12) * np.interp(time, (0, 0.25, 0.75, 1), (0, 1, -1, 0))
        left = _facing(path, self.chance(0.5))
        rows = zip(path.tolist(), scales.tolist(), angle.tolist(), left, stride.tolist(), strict=True)
        poses = tuple(Pose(x, y, s, a, to_left, cycles) for (x, y), s, a, to_left, cycles in rows)
        return Actor(look=look, path=poses, depth=float(self.rng.random()))

    def backdrop(self, looks: Sequence[Look], *, drifting: bool = True) -> Backdrop:
        """A backdrop from which the colours of all `looks` stand out."""
        while True:
            name = self.pick(tuple(KINDS))
            kind = KINDS[name]
            dark, light = kind.colours or self._muted_pair()
            if all(math.dist(look.rgb, rgb) >= _CONTRAST for look in looks for rgb in (dark, light)):
                break
        drift = (self.between(-0.006, 0.006), 0.0) if kind.drifts and drifting else STILL
        return Backdrop(
            kind=name,
            dark=dark,
            light=light,
            period=self.between(*kind.period),
            angle=int(self.rng.integers(8)) * math.pi / 8,
            drift=drift,
            seed=int(self.rng.integers(2**32)),
        )

    def _muted_pair(self) -> tuple[Rgb, Rgb]:
        """Two middling, greyish colours, the second lighter."""
        hue, value, step = self.between(0, 1), self.between(0.38, 0.62), self.between(0.1, 0.22)
        pair = [
            colorsys.hsv_to_rgb((hue + turn) % 1, self.between(0.08, 0.3), v)
            for turn, v in ((0.0, value), (self.between(-0.15, 0.15), value + step))
        ]
        (r0, g0, b0), (r1, g1, b1) = [[round(255 * v) for v in rgb] for rgb in pair]
        return (r0, g0, b0), (r1, g1, b1)

    def pan(self, reach: float, count: int) -> Path:
        """A camera's way sideways, and a little up or down, from the world's origin."""
        stop = (self.sign() * self.between(0.6, 1) * reach, self.between(-0.15, 0.15) * reach)
        return motion.line(STILL, stop, count)

    def path(self, count: int) -> tuple[Path, str]:
        """A subject's way through the frame that takes it well off its starting place, and the words for it."""
        kind = self.rng.random()
        if kind < 0.4:
            return self.trajectory([name for name in motion.TRAJECTORIES if name not in motion.CLOSED], count)
        start, stop = self._far_apart()
        if kind < 0.75:
            return motion.line(start, stop, count), way(start, stop)
        bends = [(self.between(0.2, 0.8), self.between(0.25, 0.75)) for _ in range(2)]
        return motion.spline([start, *bends, stop], count), way(start, stop)

    def trajectory(self, among: Sequence[str], count: int) -> tuple[Path, str]:
        """One of the canonical trajectories, and the words for it."""
        name = self.pick(among)
        return motion.trajectory(name, count), WAYS[name]

    def _far_apart(self) -> tuple[XY, XY]:
        """Two places in the frame, at least 0.35 of it apart."""
        while True:
            a = self.between(0.18, 0.82), self.between(0.25, 0.75)
            b = self.between(0.18, 0.82), self.between(0.25, 0.75)
            if math.dist(a, b) >= 0.35:
                return a, b

    def extra(self, look: Look, taken: Sequence[XY], count: int, camera: Path) -> Actor:
        """Another object: it starts away from where the `taken` ones do, and stands or moves a little way."""
        tries = [(self.between(0.12, 0.88), self.between(0.2, 0.8)) for _ in range(24)]
        start = max(tries, key=lambda at: min(math.dist(at, other) for other in taken))
        stop = start
        if self.chance(0.6):
            stop = (start[0] + self.between(-0.3, 0.3), min(max(start[1] + self.between(-0.2, 0.2), 0.15), 0.85))
        scale = self.scale(look, self.between(0.055, 0.1))
        taken_along = 0.0 if stop == start else 1.0
        return self.actor(look, motion.line(start, stop, count) + camera * taken_along, scale, lively=stop != start)


def way(start: XY, stop: XY) -> str:
    """How a caption says which way a straight line goes."""
    dx, dy = stop[0] - start[0], stop[1] - start[1]
    if abs(dx) >= abs(dy):
        return "to the right" if dx > 0 else "to the left"
    return "downwards" if dy > 0 else "upwards"


def _facing(path: Path, left: bool) -> list[bool]:
    """Whether a mover faces left in each frame: as it goes sideways, or last went; `left` for one that never does."""
    steps = np.diff(path[:, 0])
    sideways = np.abs(steps) > 1e-3
    facing = []
    for now in (steps[sideways][:1] < 0).tolist():
        left = now
    for step, moves in zip([*steps.tolist(), 0.0], [*sideways.tolist(), False], strict=True):
        left = step < 0 if moves else left
        facing.append(left)
    return facing
