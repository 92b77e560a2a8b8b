"""A dataset gives back its samples by row, key, range and iteration, reading no more than they need."""

import itertools
import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from shards import Dataset, DatasetInfo, Missing, Sample, Storage, sidecar, verdict, write_info, write_shard
from shards.dataset import AHEAD, ALWAYS
from shards.entry import to_members

MakeSample = Callable[..., Sample]


def _write(url: str | Path, samples: list[Sample], per_shard: int = 4) -> list[Sample]:
    """Write `samples`; returns them in the dataset's order."""
    storage = Storage.at(url)
    write_info(storage, DatasetInfo(name="practice", code="0.1.0"))
    parts = [samples[n : n + per_shard] for n in range(0, len(samples), per_shard)]
    for number, part in enumerate(parts):
        write_shard(storage, "clips", number, part)
    return [sample for part in parts for sample in sorted(part, key=lambda s: s.key)]


def test_samples_come_back_by_row_key_range_and_iteration(place: str, make_sample: MakeSample) -> None:
    samples = _write(place, [make_sample(n) for n in range(10)])
    dataset = Dataset.open(place)
    assert len(dataset) == 10
    assert [(s.stem, s.num_samples) for s in dataset.shards] == [
        ("clips-000000", 4),
        ("clips-000001", 4),
        ("clips-000002", 2),
    ]
    assert list(dataset) == samples
    assert [dataset[row] for row in (0, 5, 9, -1)] == [samples[row] for row in (0, 5, 9, -1)]
    assert all(dataset[sample.key] == sample for sample in samples)
    assert dataset.raw(7) == to_members(samples[7])
    view = dataset[3:9][1:5:2]
    assert (len(view), list(view)) == (2, [samples[4], samples[6]])
    assert view.raw(1) == to_members(samples[6])
    assert list(dataset.rows([8, 2])) == [samples[8], samples[2]]


def test_the_index_is_all_sidecars_and_the_shard(place: str, make_sample: MakeSample) -> None:
    samples = _write(place, [make_sample(n) for n in range(6)])
    index = Dataset.open(place).index
    assert index["key"].to_pylist() == [s.key for s in samples]
    assert index["shard"].to_pylist() == ["clips-000000"] * 4 + ["clips-000001"] * 2


def test_an_index_of_few_columns_reads_the_same_samples(place: str, make_sample: MakeSample) -> None:
    samples = _write(place, [make_sample(n) for n in range(6)])
    dataset = Dataset.open(place, columns=["caption", "subject"])
    assert dataset.index.column_names == [*ALWAYS, "caption", "subject", "shard"]
    assert list(dataset) == samples
    again = pickle.loads(pickle.dumps(dataset))
    assert again.index.equals(dataset.index)
    with pytest.raises(ValueError, match="sidecars have no column colour; they have key, json_offset"):
        Dataset.open(place, columns=["caption", "colour"])


def test_unknown_rows_and_keys_are_told(tmp_path: Path, make_sample: MakeSample) -> None:
    _write(tmp_path, [make_sample(0)])
    dataset = Dataset.open(tmp_path)
    with pytest.raises(IndexError):
        dataset[1]
    with pytest.raises(KeyError):
        dataset["ffff"]


def test_no_dataset_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is not a dataset: it has no dataset\.json; check the path"):
        Dataset.open(tmp_path / "nowhere")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"schema":1}', '{"schema":"x"}'])
def test_a_damaged_info_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(ValueError, match=r"dataset\.json is damaged"):
        Dataset.open(tmp_path)


def test_a_newer_format_is_told(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text('{"schema":2}')
    with pytest.raises(ValueError, match=r"is of format 2, this code reads up to 1; update it"):
        Dataset.open(tmp_path)


def test_a_sidecar_that_contradicts_itself_is_told(tmp_path: Path, make_sample: MakeSample) -> None:
    _write(tmp_path, [make_sample(n) for n in range(3)])
    path = tmp_path / "shards/clips-000000.parquet"
    table, about = sidecar.from_parquet(path.read_bytes())
    path.write_bytes(sidecar.to_parquet(table.to_pylist()[:2], about))
    with pytest.raises(ValueError, match=r"clips-000000\.parquet is damaged \(2 rows for 3 samples\)"):
        Dataset.open(tmp_path)


def test_a_dataset_without_shards_is_empty(place: str) -> None:
    write_info(Storage.at(place), DatasetInfo(name="new", code="0.1.0"))
    dataset = Dataset.open(place)
    assert (len(dataset), list(dataset), dataset.index.num_rows, len(dataset[0:5])) == (0, [], 0, 0)


def test_a_tar_without_sidecar_is_no_shard_yet(tmp_path: Path, make_sample: MakeSample) -> None:
    samples = _write(tmp_path, [make_sample(n) for n in range(8)])
    opened = Dataset.open(tmp_path)
    (tmp_path / "shards/clips-000001.parquet").unlink()
    assert len(Dataset.open(tmp_path)) == 4
    assert list(opened) == samples  # what was open stays as it was


def test_a_tar_that_ends_early_is_told(place: str, make_sample: MakeSample) -> None:
    _write(place, [make_sample(n) for n in range(2)])
    storage = Storage.at(place)
    data = storage.read("shards/clips-000000.tar")
    storage.write("shards/clips-000000.tar", data[:6000])
    with pytest.raises(ValueError, match=r"shards/clips-000000\.tar ends before byte \d+; fetch or write it again"):
        Dataset.open(place).raw(1)


def test_a_tar_that_went_is_told(place: str, make_sample: MakeSample) -> None:
    _write(place, [make_sample(0)])
    dataset = Dataset.open(place)
    dataset.storage.remove("shards/clips-000000.tar")
    with pytest.raises(Missing, match=r"shards/clips-000000\.tar: there is no such file"):
        dataset.raw(0)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, make_sample: MakeSample) -> tuple[Path, list[Sample]]:
    """More shards than files are kept open, a sample in each."""
    folder = tmp_path_factory.mktemp("many")
    return folder, _write(folder, [make_sample(n) for n in range(140)], per_shard=1)


def test_reading_a_sample_opens_no_file_twice(many: tuple[Path, list[Sample]]) -> None:
    dataset = Dataset.open(many[0])
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for row in (*range(140), *range(140)):
        dataset.raw(row)
    assert len(os.listdir("/proc/self/fd")) - before == 128  # noqa: PTH208
    del dataset
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_threads_may_read_at_once(many: tuple[Path, list[Sample]]) -> None:
    dataset, samples = Dataset.open(many[0]), many[1]
    rows = [n * 37 % 140 for n in range(1400)]
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda row: dataset.raw(row)["mp4"] == samples[row].video, rows))


def test_a_dataset_travels_as_it_was(place: str, make_sample: MakeSample) -> None:
    samples = _write(place, [make_sample(n) for n in range(5)])
    dataset = Dataset.open(place)
    data = pickle.dumps(dataset)
    assert len(data) < 1000
    write_shard(dataset.storage, "clips", 9, [make_sample(99)])
    again = pickle.loads(data)
    assert list(again) == samples
    assert again.info == dataset.info
    assert list(pickle.loads(pickle.dumps(dataset[1:3]))) == samples[1:3]


def _is(dataset: Dataset, row: int, sample: Sample) -> None:
    os._exit(0 if dataset[row] == sample else 1)


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.parametrize("where", ["tmp_path", "s3"])
def test_a_dataset_is_read_after_a_fork(request: pytest.FixtureRequest, make_sample: MakeSample, where: str) -> None:
    url = str(request.getfixturevalue(where))
    samples = _write(url, [make_sample(n) for n in range(3)])
    dataset = Dataset.open(url)
    assert dataset[0] == samples[0]
    children = [
        multiprocessing.get_context("fork").Process(target=_is, args=(dataset, row, samples[row])) for row in range(2)
    ]
    for child in children:
        child.start()
    assert dataset[1] == samples[1]
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0]


def test_only_what_is_asked_for_is_fetched(s3: str, wire: Any, make_sample: MakeSample) -> None:
    """Bytes that come over the wire: sidecars to open, one sample's bytes for a sample, never a whole tar."""
    videos = [bytes([n]) * 400_000 for n in range(12)]
    samples = _write(s3, [make_sample(n, video=video) for n, video in enumerate(videos)], per_shard=4)
    storage = Storage.at(s3)
    sidecars = sum(storage.size(path) for path in storage.list("shards", ".parquet"))

    def fetched(read: Callable[[], object]) -> int:
        before = wire.received
        read()
        return int(wire.received - before)

    answers = 2_000  # bytes of HTTP around one answer, generously
    opened: list[Dataset] = []
    assert fetched(lambda: opened.append(Dataset.open(s3))) < sidecars + 8 * answers
    (dataset,) = opened
    one = sum(map(len, to_members(samples[0]).values()))
    assert fetched(lambda: len(dataset)) == 0
    assert fetched(lambda: dataset.index.num_rows) == 0
    assert one <= fetched(lambda: dataset.raw(0)) < one + 4 * 512 + answers
    assert one <= fetched(lambda: dataset[samples[9].key]) < one + 4 * 512 + answers
    assert fetched(lambda: dataset[2:6]) == 0
    assert 4 * one - 100 <= fetched(lambda: list(dataset[2:6])) < 4 * (one + 4 * 512 + answers)
    assert list(dataset) == samples


def test_iteration_over_s3_reads_ahead_and_keeps_the_order(s3: str, make_sample: MakeSample) -> None:
    """The first samples are read all at once and come back last first; never are more on their way."""
    together = threading.Barrier(AHEAD)
    back = [threading.Event() for _ in range(AHEAD)]
    begun: list[int] = []

    class Watched(Dataset):
        def raw(self, row: int, *, strip: bool = True) -> dict[str, bytes]:
            begun.append(row)
            if row < AHEAD:
                together.wait(60)
            members = super().raw(row, strip=strip)
            if row < AHEAD:
                assert row == AHEAD - 1 or back[row + 1].wait(60)
                back[row].set()
            return members

    samples = _write(s3, [make_sample(n) for n in range(3 * AHEAD)])
    dataset = Watched.open(s3)
    for taken, (expected, sample) in enumerate(zip(samples, dataset, strict=True)):
        assert sample == expected
        assert len(begun) <= taken + AHEAD
    assert list(dataset[AHEAD::3]) == samples[AHEAD::3]


def test_iteration_that_is_given_up_stops_reading(s3: str, make_sample: MakeSample) -> None:
    begun: list[int] = []

    class Watched(Dataset):
        def raw(self, row: int, *, strip: bool = True) -> dict[str, bytes]:
            begun.append(row)
            return super().raw(row, strip=strip)

    _write(s3, [make_sample(n) for n in range(3 * AHEAD)])
    coming = iter(Watched.open(s3))
    next(coming)
    del coming
    assert sorted(begun) == list(range(AHEAD))


@pytest.mark.parametrize("where", ["tmp_path", "s3"])
def test_a_sample_that_cannot_be_read_is_told_in_its_turn(
    request: pytest.FixtureRequest, make_sample: MakeSample, where: str
) -> None:
    url = str(request.getfixturevalue(where))
    samples = _write(url, [make_sample(n) for n in range(10)], per_shard=4)
    dataset = Dataset.open(url)
    dataset.storage.remove("shards/clips-000001.tar")
    coming = iter(dataset)
    assert list(itertools.islice(coming, 4)) == samples[:4]
    with pytest.raises(Missing, match=r"shards/clips-000001\.tar: there is no such file"):
        next(coming)
    with pytest.raises(IndexError):
        list(dataset.rows([0, 10]))


def test_s3_may_be_read_from_threads(s3: str, make_sample: MakeSample) -> None:
    samples = _write(s3, [make_sample(n) for n in range(8)])
    dataset = Dataset.open(s3)
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(dataset.__getitem__, range(8))) == samples


def test_decisions_lie_over_the_samples(place: str, make_sample: MakeSample) -> None:
    samples = _write(place, [make_sample(n) for n in range(3)])
    dataset = Dataset.open(place)
    digests = dataset.index["sha256"].to_pylist()
    dataset.verdicts().append(
        verdict("ann", samples[0].key, digests[0], "accept"),
        verdict("ann", samples[1].key, "of another content", "reject"),
    )
    assert {key: decision.accepted for key, decision in dataset.decisions().items()} == {samples[0].key: True}
