"""The plan: which video belongs to which shard, decided once, so that neither order nor crash can move a clip."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

from pipeline.records import Video, record_key
from pipeline.sources import Entry, SourceFault
from shards import ledger
from shards.storage import Storage


@dataclass(frozen=True, kw_only=True)
class Again:
    """Clips of a closed shard that are tried once more, in a shard of their own."""

    again: int  # the shard in which they were given up
    video: Video
    clips: tuple[str, ...]  # keys; none where the video never came to clips


Planned: TypeAlias = Entry | Again

_PLANNED: TypeAdapter[Planned] = TypeAdapter(Planned)
_AGAIN = '{"again":'  # how the record of one begins


def said(entries: Iterable[Entry]) -> pa.Table:
    """What a source says of its entries, in the columns order, video and record; large sources stay small this way."""
    batches = [pa.RecordBatch.from_pylist([], schema=_SAID)]
    rest = iter(entries)
    while some := list(islice(rest, 4096)):
        records = [_PLANNED.dump_json(entry).decode() for entry in some]
        rows = [[record_key(entry.id) for entry in some], [entry.id for entry in some], records]
        batches.append(pa.RecordBatch.from_arrays([pa.array(row, pa.string()) for row in rows], schema=_SAID))
    return pa.Table.from_batches(batches)


_SAID = pa.schema([("order", pa.string()), ("video", pa.string()), ("record", pa.string())])


def extend(storage: Storage, entries: pa.Table, videos_per_shard: int, limit: int | None = None) -> list[str]:
    """Plan the entries that are new, in the order of their ids' hashes, which mixes classes and sources in each shard.

    `limit` takes the first so many of all entries in that order. A planned video keeps its shard and its record for
    ever; an entry that was at fault is planned anew once it is a video. Returns the ids of planned videos of which the
    source now says something else.
    """
    entries = _first(entries, limit)
    known = _records(storage)
    places = pc.index_in(entries["video"], value_set=known["video"])
    words = known["record"].take(places)  # null where the entry is not planned
    new = pc.is_null(places).to_numpy().copy()
    changed = []
    for row in np.flatnonzero(pc.not_equal(entries["record"], words).fill_null(False).to_numpy()):
        now, before = (_PLANNED.validate_json(column[row].as_py()) for column in (entries["record"], words))
        if isinstance(before, SourceFault) and isinstance(now, Video):
            new[row] = True
        else:
            changed.append(entries["video"][row].as_py())
    if new.any():
        fresh = entries.filter(pa.array(new))
        numbers = _shard_count(storage) + np.arange(len(fresh), dtype=np.int32) // videos_per_shard
        ledger.append_plan(
            storage, pa.table([pa.array(numbers), *fresh.select(["video", "record"])], ledger.PLAN_SCHEMA.names)
        )
    return changed


def _first(entries: pa.Table, limit: int | None) -> pa.Table:
    return entries.sort_by("order").slice(0, limit)


def inherit(storage: Storage, parent: Storage, entries: pa.Table, limit: int | None = None) -> None:
    """A dataset that has no plan yet takes over the parent's, of the entries that the source still has.

    What was tried again in a shard of its own there is tried in its first shard here.
    """
    if ledger.plan_files(storage):
        return
    planned = ledger.read_plan(parent)
    here = pc.is_in(planned["video"], _first(entries, limit)["video"])
    rows = planned.filter(pc.and_(here, pc.invert(pc.starts_with(planned["record"], _AGAIN))))
    if not len(rows):
        raise ValueError(f"{parent.url} was built from none of these videos; leave it out, or check the source")
    ledger.append_plan(storage, rows)


def again(storage: Storage) -> dict[int, list[int]]:
    """For each shard the shards in which clips of it were tried again."""
    found: dict[int, list[int]] = {}
    planned = ledger.read_plan(storage, ["shard", "record"])
    for row in planned.filter(pc.starts_with(planned["record"], _AGAIN)).to_pylist():
        shards_of_it = found.setdefault(_PLANNED.validate_json(row["record"]).again, [])  # type: ignore[union-attr]
        shards_of_it += [row["shard"]] if row["shard"] not in shards_of_it else []
    return found


def retry(storage: Storage, outcomes: Collection[str], videos_per_shard: int) -> int:
    """Plan every clip once more that closed shards gave up with one of `outcomes`; returns how many there are."""
    closed, given_up = pa.array(sorted(ledger.closed(storage)), pa.int32()), dict[tuple[int, str], list[str]]()
    wanted = pc.field("outcome").isin(list(outcomes)) & pc.field("shard").isin(closed)
    for ending in ledger.ended(storage).filter(wanted).to_pylist() if outcomes else ():
        clips = given_up.setdefault((ending["shard"], ending["video"]), [])
        clips += [ending["clip"]] if ending["stage"] != "cutter" else []
    if not given_up:
        return 0
    chosen = pa.array([video for _, video in given_up], pa.string())
    records = {
        row["video"]: row["record"] for row in _records(storage).filter(pc.field("video").isin(chosen)).to_pylist()
    }
    first, rows = _shard_count(storage), []
    for place, ((shard, video), clips) in enumerate(sorted(given_up.items())):
        planned = _PLANNED.validate_json(records[video])
        again = Again(again=shard, video=planned, clips=tuple(sorted(clips)))  # type: ignore[arg-type]
        rows.append((first + place // videos_per_shard, video, _PLANNED.dump_json(again).decode()))
    ledger.append_plan(storage, pa.table(list(map(list, zip(*rows, strict=True))), ledger.PLAN_SCHEMA.names))
    return sum(max(1, len(clips)) for clips in given_up.values())


def shards(storage: Storage, wanted: Callable[[int], bool]) -> Iterator[tuple[int, list[Planned]]]:
    """Each planned shard that is wanted, with its entries, in order."""
    for shard, group in groupby(_rows(storage, wanted), key=lambda row: row["shard"]):
        yield shard, [_PLANNED.validate_json(row["record"]) for row in group]


def _rows(storage: Storage, wanted: Callable[[int], bool]) -> Iterator[dict[str, Any]]:
    for batch in ledger.plan_batches(storage, ["shard", "record"]):
        numbers = [number for number in batch["shard"].unique().to_pylist() if wanted(number)]
        if numbers:
            yield from batch.filter(pc.is_in(batch["shard"], pa.array(numbers, pa.int32()))).to_pylist()


def follow(storage: Storage, parent: Storage) -> int:
    """Take over the parent's plan up to its first unfinished shard; returns how many entries are left there."""
    closed, planned = ledger.closed(parent), ledger.read_plan(parent)
    numbers = set(planned["shard"].to_pylist())
    first, end = _shard_count(storage), min(numbers - closed, default=_shard_count(parent))
    rows = planned.filter((pc.field("shard") >= first) & (pc.field("shard") < end))
    if rows.num_rows:
        ledger.append_plan(storage, rows)
    return int(planned.filter(pc.field("shard") >= end).num_rows)


def count(storage: Storage, without: set[int]) -> int:
    """Entries of the planned shards but those in `without`."""
    numbers = ledger.read_plan(storage, ["shard"])["shard"]
    return pc.sum(pc.invert(pc.is_in(numbers, pa.array(sorted(without), pa.int32())))).as_py() or 0


def _shard_count(storage: Storage) -> int:
    last = pc.max(ledger.read_plan(storage, ["shard"])["shard"]).as_py()
    return 0 if last is None else int(last) + 1


def _records(storage: Storage) -> pa.Table:
    """The plan's last word on each id: columns video and record, the latest first."""
    batches = list(ledger.plan_batches(storage, ["video", "record"]))
    planned = pa.Table.from_batches(batches, pa.schema([ledger.PLAN_SCHEMA.field(n) for n in ("video", "record")]))
    planned = planned.filter(pc.invert(pc.starts_with(planned["record"], _AGAIN)))
    return planned.take(pa.array(np.arange(len(planned))[::-1]))
