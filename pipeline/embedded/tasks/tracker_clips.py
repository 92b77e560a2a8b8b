"""Draws the short clips that the tracker learns from: frames, the objects to follow, and their first masks."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from pipeline.embedded.scenes import Case, Pillar, Scene
from pipeline.embedded.tasks.task import TRAINING_SEED
from pipeline.embedded.world import World
from shards.rle import Size

Mask: TypeAlias = NDArray[np.bool_]  # [H, W]

FEWEST_PIXELS = 20
"""Of an object's mask in the first frame: less is no object to follow."""

CASES: dict[int, dict[Case, float]] = {
    1: {
        "plain": 0.27,
        "occluded": 0.22,
        "leaving": 0.11,
        "late": 0.06,
        "returning": 0.06,
        "camera": 0.08,
        "two": 0.07,
        "small": 0.06,
        "large": 0.02,
        "static": 0.02,
        "cut": 0.03,
    },
    2: {"plain": 0.6, "two": 0.3, "static": 0.1},
    3: {"plain": 1.0},
}
"""Shares of the cases among clips that follow so many objects; only these cases have as many."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Some frames of a practice scene, evenly apart, forwards or backwards."""

    frames: NDArray[np.uint8]  # [T, H, W, 3]
    masks: NDArray[np.bool_]  # [K, T, H, W], the truth; every object is in the first frame
    given: NDArray[np.bool_]  # [K, H, W]: the first frame's masks as the tracker is given them


def draw_clip(rng: np.random.Generator, size: Size, num_objects: int, num_frames: int) -> Clip:
    """A clip that follows 1 to 3 objects, which are not always all that the scene has."""
    while True:
        scene = _scene(rng, size, num_objects)
        times = _times(rng, scene.num_frames, num_frames)
        seen = np.flatnonzero(scene.frame(times[0]).masks.sum((1, 2)) >= FEWEST_PIXELS)
        if len(seen) >= num_objects:
            return _filmed(rng, scene, times, rng.permutation(seen)[:num_objects])


def roughened(rng: np.random.Generator, mask: Mask) -> Mask:
    """The mask with an outline as uncertain as a segmenter's, at an IoU of about 0.9; never empty where it is not."""
    blur = rng.uniform(0.5, 1.2)
    noise = gaussian_filter(rng.standard_normal(mask.shape), 1.5)
    noise *= rng.uniform(0.1, 0.3) / noise.std()
    rough: Mask = gaussian_filter(mask.astype(np.float64), blur) + noise * _near(mask) > 0.5
    return rough if rough.any() else mask


def _near(mask: Mask) -> NDArray[np.float64]:
    """1 on the mask and next to it, 0 away from it."""
    near: NDArray[np.float64] = np.clip(4 * gaussian_filter(mask.astype(np.float64), 1.5), 0, 1)
    return near


def _scene(rng: np.random.Generator, size: Size, num_objects: int) -> Scene:
    shares = CASES[num_objects]
    case = tuple(shares)[rng.choice(len(shares), p=tuple(shares.values()))]
    world = World(size=size, num_frames=int(rng.choice((24, 32))), seed=TRAINING_SEED)
    scene = world.scene(int(rng.integers(2**63)), case)
    while len(scene.actors) < num_objects:
        scene = world.scene(int(rng.integers(2**63)), case)
    walled = case in ("plain", "two", "camera", "returning") and rng.random() < 0.35
    return _walled(rng, scene) if walled else scene


def _walled(rng: np.random.Generator, scene: Scene) -> Scene:
    """The scene with a wall that hides whatever passes behind it, several objects too."""
    grey = int(rng.integers(80, 160))
    wall = Pillar(x=rng.uniform(0.15, 0.65), width=rng.uniform(0.08, 0.3), rgb=(grey, grey - 4, grey - 8))
    return replace(scene, shots=tuple(replace(shot, pillars=(*shot.pillars, wall)) for shot in scene.shots))


def _times(rng: np.random.Generator, num_scene: int, num_frames: int) -> list[int]:
    longest = (num_scene - 1) // (num_frames - 1)
    stride = int(rng.integers(1, min(longest, 8) + 1))
    start = int(rng.integers(num_scene - stride * (num_frames - 1)))
    times = list(range(start, start + stride * num_frames, stride))
    return times[::-1] if rng.random() < 0.4 else times


def _filmed(rng: np.random.Generator, scene: Scene, times: Sequence[int], objects: NDArray[np.int64]) -> Clip:
    drawn = [scene.frame(t) for t in times]
    masks = np.stack([frame.masks[objects] for frame in drawn], axis=1)
    given = masks[:, 0].copy()
    if rng.random() < 0.5:
        given = np.stack([roughened(rng, mask) for mask in given])
    return Clip(frames=_developed(rng, np.stack([frame.image for frame in drawn])), masks=masks, given=given)


def _developed(rng: np.random.Generator, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Sometimes with the traces of a lossy codec, sometimes with grain."""
    trace = rng.random()
    if trace < 0.4:
        quality = int(rng.integers(35, 92))
        return np.stack([_compressed(frame, quality) for frame in frames])
    if trace < 0.55:
        grain = rng.standard_normal(frames.shape, np.float32) * rng.uniform(1, 6)
        return np.clip(np.rint(frames + grain), 0, 255).astype(np.uint8)
    return frames


def _compressed(frame: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))
