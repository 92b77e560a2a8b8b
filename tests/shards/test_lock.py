"""One writer a dataset: the second is told who the first is, and a killed first does not block for ever."""

import itertools
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from shards.lock import Held, hold_object
from shards.storage import Storage


def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.01)


def test_the_second_writer_is_told_who_the_first_is(place: str) -> None:
    storage = Storage.at(place)
    with storage.lock("build A", now=lambda: 0.0), pytest.raises(Held) as told:
        storage.lock("build B", now=lambda: 1.0).__enter__()
    held = told.value
    assert (held.pid, held.who, held.since) == (os.getpid(), "build A", 0.0)
    assert f"{storage.url} is being written by 'build A'" in str(held)
    assert f"pid {os.getpid()}, since 1970-01-01T00:00:00+00:00" in str(held)
    again = pickle.loads(pickle.dumps(held))
    assert (str(again), again.holder) == (str(held), held.holder)


def test_a_lock_let_go_is_free(place: str) -> None:
    storage = Storage.at(place)
    with storage.lock("one"):
        pass
    with pytest.raises(KeyError), storage.lock("two"):
        raise KeyError
    with storage.lock("three"):
        pass


_HOLDER = """
import os, sys, time
from shards.storage import Storage
with Storage.at(sys.argv[1]).lock("killed", lease=float(sys.argv[2])):
    lives, tells = os.pipe()
    child = os.fork() if sys.argv[3] == "fork" else 0
    if child:
        os.read(lives, 1)
    elif sys.argv[3] == "fork":
        os.write(tells, b"!")
    if child or sys.argv[3] != "fork":
        print(os.getpid(), child, flush=True)
    time.sleep(600)
"""


def _killed_holder(url: str, *, lease: float = 60.0, fork: bool = False) -> int:
    """Let another process take the lock, then kill it; returns the pid of its child, which lives on (0: none)."""
    command = [sys.executable, "-c", _HOLDER, url, str(lease), "fork" if fork else ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        pid, child = map(int, holder.stdout.readline().split())
        with pytest.raises(Held, match=f"pid {pid}"):
            Storage.at(url).lock("me").__enter__()
        holder.kill()
        if not fork:
            holder.wait()
        else:
            os.waitpid(pid, 0)
            holder.returncode = -signal.SIGKILL
            holder.stdout.close()
    return child


def test_a_killed_process_frees_a_local_lock(tmp_path: Path) -> None:
    _killed_holder(str(tmp_path))
    with Storage.at(tmp_path).lock("me"):
        pass


def test_a_killed_process_frees_a_local_lock_although_its_forked_child_lives(tmp_path: Path) -> None:
    child = _killed_holder(str(tmp_path), fork=True)
    try:
        os.kill(child, 0)
        with Storage.at(tmp_path).lock("me"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_killed_process_frees_an_s3_lock_after_its_lease(s3: str) -> None:
    lease = 1.0
    _killed_holder(s3, lease=lease)
    storage = Storage.at(s3)
    left = json.loads(storage.read("dataset.lock"))
    with pytest.raises(Held):
        storage.lock("me", lease=lease, now=lambda: left["renewed"] + lease).__enter__()
    with storage.lock("me", lease=lease, now=lambda: left["renewed"] + lease + 0.01):
        assert json.loads(storage.read("dataset.lock"))["who"] == "me"
    assert not storage.exists("dataset.lock")


def test_a_lease_is_renewed_while_its_holder_lives() -> None:
    storage = Storage.at("memory://renewed")
    clock = [1000.0]
    with storage.lock("long build", lease=0.2, now=lambda: clock[0]):
        for _ in range(4):
            clock[0] += 0.15
            _until(lambda: json.loads(storage.read("dataset.lock"))["renewed"] == clock[0])
            with pytest.raises(Held, match="long build"):
                storage.lock("another", lease=0.2, now=lambda: clock[0]).__enter__()


def test_a_lost_lease_is_told_and_the_new_holders_stays() -> None:
    storage = Storage.at("memory://lost")
    clock = itertools.count(0.0, 100.0)
    slept = storage.lock("slept", lease=10.0, now=lambda: next(clock))
    slept.__enter__()
    with storage.lock("awake", lease=10.0, now=lambda: next(clock)):
        with pytest.raises(Held, match=r"was taken over while 'slept' slept; it is being written by 'awake'"):
            slept.__exit__(None, None, None)
        assert json.loads(storage.read("dataset.lock"))["who"] == "awake"


def _try_to_hold(url: str, name: str, results: "multiprocessing.Queue[str | None]") -> None:
    try:
        with Storage.at(url).lock(name):
            results.put(name)
            time.sleep(600)
    except Held:
        results.put(None)


def test_of_many_at_once_one_gets_the_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[str | None] = context.Queue()
    tries = [context.Process(target=_try_to_hold, args=(str(tmp_path), f"w{i}", results)) for i in range(3)]
    for process in tries:
        process.start()
    assert sum(results.get() is not None for _ in tries) == 1
    for process in tries:
        process.kill()
        process.join()


class _PlainStore:
    """An object store that has no conditional create."""

    def __init__(self) -> None:
        self.memory = fsspec.filesystem("memory")

    def pipe_file(self, path: str, value: bytes) -> None:
        self.memory.pipe_file(path, value)

    def __getattr__(self, name: str) -> object:
        return getattr(self.memory, name)


def test_a_store_without_conditional_create_is_locked_too() -> None:
    store = _PlainStore()
    with hold_object(store, "/plain/lock", "plain", "one"), pytest.raises(Held, match="'one'"):
        hold_object(store, "/plain/lock", "plain", "two").__enter__()
    with hold_object(store, "/plain/lock", "plain", "two"):
        pass
