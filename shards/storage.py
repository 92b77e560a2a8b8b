"""Where a dataset lies: a local folder or any fsspec URL, in which a file appears whole or not at all."""

import contextlib
import errno
import fcntl
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

import fsspec

from shards.lock import LEASE, Held, hold_file, hold_object

__all__ = ["LOCK_NAME", "Held", "Missing", "Outage", "Storage", "StorageError"]

LOCK_NAME = "dataset.lock"


class StorageError(ValueError):
    """The place does not do what was asked of it; the message says what, where and the mend in one line."""


class Outage(StorageError):  # noqa: N818  the name is the fact
    """The place does not answer just now; another try may go well."""


class Missing(StorageError):  # noqa: N818  the name is the fact
    """There is no such file."""


@dataclass(frozen=True, slots=True)
class Storage:
    """A root folder. Every path is relative to it, with forward slashes: "shards/clips-000012.tar".

    A local file is written aside, synced and renamed into place, so that a crash at any moment leaves the old
    file or the new one, and at most a leftover that `list` does not show. An object store shows an object
    once it is whole. Every method raises `StorageError` (`Missing` where there is no such file). Can be
    pickled, and used after a fork.
    """

    url: str  # absolute path of a local folder, or an fsspec URL; no slash at its end
    is_local: bool

    @classmethod
    def at(cls, url: str | os.PathLike[str]) -> Self:
        """The storage at a local path or fsspec URL; it need not exist yet. Touches nothing."""
        text = os.fspath(url)
        if text.startswith("file://") or not ("://" in text or "::" in text):
            return cls(str(Path(text.removeprefix("file://")).expanduser().absolute()), True)
        storage = cls(text.rstrip("/"), False)
        _filesystem(storage.url)  # an unknown protocol is told here
        return storage

    def exists(self, path: str) -> bool:
        with _told("look for", self, path):
            return self._local(path).exists() if self.is_local else bool(self._fs.exists(self._remote(path)))

    def read(self, path: str) -> bytes:
        with _told("read", self, path):
            return self._local(path).read_bytes() if self.is_local else bytes(self._fs.cat_file(self._remote(path)))

    def read_many(self, paths: Sequence[str]) -> Iterator[bytes]:
        """The content of many small files, in order; several are fetched at once."""
        with ThreadPoolExecutor(_FETCHED_AT_ONCE) as readers:
            yield from readers.map(self.read, paths)

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Bytes [start, end) of a file, without reading the rest of it; fewer where the file ends before."""
        with _told("read", self, path):
            if not self.is_local:
                data = bytes(self._fs.cat_file(self._remote(path), start=start, end=end))
                # A plain web server that knows no ranges answers with the whole file.
                return data if len(data) <= end - start else data[start:end]
            with self._local(path).open("rb", buffering=0) as stream:
                return os.pread(stream.fileno(), end - start, start)

    def open_local(self, path: str) -> int:
        """A descriptor of a local file for reading by offset; the caller closes it."""
        with _told("read", self, path):
            return os.open(self._local(path), os.O_RDONLY | os.O_CLOEXEC)

    def size(self, path: str) -> int:
        """Bytes."""
        with _told("read", self, path):
            return self._local(path).stat().st_size if self.is_local else int(self._fs.size(self._remote(path)))

    def list(self, folder: str, suffix: str = "") -> "list[str]":
        """Paths, relative to the root, of the files right inside `folder`, sorted; [] where it is not."""
        with _told("list", self, folder):
            try:
                names = self._names(folder)
            except FileNotFoundError:
                return []
        prefix = f"{folder}/" if folder else ""
        return sorted(prefix + name for name in names if name.endswith(suffix) and not name.startswith("."))

    def write(self, path: str, data: bytes) -> None:
        """Make `data` the content of `path`; durable on return."""
        if self.is_local:
            with self.writer(path) as stream:
                stream.write(data)
        else:
            with _told("write", self, path):
                self._fs.pipe_file(self._remote(path), data)

    def append(self, path: str, data: bytes) -> None:
        """Add `data` to the end of a local file; durable on return. A crash may leave a part of it there."""
        with _told("write", self, path), self._local(path).open("ab") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())

    @contextlib.contextmanager
    def writer(self, path: str) -> Iterator[BinaryIO]:
        """A stream to write, seek and read back, whose content becomes `path` when the body ends.

        Nothing appears when the body raises.
        """
        with self._written_aside(path) if self.is_local else self._put_when_whole(path) as stream:
            yield stream

    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is gone already."""
        with _told("remove", self, path), contextlib.suppress(FileNotFoundError):
            if self.is_local:
                self._local(path).unlink()
            else:
                self._fs.rm_file(self._remote(path))

    def sweep(self) -> None:
        """Remove what writers left half-written when they died; an object store has no such thing."""
        if self.is_local:
            _sweep(self._local(""))

    def local_path(self, path: str) -> Path | None:
        """Where the file lies on this machine's disk; `None` on an object store."""
        return self._local(path) if self.is_local else None

    @contextlib.contextmanager
    def lock(self, who: str, *, lease: float = LEASE, now: Callable[[], float] = time.time) -> Iterator[None]:
        """Be the only writer while the body runs; raises `Held`, which names the present writer.

        A local lock ends with its process, and taking it sweeps away what dead writers left half-written. On
        an object store a lock is taken over once its holder has not renewed it for `lease` seconds.
        """
        with contextlib.ExitStack() as stack:
            with _told("lock", self, LOCK_NAME):
                if self.is_local:
                    _make_folder(self._local(""))
                    stack.enter_context(hold_file(self._local(LOCK_NAME), self.url, who, now))
                    _sweep(self._local(""))
                else:
                    held = hold_object(self._fs, self._remote(LOCK_NAME), self.url, who, lease, now)
                    stack.enter_context(held)
            yield

    @property
    def _fs(self) -> Any:
        return _filesystem(self.url)[0]

    def _remote(self, path: str) -> str:
        return f"{_filesystem(self.url)[1]}/{path}"

    def _local(self, path: str) -> Path:
        return Path(self.url, path)

    def _names(self, folder: str) -> Sequence[str]:
        if self.is_local:
            with os.scandir(self._local(folder)) as entries:
                return [entry.name for entry in entries if entry.is_file()]
        infos = self._fs.ls(self._remote(folder).rstrip("/"), detail=True)
        return [info["name"].rsplit("/", 1)[-1] for info in infos if info["type"] == "file"]

    @contextlib.contextmanager
    def _written_aside(self, path: str) -> Iterator[BinaryIO]:
        target = self._local(path)
        with _told("write", self, path):
            _make_folder(target.parent)
            aside, stream = _open_aside(target)
        try:
            with _full_disk_told(self, path):
                yield cast(BinaryIO, stream)
            with _told("write", self, path):
                stream.flush()
                os.fsync(stream.fileno())
                aside.replace(target)
                _sync_folder(target.parent)
        finally:
            with contextlib.suppress(OSError):  # a full disk again, at the flush of what the error left buffered
                stream.close()
            aside.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _put_when_whole(self, path: str) -> Iterator[BinaryIO]:
        with tempfile.TemporaryDirectory(prefix="dreamreel-") as folder:
            local = Path(folder, "whole")
            with _full_disk_told(Storage(folder, True), "whole"), local.open("w+b") as stream:
                yield stream
            with _told("write", self, path):
                if local.stat().st_size <= _SMALL:
                    self._fs.pipe_file(self._remote(path), local.read_bytes())
                else:
                    self._fs.put_file(str(local), self._remote(path))


_FETCHED_AT_ONCE = 16
_SMALL = 64 << 20  # bytes that go up from memory in one request; more goes up in parts, and shows once it is whole
_opened: dict[tuple[int, str], tuple[Any, str]] = {}


def _filesystem(url: str) -> tuple[Any, str]:
    """The fsspec filesystem of a URL and the root's path in it; a new one after a fork."""
    mine = os.getpid(), url
    if mine not in _opened:
        try:
            # Listings are never cached: another process may have added a shard a moment ago.
            _opened[mine] = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise StorageError(f"cannot open {url}: {error}") from None
    return _opened[mine]


_ACCESS = "permission denied; give yourself access, or choose another place"
_LOCKS = "this filesystem has no locks; have it mounted with them, or choose another place"
_MENDS = {
    errno.ENOSPC: "the disk is full; free some space or choose another place, then run the command again",
    errno.EDQUOT: "your quota is used up; free some space, then run the command again",
    errno.EFBIG: "the file grows past the limit for one file; raise it (ulimit -f), or make smaller shards",
    errno.EROFS: "the place is read-only; choose another",
    errno.EACCES: _ACCESS,
    errno.EPERM: _ACCESS,
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another place",
    errno.EISDIR: "it is a folder, not a file; choose another place",
    errno.ENOLCK: _LOCKS,
    errno.ENOSYS: _LOCKS,
    errno.EOPNOTSUPP: _LOCKS,
}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def _told(what: str, storage: Storage, path: str) -> Iterator[None]:
    """Turn trouble with a place into one line: what, where, the mend."""
    where = f"{storage.url}/{path}".rstrip("/")
    try:
        yield
    except FileNotFoundError as error:
        if what in ("write", "lock"):  # the folder went meanwhile, or there is no such bucket
            raise StorageError(f"cannot {what} {where}: {error.strerror or error}; make it first") from None
        raise Missing(f"cannot {what} {where}: there is no such file; check the path") from None
    except _troubles() as error:
        why = _MENDS.get(getattr(error, "errno", None) or _errno_of(error), str(error) or type(error).__name__)
        kind = Outage if _may_pass(error) else StorageError
        raise kind(f"cannot {what} {where}: {why}") from error


@contextlib.contextmanager
def _full_disk_told(storage: Storage, path: str) -> Iterator[None]:
    """The body's own errors pass; only a write that found no room is told as this file's trouble."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StorageError(f"cannot write {storage.url}/{path}: {_MENDS[error.errno]}") from error


_PASSING = {
    errno.EIO,
    errno.EBUSY,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
}


def _may_pass(error: BaseException) -> bool:
    client = sys.modules.get("botocore.exceptions")
    if client is not None and isinstance(error, client.ConnectionError | client.HTTPClientError):
        return True
    return isinstance(error, ConnectionError | TimeoutError) or getattr(error, "errno", None) in _PASSING


def _errno_of(error: BaseException) -> int:
    return errno.EACCES if isinstance(error, PermissionError) else 0


def _troubles() -> tuple[type[BaseException], ...]:
    """OSError, and what S3's client raises besides (no credentials, no such endpoint) once it is loaded."""
    client = sys.modules.get("botocore.exceptions")
    return (OSError,) if client is None else (OSError, client.BotoCoreError)


def _open_aside(target: Path) -> tuple[Path, Any]:
    """A new hidden file beside `target`, locked for as long as its writer lives (see `_sweep`)."""
    while True:
        aside = target.with_name(f".{target.name}.{secrets.token_hex(6)}.aside")
        stream = aside.open("x+b")
        with contextlib.suppress(OSError):  # no locks here: then nothing is swept either
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX)
        if os.fstat(stream.fileno()).st_nlink:  # else a sweep came between the two lines above
            return aside, stream
        stream.close()


def _sweep(root: Path) -> None:
    """Remove the files that writers left aside when they died: those that nobody holds locked."""
    for aside in root.rglob(".*.aside"):
        with contextlib.suppress(OSError), aside.open("rb") as stream:
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            aside.unlink()


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
