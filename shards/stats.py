"""What a dataset holds, in numbers: the row of the paper's Table 1, lengths, sizes, tracks, rejections."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shards import ledger, select
from shards.storage import Storage


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """Least, middle, mean and greatest of some values."""

    least: float
    median: float
    mean: float
    greatest: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """A dataset as people decided it: without the samples they rejected, with their subjects and captions."""

    name: str
    videos: int  # samples; the paper's word
    sources: int  # distinct videos that the samples were cut from
    left_out: int  # samples that people rejected
    classes: dict[str, int]  # samples by subject, most frequent first
    captioned: int  # samples with a caption
    caption_by: dict[str, int]  # samples by the caption's author
    frames: int
    subject_frames: int  # frames in which the subject has a mask and a box
    whole: int  # samples whose subject has a mask and a box in every frame
    tracks: int
    tracks_per_sample: dict[int, int]  # number of tracks -> samples
    sizes: dict[str, int]  # "WIDTHxHEIGHT" -> samples, most frequent first
    bytes: int  # of all members
    seconds: float
    duration: Spread | None  # seconds; None where there is no sample
    num_frames: Spread | None
    fps: Spread | None
    area: Spread | None  # mean share of the frame under the subject's mask
    rejections: dict[str, int]  # "stage: rule" -> clips, most frequent first

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(name: str, index: pa.Table, decisions: select.Decisions, rejections: dict[str, int] | None = None) -> Stats:
    """Numbers of the samples of `index` (`Dataset.index`) under `decisions`."""
    table = select.overlay(index, decisions)
    tracks = table["tracks"].to_pylist()
    subject_frames = [row[0]["frames"] for row in tracks]
    num_frames = table["num_frames"].to_pylist()
    sizes = zip(table["width"].to_pylist(), table["height"].to_pylist(), strict=True)
    captions = table["caption"].to_pylist()
    return Stats(
        name=name,
        videos=table.num_rows,
        sources=len(set(table["video"].to_pylist())),
        left_out=index.num_rows - table.num_rows,
        classes=_counted(table["subject"].to_pylist()),
        captioned=sum(bool(caption) for caption in captions),
        caption_by=_counted([author.split(", frames ")[0] for author in table["caption_by"].to_pylist()]),
        frames=sum(num_frames),
        subject_frames=sum(subject_frames),
        whole=sum(shown == all_ for shown, all_ in zip(subject_frames, num_frames, strict=True)),
        tracks=sum(map(len, tracks)),
        tracks_per_sample=dict(sorted(Counter(map(len, tracks)).items())),
        sizes=_counted([f"{width}x{height}" for width, height in sizes]),
        bytes=sum(pc.sum(table[f"{member}_size"]).as_py() or 0 for member in ("json", "masks", "mp4", "strip")),
        seconds=float(sum(table["duration"].to_pylist())),
        duration=_spread(table["duration"].to_pylist()),
        num_frames=_spread(num_frames),
        fps=_spread(table["fps"].to_pylist()),
        area=_spread([row[0]["area"] for row in tracks]),
        rejections=rejections or {},
    )


def rejected_clips(storage: Storage) -> dict[str, int]:
    """How many clips every rule stopped, by "stage: rule", most frequent first."""
    endings = ledger.endings(storage).values()
    return _counted([f"{end.stage}: {end.why}" for end in endings if end.outcome != "kept"])


def table_row(stats: Stats) -> list[tuple[str, str]]:
    """The dataset's row of the paper's Table 1: heading and value of every column."""
    return [
        ("Dataset", stats.name),
        ("Videos", f"{stats.videos:,}"),
        ("Classes", f"{len(stats.classes):,}"),
        ("Caption", _yes(stats.captioned, stats.videos)),
        ("Masks of all frames", _yes(stats.whole, stats.videos)),
        ("Boxes of all frames", _yes(stats.whole, stats.videos)),
    ]


def more(stats: Stats) -> list[tuple[str, str]]:
    """What else there is to say, as name and text."""
    per_sample = {f"{tracks} in": samples for tracks, samples in stats.tracks_per_sample.items()}
    subject = f"{stats.subject_frames / stats.frames:.1%}" if stats.frames else "-"
    lines = [
        ("source videos", f"{stats.sources:,}"),
        ("left out by people", f"{stats.left_out:,}"),
        ("captions by", _listed(stats.caption_by)),
        ("total length", f"{stats.seconds / 3600:,.2f} h, {stats.frames:,} frames"),
        ("frames with subject", subject),
        ("length (s)", _spread_text(stats.duration)),
        ("frames a sample", _spread_text(stats.num_frames)),
        ("frames a second", _spread_text(stats.fps)),
        ("subject's area", _spread_text(stats.area)),
        ("sizes", _listed(stats.sizes)),
        ("tracks", f"{stats.tracks:,}: {_listed(per_sample)}"),
        ("classes", _listed(stats.classes)),
        ("rejected clips", _listed(stats.rejections)),
    ]  # fmt: skip
    return [(name, text) for name, text in lines if text]


def _yes(count: int, of: int) -> str:
    return f"yes ({count / of:.1%})" if count else "no"


def _counted(values: Sequence[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0])))


def _listed(counts: dict[str, int], most: int = 8) -> str:
    shown = [f"{name} {count:,}" for name, count in list(counts.items())[:most]]
    return ", ".join([*shown, f"and {len(counts) - most} more"] if len(counts) > most else shown)


def _spread(values: Sequence[float]) -> Spread | None:
    if not values:
        return None
    return Spread(
        least=float(min(values)),
        median=float(np.median(values)),
        mean=float(np.mean(values)),
        greatest=float(max(values)),
    )


def _spread_text(spread: Spread | None) -> str:
    if spread is None:
        return ""
    ends = f"{spread.least:.4g} to {spread.greatest:.4g}"
    return f"{ends}, median {spread.median:.4g}, mean {spread.mean:.4g}"
