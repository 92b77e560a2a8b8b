"""A file appears whole or not at all, on a disk and on an object store, and trouble is told in one line."""

import contextlib
import multiprocessing
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.storage import Missing, Storage, StorageError


def test_what_is_written_is_read_and_listed(place: str) -> None:
    storage = Storage.at(place)
    storage.write("shards/b.tar", b"0123456789")
    storage.write("shards/a.tar", b"")
    storage.write("shards/a.parquet", b"x")
    storage.write("shards/deep/c.tar", b"y")
    assert storage.read("shards/b.tar") == b"0123456789"
    assert storage.size("shards/b.tar") == 10
    assert storage.list("shards", ".tar") == ["shards/a.tar", "shards/b.tar"]
    assert storage.list("shards") == ["shards/a.parquet", "shards/a.tar", "shards/b.tar"]
    assert storage.list("ledger") == []
    assert storage.exists("shards/b.tar")
    assert not storage.exists("shards/c.tar")


def test_the_root_is_listed_by_the_empty_name(place: str) -> None:
    storage = Storage.at(place)
    assert storage.list("") == []
    storage.write("dataset.json", b"{}")
    assert storage.list("", ".json") == ["dataset.json"]


@given(data=st.binary(max_size=60), start=st.integers(0, 70), length=st.integers(1, 70))
@settings(max_examples=40, deadline=None)
def test_a_range_is_a_slice(data: bytes, start: int, length: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        storage = Storage.at(folder)
        storage.write("x", data)
        assert storage.read_range("x", start, start + length) == data[start : start + length]


def test_a_range_of_an_object_is_a_slice(place: str) -> None:
    storage = Storage.at(place)
    storage.write("x", bytes(range(100)))
    assert storage.read_range("x", 3, 9) == bytes(range(3, 9))
    assert storage.read_range("x", 90, 200) == bytes(range(90, 100))


def test_writing_replaces(place: str) -> None:
    storage = Storage.at(place)
    storage.write("x", b"old, and longer")
    storage.write("x", b"new")
    assert storage.read("x") == b"new"
    assert storage.size("x") == 3


def test_removing_twice_is_removing(place: str) -> None:
    storage = Storage.at(place)
    storage.write("a/x", b"1")
    storage.remove("a/x")
    storage.remove("a/x")
    assert not storage.exists("a/x")


def test_a_stream_appears_at_its_end_and_can_be_read_back_before(place: str) -> None:
    storage = Storage.at(place)
    with storage.writer("a/x") as stream:
        stream.write(b"abc" * 50_000)
        assert not storage.exists("a/x")
        assert storage.list("a") == []
        stream.seek(3)
        assert stream.read(3) == b"abc"
    assert storage.read("a/x") == b"abc" * 50_000


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _fail_after_half(storage: Storage, path: str) -> None:
    with contextlib.suppress(KeyError), storage.writer(path) as stream:
        stream.write(b"half")
        raise KeyError


def test_nothing_appears_when_the_body_raises(place: str) -> None:
    storage = Storage.at(place)
    storage.write("a/x", b"old")
    _fail_after_half(storage, "a/x")
    assert storage.read("a/x") == b"old"
    if storage.is_local:
        assert _names(Path(place, "a")) == ["x"]  # nothing aside either


def test_the_bodys_own_trouble_is_not_the_storages(place: str) -> None:
    with pytest.raises(FileNotFoundError), Storage.at(place).writer("a/x"):
        Path("/nowhere/at/all").read_bytes()


def test_a_missing_file_is_named(place: str) -> None:
    storage = Storage.at(place)
    for read in (storage.read, storage.size, lambda path: storage.read_range(path, 0, 5)):
        with pytest.raises(Missing, match=r"shards/x\.tar: there is no such file; check the path"):
            read("shards/x.tar")


def test_a_storage_travels(place: str) -> None:
    storage = Storage.at(place)
    storage.write("x", b"1")
    assert pickle.loads(pickle.dumps(storage)) == storage
    assert pickle.loads(pickle.dumps(storage)).read("x") == b"1"


def test_local_paths_are_known(tmp_path: Path) -> None:
    assert Storage.at(tmp_path).local_path("a/b") == tmp_path / "a/b"
    assert Storage.at(f"file://{tmp_path}") == Storage.at(tmp_path)
    assert Storage.at("memory://x").local_path("a") is None


def test_an_unknown_protocol_is_told() -> None:
    with pytest.raises(StorageError, match=r"cannot open nosuch://x: Protocol not known"):
        Storage.at("nosuch://x")


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=r"a part of the path is a file"):
        Storage.at(tmp_path / "file").write("x/y", b"")


@contextlib.contextmanager
def _not_root() -> Iterator[None]:
    """Permissions do not bind root, so be nobody for a while."""
    before = os.geteuid()
    os.seteuid(65534 if before == 0 else before)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_folder_without_permission_is_told() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        with _not_root(), pytest.raises(StorageError, match=r"cannot write .*/x: permission denied; give yourself"):
            Storage.at(folder).write("x", b"")
        Path(folder).chmod(0o755)


@contextlib.contextmanager
def _tmpfs(folder: Path, options: str) -> Iterator[None]:
    """A small filesystem of its own; needs root."""
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no filesystem can be mounted here: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_told_and_leaves_the_old_file(tmp_path: Path) -> None:
    with _tmpfs(tmp_path, "size=64k"):
        storage = Storage.at(tmp_path)
        storage.write("x", b"old")
        with pytest.raises(StorageError, match=r"cannot write .*/x: the disk is full; free some space"):
            storage.write("x", bytes(200_000))
        with pytest.raises(StorageError, match=r"the disk is full"), storage.writer("y") as stream:
            stream.writelines(bytes(5000) for _ in range(100))
        assert storage.read("x") == b"old"
        assert _names(tmp_path) == ["x"]


def test_a_read_only_disk_is_told(tmp_path: Path) -> None:
    with _tmpfs(tmp_path, "ro"):
        with pytest.raises(StorageError, match=r"the place is read-only; choose another"):
            Storage.at(tmp_path).write("x", b"1")
        with pytest.raises(StorageError, match=r"cannot lock .*: the place is read-only"):
            Storage.at(tmp_path).lock("me").__enter__()


@contextlib.contextmanager
def _files_up_to(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [0, 1, 4096, 99_999])
def test_a_write_that_finds_no_room_leaves_nothing(tmp_path: Path, limit: int) -> None:
    storage = Storage.at(tmp_path)
    with pytest.raises(StorageError, match=r"limit for one file"), _files_up_to(limit):
        storage.write("x", bytes(100_000))
    assert _names(tmp_path) == []
    storage.write("x", bytes(100_000))
    assert storage.size("x") == 100_000


def test_what_dead_writers_left_is_swept_and_what_is_being_written_stays(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    left = tmp_path / "shards" / ".x.tar.0123456789ab.aside"
    left.parent.mkdir()
    left.write_bytes(b"half")
    with storage.writer("shards/y.tar") as stream:
        stream.write(b"whole")
        assert storage.list("shards") == []
        with storage.lock("build"):
            assert not left.exists()
    assert storage.list("shards") == ["shards/y.tar"]


def _write_and_read(storage: Storage, path: str) -> None:
    storage.write(path, b"child")


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_store_opened_before_a_fork_works_after_it(s3: str) -> None:
    storage = Storage.at(s3)
    storage.write("parent", b"parent")
    child = multiprocessing.get_context("fork").Process(target=_write_and_read, args=(storage, "child"))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert storage.read("child") == b"child"


def test_s3_behaves_like_a_folder(s3: str) -> None:
    storage = Storage.at(s3)
    assert storage.list("shards") == []
    with storage.writer("shards/b.tar") as stream:
        stream.write(bytes(range(200)))
        assert not storage.exists("shards/b.tar")
    storage.write("shards/a.tar", b"x")
    assert storage.list("shards", ".tar") == ["shards/a.tar", "shards/b.tar"]
    assert storage.read_range("shards/b.tar", 5, 9) == bytes(range(5, 9))
    storage.remove("shards/a.tar")
    assert storage.list("shards") == ["shards/b.tar"]
    with pytest.raises(Missing, match=r"s3://bucket/.*/nothing: there is no such file"):
        storage.read("nothing")
    _fail_after_half(storage, "shards/c.tar")
    assert not storage.exists("shards/c.tar")


def test_a_missing_bucket_is_told(s3: str) -> None:  # noqa: ARG001  the server must be up
    with pytest.raises(StorageError, match=r"cannot write s3://nobucket/x/y: .*; make it first"):
        Storage.at("s3://nobucket/x").write("y", b"1")
    with pytest.raises(StorageError, match=r"cannot lock s3://nobucket/x/dataset\.lock: "):
        Storage.at("s3://nobucket/x").lock("me").__enter__()


def test_missing_credentials_are_told(s3: str) -> None:
    told = f"""
from shards.storage import Storage, StorageError
try:
    Storage.at({s3!r}).read("x")
except StorageError as error:
    print(error)
"""
    nobody = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nobody |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "", "AWS_SHARED_CREDENTIALS_FILE": ""}
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, env=nobody)
    assert done.stdout == f"cannot read {s3}/x: Unable to locate credentials\n", done.stderr


class _Plain(SimpleHTTPRequestHandler):
    """Python's own web server knows no byte ranges."""

    def log_message(self, *_: object) -> None:
        """Quiet."""


def test_a_web_server_without_ranges_is_read_too(tmp_path: Path) -> None:
    local = Storage.at(tmp_path)
    local.write("shards/a.tar", bytes(range(100)))
    local.write("shards/b.tar", b"b")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Plain, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        storage = Storage.at(f"http://127.0.0.1:{server.server_address[1]}")
        assert storage.list("shards", ".tar") == ["shards/a.tar", "shards/b.tar"]
        assert storage.read_range("shards/a.tar", 10, 20) == bytes(range(10, 20))
        assert list(storage.read_many(["shards/b.tar", "shards/a.tar"])) == [b"b", bytes(range(100))]
        assert not storage.exists("shards/c.tar")
        server.shutdown()
