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


def append(storage: Storage, shard: int, rows: Sequence[Row], segment: str) -> str:
    """Write `rows` as segment `segment` (a name no other segment of the shard has); its path. Durable on return."""
    path = f"{FOLDER}/{shard:06d}-{segment}.parquet"
    storage.write(path, _to_parquet(rows))
    return path


def close(storage: Storage, shard: int, rows: Sequence[Row], segments: Iterable[str] | None = None) -> str:
    """Write every row of a finished shard as one file, then drop its segments; the file's path.

    `segments`: their paths, from whoever knows them; without, they are looked for.
    """
    path = f"{FOLDER}/{shard:06d}.parquet"
    storage.write(path, _to_parquet(rows))
    if segments is None:
        sweep(storage)
    for segment in segments or ():
        storage.remove(segment)
    return path


def sweep(storage: Storage) -> None:
    """Drop the segments of closed shards: a crash in `close` may have left some."""
    for file in set(_files(storage)) - set(_current(storage)):
        storage.remove(file[2])


def read(storage: Storage, shard: int) -> list[Row]:
    """All rows of a planned shard, oldest first."""
    return read_files(storage, files(storage).get(shard, ()))


def files(storage: Storage) -> dict[int, list[str]]:
    """Paths of the files that hold each planned shard's rows."""
    found: dict[int, list[str]] = {}
    for shard, _, path in _current(storage):
        found.setdefault(shard, []).append(path)
    return found


def read_files(storage: Storage, paths: Iterable[str]) -> list[Row]:
    """All rows of some files, oldest first."""
    return sorted((row for path in paths for row in _from_parquet(storage.read(path))), key=lambda row: row.at)


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
    """`ended`, by clip key."""
    return {values["clip"]: Ending(**values) for values in ended(storage).to_pylist()}


def ended(storage: Storage) -> pa.Table:
    """The last word on every clip whose way has ended, in the columns of `Ending`.

    A video that gave no clips counts as one clip, and a faulty entry of a source until it has become a video. A failure
    counts no more once a later run came further.
    """
    empty = pa.schema([SCHEMA.field(name) for name in Ending._fields]).empty_table()
    ends, came, cut = [empty], [empty["video"]], [empty["video"]]  # videos that came to the cutter, and were cut
    for table in tables(storage, [*Ending._fields]):
        ends.append(table.filter(pc.field("outcome") != "done"))
        at_cutter = table.filter(pc.field("stage") == "cutter")
        came.append(at_cutter["video"])
        cut.append(at_cutter.filter(pc.field("outcome") == "done")["video"])
    whole = pa.concat_tables(ends)
    whole = whole.append_column("row", pa.array(range(len(whole)), pa.int64())).sort_by(
        [("at", "ascending"), ("row", "ascending")]
    )
    whole = whole.set_column(len(Ending._fields), "row", pa.array(range(len(whole)), pa.int64()))
    last = whole.group_by("clip").aggregate([("row", "max")])["row_max"].sort()
    whole = whole.take(last).drop_columns("row")
    for stage, videos in (("source", came), ("cutter", cut)):
        went_on = pc.is_in(whole["video"], pa.chunked_array([chunk for array in videos for chunk in array.chunks]))
        whole = whole.filter(pc.invert(pc.and_(pc.equal(whole["stage"], stage), went_on)))
    return whole


def append_plan(storage: Storage, entries: pa.Table) -> None:
    """Add rows of `PLAN_SCHEMA` (shard, video id, video record as JSON), sorted by shard; none is ever moved again."""
    number = len(plan_files(storage))
    storage.write(f"{FOLDER}/plan-{number:06d}.parquet", _table_bytes(entries.cast(PLAN_SCHEMA)))


def plan_files(storage: Storage) -> list[str]:
    return [p for p in storage.list(FOLDER, ".parquet") if p.startswith(f"{FOLDER}/plan-")]


def plan_batches(storage: Storage, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The plan piece by piece, sorted by shard: columns shard, video, record."""
    for path in plan_files(storage):
        file = pq.ParquetFile(io.BytesIO(storage.read(path)))
        yield from file.iter_batches(_BATCH, columns=list(columns) if columns else None)


def read_plan(storage: Storage, columns: Sequence[str] | None = None) -> pa.Table:
    """The whole plan, sorted by shard."""
    schema = PLAN_SCHEMA if columns is None else pa.schema([PLAN_SCHEMA.field(c) for c in columns])
    return pa.Table.from_batches(plan_batches(storage, columns), schema)


def _files(storage: Storage) -> list[tuple[int, str, str]]:
    """(shard, segment, path) of every file of rows; the segment of a closed shard's one file is ""."""
    found = ((_NAME.fullmatch(path), path) for path in storage.list(FOLDER, ".parquet"))
    return [(int(name[1]), name[2] or "", path) for name, path in found if name]


def _current(storage: Storage) -> list[tuple[int, str, str]]:
    """The files that count: a closed shard's segments say nothing more."""
    files = _files(storage)
    closed_shards = {shard for shard, segment, _ in files if not segment}
    return [file for file in files if not file[1] or file[0] not in closed_shards]


_ROW_GROUP = 16_384  # rows that a reader unpacks at a time
_BATCH = 1024  # entries of the plan that are looked at together
_NAME = re.compile(rf"{FOLDER}/(\d+)(?:-(\w+))?\.parquet")


def _to_parquet(rows: Sequence[Row]) -> bytes:
    names = [f.name for f in fields(Row)]
    columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in names}
    columns["scores"] = [sorted(row.scores.items()) for row in rows]
    return _table_bytes(pa.table(columns, schema=SCHEMA))


def _table_bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=_ROW_GROUP)
    return sink.getvalue()


def _from_parquet(data: bytes) -> Iterator[Row]:
    for values in pq.read_table(io.BytesIO(data)).to_pylist():
        yield Row(**{**values, "scores": dict(values["scores"])})
