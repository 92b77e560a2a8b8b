"""Tracker: J of the subject through whole clips from its exact first mask, beside optical flow and the first mask."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.annotators.baselines import Mask, Masks, kept, warped
from benchmarks.annotators.overlap import jaccard, returned
from benchmarks.annotators.practice import PracticeClip
from benchmarks.annotators.report import Findings, Line, grouped, line
from benchmarks.annotators.session import Session, exact
from benchmarks.intervals import mean
from pipeline.models.deva_tracker import DevaTracker
from pipeline.models.sam2_tracker import Sam2Tracker
from pipeline.recipe import Recipe
from pipeline.records import Segment, Tracklet
from shards import rle

SECTION = "tracker"

GOAL = 0.85
"""Wanted mean J over whole clips, occlusions included."""

SHOWN = 10

Track: TypeAlias = Callable[[str, int, Sequence[Segment]], tuple[Tracklet, ...]]


class Followed(NamedTuple):
    """A clip and the J of each of its frames."""

    clip: PracticeClip
    each: NDArray[np.float64]  # [T]; frame 0 is given
    back: NDArray[np.bool_]  # [T], frames with the subject after a frame without it

    @property
    def whole(self) -> float:
        """Mean over the frames that were not given."""
        return float(self.each[1:].mean())


def measure(session: Session) -> Findings:
    track = opened(session.recipe)
    if track is None:
        return Findings(notes=["tracker: skipped, the recipe names no model that carries given masks"])
    trackers: dict[str, Callable[[PracticeClip, Mask], Masks]] = {
        "embedded": lambda clip, first: carried(track, clip, first),
        "optical flow": lambda clip, first: warped(clip.frames(), first),
        "first mask kept": lambda clip, first: kept(clip.frames(), first),
    }
    lines: list[Line] = []
    notes: list[str] = []
    for who, follow in trackers.items():
        runs = list(followed(session.clips, follow))
        lines += _lines(who, runs)
        notes += _worst(runs) if who == "embedded" else []
    return Findings(lines, notes)


def opened(recipe: Recipe) -> Track | None:
    """The recipe's tracker, if it carries masks that it is given."""
    model = recipe.tracker.model
    return model.open() if isinstance(model, DevaTracker | Sam2Tracker) else None


def followed(clips: Sequence[PracticeClip], follow: Callable[[PracticeClip, Mask], Masks]) -> Iterator[Followed]:
    """Every clip whose subject is in the first frame."""
    for clip in clips:
        true = clip.truth().masks[0]
        if true[0].any():
            yield Followed(clip, jaccard(follow(clip, true[0]), true), returned(true.any((1, 2))))


def carried(track: Track, clip: PracticeClip, first: Mask) -> Masks:
    """The recipe's tracker, given the first mask as a segmenter's."""
    box = rle.box(rle.encode(first), clip.size)
    assert box is not None
    segment = Segment(detection=exact(clip.noun, box), mask=rle.encode(first))
    [tracklet] = track(clip.record.path, clip.record.num_frames, [segment])
    return rle.decode_clip(tracklet.masks, clip.size)


def _lines(who: str, runs: Sequence[Followed]) -> list[Line]:
    own = who == "embedded"
    values = [(run.clip.scene.case, run.whole) for run in runs]
    lines = grouped(SECTION, "J of whole clips", who, values, mean, GOAL if own else None)
    back = [float(run.each[run.back].mean()) for run in runs if run.back.any()]
    if back:
        lines.append(line(SECTION, "J of frames after the subject came back", who, mean(back)))
    if not own:
        return lines
    by_size = [(f"{run.clip.size[1]}x{run.clip.size[0]}", run.whole) for run in runs]
    return lines + grouped(SECTION, "J of whole clips", who, by_size, mean)[1:]


def _worst(runs: Sequence[Followed]) -> Iterator[str]:
    for run in sorted(runs, key=lambda run: run.whole)[:SHOWN]:
        lost = int(np.argmax(run.each < 0.5)) if (run.each < 0.5).any() else None
        scene = run.clip.scene
        yield (
            f"tracker: J {run.whole:.2f}, {scene.case}, {run.clip.noun}, scene {scene.index} at {run.clip.size}, "
            f"first frame below 0.5: {lost}"
        )
