"""A scene of the practice world: what it consists of, and how it becomes frames and exact masks."""

import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from pipeline.embedded import backdrops
from pipeline.embedded.backdrops import Backdrop
from pipeline.embedded.drawing import Drawn, Look, Pose, draw
from pipeline.embedded.silhouettes import Rgb
from shards.rle import Box, Size

Image: TypeAlias = NDArray[np.uint8]  # [H, W, 3], RGB
Masks: TypeAlias = NDArray[np.bool_]  # [K, H, W], one object each

Case: TypeAlias = Literal[
    "plain",  # one to three objects of different nouns, the subject in motion
    "static",  # the subject does not move
    "returning",  # the subject moves, and ends where it began
    "two",  # two objects of the subject's noun
    "small",  # the subject's box takes less than 4% of the frame
    "large",  # the subject is larger than the frame
    "late",  # the subject is not in the first frame
    "leaving",  # the subject is not in the last frame
    "camera",  # only the camera moves
    "cut",  # a second scene follows the first
    "occluded",  # a wall hides the subject for a while
]
CASES: tuple[Case, ...] = get_args(Case)

_SHIFTS = 16  # backgrounds move in steps of a sixteenth of a pixel, so that blending is exact in integers


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """One object and its way through a shot, in the world's coordinates (the frame's, before the camera moves)."""

    look: Look
    path: tuple[Pose, ...]  # [T of the shot]
    depth: float  # of two objects that overlap, the one with the lesser depth is in front


@dataclass(frozen=True, kw_only=True, slots=True)
class Pillar:
    """A post or wall from top to bottom of the frame that stands in the world, in front of every object."""

    x: float  # left edge, frame widths
    width: float  # frame widths
    rgb: Rgb


@dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """A stretch of a scene between cuts."""

    backdrop: Backdrop
    camera: tuple[tuple[float, float], ...]  # [T]: where the frame's corner is in the world, frame widths and heights
    actors: tuple[Actor, ...]  # the subject first
    pillars: tuple[Pillar, ...] = ()

    @property
    def num_frames(self) -> int:
        return len(self.camera)


class Frame(NamedTuple):
    """One drawn frame and its truth."""

    image: Image
    masks: Masks  # [K, H, W], the visible pixels of each actor of the scene; no pixel belongs to two

    def boxes(self) -> tuple[Box | None, ...]:
        """Tight half-open boxes of the masks; None where an actor is out of sight."""
        return tuple(_box(mask) for mask in self.masks)


class Rendered(NamedTuple):
    """A drawn scene and its truth."""

    frames: NDArray[np.uint8]  # [T, H, W, 3]
    masks: NDArray[np.bool_]  # [K, T, H, W], the visible pixels of each actor
    nouns: tuple[str, ...]  # [K]

    def boxes(self) -> tuple[tuple[Box | None, ...], ...]:
        """[K][T] tight half-open boxes; None where an actor is out of sight."""
        return tuple(tuple(_box(mask) for mask in track) for track in self.masks)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """All that decides a clip's pixels; a pure function of the world's settings and the scene's number."""

    index: int
    case: Case
    size: Size  # height, width
    frame_rate: float  # frames a second
    caption: str
    nouns: tuple[str, ...]  # the subject's noun
    shots: tuple[Shot, ...]

    @property
    def num_frames(self) -> int:
        return sum(shot.num_frames for shot in self.shots)

    @property
    def cuts(self) -> tuple[int, ...]:
        """Numbers of the frames that begin a shot, without frame 0."""
        starts = np.cumsum([shot.num_frames for shot in self.shots])[:-1]
        return tuple(starts.tolist())

    @property
    def actors(self) -> tuple[Actor, ...]:
        """The actors of all shots: the K of the masks."""
        return tuple(actor for shot in self.shots for actor in shot.actors)

    def subject_at(self, t: int) -> int:
        """Number of the actor that frame `t` is about: the first of its shot."""
        before = bisect_right(self.cuts, t)
        return sum(len(shot.actors) for shot in self.shots[:before])

    def render(self) -> Rendered:
        """Draw every frame."""
        frames = np.empty((self.num_frames, *self.size, 3), np.uint8)
        masks = np.empty((len(self.actors), self.num_frames, *self.size), np.bool_)
        for t in range(self.num_frames):
            frames[t], masks[:, t] = self.frame(t)
        return Rendered(frames, masks, tuple(actor.look.noun for actor in self.actors))

    def frame(self, t: int) -> Frame:
        """Draw frame `t` alone: the same pixels as `render().frames[t]`. Raises ValueError outside [0, num_frames)."""
        first = actor = 0
        for shot, stage in zip(self.shots, self._stages, strict=True):
            if first <= t < first + shot.num_frames:
                image, seen = stage.frame(t - first)
                masks = np.zeros((len(self.actors), *self.size), np.bool_)
                masks[actor : actor + len(shot.actors)] = seen
                return Frame(image, masks)
            first, actor = first + shot.num_frames, actor + len(shot.actors)
        raise ValueError(f"scene {self.index} has frames 0 to {self.num_frames - 1}, not {t}")

    @cached_property
    def _stages(self) -> tuple["_Stage", ...]:
        return tuple(_Stage(shot, self.size) for shot in self.shots)


class _Stage:
    """A shot at one size, with its backdrop painted once over all that the camera will see of it."""

    def __init__(self, shot: Shot, size: Size) -> None:
        self.shot, self.size = shot, size

    @cached_property
    def _offsets(self) -> NDArray[np.int64]:
        """Corner of each frame on the backdrop, in sixteenths of a pixel from the painted corner, [T, 2] as x, y."""
        times = np.arange(self.shot.num_frames)[:, None]
        corners = np.array(self.shot.camera) + times * np.array(self.shot.backdrop.drift)
        steps: NDArray[np.int64] = np.rint(corners * (self.size[1], self.size[0]) * _SHIFTS).astype(np.int64)
        steps -= steps.min(0)
        return steps

    @cached_property
    def _plate(self) -> Image:
        width, height = (self._offsets.max(0) // _SHIFTS + 1).tolist()
        return backdrops.paint(self.shot.backdrop, (self.size[0] + height, self.size[1] + width), 1 / self.size[0])

    def frame(self, t: int) -> tuple[Image, Masks]:
        image = self._view(t)
        camera_x, camera_y = self.shot.camera[t]
        masks = np.zeros((len(self.shot.actors), *self.size), np.bool_)
        for k in sorted(range(len(masks)), key=lambda k: -self.shot.actors[k].depth):
            actor = self.shot.actors[k]
            pose = actor.path[t]
            drawn = draw(actor.look, pose._replace(x=pose.x - camera_x, y=pose.y - camera_y), self.size)
            if drawn is not None:
                _lay(drawn, image, masks, k)
        for pillar in self.shot.pillars:
            self._raise(pillar, camera_x, image, masks)
        return image, masks

    def _view(self, t: int) -> Image:
        """The backdrop from frame t's corner, blended between whole pixels."""
        (x, fx), (y, fy) = (divmod(int(step), _SHIFTS) for step in self._offsets[t])
        height, width = self.size
        if fx == fy == 0:
            return self._plate[y : y + height, x : x + width].copy()
        view = self._plate[y : y + height + 1, x : x + width + 1].astype(np.uint16)
        view = view[:, :-1] * np.uint16(_SHIFTS - fx) + view[:, 1:] * np.uint16(fx)
        view = view[:-1] * np.uint16(_SHIFTS - fy) + view[1:] * np.uint16(fy)
        return ((view + _SHIFTS**2 // 2) // _SHIFTS**2).astype(np.uint8)

    def _raise(self, pillar: Pillar, camera_x: float, image: Image, masks: Masks) -> None:
        """Put a pillar in front: round in the light, its edges anti-aliased, hiding what it covers by half."""
        width = self.size[1]
        left, right = (pillar.x - camera_x) * width, (pillar.x + pillar.width - camera_x) * width
        x0, x1 = max(math.floor(left), 0), min(math.ceil(right), width)
        if x0 >= x1:
            return
        pixels = np.arange(x0, x1)
        cover = np.minimum(pixels + 1, right) - np.maximum(pixels, left)
        across = (pixels + 0.5 - left) / (right - left)
        light = 1.15 - 1.4 * (across - 0.35) ** 2
        stone = np.minimum(light[:, None] * np.array(pillar.rgb), 255)
        image[:, x0:x1] = np.rint(image[:, x0:x1] * (1 - cover[:, None]) + stone * cover[:, None])
        masks[:, :, x0:x1] &= cover < 0.5


def _lay(drawn: Drawn, image: Image, masks: Masks, k: int) -> None:
    """Put object k over what is there; it takes every pixel that it covers by half from those behind it."""
    height, width = drawn.coverage.shape
    rows, columns = slice(drawn.y0, drawn.y0 + height), slice(drawn.x0, drawn.x0 + width)
    behind = np.float32(1) - drawn.coverage[..., None] * np.float32(1 / 255)
    image[rows, columns] = np.rint(image[rows, columns] * behind + drawn.paint)
    own = drawn.coverage >= 128
    masks[:, rows, columns] &= ~own
    masks[k, rows, columns] = own


def _box(mask: NDArray[np.bool_]) -> Box | None:
    columns = np.flatnonzero(mask.any(0))
    if not len(columns):
        return None
    rows = np.flatnonzero(mask.any(1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
