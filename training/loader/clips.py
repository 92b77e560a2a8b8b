"""The clips of a dataset that a loader may draw: as people decided them, filtered, long enough, with their weights."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shards import select, sidecar
from shards.dataset import Dataset
from shards.entry import canonical_json
from shards.repack import decisions_digest
from shards.verdicts import Redrawn
from training.loader.settings import Loader, Sampling, Window

COLUMNS = tuple(name for name in sidecar.SCHEMA.names if name != "pts")
"""What a loader needs of the index: all but the frame times, which are half of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """One clip as people decided it."""

    key: str
    row: int  # in the dataset
    shard: str  # stem
    sha256: str  # of video and masks
    caption: str
    subject: str
    track: int  # id of the subject's
    stride: int  # frames from one shown frame to the next
    redrawn: Redrawn | None = None  # the track as people had it made anew, in place of the shard's


class Clips:
    """All clips that may be drawn, in the order of the dataset."""

    def __init__(
        self,
        dataset: Dataset,
        table: pa.Table,
        window: Window,
        weights: NDArray[np.float64] | None,
        decisions: select.Decisions,
    ) -> None:
        self.shard_of: NDArray[np.int64] = np.asarray(
            pc.index_in(table["shard"], pa.array([shard.stem for shard in dataset.shards])), np.int64
        )
        self.weights = weights
        self._stride = _strides(table, window)
        self._track = np.array([tracks[0]["id"] for tracks in table["tracks"].to_pylist()], np.int64)
        self.rows: list[int] = table["row"].to_pylist()  # in the dataset
        self._table = table.select(["row", "key", "shard", "sha256", "caption", "subject"]).combine_chunks()
        self._redrawn = {(key, one.id): one for key, decision in decisions.items() for one in decision.redrawn}

    def __len__(self) -> int:
        return len(self._track)

    def __getitem__(self, number: int) -> Clip:
        said: dict[str, Any] = {name: self._table[name][number].as_py() for name in self._table.column_names}
        track = int(self._track[number])
        redrawn = self._redrawn.get((said["key"], track))
        return Clip(**said, track=track, stride=int(self._stride[number]), redrawn=redrawn)


def eligible(dataset: Dataset, loader: Loader, decisions: select.Decisions) -> Clips:
    """The clips of `dataset` that `loader` may draw. Raises ValueError where there is none, saying why."""
    sampling, window = loader.sampling, loader.window
    index = dataset.index.append_column("row", pa.array(np.arange(len(dataset)), pa.int64()))
    kept = select.overlay(index, decisions)
    if sampling.where is not None:
        chosen = select.select(dataset.index, sampling.where, decisions=decisions)
        wanted = kept.filter(pc.is_in(kept["row"], pa.array(chosen, pa.int64())))
    else:
        wanted = kept
    spans = (window.num_frames - 1) * _strides(wanted, window) + 1
    long_enough = wanted.filter(pa.array(wanted["num_frames"].to_numpy() >= spans))
    weights = _weights(long_enough, sampling)
    drawn = long_enough if weights is None else long_enough.filter(pa.array(weights > 0))
    if not drawn.num_rows:
        counts = (len(dataset), kept.num_rows, wanted.num_rows, long_enough.num_rows)
        raise ValueError(_why_none(dataset, loader, counts))
    return Clips(dataset, drawn, window, None if weights is None else weights[weights > 0], decisions)


def fingerprint(dataset: Dataset, decisions: select.Decisions) -> str:
    """Names what a stream is made of: every shard's content, and what people decided."""
    shards = [[shard.stem, shard.num_samples, shard.sha256] for shard in dataset.shards]
    return hashlib.sha256(canonical_json([shards, decisions_digest(decisions)])).hexdigest()[:32]


def _strides(table: pa.Table, window: Window) -> NDArray[np.int64]:
    rate: NDArray[np.float64] = table["fps"].to_numpy()
    return np.maximum(1, np.rint(rate / window.fps)).astype(np.int64)


def _weights(table: pa.Table, sampling: Sampling) -> NDArray[np.float64] | None:
    if sampling.kind == "balanced":
        _, number, counts = np.unique(table["subject"].to_pylist(), return_inverse=True, return_counts=True)
        return np.asarray(counts[number] ** (sampling.temper - 1), np.float64)
    if sampling.kind == "weighted":
        return _column(table, sampling.column)
    return None


def _column(table: pa.Table, name: str | None) -> NDArray[np.float64]:
    known = select.columns(table)
    numeric = [f.name for f in known.schema if pa.types.is_integer(f.type) or pa.types.is_floating(f.type)]
    if name not in numeric:
        raise ValueError(f"sampling.column={name!r} is no column of numbers; there are {', '.join(numeric)}")
    values: NDArray[np.float64] = np.asarray(known[name], np.float64)
    bad = np.flatnonzero((values < 0) | np.isinf(values))
    if bad.size:
        key = table["key"][int(bad[0])].as_py()
        raise ValueError(f"sampling.column={name!r}: {values[bad[0]]} of sample {key} is no weight; take 0 or more")
    return np.nan_to_num(values)  # a clip without the score is not drawn


def _why_none(dataset: Dataset, loader: Loader, counts: tuple[int, int, int, int]) -> str:
    every, kept, wanted, long_enough = counts
    window = loader.window
    if not every:
        why = "it has no samples yet; build it first"
    elif not kept:
        why = f"people rejected all {every} samples; set loader.sampling.ignore_verdicts=true to take them"
    elif not wanted:
        why = f"none of {kept} samples meets {loader.sampling.where!r}; change loader.sampling.where"
    elif not long_enough:
        seconds = (window.num_frames - 1) / window.fps
        why = (
            f"none of {wanted} samples is long enough for {window.num_frames} frames at {window.fps:g} a second "
            f"({seconds:g} s); lower loader.window.num_frames or raise loader.window.fps"
        )
    else:
        why = f"{loader.sampling.column!r} is 0 or missing for all {long_enough} samples; weigh by another column"
    return f"{dataset.storage.url} has no clip to train on: {why}"
