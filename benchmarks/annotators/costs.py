"""What annotating costs: calls for many frames against one a frame and a box, seconds and memory of every stage."""

import itertools
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.annotators.building import Built
from benchmarks.annotators.overlap import jaccard
from benchmarks.annotators.practice import BATCH, WORLDS, PracticeClip, answers
from benchmarks.annotators.report import Findings, Line, timed
from benchmarks.annotators.session import Session
from pipeline.models.grounding_dino.settings import Detect, Frame
from pipeline.models.segment_anything import SegmentFrames
from pipeline.records import Rejected, Segment
from pipeline.stage import AnyStage
from shards import rle, video

SECTION = "cost"

FASTER = 3.0
"""Wanted: how many times as fast detection and segmentation are for many frames together."""

ALIKE = 0.99
"""IoU that masks of both ways have at least."""

ROUNDS = 5
FRAMES = 24  # of a round, with three objects each
CLIPS = 12  # that a stage's memory is taken over

Asked = Sequence[tuple[Frame, tuple[str, ...]]]


def measure(session: Session) -> Findings:
    built = session.builds.bare
    found = Findings([*_together(session), *_seconds(built), *_decoding(session.clips)])
    return found + Findings(list(_memory(session)))


# --- many frames together against one call a frame and a box


class Way(NamedTuple):
    """Seconds of detection and of segmentation, and the masks."""

    detecting: float
    segmenting: float
    segments: list[Segment]


def _together(session: Session) -> Iterator[Line]:
    grounder, segmenter = session.recipe.grounder.model, session.recipe.segmenter.model
    if grounder is None or segmenter is None:
        return
    detect, segment = grounder.open(), segmenter.open()
    asked = crowded(FRAMES)
    ways: dict[str, Callable[[], Way]] = {
        "together": lambda: together(detect, segment, asked),
        "one by one": lambda: one_by_one(detect, segment, asked),
    }
    runs = alternating(ways, ROUNDS)
    pairs = list(zip(runs["one by one"], runs["together"], strict=True))
    yield timed(SECTION, "detection, many frames a call against one", "ratio", "x", [a[0] / b[0] for a, b in pairs])
    yield timed(SECTION, "segmentation, many boxes a call against one", "ratio", "x", [a[1] / b[1] for a, b in pairs])
    both = [(a[0] + a[1]) / (b[0] + b[1]) for a, b in pairs]
    yield timed(
        SECTION,
        "detection and segmentation of three objects a frame, many a call against one",
        "ratio",
        "x",
        both,
        FASTER,
    )
    least = [alike(one.segments, many.segments, asked[0][0].shape[:2]) for one, many in pairs]
    yield timed(SECTION, "least IoU of both ways' masks", "embedded", "", least, ALIKE)


def crowded(count: int) -> list[tuple[Frame, tuple[str, ...]]]:
    """First frames with three objects, and their nouns."""
    scenes = (WORLDS[0].scene(index, "plain") for index in itertools.count())
    full = (scene for scene in scenes if len(scene.actors) == 3 and None not in scene.frame(0).boxes())
    return [(s.frame(0).image, tuple(a.look.noun for a in s.actors)) for s in itertools.islice(full, count)]


def together(detect: Detect, segment: SegmentFrames, asked: Asked) -> Way:
    """As the stages do it: a batch of frames a call, all boxes of a frame at once."""
    batches = [asked[first : first + BATCH] for first in range(0, len(asked), BATCH)]
    began = time.perf_counter()
    found = [detections for batch in batches for detections in detect(batch)]
    detected = time.perf_counter()
    pairs = [(frame, detections) for (frame, _), detections in zip(asked, found, strict=True)]
    segments = [
        one
        for first in range(0, len(pairs), BATCH)
        for of_frame in segment(pairs[first : first + BATCH])
        for one in of_frame
    ]
    return Way(detected - began, time.perf_counter() - detected, segments)


def one_by_one(detect: Detect, segment: SegmentFrames, asked: Asked) -> Way:
    """A call for each frame, and one for each box."""
    began = time.perf_counter()
    found = [detect([one])[0] for one in asked]
    detected = time.perf_counter()
    segments = [
        one
        for (frame, _), detections in zip(asked, found, strict=True)
        for detection in detections
        for one in segment([(frame, (detection,))])[0]
    ]
    return Way(detected - began, time.perf_counter() - detected, segments)


def alike(one: Sequence[Segment], other: Sequence[Segment], size: tuple[int, int]) -> float:
    """The least IoU of masks in the same places; 0 where one way drew more than the other."""
    if len(one) != len(other):
        return 0.0
    pairs = [(rle.decode(a.mask, size), rle.decode(b.mask, size)) for a, b in zip(one, other, strict=True)]
    return min((float(jaccard(a, b)) for a, b in pairs), default=1.0)


def alternating(ways: dict[str, Callable[[], Way]], rounds: int) -> dict[str, list[Way]]:
    """Every way once a round, turn about; round 0 only warms up."""
    runs: dict[str, list[Way]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name in sorted(ways, reverse=bool(turn % 2)):
            way = ways[name]()
            runs[name] += [way] if turn else []
    return runs


# --- seconds


def _seconds(built: Built) -> Iterator[Line]:
    """Of every stage a clip, as the build's ledger says; models were loaded before."""
    stages = list(dict.fromkeys(row.stage for row in built.rows if row.seconds))
    for stage in stages:
        seconds = [row.seconds for row in built.rows if row.stage == stage and row.seconds]
        yield timed(SECTION, f"{stage}, a clip", "build", "s", seconds)


def _decoding(clips: Sequence[PracticeClip]) -> Iterator[Line]:
    seconds = []
    for clip in clips[:CLIPS]:
        began = time.perf_counter()
        for _ in video.frames(clip.record.path):
            pass
        seconds.append(time.perf_counter() - began)
    if seconds:
        yield timed(SECTION, "decoding alone, a clip", "shards.video", "s", seconds)


# --- memory


class Peak(NamedTuple):
    """What a stage answered, and the most memory that it took, MB."""

    answers: list[Any]
    resident: float
    on_gpu: float


def _memory(session: Session) -> Iterator[Line]:
    """Every stage in a process of its own, over the clips that the stage before let through."""
    records: list[Any] = [clip.record.video for clip in session.clips[:CLIPS]]
    for stage in session.recipe.stages(str(session.folder / "memory")):
        if records:
            peak = apart(stage, records)
            records = passed(peak.answers)
            yield timed(SECTION, f"{stage.name}, peak memory", "process", "MB", [peak.resident])
            if peak.on_gpu:
                yield timed(SECTION, f"{stage.name}, peak memory", "GPU", "MB", [peak.on_gpu])


def apart(stage: AnyStage, records: Sequence[Any]) -> Peak:
    """A stage opened and asked in a fresh process. Raises RuntimeError where that process dies."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_answer, args=(theirs, stage, list(records)))
    process.start()
    theirs.close()
    try:
        peak: Peak = ours.recv()
    except EOFError:
        raise RuntimeError(f"the process of stage {stage.name} died; its error stands above") from None
    finally:
        process.join()
    return peak


def _answer(pipe: Connection, stage: AnyStage, records: list[Any]) -> None:
    found = answers(stage, records)
    on_gpu = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0
    pipe.send(Peak(found, _peak_resident(), on_gpu))


def _peak_resident() -> float:
    """MB, of this process alone: what getrusage tells begins with the parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def passed(found: Sequence[Any]) -> list[Any]:
    """The records that a stage lets through; the Cutter's lists one after another."""
    grown = [answer for answer in found if not isinstance(answer, Rejected)]
    return [record for answer in grown for record in (answer if isinstance(answer, list) else [answer])]
