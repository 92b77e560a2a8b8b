"""A shard exists whole or not at all, wherever its writer dies, and the same samples give the same bytes."""

import json
import os
import pickle
import random
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shards import Dataset, DatasetInfo, Sample, Storage, StorageError, write_info, write_shard
from shards.entry import to_members
from shards.sidecar import from_parquet
from shards.tar import scan

MakeSample = Callable[..., Sample]
INFO = DatasetInfo(name="practice", code="0.1.0")


def test_a_shard_is_a_tar_and_its_sidecar(place: str, make_sample: MakeSample) -> None:
    storage = Storage.at(place)
    samples = [make_sample(n) for n in range(5)]
    info = write_shard(storage, "clips", 12, iter(samples))
    assert storage.list("shards") == ["shards/clips-000012.parquet", "shards/clips-000012.tar"]
    table, about = from_parquet(storage.read("shards/clips-000012.parquet"))
    assert (info.stem, info.num_samples) == ("clips-000012", 5)
    assert (info.bytes, info.sha256, 5) == (about.tar_bytes, about.tar_sha256, about.num_samples)
    assert info.bytes == storage.size("shards/clips-000012.tar")
    assert table["key"].to_pylist() == sorted(s.key for s in samples)


def test_members_lie_adjacent_in_order_where_the_sidecar_says(tmp_path: Path, make_sample: MakeSample) -> None:
    storage = Storage.at(tmp_path)
    samples = {s.key: s for s in (make_sample(n) for n in range(4))}
    write_shard(storage, "clips", 0, samples.values())
    data = storage.read("shards/clips-000000.tar")
    table, _ = from_parquet(storage.read("shards/clips-000000.parquet"))
    expected = [f"{key}.{name}" for key in sorted(samples) for name in ("json", "masks", "mp4", "strip.jpg")]
    assert [m.name for m in scan(tmp_path / "shards/clips-000000.tar")] == expected
    for said in table.to_pylist():
        members = to_members(samples[said["key"]])
        for name, prefix in (("json", "json"), ("masks", "masks"), ("mp4", "mp4"), ("strip.jpg", "strip")):
            start, size = said[f"{prefix}_offset"], said[f"{prefix}_size"]
            assert data[start : start + size] == members[name]


def test_order_and_run_do_not_change_a_byte(tmp_path: Path, make_sample: MakeSample) -> None:
    samples = [make_sample(n) for n in range(20)]
    written = []
    for run in range(3):
        random.Random(run).shuffle(samples)
        storage = Storage.at(tmp_path / str(run))
        info = write_shard(storage, "clips", 0, samples)
        written.append((info, storage.read("shards/clips-000000.tar"), storage.read("shards/clips-000000.parquet")))
    assert written[0] == written[1] == written[2]


def test_a_shard_needs_samples_with_a_key_each(tmp_path: Path, make_sample: MakeSample) -> None:
    storage = Storage.at(tmp_path)
    with pytest.raises(ValueError, match="shard clips-000000 has no samples"):
        write_shard(storage, "clips", 0, [])
    with pytest.raises(ValueError, match=f"has two samples {make_sample(1).key}"):
        write_shard(storage, "clips", 0, [make_sample(1), make_sample(2), make_sample(1)])
    assert storage.list("shards") == []


def test_the_info_is_written_and_read(place: str) -> None:
    storage = Storage.at(place)
    info = DatasetInfo(
        name="ä", recipe={"cutter": {"seconds": 4.0}}, models={"sam": "1"}, code="0.1.0", parent={"url": "/x"}
    )
    write_info(storage, info)
    assert json.loads(storage.read("dataset.json"))["schema"] == 1
    assert Dataset.open(place).info == info


def test_a_disk_that_is_full_midway_leaves_a_readable_dataset(tmp_path: Path, make_sample: MakeSample) -> None:
    storage = Storage.at(tmp_path)
    write_info(storage, INFO)
    write_shard(storage, "clips", 0, [make_sample(0)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(StorageError, match=r"cannot write .*/shards/clips-000001\.tar: "):
            write_shard(storage, "clips", 1, [make_sample(n) for n in range(9)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [s.stem for s in Dataset.open(tmp_path).shards] == ["clips-000000"]
    assert sorted(p.name for p in (tmp_path / "shards").iterdir()) == ["clips-000000.parquet", "clips-000000.tar"]


_KILLED = """
import itertools, os, pickle, resource, signal, sys
from shards import Dataset, Storage, write_shard

folder, sample_file, kind = sys.argv[1:]
samples = pickle.load(open(sample_file, "rb"))
storage = Storage.at(folder)

def die_at_byte(limit):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # the kernel kills at the first byte past the limit
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

def die_at_event(number):
    seen = 0
    def hook(event, arguments):
        nonlocal seen
        if event in ("open", "os.rename", "os.remove", "os.mkdir") and folder in str(arguments):
            seen += 1
            if seen > number:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

deaths = 0
for limit in (itertools.count() if kind == "event" else [*range(0, 30_000, 1531), 511, 512, 513, 30_720]):
    child = os.fork()
    if not child:
        (die_at_event if kind == "event" else die_at_byte)(limit)
        write_shard(storage, "clips", 1, samples)
        os._exit(0)
    died = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) < 0
    dataset = Dataset.open(folder)
    assert [s.stem for s in dataset.shards] in (["clips-000000"], ["clips-000000", "clips-000001"]), limit
    assert died or len(dataset.shards) == 2, limit
    assert len(list(dataset)) == sum(s.num_samples for s in dataset.shards)  # each can be read
    with storage.lock("next"):
        pass
    names = sorted(p.name for p in (dataset.storage.local_path("shards")).iterdir())
    assert not any(name.endswith(".aside") for name in names), names
    for path in storage.list("shards"):
        if "000001" in path:
            storage.remove(path)
    deaths += died
    if kind == "event" and not died:  # there are no more steps to die at
        break
print(deaths)
"""


@pytest.mark.parametrize("kind", ["byte", "event"])
def test_a_writer_killed_anywhere_leaves_a_readable_dataset(tmp_path: Path, make_sample: MakeSample, kind: str) -> None:
    """Killed by the kernel at a byte of a file, or at one of its steps (open, rename, remove, mkdir)."""
    storage = Storage.at(tmp_path / "data")
    write_info(storage, INFO)
    write_shard(storage, "clips", 0, [make_sample(0)])
    (tmp_path / "samples").write_bytes(pickle.dumps([make_sample(n) for n in range(1, 7)]))
    command = [sys.executable, "-c", _KILLED, str(tmp_path / "data"), str(tmp_path / "samples"), kind]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 5
