"""The plan: which video belongs to which shard, decided once, so that neither order nor crash can move a clip."""

from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise
from typing import TypeAlias

from pydantic import TypeAdapter

from pipeline.records import Video, record_key
from pipeline.sources import SourceFault
from shards import ledger
from shards.storage import Storage

Item: TypeAlias = Video | SourceFault

_ITEM: TypeAdapter[Item] = TypeAdapter(Video | SourceFault)


def extend(storage: Storage, items: Iterable[Item], videos_per_shard: int, limit: int | None = None) -> list[str]:
    """Plan the items that are new, in the order of their ids' hashes, which mixes classes and sources in each shard.

    `limit` takes the first so many of all items in that order. Planned items keep their shard for ever. Returns the
    ids of planned items of which the source now says something else (the plan's word holds).
    """
    known = dict(zip(*ledger.read_plan(storage, ["video", "record"]).to_pydict().values(), strict=True))
    ordered = sorted(items, key=lambda item: record_key(item.id))[:limit]
    _refuse_doubles(ordered)
    texts = {item.id: _ITEM.dump_json(item).decode() for item in ordered}
    new = [item.id for item in ordered if item.id not in known]
    if new:
        first = _shard_count(storage)
        entries = ((first + i // videos_per_shard, name, texts[name]) for i, name in enumerate(new))
        ledger.append_plan(storage, entries)
    return [name for name in texts if name in known and texts[name] != known[name]]


def shards(storage: Storage, without: set[int]) -> Iterator[tuple[int, list[Item]]]:
    """Each planned shard with its items, in order, but those in `without`."""
    for path in ledger.plan_files(storage):
        table = ledger.read_plan_file(storage, path)
        rows = zip(table["shard"].to_pylist(), table["record"].to_pylist(), strict=True)
        for shard, entries in groupby(rows, key=lambda row: row[0]):
            if shard not in without:
                yield shard, [_ITEM.validate_json(record) for _, record in entries]


def _shard_count(storage: Storage) -> int:
    numbers = ledger.read_plan(storage, ["shard"])["shard"].to_pylist()
    return max(numbers) + 1 if numbers else 0


def _refuse_doubles(ordered: list[Item]) -> None:
    for before, item in pairwise(ordered):
        if before.id == item.id:
            raise ValueError(f"the source names two items {item.id!r}; rename one of them")
