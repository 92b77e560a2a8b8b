"""The camera's motion over a clip, and how far the subject gets once that is taken out.

motion.compensated    farthest that the subject's box gets from where the camera alone would have taken it: mean
                      over its corners, over the diagonal; 0 for a pan over a statue, not for one that follows
camera.shift          how far the picture's centre is taken from the first to the last frame, over the diagonal
camera.zoom           how many times larger what stands still is in the last frame than in the first
camera.known          share of the steps between compared frames in which the background could be followed; in
                      the others the camera is taken to stand
"""

import importlib.metadata
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.records import Encoded, Tracked
from pipeline.stage import Settings
from pipeline.stages.global_motion import Background, Grey, Matrix, global_motion
from shards import rle
from shards.rle import Box, Size

_MARGIN = 0.03  # of the longer side: what is nearer to a mask may still be its subject
_DECIMALS = 4  # the last bits differ between machines

Corners: TypeAlias = NDArray[np.float64]  # [2, 2]: x, y of a box's upper left and lower right corner


class Camera(Settings):
    """How the camera's motion is estimated: between which frames, at what size."""

    rate: float = Field(4.0, gt=0)  # compared frames a second: nearer ones hide a slow pan in the coding's noise
    side: int = Field(320, ge=32)  # longer side of the compared pictures, pixels

    def fingerprint(self) -> str:
        return f"opencv {importlib.metadata.version('opencv-python')}"

    def frames(self, record: Encoded) -> tuple[int, ...]:
        """Numbers of the frames to compare: evenly spread, the first and the last among them."""
        steps = max(1, round((record.end - record.start) * self.rate))
        numbers = np.linspace(0, record.num_frames - 1, steps + 1).round().astype(int)
        return tuple(sorted(set(numbers.tolist())))

    def shrink(self, frame: NDArray[np.uint8]) -> Grey:
        """A frame, [H, W, 3], as it is compared."""
        import cv2

        scale = min(1.0, self.side / max(frame.shape))
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        return np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)

    def measure(self, record: Tracked, pictures: Sequence[Grey], boxes: Sequence[Box | None]) -> dict[str, float]:
        """The scores above, of the frames that `frames` names, shrunk, and the subject's boxes in them."""
        grounds = _backgrounds(record, self.frames(record), pictures[0].shape)
        motions = list(_motions(pictures, grounds))
        poses = _chained([np.eye(3) if motion is None else motion for motion in motions])
        poses = _scaled(poses, record.width / pictures[0].shape[1])
        size = (record.height, record.width)
        known = [motion is not None for motion in motions]
        scores = {"motion.compensated": compensated(boxes, poses, size), "camera.known": _share(known)}
        scores |= _over_the_clip(poses[-1], size)
        return {name: round(value, _DECIMALS) for name, value in scores.items()}


def compensated(boxes: Sequence[Box | None], poses: Sequence[Matrix], size: Size) -> float:
    """How far a box gets from where the camera takes its first place, at most, over the diagonal; 0 without a box.

    `poses` take pixels of one picture to those of each frame, [T]. What a border cuts off in one of two frames is
    left out in both.
    """
    seen = [(_corners(box), pose) for box, pose in zip(boxes, poses, strict=True) if box is not None]
    if not seen:
        return 0.0
    start, first = seen[0]
    back = np.linalg.inv(first)
    return max(_distance(start, box, pose @ back, size) for box, pose in seen) / float(np.hypot(*size))


def _corners(box: Box) -> Corners:
    return np.array(box, np.float64).reshape(2, 2)


def _distance(start: Corners, box: Corners, motion: Matrix, size: Size) -> float:
    """Mean distance of a box's corners from those that `start` has once it is moved."""
    picture = np.array([[0, 0], size[::-1]], np.float64)
    expected = _moved(start, motion)
    cut = _cut(expected, picture), _cut(box, _moved(picture, motion))
    here, there = (expected, box) if any(_is_empty(part) for part in cut) else cut
    x, y = (here - there).T
    return float(np.hypot(x[:, None], y[None]).mean())


def _moved(corners: Corners, motion: Matrix) -> Corners:
    """A box's shift and zoom without its roll, which a box cannot show."""
    middle = motion[:2, :2] @ corners.mean(0) + motion[:2, 2]
    return np.asarray(middle + (corners - corners.mean(0)) * _zoom(motion))


def _zoom(motion: Matrix) -> float:
    return float(np.sqrt(np.linalg.det(motion[:2, :2])))


def _cut(corners: Corners, within: Corners) -> Corners:
    return np.clip(corners, *within)


def _is_empty(corners: Corners) -> bool:
    return bool((corners[0] >= corners[1]).any())


def _backgrounds(record: Tracked, numbers: Sequence[int], shape: tuple[int, ...]) -> Iterator[Background]:
    """Of each frame, at the pictures' size, what is not near any track's mask."""
    import cv2

    reach = 2 * round(_MARGIN * max(shape)) + 1
    near = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    for number in numbers:
        masks = [track.masks[number] for track in record.tracks]
        subjects = np.asarray(rle.decode_clip(masks, (record.height, record.width)).any(0), np.uint8)
        small = cv2.resize(np.asarray(255 * subjects), shape[::-1], interpolation=cv2.INTER_AREA)
        yield cv2.dilate(small, near) == 0


def _motions(pictures: Sequence[Grey], grounds: Iterator[Background]) -> Iterator[Matrix | None]:
    """From each picture to the next, [T - 1]."""
    last = np.eye(3)
    for (before, after), ground in zip(pairwise(pictures), grounds, strict=False):
        motion = global_motion(before, after, ground, last)
        last = np.eye(3) if motion is None else motion
        yield motion


def _chained(motions: Sequence[Matrix]) -> list[Matrix]:
    """From the first picture to each, [T]."""
    poses = [np.eye(3)]
    for motion in motions:
        poses.append(motion @ poses[-1])
    return poses


def _scaled(poses: Sequence[Matrix], scale: float) -> list[Matrix]:
    """The same for pictures `scale` times as large."""
    shift = np.array([[1, 1, scale], [1, 1, scale], [1, 1, 1]])
    return [pose * shift for pose in poses]


def _share(known: Sequence[bool]) -> float:
    return sum(known) / len(known) if known else 1.0


def _over_the_clip(pose: Matrix, size: Size) -> dict[str, float]:
    middle = np.array([size[1] / 2, size[0] / 2])
    away = pose[:2, :2] @ middle + pose[:2, 2] - middle
    return {"camera.shift": float(np.hypot(*away) / np.hypot(*size)), "camera.zoom": _zoom(pose)}
