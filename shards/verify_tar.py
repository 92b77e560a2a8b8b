"""Walking a tar once, from its start to its end mark, while looking for all that our writer would not have written."""

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from shards import entry
from shards.storage import Storage
from shards.tar import BLOCK, BadTar

CHUNK = 4 << 20  # bytes of a tar read at once


class Add(Protocol):
    """Where a violation goes: the rule's name, what is the matter, the sample's key."""

    def __call__(self, rule: str, what: str, key: str | None = None) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A member: its data, and where that begins in the tar."""

    offset: int
    data: bytes


def samples(tar: "TarStream", add: Add) -> Iterator[tuple[str, dict[str, Found]]]:
    """Key and members (by extension) of every sample, in the tar's order.

    Where the tar is cut or damaged this ends, and the sample in which it happens is not given.
    """
    key, members, before = "", dict[str, Found](), ("", "")
    try:
        for name, found in _walk(tar, add):
            here, _, extension = name.partition(".")
            if extension not in entry.MEMBERS:
                add("stray", f"member {name} is not of the format", here)
                continue
            if (here, extension) <= before:
                add("order", f"member {name} comes after {'.'.join(before)}", here)
            before = (here, extension)
            if here != key and members:
                yield key, members
                members = {}
            key = here
            members[extension] = found
    except BadTar as error:
        add("tar", str(error))
        tar.broken = True
    if members and (not tar.broken or len(members) == len(entry.MEMBERS)):
        yield key, members


def _walk(tar: "TarStream", add: Add) -> Iterator[tuple[str, Found]]:
    """Name, place and data of every member up to the end mark; raises `BadTar` where it cannot go on."""
    last = "its start"
    while True:
        block = tar.read(BLOCK)
        info = _header(block, tar.offset - len(block), last)
        if info is None:
            return _check_end(tar, add)
        _check_header(info, block, add)
        offset = tar.offset
        data = tar.read(info.size)
        if len(data) < info.size:
            raise BadTar(f"is cut in member {info.name}: {len(data)} of {info.size} bytes are there")
        tar.read(-info.size % BLOCK)
        yield info.name, Found(offset=offset, data=data)
        last = f"member {info.name}"


def _header(block: bytes, at: int, last: str) -> tarfile.TarInfo | None:
    if len(block) < BLOCK:
        raise BadTar(f"is cut after {last}: there is no end mark")
    if not any(block):
        return None
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise BadTar(f"is damaged at byte {at}, after {last}: {error}") from None
    if info.type != tarfile.REGTYPE:
        raise BadTar(f"{info.name}, at byte {at}, is no plain file (type {info.type!r})")
    return info


def _check_header(info: tarfile.TarInfo, block: bytes, add: Add) -> None:
    """The header against the one that the writer gives a member of this name and size."""
    plain = tarfile.TarInfo(info.name)
    plain.size = info.size
    if block == plain.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape"):
        return
    names = ("mtime", "mode", "uid", "gid", "uname", "gname")
    odd = [f"{n} {getattr(info, n)!r}" for n in names if getattr(info, n) != getattr(plain, n)]
    what = ", ".join(odd) or "not the bytes of a plain ustar header"
    add("header", f"member {info.name}: {what}", info.name.partition(".")[0])


def _check_end(tar: "TarStream", add: Add) -> None:
    zeros = True
    while chunk := tar.read(CHUNK):
        zeros = zeros and not any(chunk)
    if not zeros or tar.offset % tarfile.RECORDSIZE:
        add("tar", f"does not end as written: zeros up to a full record of {tarfile.RECORDSIZE} bytes")


class TarStream:
    """A file read once from its start, in large pieces, with the digest of all of it at the end."""

    def __init__(self, storage: Storage, path: str) -> None:
        self.size = storage.size(path)
        self.broken = False  # whether its members could not be followed to the end mark
        self.offset = 0  # of the next byte that `read` gives
        self._storage, self._path = storage, path
        self._buffer = b""
        self._buffer_start = 0
        self._digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer at the end."""
        parts = []
        while size:
            at = self.offset - self._buffer_start
            part = self._buffer[at : at + size]
            if not part and not self._fetch():
                break
            parts.append(part)
            self.offset += len(part)
            size -= len(part)
        return b"".join(parts)

    def read_range(self, start: int, end: int) -> bytes:
        """Bytes [start, end), apart from the reading in order."""
        return self._storage.read_range(self._path, start, end)

    def drain(self) -> str:
        """sha256 of the whole file, what was not read included."""
        while self._fetch():
            pass
        return self._digest.hexdigest()

    def _fetch(self) -> bool:
        start = self._buffer_start + len(self._buffer)
        self._buffer = self.read_range(start, min(self.size, start + CHUNK)) if start < self.size else b""
        self._buffer_start = start
        self._digest.update(self._buffer)
        return bool(self._buffer)
