"""A clip of 10,000 frames beside one of 1,000: what becomes of it at every stage, and the memory that it takes."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from benchmarks.annotators.costs import apart, passed
from benchmarks.annotators.report import Findings, Line, timed
from benchmarks.annotators.session import Session
from pipeline.embedded.world import World
from pipeline.records import Rejected
from pipeline.sources import parse_source
from shards.video import encode

SECTION = "long clip"

LENGTHS = (1_000, 10_000)  # frames
FRAME_RATE = 12
SEED = 1003


def measure(session: Session, lengths: tuple[int, ...] = LENGTHS) -> Findings:
    found = Findings()
    for num_frames in lengths:
        found += _followed(session, num_frames)
    return found


def _followed(session: Session, num_frames: int) -> Findings:
    """Every stage in a process of its own; the cutter is told to leave the video whole."""
    folder = session.folder / f"long-{num_frames}"
    videos = write_long(folder / "videos", num_frames)
    whole = {"shots": None, "max_seconds": 1e6}
    recipe = session.recipe.model_copy(update={"cutter": session.recipe.cutter.model_copy(update=whole)})
    records: list[Any] = list(parse_source(str(videos)).videos())
    found = Findings()
    for stage in recipe.stages(str(folder / "dataset")):
        peak = apart(stage, records)
        found += Findings([*_peaks(stage.name, num_frames, peak.resident, peak.on_gpu)])
        ends = [answer.why for answer in peak.answers if isinstance(answer, Rejected)]
        records = passed(peak.answers)
        if not records:
            return found + Findings(notes=[f"long clip: {num_frames} frames end at {stage.name}: {', '.join(ends)}"])
    (record,) = records
    track = record.tracks[0]
    held = sum(mask is not None for mask in track.masks)
    return found + Findings(notes=[f"long clip: {num_frames} frames pass every stage, {held} of them with a mask"])


def _peaks(stage: str, num_frames: int, resident: float, on_gpu: float) -> Iterator[Line]:
    what = f"{stage}, peak memory, {num_frames:,} frames"
    yield timed(SECTION, what, "process", "MB", [resident])
    if on_gpu:
        yield timed(SECTION, what, "GPU", "MB", [on_gpu])


def write_long(folder: Path, num_frames: int) -> Path:
    """One scene that lasts so many frames, its subject in sight throughout."""
    folder.mkdir(parents=True)
    scene = World(size=(96, 160), num_frames=num_frames, frame_rate=FRAME_RATE, seed=SEED).scene(0, "plain")
    frames = (scene.frame(t).image for t in range(num_frames))
    (folder / "long.mp4").write_bytes(encode(frames, range(num_frames), Fraction(1, FRAME_RATE)))
    return folder
