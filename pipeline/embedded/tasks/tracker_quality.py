"""How well a tracker follows the objects of practice scenes: J of every frame, against the exact truth."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.embedded.scenes import Case
from pipeline.embedded.tasks.tracker_clips import FEWEST_PIXELS, roughened
from pipeline.embedded.world import World
from pipeline.models.deva.propagator import Propagator

JUDGED: tuple[Case, ...] = ("plain", "occluded", "leaving", "returning", "two", "camera", "small", "static")
"""Cases whose subject is in the first frame, taken in turn."""


@dataclass(frozen=True, kw_only=True)
class Followed:
    """One object through a clip, the first frame apart, whose masks were given."""

    case: Case
    overlaps: NDArray[np.float64]  # [T - 1]: IoU with the truth, 1 where both are empty
    seen: NDArray[np.bool_]  # [T - 1]: where the truth has a pixel

    @property
    def j(self) -> float:
        """Mean over the frames."""
        return float(self.overlaps.mean())

    @property
    def again(self) -> NDArray[np.float64]:
        """Overlaps in the frames that show the object after it was out of sight."""
        return self.overlaps[self.seen & np.maximum.accumulate(~self.seen)]

    @property
    def absent(self) -> NDArray[np.float64]:
        """1 for each frame without the object that has no mask, 0 for each that has."""
        return self.overlaps[~self.seen]


def follow_scenes(
    propagator: Propagator, world: World, numbers: Iterable[int], *, rough: bool = False
) -> list[Followed]:
    """All objects that can be seen in the first frame of the world's scenes of these numbers, cases in turn.

    The first masks are exact, or `rough` like a segmenter's.
    """
    return [followed for number in numbers for followed in _follow(propagator, world, number, rough)]


def summary(tracks: Sequence[Followed]) -> dict[str, float]:
    """Mean J of all tracks and of each case's; of frames after and during absence."""
    values: dict[str, list[float]] = {
        "j": [track.j for track in tracks],
        "again": [j for track in tracks for j in track.again.tolist()],
        "absent": [j for track in tracks for j in track.absent.tolist()],
    }
    for track in tracks:
        values.setdefault(track.case, []).append(track.j)
    return {name: float(np.mean(found)) for name, found in values.items() if found}


def overlaps(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> NDArray[np.float64]:
    """IoU of masks [T, H, W], [T]; 1 where both are empty."""
    both, either = (a & b).sum((1, 2)), (a | b).sum((1, 2))
    shares: NDArray[np.float64] = np.where(either > 0, both / np.maximum(either, 1), 1.0)
    return shares


def _follow(propagator: Propagator, world: World, number: int, rough: bool) -> list[Followed]:
    case = JUDGED[number % len(JUDGED)]
    drawn = world.scene(number, case).render()
    truth = drawn.masks[drawn.masks[:, 0].sum((1, 2)) >= FEWEST_PIXELS]
    rng = np.random.default_rng(number)
    given = np.stack([roughened(rng, mask) if rough else mask for mask in truth[:, 0]])
    found = np.stack([frame.masks for frame in propagator.track(drawn.frames, given)], axis=1)
    return [
        Followed(case=case, overlaps=overlaps(mine, masks)[1:], seen=masks.any((1, 2))[1:])
        for mine, masks in zip(found, truth, strict=True)
    ]
