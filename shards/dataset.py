"""Reading a dataset: its index from the sidecars alone, and any sample by one read of its bytes."""

import json
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar, overload

import numpy as np
import pyarrow as pa

from shards import bare, sidecar
from shards.entry import from_members
from shards.sample import SCHEMA, Sample
from shards.storage import Missing, Storage
from shards.verdicts import Decision, Verdicts, decisions
from shards.writer import FOLDER, INFO, DatasetInfo

A = TypeVar("A")
B = TypeVar("B")

_PLACE_COLUMNS = [f"{prefix}_{what}" for prefix in sidecar.PLACES.values() for what in ("offset", "size")]
ALWAYS = ("key", *_PLACE_COLUMNS, "sha256")
"""Columns that every index has: samples are found and judged by them."""

AHEAD = 8
"""Samples that iteration over a remote dataset reads at once; each takes its bytes of memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One shard of an open dataset."""

    stem: str  # "clips-000012"
    num_samples: int
    bytes: int  # of the tar
    sha256: str  # of the tar

    @property
    def tar(self) -> str:
        """Path in the storage."""
        return f"{FOLDER}/{self.stem}.tar"

    @property
    def sidecar(self) -> str:
        return f"{FOLDER}/{self.stem}.parquet"


class Dataset:
    """The samples of a dataset folder in the order of its shards: `ds[3]`, `ds[10:20]`, `ds["9f2c..."]`.

    It is the dataset as it was when opened; a build that goes on adds shards for the next `open`. It can be
    pickled (the other side reads the same shards' sidecars again) and used after a fork and from threads.
    """

    def __init__(self, storage: Storage, info: DatasetInfo, shards: Sequence[Shard], index: pa.Table) -> None:
        self.storage = storage
        self.info = info
        self.shards = list(shards)
        self.index = index  # all rows of all sidecars in order (`sidecar.SCHEMA`), and `shard`, the stem
        self._keys: list[str] = index["key"].to_pylist()
        self._places = _places(index)
        self._tars = [shard.tar for shard in shards]
        self._shard_of = np.repeat(np.arange(len(shards)), [s.num_samples for s in shards])
        self._files = _OpenFiles(storage)

    @classmethod
    def open(cls, url: str | os.PathLike[str], columns: Sequence[str] | None = None) -> Self:
        """Open a folder or fsspec URL; reads dataset.json and the sidecars, never a tar.

        `columns` names what the index keeps besides `ALWAYS` (all by default, of which frame times are half the
        memory). Raises `ValueError` where there is no dataset, or one of a later format.
        """
        storage = Storage.at(url)
        paths = storage.list(FOLDER, ".parquet")
        return cls._of(storage, read_info(storage), [Path(path).stem for path in paths], _kept(columns))

    @classmethod
    def _of(cls, storage: Storage, info: DatasetInfo, stems: Sequence[str], columns: Sequence[str]) -> Self:
        with ThreadPoolExecutor(_READERS) as readers:
            parts = list(readers.map(lambda stem: _read_sidecar(storage, stem, columns), stems))
        tables = [table for _, table in parts]
        schema = pa.schema([sidecar.SCHEMA.field(name) for name in columns]).append(pa.field("shard", pa.string()))
        index = pa.concat_tables(tables) if tables else schema.empty_table()
        return cls(storage, info, [s for s, _ in parts], index)

    def __reduce__(self) -> tuple[Any, ...]:
        stems, columns = [shard.stem for shard in self.shards], self.index.column_names[:-1]
        return Dataset._of, (self.storage, self.info, stems, columns)

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, which: int | str) -> Sample: ...
    @overload
    def __getitem__(self, which: slice) -> "View": ...
    def __getitem__(self, which: int | str | slice) -> "Sample | View":
        """The sample at a row or with a key, or a view of a range; raises `IndexError` or `KeyError`."""
        if isinstance(which, slice):
            return self.rows(range(len(self))[which])
        row = self.row_of(which) if isinstance(which, str) else which
        return from_members(self.key_of(row), self.raw(row))

    def __iter__(self) -> Iterator[Sample]:
        return iter(self[:])

    def raw(self, row: int, *, strip: bool = True) -> dict[str, bytes]:
        """The members of the sample at `row` as they are in the tar, by extension; decodes nothing.

        Without `strip`, all but its thumbnails: what training reads.
        """
        return self._files.read(self._tars[self._shard_of[row]], self._places[row].tolist(), strip=strip)

    def key_of(self, row: int) -> str:
        return self._keys[row]

    def row_of(self, key: str) -> int:
        """The row of a key; raises `KeyError`."""
        return self._rows[key]

    def rows(self, rows: Sequence[int]) -> "View":
        """These rows, in this order, as a sequence of samples that are read when they are asked for."""
        return View(self, rows)

    def verdicts(self) -> Verdicts:
        """What people decided about the samples."""
        return Verdicts(self.storage)

    def decisions(self) -> dict[str, Decision]:
        """What holds of it now, by key, for the samples that still have the content that was judged."""
        return decisions(self.verdicts().events(), self.index)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {key: row for row, key in enumerate(self._keys)}


@dataclass(frozen=True, eq=False)
class View(Sequence[Sample]):
    """Some rows of a dataset; nothing is read before it is asked for.

    Away from the local disk, iteration reads up to `AHEAD` samples at once, the one that is waited for among
    them; order and errors are those of reading one after the other.
    """

    dataset: Dataset
    row_numbers: Sequence[int]

    def __len__(self) -> int:
        return len(self.row_numbers)

    @overload
    def __getitem__(self, which: int) -> Sample: ...
    @overload
    def __getitem__(self, which: slice) -> "View": ...
    def __getitem__(self, which: int | slice) -> "Sample | View":
        if isinstance(which, slice):
            return View(self.dataset, self.row_numbers[which])
        return self.dataset[self.row_numbers[which]]

    def __iter__(self) -> Iterator[Sample]:
        if self.dataset.storage.is_local:
            return (self.dataset[row] for row in self.row_numbers)
        return read_ahead(self.dataset.__getitem__, self.row_numbers)

    def raw(self, position: int) -> dict[str, bytes]:
        return self.dataset.raw(self.row_numbers[position])


def read_ahead(read: Callable[[A], B], wanted: Iterable[A], depth: int = AHEAD) -> Iterator[B]:
    """`read` of everything `wanted`, in order, `depth` of it at once; an error is raised in its turn."""
    coming = deque[Future[B]]()
    with ThreadPoolExecutor(depth) as readers:
        for one in wanted:
            coming.append(readers.submit(read, one))
            if len(coming) == depth:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def read_info(storage: Storage) -> DatasetInfo:
    """What dataset.json says; raises `ValueError` where it is missing, damaged, or of a later format."""
    try:
        said: Mapping[str, Any] = json.loads(storage.read(INFO))
        if said["schema"] > SCHEMA:
            raise ValueError(f"{storage.url} is of format {said['schema']}, this code reads up to {SCHEMA}; update it")
        return DatasetInfo(**{f.name: said[f.name] for f in fields(DatasetInfo) if f.name in said})
    except Missing:
        raise ValueError(f"{storage.url} is not a dataset: it has no {INFO}; check the path") from None
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{storage.url}/{INFO} is damaged ({error!r}); remove that file and run the build again"
        ) from None


def _kept(columns: Sequence[str] | None) -> list[str]:
    every = sidecar.SCHEMA.names
    unknown = sorted(set(columns or ()) - set(every))
    if unknown:
        raise ValueError(f"sidecars have no column {', '.join(unknown)}; they have {', '.join(every)}")
    return [name for name in every if columns is None or name in (*ALWAYS, *columns)]


_READERS = 16  # sidecars that are fetched at once
_OPEN_FILES = 128  # descriptors kept


def _read_sidecar(storage: Storage, stem: str, columns: Sequence[str]) -> tuple[Shard, pa.Table]:
    path = f"{FOLDER}/{stem}.parquet"
    table, about = sidecar.from_parquet(storage.read(path), f"{storage.url}/{path}", columns)
    if table.num_rows != about.num_samples:
        counts = f"{table.num_rows} rows for {about.num_samples} samples"
        raise ValueError(f"{storage.url}/{path} is damaged ({counts}); write its shard again")
    shard = Shard(stem=stem, num_samples=about.num_samples, bytes=about.tar_bytes, sha256=about.tar_sha256)
    return shard, table.append_column("shard", bare.repeated(stem, table.num_rows))


def _places(index: pa.Table) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Where each member's data begins and ends in the tar: int64 [N, 2 * members]."""
    columns = []
    for prefix in sidecar.PLACES.values():
        offset, size = (bare.numbers(index[f"{prefix}_{what}"]) for what in ("offset", "size"))
        columns += [offset, offset + size]
    return np.stack(columns, axis=1)


class _Descriptor:
    """An open file; closed when nobody holds this any more."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


class _OpenFiles:
    """Reads byte ranges of a storage's files; of local files the last used descriptors stay open."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._open: OrderedDict[str, _Descriptor] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, path: str, places: Sequence[int], *, strip: bool) -> dict[str, bytes]:
        """The members that lie at `places` (begin and end of each, adjacent)."""
        start, json_end, masks_start, masks_end, video_start, video_end, strip_start, strip_end = places
        end = strip_end if strip else video_end
        if self._storage.is_local:
            # The video by a read of its own, because cutting it out would copy every byte of it once more.
            file = self._descriptor(path)
            head = os.pread(file.number, masks_end - start, start)
            video = os.pread(file.number, video_end - video_start, video_start)
            thumbnails = os.pread(file.number, strip_end - strip_start, strip_start) if strip else b""
        else:
            data = self._storage.read_range(path, start, end)
            head = data[: masks_end - start]
            video = data[video_start - start : video_end - start]
            thumbnails = data[strip_start - start :] if strip else b""
        last, size = (thumbnails, strip_end - strip_start) if strip else (video, video_end - video_start)
        if len(last) != size:  # a file that ends too early cuts the last
            raise ValueError(f"{self._storage.url}/{path} ends before byte {end}; fetch or write it again")
        members = {"json": head[: json_end - start], "masks": head[masks_start - start :], "mp4": video}
        return members | {"strip.jpg": thumbnails} if strip else members

    def _descriptor(self, path: str) -> _Descriptor:
        """A thread keeps what it got here open for as long as it reads, even when it is dropped meanwhile."""
        with self._lock:
            if path not in self._open:
                self._open[path] = _Descriptor(self._storage.open_local(path))
                if len(self._open) > _OPEN_FILES:
                    self._open.popitem(last=False)
            self._open.move_to_end(path)
            return self._open[path]
