"""Whether a shard's tar and sidecar are what the writer would have written, in one pass over the tar."""

import hashlib
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from shards import entry, sidecar, verify_sample
from shards.sample import InvalidSample
from shards.storage import Storage
from shards.tar import Member
from shards.verify_sample import Finding
from shards.verify_tar import Found, TarStream, samples


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """One broken rule, and where."""

    rule: str
    shard: str | None  # stem, "clips-000012"; None where it is the dataset's
    key: str | None  # sample; None where it is the shard's
    what: str

    def __str__(self) -> str:
        return f"{self.shard or 'dataset'} {self.key or '-'} {self.rule}: {self.what}"


@dataclass(kw_only=True, slots=True)
class Checked:
    """What was found in a shard so far."""

    stem: str
    violations: list[Violation] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    frames: int = 0
    bytes: int = 0

    def add(self, rule: str, what: str, key: str | None = None) -> None:
        self.violations.append(Violation(rule=rule, shard=self.stem, key=key, what=what))


def check_shard(
    storage: Storage,
    stem: str,
    *,
    quick: bool,
    pool: Executor,
    at_once: int,
    on_sample: Callable[[], None],
) -> Checked:
    """Check shards/STEM.tar and shards/STEM.parquet; samples go to `pool`, at most `at_once` of them."""
    checked = Checked(stem=stem)
    table, about = _read_sidecar(storage, checked)
    rows = {row["key"]: row for row in table.to_pylist()} if table is not None else None
    tar = TarStream(storage, f"shards/{stem}.tar")
    tasks: deque[tuple[str, Future[tuple[list[Finding], int]]]] = deque()
    for key, members in itertools.chain(samples(tar, checked.add), _after_a_break(tar, rows or {}, checked)):
        checked.keys.append(key)
        row = _row_of(key, members, rows, checked)
        data = {name: found.data for name, found in members.items()}
        tasks.append((key, pool.submit(_check_sample, key, data, row, quick)))
        if len(tasks) >= at_once:
            _settle(tasks, checked, on_sample)
    while tasks:
        _settle(tasks, checked, on_sample)
    for key in sorted(set(rows or ()) - set(checked.keys)):
        checked.add("missing", "stands in the sidecar, not in the tar", key)
    _check_about(tar, about, table, checked)
    return checked


def _read_sidecar(storage: Storage, checked: Checked) -> tuple[pa.Table | None, sidecar.About | None]:
    try:
        table, about = sidecar.from_parquet(storage.read(f"shards/{checked.stem}.parquet"))
    except ValueError as error:
        checked.add("sidecar", str(error))
        return None, None
    if table.schema != sidecar.SCHEMA:
        checked.add("sidecar", "its columns are not the format's: " + _differing_columns(table.schema))
        return None, about
    keys = table["key"].to_pylist()
    if keys != sorted(set(keys)):
        checked.add("sidecar", "its rows are not sorted by key, or a key repeats")
    return table, about


def _differing_columns(schema: pa.Schema) -> str:
    there = {column.name: column.type for column in schema}
    names = {*there, *sidecar.SCHEMA.names}
    wanted = {column.name: column.type for column in sidecar.SCHEMA}
    return ", ".join(sorted(n for n in names if there.get(n) != wanted.get(n))) or "another order"


def _check_about(tar: TarStream, about: sidecar.About | None, table: pa.Table | None, checked: Checked) -> None:
    """The whole tar against the sidecar's metadata."""
    digest, checked.bytes = tar.drain(), tar.size
    if about is None:
        return
    if tar.size != about.tar_bytes:
        checked.add("bytes", f"the tar has {tar.size} bytes, the sidecar says {about.tar_bytes}")
    if digest != about.tar_sha256:
        checked.add("sha256", f"the tar's is {digest}, the sidecar says {about.tar_sha256}")
    if table is not None and table.num_rows != about.num_samples:
        checked.add("sidecar", f"it has {table.num_rows} rows and says {about.num_samples}")


def _row_of(
    key: str, members: Mapping[str, Found], rows: Mapping[str, dict[str, Any]] | None, checked: Checked
) -> dict[str, Any] | None:
    """The sidecar's row of a sample; its offsets and sizes are compared with the tar's here."""
    if rows is None:
        return None
    if key not in rows:
        checked.add("row", "the sidecar has no row of it", key)
        return None
    for name, prefix in sidecar.PLACES.items():
        said = (rows[key][f"{prefix}_offset"], rows[key][f"{prefix}_size"])
        if name in members and said != (members[name].offset, len(members[name].data)):
            found = f"{len(members[name].data)} bytes at {members[name].offset}"
            checked.add("place", f"{name} is {found}, the sidecar says {said[1]} at {said[0]}", key)
    return rows[key]


def _after_a_break(
    tar: TarStream, rows: Mapping[str, dict[str, Any]], checked: Checked
) -> Iterator[tuple[str, dict[str, Found]]]:
    """The samples that a damaged tar's members do not lead to any more, where the sidecar's places still do."""
    if not tar.broken:
        return
    seen = set(checked.keys)
    for key, row in rows.items():
        places = {name: (row[f"{p}_offset"], row[f"{p}_size"]) for name, p in sidecar.PLACES.items()}
        if key in seen or any(offset + size > tar.size for offset, size in places.values()):
            continue
        found = {n: Found(offset=o, data=tar.read_range(o, o + s)) for n, (o, s) in places.items()}
        if entry.content_sha256({name: member.data for name, member in found.items()}) == row["sha256"]:
            yield key, found


def _settle(
    tasks: deque[tuple[str, Future[tuple[list[Finding], int]]]],
    checked: Checked,
    on_sample: Callable[[], None],
) -> None:
    key, task = tasks.popleft()
    findings, frames = task.result()
    for rule, what in findings:
        checked.add(rule, what, key)
    checked.frames += frames
    on_sample()


def _check_sample(
    key: str, members: Mapping[str, bytes], row: Mapping[str, Any] | None, quick: bool
) -> tuple[list[Finding], int]:
    """Everything about one sample, and its number of frames."""
    missing = [name for name in entry.MEMBERS if name not in members]
    if missing:
        return [("missing", f"there is no {', '.join(missing)}")], 0
    findings = [] if row is None else _check_content(members, row)
    sample, broken = verify_sample.read(key, members)
    findings += broken
    if sample is None:
        return findings, 0
    findings += verify_sample.check(sample, quick=quick)
    if row is not None:
        try:
            places = {name: Member(name=name, offset=0, size=0) for name in entry.MEMBERS}
            findings += _check_row(sidecar.row(sample, members, places), row)
        except InvalidSample as error:
            findings.append(("sample", str(error).removeprefix(f"sample {key}: ")))
        except pa.ArrowException as error:
            findings.append(("sample", f"its values do not fit the sidecar's columns: {error}"))
    return findings, sample.num_frames


def _check_content(members: Mapping[str, bytes], row: Mapping[str, Any]) -> list[Finding]:
    found = {
        "sha256": entry.content_sha256(members),
        "mp4_sha256": hashlib.sha256(members["mp4"]).hexdigest(),
    }
    return [
        ("content", f"{column} is {value}, the sidecar says {row[column]}")
        for column, value in found.items()
        if value != row[column]
    ]


def _check_row(expected: dict[str, Any], row: Mapping[str, Any]) -> Iterator[Finding]:
    """The columns that repeat what stands in the record."""
    elsewhere = {f"{prefix}_{what}" for prefix in sidecar.PLACES.values() for what in ("offset", "size")}
    elsewhere |= {"sha256", "mp4_sha256"}
    stored = pa.Table.from_pylist([expected], schema=sidecar.SCHEMA).to_pylist()[0]
    for column in sidecar.SCHEMA.names:
        if column not in elsewhere and stored[column] != row[column]:
            yield "row", f"{column} is {_short(stored[column])}, the sidecar says {_short(row[column])}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
