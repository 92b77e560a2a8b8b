"""Grounder: which objects of first frames get a box, and which boxes are objects, at the recipe's own thresholds."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.annotators.overlap import MATCH, NamedBox, matches
from benchmarks.annotators.practice import BATCH, PracticeClip
from benchmarks.annotators.report import Findings, Line, line
from benchmarks.annotators.session import Session
from benchmarks.intervals import share, share_of
from pipeline.embedded.silhouettes import NOUNS
from pipeline.records import Detection
from pipeline.stages.measure import box_iou

SECTION = "grounder"

RECALL = 0.95
PRECISION = 0.95
"""Wanted of the boxes for the nouns that the pipeline asks for."""

REMNANT = 0.004
"""Share of the frame: an object whose visible box is smaller, as behind a pillar, is neither wanted nor wrong."""

ABSENT = 4
"""Nouns that are not in the frame, asked for beside the subject's."""

SHOWN = 10
"""Kinds of failure that are told of."""

Frame: TypeAlias = NDArray[np.uint8]  # [H, W, 3], RGB
Detect: TypeAlias = Callable[[Sequence[tuple[Frame, tuple[str, ...]]]], list[tuple[Detection, ...]]]


@dataclass
class Tally:
    """Counts over frames."""

    wanted: int = 0  # objects of nouns that were asked for
    hit: int = 0
    given: int = 0  # boxes
    right: int = 0
    counts: list[bool] = field(
        default_factory=list
    )  # of each frame, whether the subject got as many boxes as there are
    wrong: Counter[str] = field(default_factory=Counter)  # failures in words

    def add(self, nouns: Sequence[str], found: Sequence[Detection], true: Sequence[NamedBox], area: int) -> None:
        """One frame of `area` pixels: what was asked for, what came, and its objects, remnants among them."""
        asked = [real for real in true if real.noun in nouns]
        places = matches([NamedBox(d.noun, d.box) for d in found], asked)
        whole = {k for k, real in enumerate(asked) if real.area >= REMNANT * area}
        counted = [(d.noun, place) for d, place in zip(found, places, strict=True) if place is None or place in whole]
        self.wanted += len(whole)
        self.given += len(counted)
        self.hit += len(whole.intersection(places))
        self.right += sum(place is not None for _, place in counted)
        subject = nouns[0] if nouns else None
        boxed = sum(noun == subject for noun, _ in counted)
        self.counts.append(boxed == sum(asked[k].noun == subject for k in whole))
        self.wrong.update(f"{asked[k].noun} missed" for k in whole.difference(places))
        self.wrong.update(_instead(d, true) for d, place in zip(found, places, strict=True) if place is None)


def measure(session: Session) -> Findings:
    if session.recipe.grounder.model is None:
        return Findings(notes=["grounder: skipped, the recipe names no model"])
    detect: Detect = session.recipe.grounder.model.open()
    clips = session.clips
    absent = [absent_nouns(clip, number) for number, clip in enumerate(clips)]
    true = tally(clips, session.names_true, ask(detect, clips, session.names_true))
    said = tally(clips, session.names_said, ask(detect, clips, session.names_said))
    mixed = [(clip.noun, *nouns) for clip, nouns in zip(clips, absent, strict=True)]
    beside = tally(clips, mixed, ask(detect, clips, mixed))
    alone = [len({d.noun for d in found}) for found in ask(detect, clips, absent)]
    lines = [
        *_lines(true, "true captions' nouns", goals=True),
        *_lines(said, "written captions' nouns", goals=True),
        *_lines(beside, f"the subject's noun and {ABSENT} absent ones", goals=False),
        line(SECTION, "absent nouns alone that get a box", "embedded", share(sum(alone), ABSENT * len(clips))),
    ]
    return Findings(lines, [*_told(true, "true captions' nouns"), *_told(beside, "with absent nouns")])


def ask(detect: Detect, clips: Sequence[PracticeClip], nouns: Sequence[tuple[str, ...]]) -> list[tuple[Detection, ...]]:
    """The boxes of each clip's nouns in its first frame."""
    pairs = [(clip, asked) for clip, asked in zip(clips, nouns, strict=True)]
    batches = [pairs[first : first + BATCH] for first in range(0, len(pairs), BATCH)]
    return [found for batch in batches for found in detect([(clip.first_frame(), asked) for clip, asked in batch])]


def tally(
    clips: Sequence[PracticeClip], nouns: Sequence[tuple[str, ...]], found: Sequence[tuple[Detection, ...]]
) -> Tally:
    """Counts over the clips' first frames."""
    total = Tally()
    for clip, asked, detections in zip(clips, nouns, found, strict=True):
        total.add(asked, detections, first_boxes(clip), clip.size[0] * clip.size[1])
    return total


def first_boxes(clip: PracticeClip) -> list[NamedBox]:
    """Every object that is in the first frame."""
    boxes = clip.scene.frame(0).boxes()
    names = [actor.look.noun for actor in clip.scene.actors]
    return [NamedBox(noun, box) for noun, box in zip(names, boxes, strict=True) if box is not None]


def absent_nouns(clip: PracticeClip, number: int) -> tuple[str, ...]:
    """`ABSENT` nouns of which nothing is in the whole clip."""
    there = {actor.look.noun for actor in clip.scene.actors}
    free = [noun for noun in NOUNS if noun not in there]
    return tuple(np.random.default_rng(number).permutation(free)[:ABSENT].tolist())


def _instead(detection: Detection, true: Sequence[NamedBox]) -> str:
    """What lies under a box that is no object of its noun."""
    overlaps = {real.noun: box_iou(detection.box, real.box) for real in true}
    under = max(overlaps, key=lambda noun: overlaps[noun], default=None)
    if under is None or overlaps[under] < 0.1:
        return f"{detection.noun} where nothing is"
    if under == detection.noun:
        return f"{detection.noun} boxed badly or twice"
    return f"{detection.noun} where {'a' if overlaps[under] >= MATCH else 'a part of a'} {under} is"


def _lines(count: Tally, what: str, *, goals: bool) -> Iterator[Line]:
    parts = (("recall", count.hit, count.wanted, RECALL), ("precision", count.right, count.given, PRECISION))
    for name, hits, total, goal in parts:
        if total:
            yield line(SECTION, f"box {name}, {what}", "embedded", share(hits, total), goal if goals else None)
    yield line(SECTION, f"the subject's boxes are as many as it is, {what}", "embedded", share_of(count.counts))


def _told(count: Tally, what: str) -> Iterator[str]:
    for why, times in count.wrong.most_common(SHOWN):
        yield f"grounder, {what}: {why}, {times} times"
