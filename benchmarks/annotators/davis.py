"""Real video: J of trackers on DAVIS sequences from the true masks of their first frames."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from benchmarks.annotators.baselines import Frames, Mask, Masks, kept, warped
from benchmarks.annotators.following import Track, opened
from benchmarks.annotators.overlap import jaccard
from benchmarks.annotators.practice import answers
from benchmarks.annotators.report import Findings, Line, grouped
from benchmarks.annotators.session import Session, exact
from benchmarks.intervals import mean
from pipeline.models.catalog import CATALOG
from pipeline.models.deva_tracker import DevaTracker
from pipeline.models.store import place
from pipeline.recipe import Recipe
from pipeline.records import Encoded, IndexedMasks, Segment, Tracklet, Video
from pipeline.sources import annotations
from pipeline.sources.davis import Davis
from pipeline.stages.cutter import Cutter
from shards import rle, video

SECTION = "DAVIS"
DEVA = "DEVA-propagation.pth"

OBJECTS = range(1, 255)  # that a palette image can tell apart


class Sequence(NamedTuple):
    """A sequence as the pipeline encodes it, and its objects that are in the first frame."""

    record: Encoded
    objects: tuple[Tracklet, ...]

    @property
    def size(self) -> rle.Size:
        return self.record.height, self.record.width

    @property
    def name(self) -> str:
        return self.record.video.id.rpartition("/")[2]

    def truth(self) -> Masks:
        """[K, T, H, W]."""
        return np.stack([rle.decode_clip(known.masks, self.size) for known in self.objects])


Follow: TypeAlias = Callable[[Sequence], Masks]  # [K, T, H, W]


def measure(session: Session) -> Findings:
    if session.davis is None:
        return Findings(notes=["DAVIS: skipped, give its folder as --davis FOLDER"])
    sequences = list(read(session.davis, session.folder / "davis", session.recipe))
    lines: list[Line] = []
    for who, follow in _trackers(session.recipe).items():
        values = [(one.name, value) for one in sequences for value in scores(one, follow)]
        lines += grouped(SECTION, "J after the first frame", who, values, mean)
    missing = place(CATALOG[DEVA]) is None
    return Findings(lines, [f"DAVIS: published DEVA skipped, {DEVA} is not on this machine"] if missing else [])


def read(folder: Path, clips: Path, recipe: Recipe) -> Iterator[Sequence]:
    """Every sequence whose masks lie beside it, whole."""
    whole = Cutter(shots=None, min_seconds=0.0, max_seconds=1e6)
    encoder = recipe.encoder.model_copy(update={"dataset": str(clips)})
    for entry in Davis(place=str(folder)).videos():
        if isinstance(entry, Video) and isinstance(entry.annotation, IndexedMasks):
            [[clip]] = answers(whole, [entry])
            [record] = answers(encoder, [clip])
            span, size = (0, record.num_frames), (record.height, record.width)
            named = replace(entry.annotation, nouns={k: f"object {k}" for k in OBJECTS})
            tracks = annotations.tracks(named, span, size, record.scale)
            yield Sequence(record, tuple(track for track in tracks if track.masks[0] is not None))


def scores(sequence: Sequence, follow: Follow) -> list[float]:
    """Of every object the mean J over the frames that were not given."""
    each = jaccard(follow(sequence), sequence.truth())
    return [float(value) for value in each[:, 1:].mean(1)]


def _trackers(recipe: Recipe) -> dict[str, Follow]:
    found: dict[str, Follow] = {}
    track = opened(recipe)
    if track is not None:
        found["embedded"] = _by_track(track)
    published = place(CATALOG[DEVA])
    if published is not None:
        found["published DEVA"] = _by_track(DevaTracker(checkpoint=str(published)).open())
    return found | {"optical flow": _by_masks(warped), "first mask kept": _by_masks(kept)}


def _by_track(track: Track) -> Follow:
    """The tracker of a recipe, all objects of a sequence together."""

    def follow(sequence: Sequence) -> Masks:
        segments = [_segment(sequence, known) for known in sequence.objects]
        tracklets = track(sequence.record.path, sequence.record.num_frames, segments)
        return np.stack([rle.decode_clip(tracklet.masks, sequence.size) for tracklet in tracklets])

    return follow


def _segment(sequence: Sequence, known: Tracklet) -> Segment:
    first = known.masks[0]
    assert first is not None
    box = rle.box(first, sequence.size)
    assert box is not None
    return Segment(detection=exact(known.noun, box), mask=first)


def _by_masks(carry: Callable[[Frames, Mask], Masks]) -> Follow:
    """A baseline, each object alone."""

    def follow(sequence: Sequence) -> Masks:
        frames = list(video.frames(sequence.record.path))
        firsts = [_segment(sequence, known).mask for known in sequence.objects]
        return np.stack([carry(frames, rle.decode(first, sequence.size)) for first in firsts])

    return follow
