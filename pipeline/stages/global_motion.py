"""Global motion: the similarity (shift, zoom, roll) that takes one picture's background to the next one's."""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Grey: TypeAlias = NDArray[np.uint8]  # [h, w]
Background: TypeAlias = NDArray[np.bool_]  # [h, w], True where no subject is near
Points: TypeAlias = NDArray[np.float32]  # [N, 2], x and y in pixels
Matrix: TypeAlias = NDArray[np.float64]  # [3, 3], takes pixels (x, y, 1) of one picture to another's

_CELLS = 24  # along the longer side; each gives the best corner in it
_WINDOW = 15  # pixels, as are the next two
_RETURN = 0.5  # a corner that is followed forth and back must end this near to where it began
_INLIER = 1.0
_LEVELS = 3  # of the pyramid above the picture itself
_FEWEST = 6  # corners that make an estimate
_ROUNDS = 3
_OUTLIER = 8.0  # grey levels; a pixel that differs more says no more against a motion than this
_SEEN = 0.1  # share of the pictures' pixels that must be background in both


def global_motion(before: Grey, after: Grey, background: Background, last: Matrix) -> Matrix | None:
    """What the background of `before` did until `after`; None where it has too little to be followed.

    Corners spread over the background are followed by pyramidal Lucas-Kanade. Where the background is faint, the most
    corners may be some other object's; so what RANSAC finds in them, what it finds in the rest, their median shift,
    `last` (the motion one step earlier) and stillness are proposals, and that which explains the most pixels is taken.
    """
    corners = _corners(before, background)
    found, moved = _followed(before, after, corners)
    if len(found) < _FEWEST:
        return None
    pair = _smooth(before), _smooth(after)
    proposals = [np.eye(3), _median(found, moved), *_ransac(found, moved), last]
    return min(proposals, key=lambda motion: _difference(*pair, background, motion))


def _corners(picture: Grey, background: Background) -> Points:
    """The best corner in each cell, [N, 2]: one strong object must not have them all."""
    import cv2

    strength = np.where(background, cv2.cornerMinEigenVal(picture, 5), 0)
    height, width = picture.shape
    cell = max(4, max(height, width) // _CELLS)
    rows, columns = height // cell, width // cell
    tiles = strength[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell).swapaxes(1, 2)
    flat = tiles.reshape(rows * columns, cell * cell)
    at, number = flat.argmax(1), np.arange(rows * columns)
    places = np.stack([number % columns * cell + at % cell, number // columns * cell + at // cell], 1)
    return np.asarray(places[flat.max(1) > 0], np.float32)


def _followed(before: Grey, after: Grey, corners: Points) -> tuple[Points, Points]:
    """Those corners that are found again, and where, both [M, 2]."""
    if not len(corners):
        return corners, corners
    moved, there = _follow(before, after, corners)
    back, again = _follow(after, before, moved)
    good = there & again & (np.linalg.norm(back - corners, axis=1) < _RETURN)
    return corners[good], moved[good]


def _follow(before: Grey, after: Grey, points: Points) -> tuple[Points, NDArray[np.bool_]]:
    """Where the points went, [N, 2], and whether they could be followed, [N]."""
    import cv2

    size, moved = (_WINDOW, _WINDOW), np.empty_like(points)
    went, there, _ = cv2.calcOpticalFlowPyrLK(
        before, after, points, moved, winSize=size, maxLevel=_LEVELS, minEigThreshold=1e-6
    )
    return np.asarray(went, np.float32), np.asarray(there)[:, 0] == 1


def _median(found: Points, moved: Points) -> Matrix:
    motion = np.eye(3)
    motion[:2, 2] = np.median(moved - found, axis=0)
    return motion


def _ransac(found: Points, moved: Points) -> Iterator[Matrix]:
    """What the most corners do, what the most of the others do, and so on."""
    import cv2

    for _ in range(_ROUNDS):
        if len(found) < _FEWEST:
            return
        motion, inliers = cv2.estimateAffinePartial2D(found, moved, method=cv2.RANSAC, ransacReprojThreshold=_INLIER)
        if motion is None:
            return
        yield np.vstack([motion, (0.0, 0.0, 1.0)])
        others = np.asarray(inliers)[:, 0] == 0
        found, moved = found[others], moved[others]


def _smooth(picture: Grey) -> NDArray[np.float32]:
    import cv2

    return np.asarray(cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 0.8), np.float32)


def _difference(
    before: NDArray[np.float32], after: NDArray[np.float32], background: Background, motion: Matrix
) -> float:
    """Mean grey levels by which the moved background differs; infinite where next to nothing of it is left in sight."""
    import cv2

    size = before.shape[::-1]
    moved = cv2.warpAffine(before, motion[:2], size, flags=cv2.INTER_LINEAR)
    seen = cv2.warpAffine(background.astype(np.uint8), motion[:2], size, flags=cv2.INTER_NEAREST) > 0
    if seen.sum() < _SEEN * seen.size:
        return float("inf")
    return float(np.minimum(np.abs(moved - after)[seen], _OUTLIER).mean())
