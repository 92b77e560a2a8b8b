"""The plan: which video belongs to which shard, decided once, so that neither order nor crash can move a clip."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

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


def extend(storage: Storage, entries: Iterable[Entry], videos_per_shard: int, limit: int | None = None) -> list[str]:
    """Plan the entries that are new, in the order of their ids' hashes, which mixes classes and sources in each shard.

    `limit` takes the first so many of all entries in that order. A planned video keeps its shard and its record for
    ever; an entry that was at fault is planned anew once it is a video. Returns the ids of planned videos of which the
    source now says something else.
    """
    known = _records(storage)
    ordered = sorted(entries, key=lambda entry: record_key(entry.id))[:limit]
    texts = {entry.id: _PLANNED.dump_json(entry).decode() for entry in ordered}
    mended = {entry.id for entry in ordered if isinstance(entry, Video) and entry.id in known} & _faulty(known)
    new = [name for name in texts if name not in known or name in mended]
    if new:
        first = _shard_count(storage)
        ledger.append_plan(storage, ((first + i // videos_per_shard, name, texts[name]) for i, name in enumerate(new)))
    return [name for name, text in texts.items() if known.get(name, text) != text and name not in mended]


def retry(storage: Storage, outcomes: Collection[str], videos_per_shard: int) -> int:
    """Plan every clip once more that closed shards gave up with one of `outcomes`; returns how many there are."""
    closed, given_up = ledger.closed(storage), dict[tuple[int, str], list[str]]()
    for ending in ledger.endings(storage).values():
        if ending.outcome in outcomes and ending.shard in closed:
            clips = given_up.setdefault((ending.shard, ending.video), [])
            clips += [ending.clip] if ending.stage != "cutter" else []
    records, first = _records(storage), _shard_count(storage)
    entries = []
    for place, ((shard, video), clips) in enumerate(sorted(given_up.items())):
        planned = _PLANNED.validate_json(records[video])
        again = Again(again=shard, video=planned, clips=tuple(sorted(clips)))  # type: ignore[arg-type]
        entries.append((first + place // videos_per_shard, video, _PLANNED.dump_json(again).decode()))
    if entries:
        ledger.append_plan(storage, entries)
    return sum(max(1, len(clips)) for clips in given_up.values())


def shards(storage: Storage, wanted: Callable[[int], bool]) -> Iterator[tuple[int, list[Planned]]]:
    """Each planned shard that is wanted, with its entries, in order."""
    for path in ledger.plan_files(storage):
        table = ledger.read_plan_file(storage, path, ["shard", "record"])
        rows = (row for batch in table.to_batches(max_chunksize=1024) for row in batch.to_pylist())
        for shard, group in groupby(rows, key=lambda row: row["shard"]):
            if wanted(shard):
                yield shard, [_PLANNED.validate_json(row["record"]) for row in group]


def follow(storage: Storage, parent: Storage) -> int:
    """Take over the parent's plan up to its first unfinished shard; returns how many entries are left there."""
    closed, planned = ledger.closed(parent), ledger.read_plan(parent)
    numbers = set(planned["shard"].to_pylist())
    first, end = _shard_count(storage), min(numbers - closed, default=len(numbers))
    rows = planned.filter((pc.field("shard") >= first) & (pc.field("shard") < end))
    if rows.num_rows:
        ledger.append_plan(storage, zip(*(rows[name].to_pylist() for name in ledger.PLAN_SCHEMA.names), strict=True))
    return int(planned.filter(pc.field("shard") >= end).num_rows)


def count(storage: Storage, without: set[int]) -> int:
    """Entries of the planned shards but those in `without`."""
    numbers = ledger.read_plan(storage, ["shard"])["shard"]
    return pc.sum(pc.invert(pc.is_in(numbers, pa.array(sorted(without), pa.int32())))).as_py() or 0


def _shard_count(storage: Storage) -> int:
    numbers = ledger.read_plan(storage, ["shard"])["shard"].to_pylist()
    return max(numbers) + 1 if numbers else 0


def _records(storage: Storage) -> dict[str, str]:
    """The plan's last word on each id."""
    rows = zip(*ledger.read_plan(storage, ["video", "record"]).to_pydict().values(), strict=True)
    return {video: record for video, record in rows if not record.startswith(_AGAIN)}


def _faulty(known: dict[str, str]) -> set[str]:
    return {name for name, text in known.items() if isinstance(_PLANNED.validate_json(text), SourceFault)}
