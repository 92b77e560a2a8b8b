"""The columns of the grid: what the sidecars say of every sample, and the ledger of every clip that is none."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation_ui.table import REVIEW
from curation_ui.wire import ColumnInfo, Kind
from shards import bare, ledger, select, sidecar
from shards.storage import Storage

_HIDDEN = {"json_size", "masks_size", "strip_size", "sha256", "mp4_sha256", "nouns"}
_LABELS: Mapping[str, str] = {
    "fps": "frames a second",
    "num_frames": "frames",
    "num_tracks": "tracks",
    "mp4_size": "bytes of video",
    "caption_by": "captioned by",
    "subject.area": "subject's share of the picture",
    "subject.frames": "share of frames with the subject",
    "why": "rule",
    "measured": "measured value",
}
_FIRST = ("subject", "state", "duration", "subject.area", "motion.iou", "motion.shift", "stage", "why", "measured")
"""Facets that are shown from the start, in this order, where a dataset has them."""

_CLIP = {*sidecar.SCHEMA.names, "num_tracks", "shard", "subject.area", "subject.frames"}
_ENDING = ("stage", "outcome", "why", "measured")


def of_samples(index: pa.Table) -> pa.Table:
    """A row for each sample of an index (`index.INDEX` and `shard`)."""
    known = select.columns(index)
    rows = known.drop_columns([name for name in known.column_names if name in _HIDDEN])
    tracks = pc.list_flatten(index["tracks"])
    starts = np.cumsum(bare.numbers(known["num_tracks"])) - bare.numbers(known["num_tracks"])  # of the first tracks
    area, frames = (bare.numbers(pc.struct_field(tracks, name))[starts] for name in ("area", "frames"))
    rows = rows.append_column("subject.area", bare.array(area))
    return rows.append_column("subject.frames", bare.array(frames / bare.numbers(index["num_frames"])))


def of_stopped(storage: Storage) -> pa.Table:
    """A row for each clip that is no sample: where it stopped, by which rule, and every score up to there."""
    ended = ledger.ended(storage)
    stopped = ended.filter(pc.not_equal(ended["outcome"], "kept"))
    scores = select.columns(_scores_of(storage, stopped)).drop_columns(["clip", "stage", "at"])
    plain = {"key": "clip", "video": "video", "stage": "stage", "outcome": "outcome", "why": "why", "shard": "shard"}
    rows = pa.table({name: stopped[column] for name, column in plain.items()})
    measured = [_number(value) for value in stopped["value"].to_pylist()]
    rows = rows.append_column("measured", pa.array(measured, pa.float64()))
    for name in scores.column_names:
        rows = rows.append_column(name if name not in rows.column_names else f"scores.{name}", scores[name])
    blank = pa.array([""] * rows.num_rows, pa.string())
    return rows.append_column("subject", blank).append_column("caption", blank)


def infos(table: pa.Table, kind: Kind, rules: Mapping[str, list[str]]) -> list[ColumnInfo]:
    """What the page is told of the columns; `rules` are the settings that ask each."""
    order = [name for name in _FIRST if name in table.column_names or name in REVIEW]
    names = [*order, *(name for name in [*table.column_names, *REVIEW] if name not in order)]
    shown = [name for name in names if name not in ("key", "row") and not (kind == "stopped" and name in _EMPTY)]
    return [_info(name, table, kind, rules) for name in shown]


_EMPTY = {"subject", "caption", *REVIEW}  # of a clip that is no sample


def _info(name: str, table: pa.Table, kind: Kind, rules: Mapping[str, list[str]]) -> ColumnInfo:
    type_ = table.schema.field(name).type if name in table.column_names else pa.string()
    number = pa.types.is_integer(type_) or pa.types.is_floating(type_)
    return ColumnInfo.model_validate(
        {
            "name": name,
            "kind": "number" if number else "word",
            "label": _LABELS.get(name, name.replace("_", " ")),
            "group": _group(name, kind),
            "facet": name in _FIRST,
            "rules": rules.get(name, []),
        }
    )


def _group(name: str, kind: Kind) -> str:
    if name in REVIEW:
        return "review"
    if kind == "stopped" and name in _ENDING:
        return "ending"
    return "clip" if name in _CLIP else "score"


def _scores_of(storage: Storage, stopped: pa.Table) -> pa.Table:
    """Columns clip, stage, at and scores of the very rows that stopped clips, in their order."""
    wanted = pa.table({name: stopped[name] for name in ("clip", "stage", "at")})
    wanted = wanted.append_column("place", pa.array(np.arange(wanted.num_rows), pa.int64()))
    parts = [ledger.SCHEMA.empty_table().select(["clip", "stage", "at", "scores"])]
    for part in ledger.tables(storage, ["clip", "stage", "outcome", "at", "scores"]):
        ends = part.filter(pc.invert(pc.is_in(part["outcome"], pa.array(["done", "kept"]))))
        parts.append(ends.drop_columns(["outcome"]))
    every = pa.concat_tables(parts)
    numbered = every.select(["clip", "stage", "at"]).append_column("n", pa.array(np.arange(len(every)), pa.int64()))
    joined = wanted.join(numbered, ["clip", "stage", "at"], join_type="left outer").sort_by("place")
    last = joined.group_by("place").aggregate([("n", "max")]).sort_by("place")
    taken = every["scores"].combine_chunks().take(last["n_max"].combine_chunks())
    return wanted.drop_columns(["place"]).append_column("scores", taken)


def _number(value: str | None) -> float | None:
    """A measured value that is a number; the ledger keeps JSON."""
    try:
        return None if value is None else float(value)
    except ValueError:
        return None
