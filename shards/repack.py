"""A new version of a dataset: other samples, other shards, what people decided written in; nothing is computed anew."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from shards import select
from shards.dataset import Dataset, read_info
from shards.entry import canonical_json
from shards.sample import Sample
from shards.storage import LOCK_NAME, Storage
from shards.tar import BLOCK
from shards.writer import FOLDER, INFO, DatasetInfo, ShardInfo, write_info, write_shard


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What to take and how to lay it out. With the parent's content these decide every byte of the new shards."""

    name: str | None = None  # of the new dataset and its shards; None: the parent's
    where: str | None = None  # SQL condition, see `select.select`
    max_per_class: int | None = None
    seed: int = 0  # of the choice that `max_per_class` makes
    shuffle: int | None = None  # seed of the assignment of samples to shards; None: the parent's order
    shard_bytes: int = 256_000_000  # a shard is closed before a sample that would make it larger
    ignore_verdicts: bool = False


def repack(
    parent: Dataset,
    out: Storage,
    settings: Settings,
    *,
    code: str,
    on_sample: Callable[[int], None] | None = None,
) -> list[ShardInfo | None]:
    """Write the new dataset to `out`; `None` stands for a shard that an earlier, interrupted run had finished.

    Interrupted, it goes on where it was when run again with the same settings and the same parent, to the same
    bytes. Holds one shard in memory: `Settings.shard_bytes`, or one sample that is larger, as `write_shard` does.
    `on_sample` is called after each sample with the number of all. Raises `ValueError` where `out` has other
    content, and `BadExpression`.
    """
    decisions = {} if settings.ignore_verdicts else parent.decisions()
    shards = plan(parent, settings, decisions)
    info = _info(parent, settings, decisions, code)
    _refuse_other(out, info)
    with out.lock("repack"):
        _refuse_other(out, info)
        write_info(out, info)
        total = sum(map(len, shards))
        return [
            _write(parent, out, info.name, number, rows, decisions, lambda: on_sample(total) if on_sample else None)
            for number, rows in enumerate(shards)
        ]


def plan(parent: Dataset, settings: Settings, decisions: select.Decisions) -> list[list[int]]:
    """Rows of `parent.index` for every new shard."""
    if settings.shard_bytes < 1:
        raise ValueError(f"shards of {settings.shard_bytes} bytes hold nothing; give 1 or more")
    rows = select.select(
        parent.index,
        settings.where,
        decisions=decisions,
        max_per_class=settings.max_per_class,
        seed=settings.seed,
    )
    if settings.shuffle is not None:
        order = select.shuffled([parent.key_of(row) for row in rows], settings.shuffle)
        rows = [rows[number] for number in order]
    return _filled(rows, _tar_bytes(parent, rows), settings.shard_bytes)


def _filled(rows: Sequence[int], sizes: Sequence[int], limit: int) -> list[list[int]]:
    shards: list[list[int]] = []
    filled = 0
    for row, size in zip(rows, sizes, strict=True):
        if not shards or filled + size > limit:
            shards.append([])
            filled = 0
        shards[-1].append(row)
        filled += size
    return shards


def _tar_bytes(parent: Dataset, rows: Sequence[int]) -> list[int]:
    """What each sample takes in a tar: data and headers in whole blocks, as it is in the parent."""
    columns = [parent.index[f"{member}_size"].to_pylist() for member in ("json", "masks", "mp4", "strip")]
    return [sum(BLOCK * (1 + -(-column[row] // BLOCK)) for column in columns) for row in rows]


def _info(parent: Dataset, settings: Settings, decisions: select.Decisions, code: str) -> DatasetInfo:
    said: dict[str, Any] = {
        "url": parent.storage.url,
        "name": parent.info.name,
        "digest": _digest(parent),
        "settings": asdict(settings),
        "verdicts": None if settings.ignore_verdicts else decisions_digest(decisions),
    }
    return DatasetInfo(
        name=settings.name or parent.info.name,
        recipe=parent.info.recipe,
        models=parent.info.models,
        code=code,
        parent=said,
    )


def _digest(parent: Dataset) -> str:
    """Names the content of every shard: sha256 over the sidecars' stems and bytes."""
    digest = hashlib.sha256()
    for shard in parent.shards:
        content = hashlib.sha256(parent.storage.read(shard.sidecar)).hexdigest()
        digest.update(f"{shard.stem} {content}\n".encode())
    return digest.hexdigest()


def decisions_digest(decisions: select.Decisions) -> str:
    """Names what people decided: sha256 of it, in canonical form."""
    said = [
        [key, d.accepted, d.subject, d.caption, sorted(d.dropped_tracks), sorted(d.dropped_before)]
        + [one.to_text() for one in d.redrawn]
        for key, d in sorted(decisions.items())
    ]
    return hashlib.sha256(canonical_json(said)).hexdigest()


def _refuse_other(out: Storage, info: DatasetInfo) -> None:
    """Raise where `out` is neither empty nor the dataset that `info` describes, half-done or done."""
    if not out.exists(INFO):
        if _holds_something(out):
            raise ValueError(f"{out.url} is not empty and holds no dataset; name a new folder")
        return
    there, wanted = (json.loads(canonical_json(asdict(i))) for i in (read_info(out), info))
    if there != wanted:
        differs = ", ".join(_differing(there, wanted))
        raise ValueError(f"{out.url} holds another dataset, it differs in {differs}; name a new folder")


def _holds_something(out: Storage) -> bool:
    root = out.local_path("")
    if root is not None:
        names = [entry.name for entry in root.iterdir()] if root.exists() else []
        return any(name != LOCK_NAME and not name.startswith(".") for name in names)
    return any(out.list(folder) for folder in (FOLDER, "ledger", "parts", "verdicts"))


def _differing(one: dict[str, Any], other: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name in sorted({*one, *other}):
        a, b = one.get(name), other.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from _differing(a, b, f"{prefix}{name}.")
        elif a != b:
            yield prefix + name


def _write(
    parent: Dataset,
    out: Storage,
    name: str,
    number: int,
    rows: Sequence[int],
    decisions: select.Decisions,
    on_sample: Callable[[], None],
) -> ShardInfo | None:
    if out.exists(f"{FOLDER}/{name}-{number:06d}.parquet"):
        for _ in rows:
            on_sample()
        return None
    return write_shard(out, name, number, _samples(parent, rows, decisions, on_sample))


def _samples(
    parent: Dataset, rows: Sequence[int], decisions: select.Decisions, on_sample: Callable[[], None]
) -> Iterator[Sample]:
    for sample in parent.rows(rows):
        decided = select.decided(sample, decisions.get(sample.key))
        if decided is not None:
            yield decided
        on_sample()
