"""Plain tar files: written so that the same members give the same bytes, scanned by their headers alone."""

import io
import os
import re
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

from shards.storage import Storage

BLOCK = tarfile.BLOCKSIZE


class BadTar(ValueError):  # noqa: N818  the name says what is wrong
    """Not a tar that members can be read from by offset; the message says what, where and the mend."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One file in a tar."""

    name: str
    offset: int  # of its first byte in the tar
    size: int  # bytes


def write_members(stream: BinaryIO, samples: Iterable[tuple[str, Mapping[str, bytes]]]) -> None:
    """Write (key, {extension: data}) as adjacent members KEY.extension in sorted order, as webdataset reads
    them.

    No time, no owner, mode 0644: only names and data decide the bytes. (webdataset's own writer gives the
    same bytes, but importing it loads torch.)
    """
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for key, members in samples:
            for extension in sorted(members):
                info = tarfile.TarInfo(f"{key}.{extension}")  # time 0, ids 0, no names, mode 0644
                info.size = len(members[extension])
                tar.addfile(info, io.BytesIO(members[extension]))


def scan(source: str | os.PathLike[str] | BinaryIO, read_ahead: int = 1 << 16) -> list[Member]:
    """Every file of a tar in order, from its headers: a local path, any fsspec URL, or a stream that can
    seek.

    Away from the local disk a read takes `read_ahead` bytes, which usually hold several headers. Raises
    `BadTar` for what cannot be read by offset: compressed, sparse, links, a size that PAX overrides, a cut
    end.
    """
    if isinstance(source, str | os.PathLike):
        folder, _, name = os.fspath(source).rpartition("/")
        storage = Storage.at(folder or ("/" if os.fspath(source).startswith("/") else "."))
        local = storage.local_path(name)
        if local is not None and storage.exists(name):
            with local.open("rb", buffering=0) as stream:
                return _scan(lambda at, n: os.pread(stream.fileno(), n, at), storage.size(name), str(source))
        size = storage.size(name)
        return _scan(_ahead(lambda a, b: storage.read_range(name, a, b), size, read_ahead), size, str(source))
    return _scan(lambda at, n: _read_at(source, at, n), source.seek(0, os.SEEK_END), "the tar")


_ReadAt: TypeAlias = Callable[[int, int], bytes]  # (offset, bytes) -> data


def _read_at(stream: BinaryIO, offset: int, size: int) -> bytes:
    stream.seek(offset)
    return stream.read(size)


def _ahead(read_range: Callable[[int, int], bytes], total: int, read_ahead: int) -> _ReadAt:
    start, buffer = 0, b""

    def read(offset: int, size: int) -> bytes:
        nonlocal start, buffer
        if not start <= offset <= offset + size <= start + len(buffer):
            start, buffer = offset, read_range(offset, min(total, offset + max(size, read_ahead)))
        return buffer[offset - start : offset - start + size]

    return read


def _scan(read: _ReadAt, total: int, where: str) -> list[Member]:
    _refuse_compressed(read(0, 6), where)
    members: list[Member] = []
    at, name = 0, None
    while True:
        block = read(at, BLOCK)
        info = _header(block, where, at, members)
        if info is None:
            return members
        data = at + BLOCK
        _check_size(info, total - data, where)
        if info.type in (tarfile.XHDTYPE, tarfile.XGLTYPE):
            name = _pax_path(read(data, info.size), where, at) or name
        elif info.type == tarfile.GNUTYPE_LONGNAME:
            name = read(data, info.size).rstrip(b"\0").decode()
        elif info.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
            members.append(Member(name=name or info.name, offset=data, size=info.size))
            name = None
        elif info.type != tarfile.DIRTYPE:
            raise BadTar(f"{where}: member {info.name} is {_kind(info)}; only plain files can be read by offset")
        at = data + -(-info.size // BLOCK) * BLOCK


def _header(block: bytes, where: str, at: int, before: list[Member]) -> tarfile.TarInfo | None:
    """The header in `block`, `None` at the end mark."""
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
        return None
    except (tarfile.EmptyHeaderError, tarfile.TruncatedHeaderError):  # type: ignore[attr-defined]
        last = f"member {before[-1].name}" if before else "its start"
        raise BadTar(f"{where} is truncated: no end mark after {last}; write or fetch it again") from None
    except tarfile.HeaderError as error:
        raise BadTar(f"{where} is no tar, or damaged: at byte {at}: {error}; write or fetch it again") from None


def _check_size(info: tarfile.TarInfo, there: int, where: str) -> None:
    if info.size < 0:
        raise BadTar(f"{where} is damaged: member {info.name} has {info.size} bytes; write or fetch it again")
    if info.size > there:
        needs = f"member {info.name} needs {info.size} bytes, {there} are there"
        raise BadTar(f"{where} is truncated: {needs}; write or fetch it again")


_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


def _refuse_compressed(start: bytes, where: str) -> None:
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            raise BadTar(f"{where} is compressed ({kind}); unpack it, so that members can be read by offset")


def _pax_path(data: bytes, where: str, at: int) -> str | None:
    """The name in a PAX header; one that says another size, or that the file is sparse, is refused."""
    path = None
    while data.strip(b"\0"):
        record = _PAX_RECORD.match(data)
        length = int(record[1]) if record else 0
        if record is None or not record.end() < length <= len(data):
            raise BadTar(f"{where} is damaged: PAX header at byte {at}; write or fetch it again")
        keyword, value = record[2].decode(), data[record.end() : length - 1].decode(errors="replace")
        if keyword == "size" or keyword.startswith("GNU.sparse"):
            raise BadTar(f"{where}: PAX header at byte {at} says {keyword}={value}; write it without PAX")
        if keyword == "path":
            path = value
        data = data[length:]
    return path


_PAX_RECORD = re.compile(rb"(\d{1,9}) ([\w.]+)=")


def _kind(info: tarfile.TarInfo) -> str:
    kinds = {
        tarfile.LNKTYPE: f"a link to {info.linkname}",
        tarfile.SYMTYPE: f"a link to {info.linkname}",
        tarfile.GNUTYPE_SPARSE: "sparse",
    }
    return kinds.get(info.type, f"of type {info.type!r}")
