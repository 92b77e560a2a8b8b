"""Cutter: one video becomes clips of one shot each, of bounded length."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import ClassVar, TypeAlias

import fsspec
import numpy as np

from pipeline.models.transnet import TransNet
from pipeline.records import Clip, Rejected, Video, record_key
from pipeline.stage import Stage
from shards import video as videos
from shards.storage import Storage

Span: TypeAlias = tuple[int, int]  # frames [first, last)


class Cutter(Stage[Video, list[Clip]]):
    """Cuts at shot boundaries, then to lengths within bounds; a shot that is too short is left out and counted.

    `shots: null` cuts by duration alone. Long shots are cut into equal parts, so that no part is a mere rest.
    """

    name: ClassVar[str] = "cutter"
    gives: ClassVar[type | None] = Clip

    shots: TransNet | None = TransNet()
    min_seconds: float = 1.0
    max_seconds: float = 10.0
    min_frames: int = 8
    max_frames: int | None = None

    def fingerprint(self) -> str:
        return self.shots.fingerprint() if self.shots else ""

    def open(self) -> Callable[[Sequence[Video]], list[list[Clip] | Rejected]]:
        find_shots = self.shots.open() if self.shots else None
        return lambda batch: [self._cut(video, find_shots) for video in batch]

    def _cut(self, video: Video, find_shots: Callable[[str], list[Span]] | None) -> list[Clip] | Rejected:
        try:
            times = _frame_times(video)
            whole = [(0, len(times) - 1)]
            # A folder of images is a sequence that somebody chose frame by frame: one shot.
            shots = find_shots(video.uri) if find_shots and not is_folder(video) else whole
        except videos.Unreadable as error:
            return Rejected(stage=self.name, why=error.why, value=error.value)
        parts = [part for shot in shots for part in self._bounded(shot, times)]
        long_enough = [part for part in parts if self._is_long_enough(part, times)]
        if not long_enough:
            longest = max(times[last] - times[first] for first, last in shots)
            return Rejected(stage=self.name, why="too short", value=round(longest, 3), scores={"shots": len(shots)})
        digest = source_sha256(video)
        return [clip_of(video, part, times, digest) for part in long_enough]

    def _bounded(self, shot: Span, times: Sequence[float]) -> Iterator[Span]:
        """Equal parts of a shot, each at most `max_seconds` and `max_frames` long."""
        first, last = shot
        pieces = int(np.ceil((times[last] - times[first]) / self.max_seconds - 1e-6))
        if self.max_frames:
            pieces = max(pieces, -(-(last - first) // self.max_frames))
        edges = np.linspace(first, last, max(pieces, 1) + 1).round().astype(int)
        yield from pairwise(edges.tolist())

    def _is_long_enough(self, part: Span, times: Sequence[float]) -> bool:
        first, last = part
        return last - first >= self.min_frames and times[last] - times[first] >= self.min_seconds - 1e-6


def clip_of(video: Video, span: Span, times: Sequence[float], source_digest: str) -> Clip:
    """The clip of frames [first, last); `times` has one more entry than the video has frames: when it ends."""
    first, last = span
    start, end = round(times[first], 6), round(times[last], 6)
    return Clip(
        key=record_key(video.id, f"{start:.6f}", f"{end:.6f}"),
        video=video,
        start=start,
        end=end,
        first_frame=first,
        num_frames=last - first,
        source_sha256=source_digest,
    )


def is_folder(video: Video) -> bool:
    """Whether the video is a folder of images."""
    return video.frame_rate is not None


def image_paths(video: Video) -> list[str]:
    """The images of a folder in name order, as paths or URLs that fsspec opens."""
    folder = Storage.at(video.uri)
    return [f"{folder.url}/{name}" for name in folder.list("") if name.lower().endswith((".jpg", ".jpeg", ".png"))]


def source_sha256(video: Video) -> str:
    """SHA-256 of the video file; of its images' digests, one a line, for a folder."""
    if not is_folder(video):
        return _file_sha256(video.uri)
    digests = "\n".join(_file_sha256(path) for path in image_paths(video))
    return hashlib.sha256(digests.encode()).hexdigest()


def _file_sha256(uri: str) -> str:
    with fsspec.open(uri, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _frame_times(video: Video) -> list[float]:
    """When each frame is shown and, last, when the video ends, seconds, [T + 1]."""
    if is_folder(video):
        assert video.frame_rate is not None
        return [t / video.frame_rate for t in range(len(image_paths(video)) + 1)]
    info = videos.probe(video.uri)
    return [*info.pts, info.end]
