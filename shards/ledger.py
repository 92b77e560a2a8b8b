"""The ledger: what became of every clip at every stage, as append-only Parquet segments, one series per planned shard.

    ledger/plan-000000.parquet        which video belongs to which planned shard; a later build appends a file
    ledger/000012-a1b2c3d4.parquet    rows of planned shard 12 while it is built, any number of segments
    ledger/000012.parquet             the same rows in one file, once the shard is closed; the segments then go

A row is only written after the work behind it is done, so a row that exists can be believed. Rows are never edited:
where one (clip, stage) was done again under other settings, the stage key tells the rows apart and the last counts.
"""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shards.storage import Missing, Storage

FOLDER = "ledger"

Outcome: TypeAlias = Literal["done", "rejected", "failed", "quarantined", "kept"]
"""failed: the stage raised; quarantined: it took down workers, or hung; kept: the clip stands in a shard."""

GIVEN_UP: tuple[Outcome, ...] = ("failed", "quarantined")
"""Endings that are no answer: another try may come to one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One answer of one stage about one clip (or about one video, at the Cutter)."""

    shard: int  # number of the planned shard
    video: str  # the source's id
    clip: str  # clip key; the video's key at the Cutter
    stage: str
    stage_key: str  # names the clip, this stage's settings and weights, and those of all stages before it
    outcome: Outcome
    why: str | None = None  # the rule or the error's class, where the clip stops here
    value: str | None = None  # what was measured by the rule, as JSON
    scores: dict[str, float] = field(default_factory=dict)  # all that was measured up to here
    added: str | None = None  # what the stage added to the record, as JSON; null where the clip stops
    error: str | None = None  # traceback of a failure
    model: str = ""  # the stage's fingerprint
    seconds: float = 0.0  # time the stage took for this clip, seconds
    worker: str = ""
    at: float = 0.0  # when, seconds since 1970


SCHEMA = pa.schema(
    [
        ("shard", pa.int32()),
        ("video", pa.string()),
        ("clip", pa.string()),
        ("stage", pa.string()),
        ("stage_key", pa.string()),
        ("outcome", pa.string()),
        ("why", pa.string()),
        ("value", pa.string()),
        ("scores", pa.map_(pa.string(), pa.float64())),
        ("added", pa.string()),
        ("error", pa.string()),
        ("model", pa.string()),
        ("seconds", pa.float64()),
        ("worker", pa.string()),
        ("at", pa.float64()),
    ]
)
PLAN_SCHEMA = pa.schema([("shard", pa.int32()), ("video", pa.string()), ("record", pa.string())])


def append(storage: Storage, shard: int, rows: Sequence[Row], segment: str) -> None:
    """Write `rows` as segment `segment` (a name no other segment of the shard has); durable on return."""
    if rows:
        storage.write(f"{FOLDER}/{shard:06d}-{segment}.parquet", _to_parquet(rows))


def close(storage: Storage, shard: int, rows: Sequence[Row]) -> None:
    """Write every row of a finished shard as one file, then drop its segments."""
    storage.write(f"{FOLDER}/{shard:06d}.parquet", _to_parquet(rows))
    sweep(storage)


def sweep(storage: Storage) -> None:
    """Drop the segments of closed shards: a crash in `close` may have left some."""
    for file in set(_files(storage)) - set(_current(storage)):
        storage.remove(file[2])


def read(storage: Storage, shard: int) -> list[Row]:
    """All rows of a planned shard, oldest first."""
    rows = [
        row for number, _, path in _current(storage) if number == shard for row in _from_parquet(storage.read(path))
    ]
    return sorted(rows, key=lambda row: row.at)


def closed(storage: Storage) -> set[int]:
    """Numbers of the planned shards that are finished."""
    return {shard for shard, segment, _ in _files(storage) if not segment}


def tables(storage: Storage, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Every file of rows as an Arrow table, for those who look at a whole build (`stats`, the page)."""
    for _, _, path in _current(storage):
        try:
            data = storage.read(path)
        except Missing:
            continue  # a segment whose shard was closed since the listing; whoever looks again finds it there
        yield pq.read_table(io.BytesIO(data), columns=list(columns) if columns else None)


class Ending(NamedTuple):
    """Where a clip's way ended."""

    shard: int  # number of the planned shard
    video: str  # the source's id
    clip: str  # clip key; the video's key or id where it never came to clips
    stage: str
    outcome: Outcome  # any but done
    why: str | None
    value: str | None  # JSON
    at: float


def endings(storage: Storage) -> dict[str, Ending]:
    """The last word on every clip whose way has ended, by clip key.

    A video that gave no clips counts as one clip, and a faulty entry of a source until it has become a video. A failure
    counts no more once a later run came further.
    """
    last: dict[str, Ending] = {}
    went_on = {"source": set[str](), "cutter": set[str]()}  # videos that came further than this stage
    for table in tables(storage, [*Ending._fields]):
        cut = table.filter(pc.field("stage") == "cutter")
        went_on["source"].update(cut["video"].to_pylist())
        went_on["cutter"].update(cut.filter(pc.field("outcome") == "done")["video"].to_pylist())
        for values in table.filter(pc.field("outcome") != "done").to_pylist():
            ending = Ending(**values)
            if ending.clip not in last or last[ending.clip].at <= ending.at:
                last[ending.clip] = ending
    return {clip: ending for clip, ending in last.items() if ending.video not in went_on.get(ending.stage, ())}


def append_plan(storage: Storage, entries: Iterable[tuple[int, str, str]]) -> None:
    """Add (shard, video id, video record as JSON) to the plan, sorted by shard; entries are never moved again."""
    number = len(plan_files(storage))
    shard, video, record = zip(*entries, strict=True)
    table = pa.table([list(shard), list(video), list(record)], schema=PLAN_SCHEMA)
    storage.write(f"{FOLDER}/plan-{number:06d}.parquet", _table_bytes(table))


def plan_files(storage: Storage) -> list[str]:
    return [p for p in storage.list(FOLDER, ".parquet") if p.startswith(f"{FOLDER}/plan-")]


def read_plan_file(storage: Storage, path: str, columns: Sequence[str] | None = None) -> pa.Table:
    """One file of the plan: columns shard, video, record."""
    return pq.read_table(io.BytesIO(storage.read(path)), columns=list(columns) if columns else None)


def read_plan(storage: Storage, columns: Sequence[str] | None = None) -> pa.Table:
    """The whole plan, sorted by shard."""
    parts = [read_plan_file(storage, path, columns) for path in plan_files(storage)]
    schema = PLAN_SCHEMA if columns is None else pa.schema([PLAN_SCHEMA.field(c) for c in columns])
    return pa.concat_tables(parts) if parts else schema.empty_table()


def _files(storage: Storage) -> list[tuple[int, str, str]]:
    """(shard, segment, path) of every file of rows; the segment of a closed shard's one file is ""."""
    found = ((_NAME.fullmatch(path), path) for path in storage.list(FOLDER, ".parquet"))
    return [(int(name[1]), name[2] or "", path) for name, path in found if name]


def _current(storage: Storage) -> list[tuple[int, str, str]]:
    """The files that count: a closed shard's segments say nothing more."""
    files = _files(storage)
    closed_shards = {shard for shard, segment, _ in files if not segment}
    return [file for file in files if not file[1] or file[0] not in closed_shards]


_NAME = re.compile(rf"{FOLDER}/(\d+)(?:-(\w+))?\.parquet")


def _to_parquet(rows: Sequence[Row]) -> bytes:
    names = [f.name for f in fields(Row)]
    columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in names}
    columns["scores"] = [sorted(row.scores.items()) for row in rows]
    return _table_bytes(pa.table(columns, schema=SCHEMA))


def _table_bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _from_parquet(data: bytes) -> Iterator[Row]:
    for values in pq.read_table(io.BytesIO(data)).to_pylist():
        yield Row(**{**values, "scores": dict(values["scores"])})
