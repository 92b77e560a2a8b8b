"""Writing a dataset: `write_shard` adds a shard, whole or not at all; `write_info` says what it is."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, BinaryIO

from shards import sidecar, tar
from shards.entry import canonical_json, to_members
from shards.sample import SCHEMA, Sample
from shards.storage import Storage

FOLDER = "shards"
INFO = "dataset.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardInfo:
    """What was written."""

    stem: str  # "clips-000012"
    num_samples: int
    bytes: int  # of the tar
    sha256: str  # of the tar


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetInfo:
    """The content of dataset.json: what the dataset is and how it came to be."""

    name: str
    recipe: Mapping[str, Any] = field(default_factory=dict)  # every setting of every stage
    models: Mapping[str, Any] = field(default_factory=dict)  # fingerprints of what annotated it
    code: str  # version of this program
    source: str | None = None  # what it was built from, as it was named
    parent: Mapping[str, Any] | None = None  # the dataset it was refiltered or repacked from
    schema: int = SCHEMA


def write_shard(storage: Storage, name: str, number: int, samples: Iterable[Sample]) -> ShardInfo:
    """Write shards/NAME-NUMBER.tar, then its sidecar, with which the shard exists.

    The samples' order does not matter: they are sorted by key, so the same samples always give the same
    bytes. All of them are held in memory until it is written: the tar's bytes, and json and masks once more,
    inflated. Raises `ValueError` for no samples, and for a key that comes twice; nothing is then written.
    """
    ordered = sorted(samples, key=lambda sample: sample.key)
    stem = f"{name}-{number:06d}"
    _check(stem, ordered)
    entries = [(sample.key, to_members(sample)) for sample in ordered]
    with storage.writer(f"{FOLDER}/{stem}.tar") as stream:
        tar.write_members(stream, entries)
        places = {member.name: member for member in tar.scan(stream)}
        digest, size = _digest(stream)
    rows = [
        sidecar.row(sample, members, {name: places[f"{sample.key}.{name}"] for name in members})
        for sample, (_, members) in zip(ordered, entries, strict=True)
    ]
    about = sidecar.About(tar_sha256=digest, tar_bytes=size, num_samples=len(rows))
    storage.write(f"{FOLDER}/{stem}.parquet", sidecar.to_parquet(rows, about))
    return ShardInfo(stem=stem, num_samples=len(rows), bytes=size, sha256=digest)


def write_info(storage: Storage, info: DatasetInfo) -> None:
    """Write dataset.json."""
    storage.write(INFO, canonical_json(asdict(info)))


def _check(stem: str, ordered: list[Sample]) -> None:
    if not ordered:
        raise ValueError(f"shard {stem} has no samples; leave it out")
    for one, after in pairwise(ordered):
        if one.key == after.key:
            raise ValueError(f"shard {stem} has two samples {one.key}; a key names one clip")


def _digest(stream: BinaryIO) -> tuple[str, int]:
    """sha256 and bytes of what was written."""
    stream.seek(0)
    return hashlib.file_digest(stream, "sha256").hexdigest(), stream.tell()  # type: ignore[arg-type]
