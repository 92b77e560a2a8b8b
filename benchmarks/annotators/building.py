"""End to end: bare videos through `build`. Does the right rule reject hard cases, and are kept clips' masks true?"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.annotators.overlap import Masks, jaccard
from benchmarks.annotators.practice import WORLDS, answers, without_truth
from benchmarks.annotators.report import Findings, Line, grouped, line
from benchmarks.intervals import mean, share_of
from pipeline.embedded.scenes import CASES, Case, Scene
from pipeline.embedded.world import write_videos
from pipeline.recipe import Recipe
from pipeline.records import Clip, Rejected, from_json
from pipeline.run import build
from pipeline.runners.local import local
from pipeline.sources import parse_source
from shards import Dataset, Sample, Storage, ledger

HARD, KEPT = "hard cases", "end to end"

REJECTED = 0.95
"""Wanted share of hard clips that the right rule rejects."""

MASKS = 0.80
"""Wanted mean J of kept clips."""

RIGHT: dict[Case, tuple[str, ...]] = {
    "static": ("motion.", "static.", "frozen."),
    "returning": ("motion.",),
    "two": ("count",),
    "small": ("size.",),
    "large": ("size.",),
    "late": ("count.none", "effective", "lost."),
    "leaving": ("effective", "lost."),
    "camera": ("motion.",),
}
"""The rules that are meant for a case; a name that ends with a full stop stands for all that begin so."""

FIRST_SCENE = 100_000
"""Other scenes than those that the single annotators are measured on."""

SHOWN = 12


class Span(NamedTuple):
    """Where a clip lies in its video."""

    video: str  # the source's id
    first: int  # frame
    num_frames: int


@dataclass(frozen=True)
class Built:
    """One build, read from its books."""

    url: Path

    @cached_property
    def spans(self) -> dict[str, Span]:
        """Every clip's key and place."""
        found = {}
        for row in self.rows:
            if row.stage == "cutter" and row.added is not None:
                for clip in json.loads(row.added):
                    found[clip["key"]] = Span(row.video, clip["first_frame"], clip["num_frames"])
        return found

    @cached_property
    def rows(self) -> list[ledger.Row]:
        storage = Storage.at(self.url)
        return [row for shard in sorted(ledger.closed(storage)) for row in ledger.read(storage, shard)]

    @cached_property
    def verdicts(self) -> dict[str, str]:
        """Clip, or video that gave none -> "kept", or the rule or reason that stopped it."""
        endings = ledger.endings(Storage.at(self.url))
        return {key: "kept" if end.outcome == "kept" else f"{end.why}" for key, end in endings.items()}

    @cached_property
    def videos(self) -> dict[str, str]:
        """Clip, or video that gave none -> the video's id."""
        return {key: end.video for key, end in ledger.endings(Storage.at(self.url)).items()}

    @property
    def samples(self) -> Iterator[Sample]:
        if self.url.joinpath("shards").is_dir():
            yield from Dataset.open(self.url)


@dataclass(frozen=True)
class Builds:
    """Videos annotated by the recipe's models, and what becomes of the same clips by their exact truth."""

    scenes: Mapping[str, Scene]  # the video's id -> what it shows
    bare: Built
    true: Mapping[str, str]  # clip -> "kept", or the rule or reason that stops it


def judged_twice(folder: Path, recipe: Recipe, count: int, cases: Sequence[Case] = CASES) -> Builds:
    """`count` videos of `cases` in turn, half of them from each world, built without their truth and judged by it."""
    scenes: dict[str, Scene] = {}
    for number, world in enumerate(WORLDS):
        half = count // len(WORLDS) + (number < count % len(WORLDS))
        paths = write_videos(folder / f"true/{number}", world, half, first=FIRST_SCENE, cases=cases)
        without_truth(folder / f"true/{number}", folder / f"bare/{number}")
        for k, path in enumerate(paths):
            scenes[f"folder/{number}/{path.name}"] = world.scene(FIRST_SCENE + k, cases[k % len(cases)])
    bare = Built(folder / "dataset")
    build(str(folder / "bare"), str(bare.url), recipe, local)
    return Builds(scenes, bare, verdicts_by_truth(bare, folder / "true", folder / "again", recipe))


def verdicts_by_truth(bare: Built, videos: Path, folder: Path, recipe: Recipe) -> dict[str, str]:
    """The verdict on every clip of a build where the source says everything; `duplicate` is not asked."""
    said = {video.id: video for video in parse_source(str(videos)).videos()}
    cut = [row for row in bare.rows if row.stage == "cutter" and row.added is not None]
    records: list[Any] = [clip for row in cut for clip in from_json(Clip, said[row.video], row.added or "")]
    verdicts: dict[str, str] = {}
    for stage in without_models(recipe).stages(str(folder))[1:]:
        found = list(zip(records, answers(stage, records), strict=True))
        verdicts |= {record.key: answer.why for record, answer in found if isinstance(answer, Rejected)}
        records = [answer for _, answer in found if not isinstance(answer, Rejected)]
    return verdicts | {record.key: "kept" for record in records}


def without_models(recipe: Recipe) -> Recipe:
    """The same recipe where the source says everything."""
    stages = {name: getattr(recipe, name) for name in ("captioner", "namer", "grounder", "segmenter", "tracker")}
    return recipe.model_copy(update={name: stage.model_copy(update={"model": None}) for name, stage in stages.items()})


def hard_cases(builds: Builds) -> Findings:
    """Verdicts by the models' annotations beside those by the exact truth."""
    judged = sorted(_judged(builds), key=lambda one: CASES.index(one.case))
    meant = [one for one in judged if one.case in RIGHT and one.true != "kept"]
    good = [one for one in judged if one.case in ("plain", "occluded", "cut") and one.true == "kept"]
    asked = [(one.case, float(is_right(one.bare, one.case))) for one in meant]
    kept = [(one.case, float(one.bare == "kept")) for one in good]
    same = [(one.case, float(_family(one.bare) == _family(one.true))) for one in judged]
    cuts = [
        float(is_cut_right([span for span in builds.bare.spans.values() if span.video == video], scene))
        for video, scene in builds.scenes.items()
        if scene.cuts
    ]
    lines = grouped(HARD, "rejected by the right rule", "embedded", asked, share_of, REJECTED)
    lines += grouped(HARD, "kept where the truth is kept", "embedded", kept, share_of)
    lines += [line(HARD, "cut where the shots change", "embedded", share_of(cuts))] if cuts else []
    lines += grouped(HARD, "same verdict as by the exact truth", "embedded", same, share_of)
    return Findings(lines, [*_passed(judged), *_unlike(judged)])


def is_right(verdict: str, case: Case) -> bool:
    """Whether a rule that is meant for the case gave the verdict."""
    return any(verdict == rule or (rule.endswith(".") and verdict.startswith(rule)) for rule in RIGHT[case])


class Judged(NamedTuple):
    """A clip's verdicts; of a video without clips the Cutter's is the only one."""

    case: Case
    video: str
    bare: str
    true: str


def _judged(builds: Builds) -> Iterator[Judged]:
    for key, verdict in builds.bare.verdicts.items():
        video = builds.bare.videos[key]
        yield Judged(builds.scenes[video].case, video, verdict, builds.true.get(key, verdict))


def _family(verdict: str) -> str:
    """The rule that a verdict speaks of; a subject that is nowhere is a reason of its own."""
    return verdict if verdict.endswith(".none") else verdict.partition(".")[0]


def is_cut_right(clips: Sequence[Span], scene: Scene) -> bool:
    """Whether every clip is one of the scene's shots, give or take a frame at its ends; a short shot gives no clip."""
    ends = [0, *scene.cuts, scene.num_frames]
    shots = list(pairwise(ends))
    whole = [
        any(abs(clip.first - first) <= 1 and abs(clip.first + clip.num_frames - last) <= 1 for first, last in shots)
        for clip in clips
    ]
    return bool(whole) and all(whole)


def _passed(judged: Sequence[Judged]) -> Iterator[str]:
    """Hard clips that the exact truth lets through: no rule is meant for them."""
    for case, count in Counter(one.case for one in judged if one.case in RIGHT and one.true == "kept").items():
        yield f"hard cases: {count} {case} clips are kept by the exact truth too, and not asked for"


def _unlike(judged: Sequence[Judged]) -> Iterator[str]:
    wrong: dict[tuple[str, str, str], list[str]] = {}
    for one in judged:
        if _family(one.bare) != _family(one.true):
            wrong.setdefault((one.case, one.true, one.bare), []).append(one.video)
    for (case, true, bare), videos in sorted(wrong.items(), key=lambda item: -len(item[1]))[:SHOWN]:
        where = ", ".join(videos[:3])
        yield f"hard cases: {len(videos)} {case} clips end as {bare!r}, by the truth as {true!r}: {where}"


def kept_clips(builds: Builds) -> Findings:
    """J of the samples' tracks over all frames, against the subject and against whatever they follow; their nouns."""
    lines: list[Line] = []
    scored = [_scored(sample, builds.scenes[sample.provenance["video"]]) for sample in builds.bare.samples]
    counts = {"embedded": len(scored), "exact truth": list(builds.true.values()).count("kept")}
    for who, count in counts.items():
        lines.append(Line(section=KEPT, what="clips kept", who=who, value=count, low=count, high=count, n=1))
    if not scored:
        return Findings(lines, ["end to end: no clip was kept"])
    by_case = [(one.case, one.subject) for one in scored]
    lines += grouped(KEPT, "mask J of kept clips", "embedded", by_case, mean, MASKS)
    followed = mean([one.followed for one in scored])
    lines.append(line(KEPT, "mask J of kept clips against what they follow", "embedded", followed))
    lines.append(line(KEPT, "noun of kept clips is right", "embedded", share_of([one.noun for one in scored])))
    worst = sorted(scored, key=lambda one: one.subject)[:SHOWN]
    return Findings(lines, [f"end to end: J {one.subject:.2f}, {one.case}, {one.video}, {one.words}" for one in worst])


class Scored(NamedTuple):
    """A sample held against its scene."""

    case: Case
    video: str
    subject: float  # mean J over all frames against the true subject
    followed: float  # ... against the object that the track lies on best
    noun: bool  # the sample's is the subject's
    words: str


def _scored(sample: Sample, scene: Scene) -> Scored:
    first = sample.provenance["first_frame"]
    rendered = scene.render()
    true: Masks = rendered.masks[:, first : first + sample.num_frames]
    track = sample.tracks[0].decode(sample.size)
    each = [float(jaccard(track, masks).mean()) for masks in true]
    subject = subject_at(scene, first + sample.num_frames // 2)
    noun = rendered.nouns[subject]
    return Scored(
        case=scene.case,
        video=sample.provenance["video"],
        subject=each[subject],
        followed=max(each),
        noun=sample.subject == noun,
        words=f"{sample.subject} in {sample.caption!r}, which is a {noun}",
    )


def subject_at(scene: Scene, frame: int) -> int:
    """The actor that a frame's shot is about: its first."""
    shot = int(np.searchsorted(scene.cuts, frame, side="right"))
    return sum(len(before.actors) for before in scene.shots[:shot])
