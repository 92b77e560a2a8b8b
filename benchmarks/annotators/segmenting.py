"""Segmenter: masks in first frames from exact boxes and from the detector's, beside the filled box and GrabCut."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.annotators.baselines import Frame, Mask, filled_box, grabcut
from benchmarks.annotators.grounding import REMNANT, ask
from benchmarks.annotators.overlap import NamedBox, jaccard, matches
from benchmarks.annotators.practice import PracticeClip
from benchmarks.annotators.report import Findings, Line, grouped, line
from benchmarks.annotators.session import Session, exact
from benchmarks.intervals import mean
from pipeline.models.segment_anything import SegmentFrames
from pipeline.records import Detection
from shards import rle
from shards.rle import Box

SECTION = "segmenter"

GOAL = 0.90
"""Wanted mean IoU, whoever drew the box."""

POOR = 0.7
"""IoU below which a mask is told of."""

SHOWN = 8


class Prompt(NamedTuple):
    """A box that a mask is asked for, and the mask that is wanted."""

    clip: PracticeClip
    detection: Detection
    wanted: Mask


class Drawn(NamedTuple):
    """What was asked for, and the IoU of what came."""

    prompt: Prompt
    iou: float


def measure(session: Session) -> Findings:
    if session.recipe.segmenter.model is None:
        return Findings(notes=["segmenter: skipped, the recipe names no model"])
    segment = session.recipe.segmenter.model.open()
    prompts = {"exact boxes": [prompt for clip in session.clips for prompt in exact_prompts(clip)]}
    if session.recipe.grounder.model is not None:
        found = ask(session.recipe.grounder.model.open(), session.clips, session.names_true)
        pairs = zip(session.clips, found, strict=True)
        prompts["the detector's boxes"] = [prompt for pair in pairs for prompt in matched_prompts(*pair)]
    lines: list[Line] = []
    notes: list[str] = []
    for what, asked in prompts.items():
        if not asked:
            notes.append(f"segmenter: no object has a box of {what}")
            continue
        drawn = segmented(segment, asked)
        by_size = [(f"{p.clip.size[1]}x{p.clip.size[0]}", iou) for p, iou in drawn]
        lines += grouped(SECTION, f"mask IoU, {what}", "embedded", by_size, mean, GOAL)
        for who, draw in (("filled box", lambda frame, box: filled_box(frame.shape[:2], box)), ("GrabCut", grabcut)):
            lines.append(line(SECTION, f"mask IoU, {what}", who, mean([one.iou for one in drawn_by(draw, asked)])))
        notes += _poor(drawn, what)
    return Findings(lines, notes)


def exact_prompts(clip: PracticeClip) -> list[Prompt]:
    """Every object of the first frame that is more than a remnant, by its tight box."""
    first = clip.scene.frame(0)
    least = REMNANT * clip.size[0] * clip.size[1]
    objects = zip(clip.scene.actors, first.boxes(), first.masks, strict=True)
    return [
        Prompt(clip, exact(actor.look.noun, box), mask)
        for actor, box, mask in objects
        if box is not None and NamedBox(actor.look.noun, box).area >= least
    ]


def matched_prompts(clip: PracticeClip, found: Sequence[Detection]) -> list[Prompt]:
    """The same objects by the boxes that the detector gave for them; those it missed are left out."""
    wanted = exact_prompts(clip)
    real = [NamedBox(prompt.detection.noun, prompt.detection.box) for prompt in wanted]
    places = matches([NamedBox(d.noun, d.box) for d in found], real)
    return [Prompt(clip, d, wanted[k].wanted) for d, k in zip(found, places, strict=True) if k is not None]


def segmented(segment: SegmentFrames, prompts: Sequence[Prompt]) -> list[Drawn]:
    """Frame by frame, all boxes of a frame together; a box without a mask counts as IoU 0."""
    by_clip: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        by_clip.setdefault(prompt.clip.record.path, []).append(prompt)
    drawn = []
    for group in by_clip.values():
        clip = group[0].clip
        [segments] = segment([(clip.first_frame(), tuple(prompt.detection for prompt in group))])
        masks = {one.detection: rle.decode(one.mask, clip.size) for one in segments}
        empty = np.zeros(clip.size, np.bool_)
        drawn += [Drawn(p, float(jaccard(masks.get(p.detection, empty), p.wanted))) for p in group]
    return drawn


def drawn_by(draw: Callable[[Frame, Box], Mask], prompts: Sequence[Prompt]) -> list[Drawn]:
    """The same for a function of one frame and one box."""
    return [Drawn(p, float(jaccard(draw(p.clip.first_frame(), p.detection.box), p.wanted))) for p in prompts]


def _poor(drawn: Sequence[Drawn], what: str) -> list[str]:
    poor = [one for one in drawn if one.iou < POOR]
    nouns = sorted({one.prompt.detection.noun for one in poor})
    worst = sorted(poor, key=lambda one: one.iou)[:SHOWN]
    said = [f"segmenter, {what}: {len(poor)} of {len(drawn)} masks below {POOR}: {', '.join(nouns)}"] if poor else []
    return said + [
        f"segmenter, {what}: IoU {one.iou:.2f} of a {one.prompt.detection.noun} in box {one.prompt.detection.box}, "
        f"{one.prompt.clip.scene.case}, scene {one.prompt.clip.scene.index} at {one.prompt.clip.size}"
        for one in worst
    ]
