"""Who is writing a dataset: an flock on a local disk, a lease that is kept renewed on an object store."""

import contextlib
import fcntl
import inspect
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LEASE = 60.0
"""Seconds after which a lease that nobody renewed counts as left behind by a dead holder."""


class Held(ValueError):  # noqa: N818  the name is the fact
    """Somebody else is writing: `who`, on `host`, as `pid`, `since` (seconds since 1970), where known."""

    def __init__(self, where: str, holder: dict[str, Any]) -> None:
        self.where, self.holder = where, holder
        self.host, self.pid = holder.get("host"), holder.get("pid")
        self.who, self.since = holder.get("who"), holder.get("since")
        name = f"{self.who!r} (host {self.host}, pid {self.pid}, since {_clock(self.since)})" if holder else "another"
        super().__init__(f"{where} is being written by {name}; wait for it, or end that process")

    def __reduce__(self) -> tuple[type["Held"], tuple[str, dict[str, Any]]]:
        return Held, (self.where, self.holder)


@contextlib.contextmanager
def hold_file(path: Path, where: str, who: str, now: Callable[[], float] = time.time) -> Iterator[None]:
    """Hold the local file `path`; the kernel lets go of it when this process ends, however it ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    _held_files.add(descriptor)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Held(where, _parse(os.pread(descriptor, 4096, 0))) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(_me(who, now())).encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        _held_files.discard(descriptor)
        os.close(descriptor)


@contextlib.contextmanager
def hold_object(
    fs: Any, path: str, where: str, who: str, lease: float = LEASE, now: Callable[[], float] = time.time
) -> Iterator[None]:
    """Hold the object `path` of an fsspec filesystem by a lease of `lease` seconds, renewed by a thread.

    Raises `Held` when it is held, and `Held` at the end when it was lost meanwhile (this process slept, or
    was cut off, for longer than the lease), because then another may have written too.
    """
    mine = {**_me(who, now()), "holder": secrets.token_hex(8)}
    _take(fs, path, where, {**mine, "renewed": now()}, lease, now)
    done = threading.Event()
    renewer = threading.Thread(target=_renew, args=(fs, path, mine, lease, now, done), daemon=True)
    renewer.start()
    try:
        yield
    finally:
        done.set()
        renewer.join()
        holder = _holder(fs, path)
        if holder.get("holder") == mine["holder"]:
            fs.rm_file(path)
    if holder.get("holder") != mine["holder"]:
        raise Held(f"{where} was taken over while {who!r} slept; it", holder)


_held_files: set[int] = set()


def _forget_after_fork() -> None:
    """A forked child must not keep its parent's lock alive after the parent is killed."""
    for descriptor in _held_files:
        os.close(descriptor)
    _held_files.clear()


os.register_at_fork(after_in_child=_forget_after_fork)


def _take(fs: Any, path: str, where: str, mine: dict[str, Any], lease: float, now: Callable[[], float]) -> None:
    if not _create(fs, path, mine):
        holder = _holder(fs, path)
        if holder and now() - holder["renewed"] <= lease:
            raise Held(where, holder)
        # Left behind. Two who see this at once both delete and both create; the second create, or the look
        # below, tells all but one of them.
        with contextlib.suppress(FileNotFoundError):
            fs.rm_file(path)
        if not _create(fs, path, mine):
            raise Held(where, _holder(fs, path))
    holder = _holder(fs, path)
    if holder.get("holder") != mine["holder"]:
        raise Held(where, holder)


def _create(fs: Any, path: str, lease: dict[str, Any]) -> bool:
    """Put the lease where none is; False where one is."""
    data = json.dumps(lease).encode()
    put = getattr(fs, "_pipe_file", fs.pipe_file)
    if "mode" not in inspect.signature(put).parameters:
        if fs.exists(path):
            return False
        fs.pipe_file(path, data)
        return True
    try:
        fs.pipe_file(path, data, mode="create")
    except OSError:  # stores differ in how they say "it is there"
        if fs.exists(path):
            return False
        raise
    return True


def _renew(
    fs: Any, path: str, mine: dict[str, Any], lease: float, now: Callable[[], float], done: threading.Event
) -> None:
    while not done.wait(lease / 4):
        with contextlib.suppress(OSError):  # a short break of the network: the next round tries again
            if _holder(fs, path).get("holder") != mine["holder"]:
                return  # lost; never write over the new holder's lease
            fs.pipe_file(path, json.dumps({**mine, "renewed": now()}).encode())


def _holder(fs: Any, path: str) -> dict[str, Any]:
    try:
        return _parse(fs.cat_file(path))
    except FileNotFoundError:
        return {}


def _parse(data: bytes) -> dict[str, Any]:
    return dict(json.loads(data)) if data else {}


def _me(who: str, since: float) -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "who": who, "since": since}


def _clock(seconds: float | None) -> str:
    return "?" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
