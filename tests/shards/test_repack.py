"""New versions of a dataset: what is taken, in which shards, the same bytes again, and after a kill."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc
import pytest

from shards import select
from shards.dataset import Dataset
from shards.entry import to_members
from shards.repack import Settings, plan, repack
from shards.storage import Held, Storage
from shards.verdicts import verdict
from shards.verify import verify
from tests.shards.filmed import filmed, key, write_dataset


@pytest.fixture
def parent(tmp_path: Path) -> Dataset:
    """Samples 0-11 in two shards."""
    folder = tmp_path / "parent"
    return Dataset.open(write_dataset(folder, [filmed(n) for n in range(7)], [filmed(n) for n in range(7, 12)]).url)


def made(parent: Dataset, folder: Path, settings: Settings) -> Dataset:
    repack(parent, Storage.at(folder), settings, code="1")
    return Dataset.open(folder)


def keys(dataset: Dataset) -> list[str]:
    return [dataset.key_of(row) for row in range(len(dataset))]


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every file but the lock, by path."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "dataset.lock"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


SMALL = Settings(shard_bytes=40_000)


def test_everything_taken_is_everything_unchanged(parent: Dataset, tmp_path: Path) -> None:
    new = made(parent, tmp_path / "new", Settings())
    assert sorted(keys(new)) == sorted(keys(parent))
    assert len(new.shards) == 1
    for sample in parent:
        assert to_members(new[sample.key]) == to_members(sample)
    assert verify(new.storage).violations == ()


def test_the_new_dataset_says_where_it_is_from(parent: Dataset, tmp_path: Path) -> None:
    settings = Settings(name="fewer", where="subject = 'dog'", shard_bytes=1_000_000)
    new = made(parent, tmp_path / "new", settings)
    said = new.info.parent
    assert said is not None
    assert (said["url"], said["name"]) == (parent.storage.url, "practice")
    assert said["settings"]["where"] == "subject = 'dog'"
    assert (new.info.name, new.info.recipe, new.info.models) == ("fewer", parent.info.recipe, parent.info.models)
    assert [shard.stem for shard in new.shards] == ["fewer-000000"]
    assert set(keys(new)) == {key(n) for n in (0, 3, 6, 9)}
    assert new[0].provenance == parent[keys(new)[0]].provenance
    other = made(Dataset.open(new.storage.url), tmp_path / "newer", Settings())
    assert other.info.parent is not None
    assert other.info.parent["digest"] != said["digest"]


def test_shards_are_filled_up_to_the_size_that_is_asked_for(parent: Dataset, tmp_path: Path) -> None:
    new = made(parent, tmp_path / "new", SMALL)
    assert sorted(keys(new)) == sorted(keys(parent))
    assert len(new.shards) > 2
    assert all(shard.bytes <= 40_000 + 20_480 for shard in new.shards)  # a tar ends in zeros, up to two records
    assert made(parent, tmp_path / "one", Settings(shard_bytes=1)).shards[-1].num_samples == 1


def test_a_shuffle_mixes_the_samples_over_the_shards(parent: Dataset, tmp_path: Path) -> None:
    straight = made(parent, tmp_path / "straight", SMALL)
    one = made(parent, tmp_path / "one", replace(SMALL, shuffle=1))
    two = made(parent, tmp_path / "two", replace(SMALL, shuffle=2))
    members = [[set(d.index.filter(_is(d, s.stem))["key"].to_pylist()) for s in d.shards] for d in (straight, one, two)]
    assert members[0] != members[1] != members[2]
    assert [set().union(*shards) for shards in members] == [set(keys(parent))] * 3
    assert verify(one.storage).violations == ()


def _is(dataset: Dataset, stem: str) -> object:
    return pc.equal(dataset.index["shard"], stem)


def test_the_same_command_gives_the_same_bytes(parent: Dataset, tmp_path: Path) -> None:
    settings = Settings(shuffle=3, max_per_class=2, seed=4, shard_bytes=40_000, where='"motion.shift" >= 0.01')
    for name in ("a", "b"):
        made(parent, tmp_path / name, settings)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert len(digests(tmp_path / "a")) > 3


def decide(parent: Dataset) -> None:
    sha = dict(zip(parent.index["key"].to_pylist(), parent.index["sha256"].to_pylist(), strict=True))
    parent.verdicts().append(
        verdict("ann", key(0), sha[key(0)], "reject"),
        verdict("ann", key(1), sha[key(1)], "rename_subject", "wolf"),
        verdict("ann", key(2), sha[key(2)], "edit_caption", "by hand"),
        verdict("ann", key(3), sha[key(3)], "drop_track", 1),
        verdict("ann", key(4), sha[key(4)], "drop_track", 1),
        verdict("ann", key(4), sha[key(4)], "drop_track", 2),
        verdict("ann", key(5), "of other content", "reject"),
    )


def test_verdicts_are_written_in(parent: Dataset, tmp_path: Path) -> None:
    decide(parent)
    new = made(parent, tmp_path / "new", Settings())
    assert set(keys(new)) == {key(n) for n in range(12)} - {key(0), key(4)}
    assert (new[key(1)].subject, new[key(1)].tracks[0].noun) == ("wolf", "wolf")
    assert (new[key(2)].caption, new[key(2)].provenance["caption_by"]) == ("by hand", "review")
    assert (new[key(3)].subject, [track.id for track in new[key(3)].tracks]) == ("ball", [2])
    assert to_members(new[key(5)]) == to_members(parent[key(5)])
    assert new.decisions() == {}
    assert verify(new.storage).violations == ()


def test_verdicts_can_be_ignored(parent: Dataset, tmp_path: Path) -> None:
    decide(parent)
    new = made(parent, tmp_path / "new", Settings(ignore_verdicts=True))
    assert all(to_members(new[sample.key]) == to_members(sample) for sample in parent)


def test_a_verdict_that_came_meanwhile_makes_it_another_dataset(parent: Dataset, tmp_path: Path) -> None:
    made(parent, tmp_path / "new", Settings())
    decide(parent)
    with pytest.raises(ValueError, match=r"differs in parent\.verdicts; name a new folder"):
        made(parent, tmp_path / "new", Settings())


def test_a_folder_with_something_else_is_refused_and_left_alone(parent: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "me.jpg").write_bytes(b"?")
    with pytest.raises(ValueError, match="not empty"):
        made(parent, folder, Settings())
    assert [path.name for path in folder.iterdir()] == ["me.jpg"]
    before = digests(Path(parent.storage.url))
    with pytest.raises(ValueError, match="another dataset"):
        made(parent, Path(parent.storage.url), Settings())
    made(parent, tmp_path / "new", Settings())
    with pytest.raises(ValueError, match=r"differs in parent\.settings\.shuffle"):
        made(parent, tmp_path / "new", Settings(shuffle=1))
    assert digests(Path(parent.storage.url)) == before


def test_one_writer_at_a_time(parent: Dataset, tmp_path: Path) -> None:
    out = Storage.at(tmp_path / "new")
    with out.lock("somebody"), pytest.raises(Held, match="somebody"):
        repack(parent, out, Settings(), code="1")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (Settings(where="nonesuch"), "nonesuch"),
        (Settings(shard_bytes=0), "give 1 or more"),
        (Settings(max_per_class=0), "give 1 or more"),
    ],
)
def test_wrong_settings_write_nothing(parent: Dataset, tmp_path: Path, settings: Settings, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        made(parent, tmp_path / "new", settings)
    assert not (tmp_path / "new").exists()


def test_nothing_chosen_is_a_dataset_without_shards(parent: Dataset, tmp_path: Path) -> None:
    new = made(parent, tmp_path / "new", Settings(where="false"))
    assert (len(new), new.shards) == (0, [])


def test_an_object_store_gets_the_same_shards(parent: Dataset, tmp_path: Path) -> None:
    made(parent, tmp_path / "new", SMALL)
    remote = Storage.at("memory://repack/new")
    for _ in range(2):
        repack(parent, remote, SMALL, code="1")
    local = Storage.at(tmp_path / "new")
    assert remote.list("shards") == local.list("shards")
    assert all(remote.read(path) == local.read(path) for path in local.list("shards"))


def test_finishing_a_half_done_one_gives_the_same_bytes(parent: Dataset, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    number = len(made(parent, whole, SMALL).shards)
    expected = digests(whole)
    half = tmp_path / "half"
    half.mkdir()
    for name in (
        "dataset.json",
        "shards/practice-000000.tar",
        "shards/practice-000000.parquet",
        "shards/practice-000001.tar",
    ):
        Storage.at(half).write(name, (whole / name).read_bytes())
    (half / "shards/practice-000001.tar").write_bytes(b"of another run")
    seen: list[int] = []
    written = repack(parent, Storage.at(half), SMALL, code="1", on_sample=seen.append)
    assert [info is None for info in written] == [True] + [False] * (number - 1)
    assert digests(half) == expected
    assert seen == [12] * 12


KILLED = """
import sys
from shards.dataset import Dataset
from shards.repack import Settings, plan, repack
from shards.storage import Storage
repack(Dataset.open(sys.argv[1]), Storage.at(sys.argv[2]), Settings(shard_bytes=10_000), code="1",
       on_sample=lambda total: print("sample", flush=True))
"""


@pytest.mark.parametrize("after", [0, 5])
def test_a_killed_one_goes_on_to_the_same_bytes(parent: Dataset, tmp_path: Path, after: int) -> None:
    settings = Settings(shard_bytes=10_000)
    made(parent, tmp_path / "whole", settings)
    out = tmp_path / "killed"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, parent.storage.url, str(out)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        while not out.exists():
            time.sleep(0.001)
        for _ in range(after):
            assert process.stdout.readline() == "sample\n"
        os.kill(process.pid, signal.SIGKILL)
    made(parent, out, settings)
    assert digests(out) == digests(tmp_path / "whole")
    assert verify(Storage.at(out)).violations == ()


def test_every_taken_row_goes_to_one_shard_in_order(parent: Dataset) -> None:
    rows = select.select(parent.index, "subject <> 'dog'")
    shards = plan(parent, Settings(where="subject <> 'dog'", shard_bytes=25_000), {})
    assert [row for shard in shards for row in shard] == rows
    assert min(map(len, shards)) > 0
