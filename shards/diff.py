"""What is different between two datasets: which clips, and of the clips in both which captions, videos and masks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from shards import rle
from shards.dataset import Dataset
from shards.sample import Sample, Track


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A clip that is in both and not the same in both; what did not change is `None` or empty."""

    key: str
    caption: tuple[str, str] | None
    subject: tuple[str, str] | None
    video: bool  # its bytes
    ious: Mapping[int, float]  # track id -> IoU of the masks, mean over frames, where below 1
    only_in_a: tuple[int, ...]  # track ids
    only_in_b: tuple[int, ...]
    other: tuple[str, ...]  # further columns of the index that differ: scores, times, ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Diff:
    """Two datasets side by side, as their shards have them: verdicts are not laid over either."""

    a: str  # URL
    b: str
    only_in_a: tuple[str, ...]  # keys
    only_in_b: tuple[str, ...]
    same: int  # clips that are the same in both
    changed: tuple[Change, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


_TOLD_APART = {"caption", "subject", "sha256", "mp4_sha256", "tracks"}
_PLACE = {"key", "shard"}
_BATCH = 4096  # rows


def diff(a: Dataset, b: Dataset, on_sample: Callable[[int], None] | None = None) -> Diff:
    """Compare by clip key what the sidecars say. Masks are read only of clips whose content digest differs.

    `on_sample` is called after every clip that is in both, with the number of these.
    """
    rows_a = {a.key_of(row): row for row in range(len(a))}
    rows_b = {b.key_of(row): row for row in range(len(b))}
    shared = [key for key in rows_a if key in rows_b]
    same = 0
    changed = []
    sides = (_records(a, [rows_a[key] for key in shared]), _records(b, [rows_b[key] for key in shared]))
    for key, in_a, in_b in zip(shared, *sides, strict=True):
        if in_a == in_b:
            same += 1
        else:
            changed.append(_change(a, b, key, in_a, in_b))
        if on_sample:
            on_sample(len(shared))
    return Diff(
        a=a.storage.url,
        b=b.storage.url,
        only_in_a=tuple(sorted(set(rows_a) - set(rows_b))),
        only_in_b=tuple(sorted(set(rows_b) - set(rows_a))),
        same=same,
        changed=tuple(sorted(changed, key=lambda change: change.key)),
    )


def mask_iou(a: Track, b: Track, size: rle.Size) -> float:
    """Mean over frames of the IoU of two tracks' masks, 0-1; a frame that only one of them has counts 0,
    one that neither has 1. Both tracks have the same number of frames and masks of `size`.
    """
    ious = [_frame_iou(one, other, size) for one, other in zip(a.masks, b.masks, strict=True)]
    return sum(ious) / len(ious)


def _frame_iou(a: rle.Rle | None, b: rle.Rle | None, size: rle.Size) -> float:
    if a == b:
        return 1.0
    return 0.0 if a is None or b is None else rle.iou(a, b, size)


def _records(dataset: Dataset, rows: Sequence[int]) -> Iterator[dict[str, Any]]:
    """What the index says of the content of each of `rows`, in batches."""
    names = dataset.index.column_names
    kept = [n for n in names if n not in _PLACE and not n.endswith(("_offset", "_size"))]
    table = dataset.index.select(kept).take(pa.array(rows, pa.int64()))
    for start in range(0, table.num_rows, _BATCH):
        yield from table.slice(start, _BATCH).to_pylist()


def _change(a: Dataset, b: Dataset, key: str, in_a: dict[str, Any], in_b: dict[str, Any]) -> Change:
    ids_a = {track["id"] for track in in_a["tracks"]}
    ids_b = {track["id"] for track in in_b["tracks"]}
    differing = {name for name in in_a if in_a[name] != in_b[name]}
    other = differing - _TOLD_APART
    ious: dict[int, float] = {}
    if "sha256" in differing:
        ious, problem = _ious(a[key], b[key])
        other |= problem
        if not (ious or problem or "mp4_sha256" in differing or ids_a != ids_b):
            other |= {"masks compressed otherwise"}
    elif "tracks" in differing:
        other |= {"tracks"}
    return Change(
        key=key,
        caption=(in_a["caption"], in_b["caption"]) if "caption" in differing else None,
        subject=(in_a["subject"], in_b["subject"]) if "subject" in differing else None,
        video="mp4_sha256" in differing,
        ious=ious,
        only_in_a=tuple(sorted(ids_a - ids_b)),
        only_in_b=tuple(sorted(ids_b - ids_a)),
        other=tuple(sorted(other)),
    )


def _ious(a: Sample, b: Sample) -> tuple[dict[int, float], set[str]]:
    """IoU below 1 of every track that both have; masks of different shapes cannot be compared."""
    if (a.size, a.num_frames) != (b.size, b.num_frames):
        return {}, {"masks"}
    tracks_b = {track.id: track for track in b.tracks}
    ious = {track.id: mask_iou(track, tracks_b[track.id], a.size) for track in a.tracks if track.id in tracks_b}
    return {id_: iou for id_, iou in ious.items() if iou < 1}, set()


def lines(found: Diff) -> list[str]:
    """The differences in words, a clip a line, and a summary at the end."""
    text = [f"only in A  {key}" for key in found.only_in_a]
    text += [f"only in B  {key}" for key in found.only_in_b]
    text += [f"changed    {change.key}  {'; '.join(_words(change))}" for change in found.changed]
    alone = f"{len(found.only_in_a):,} only in A, {len(found.only_in_b):,} only in B"
    return [*text, f"{found.same:,} the same, {len(found.changed):,} changed, {alone}"]


def _words(change: Change) -> list[str]:
    words = [f"{name} {pair[0]!r} -> {pair[1]!r}" for name, pair in _texts(change) if pair is not None]
    words += ["video bytes"] if change.video else []
    words += [f"track {id_} mask IoU {iou:.4f}" for id_, iou in change.ious.items()]
    words += [f"track {id_} only in A" for id_ in change.only_in_a]
    words += [f"track {id_} only in B" for id_ in change.only_in_b]
    return words + list(change.other)


def _texts(change: Change) -> list[tuple[str, tuple[str, str] | None]]:
    return [("caption", change.caption), ("subject", change.subject)]
