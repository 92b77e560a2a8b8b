"""Clips that were given up get another try when somebody asks; how a build stands can be asked from outside."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from pipeline.build import Watch
from pipeline.recipe import Recipe, load_recipe
from pipeline.records import Captioned, Encoded, Rejected
from pipeline.run import build, summarise
from pipeline.run_log import FOLDER, latest, moments, runs
from pipeline.runners.local import local
from pipeline.stages.annotate import Captioner
from pipeline.status import status
from shards import Dataset, Storage, ledger
from shards.verify import verify
from tests.pipeline.test_build import SHORT, digests


class Moody(Captioner):
    """Raises on one clip in three, as long as the file says so; calls are counted beside it."""

    name: ClassVar[str] = "captioner"
    outside: ClassVar[frozenset[str]] = frozenset({"needs", "mood"})
    mood: str

    def open(self) -> Callable[[Sequence[Encoded]], list[Captioned | Rejected]]:
        steady = super().open()

        def answer(batch: Sequence[Encoded]) -> list[Captioned | Rejected]:
            with open(f"{self.mood}.calls", "a") as calls:
                calls.writelines(f"{record.key}\n" for record in batch)
            if Path(self.mood).exists() and any(int(record.key, 16) % 3 == 0 for record in batch):
                raise ZeroDivisionError("one of you")
            return steady(batch)

        return answer


@pytest.fixture
def mood(tmp_path: Path) -> Path:
    path = tmp_path / "bad-mood"
    path.touch()
    return path


@pytest.fixture
def moody(mood: Path) -> Recipe:
    return load_recipe("embedded", SHORT).model_copy(update={"captioner": Moody(mood=str(mood), model=None)})


def test_what_failed_is_tried_again_in_a_shard_of_its_own(
    world_folder: Path, moody: Recipe, mood: Path, tmp_path: Path
) -> None:
    out = tmp_path / "world"
    first = build(str(world_folder), str(out), moody, local)
    failed = sum(first.failed.values())
    assert failed > 0
    before = digests(out)
    mood.unlink()
    Path(f"{mood}.calls").unlink()
    assert build(str(world_folder), str(out), moody, local) == first  # nobody asked
    again = build(str(world_folder), str(out), moody, local, retry=["failed"])
    assert again.failed == {}
    assert again.clips == first.clips == again.samples + sum(again.rejected.values())
    assert before.items() <= digests(out).items()
    calls = Path(f"{mood}.calls").read_text().split()
    assert len(calls) == failed == len(set(calls))
    keys = [sample.key for sample in Dataset.open(out)]
    assert max(Counter(keys).values()) == 1
    assert len(keys) == again.samples
    assert verify(Storage.at(out)).violations == ()
    assert build(str(world_folder), str(out), moody, local, retry=["failed", "quarantined"]) == again


def test_a_retry_that_fails_again_may_be_retried_again(
    world_folder: Path, moody: Recipe, mood: Path, tmp_path: Path
) -> None:
    out = tmp_path / "world"
    first = build(str(world_folder), str(out), moody, local)
    assert build(str(world_folder), str(out), moody, local, retry=["failed"]) == first
    mood.unlink()
    assert build(str(world_folder), str(out), moody, local, retry=["failed"]).failed == {}
    endings = ledger.endings(Storage.at(out)).values()
    assert Counter(ending.outcome for ending in endings)["failed"] == 0


def test_a_run_leaves_its_moments_in_the_dataset(world_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "world"
    summary = build(str(world_folder), str(out), load_recipe("embedded", SHORT), local)
    storage = Storage.at(out)
    (path,) = runs(storage)
    known = moments(storage, path)
    last = known[-1]
    assert known == latest(storage)
    assert last.ended == "finished"
    assert (last.begun, last.videos) == (summary.clips, summary.clips)
    assert last.kept == summary.samples
    assert last.stopped == summary.rejected
    answered = {stage["name"]: stage["answered"] for stage in last.stages}
    assert answered["cutter"] == answered["encoder"] == summary.clips
    assert answered["judge"] < summary.clips  # the screener stops some before
    assert [moment.seconds for moment in known] == sorted(moment.seconds for moment in known)
    with (out / path).open("a") as log:
        log.write(json.dumps({"at": 1})[:5])  # a crash in the middle of a line
    assert moments(storage, path) == known
    assert path.startswith(f"{FOLDER}/")


def test_status_says_how_a_build_stands(world_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "world"
    summary = build(str(world_folder), str(out), load_recipe("embedded", SHORT), local)
    text = status(str(out))
    assert f"{summary.clips} clips = {summary.samples} samples" in text
    assert "0 planned videos in unfinished shards" in text
    assert "latest run: ended, finished" in text
    assert "workers of shared: 1 up" in text
    with pytest.raises(ValueError, match="no dataset"):
        status(str(tmp_path / "nothing"))


def test_a_summary_has_room_for_every_outcome(tmp_path: Path) -> None:
    assert summarise(Storage.at(tmp_path)).clips == 0


def test_a_build_that_is_stopped_before_its_first_video_is_not_finished(world_folder: Path, tmp_path: Path) -> None:
    out, recipe = str(tmp_path / "world"), load_recipe("embedded", SHORT)
    assert not build(str(world_folder), out, recipe, local, watch=Watch(stopping=lambda: True)).finished
    assert build(str(world_folder), out, recipe, local).finished
