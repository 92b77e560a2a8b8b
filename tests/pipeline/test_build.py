"""The build: nothing lost, nothing twice, the same bytes however it ran; what went wrong stands in the ledger."""

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from pipeline.build import Watch
from pipeline.recipe import Recipe, load_recipe, override
from pipeline.records import Captioned, Encoded, Rejected
from pipeline.run import build, refilter, summarise
from pipeline.runners.actors import ray_runner
from pipeline.runners.local import local
from pipeline.scheduler.settings import Scheduling
from pipeline.stages.annotate import Captioner
from pipeline.stages.locate import Segmenter
from shards import Dataset, Held, Storage, StorageError, ledger
from shards.ledger import Row
from shards.verify import verify
from tests.pipeline.recipes import SOURCE_ALONE

SHORT = ["cutter.shots=null", "shards.videos=4", *SOURCE_ALONE]


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    """Cut by duration, so that no network loads; several shards."""
    return load_recipe("embedded", SHORT)


@pytest.fixture(scope="module")
def built(world_folder: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset built in one go in this process: what every other way to build is compared with."""
    out = tmp_path_factory.mktemp("built") / "world"
    build(str(world_folder), str(out), recipe, local)
    return out


def digests(dataset: Path) -> dict[str, str]:
    """SHA-256 of every shard file."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((dataset / "shards").iterdir())}


def rows_of(dataset: Path) -> list[Row]:
    storage = Storage.at(dataset)
    return [row for shard in sorted(ledger.closed(storage)) for row in ledger.read(storage, shard)]


def test_every_clip_is_a_sample_or_rejected_with_a_reason(built: Path, world_folder: Path) -> None:
    summary = summarise(Storage.at(built))
    assert summary.clips == len(list(world_folder.glob("*.mp4")))
    assert summary.clips == summary.samples + sum(summary.rejected.values())
    assert not summary.failed
    assert summary.samples == len(Dataset.open(built)) > 0
    assert verify(Storage.at(built)).violations == ()
    assert len(digests(built)) >= 4


def test_hard_cases_are_rejected_by_the_rule_that_is_meant_for_them(built: Path, world_folder: Path) -> None:
    case = {f"folder/{p.stem}.mp4": json.loads(p.read_text())["case"] for p in world_folder.glob("??????.json")}
    why = {row.video: row.why for row in rows_of(built) if row.outcome == "rejected"}
    by_case: dict[str, set[str | None]] = {}
    for video, name in case.items():
        by_case.setdefault(name, set()).add(why.get(video))
    assert by_case["static"] == {"motion.iou"}
    assert by_case["two"] == {"count"}
    assert by_case["late"] == {"count.none"}
    assert all(str(reason).startswith("size.") for reason in by_case["small"] | by_case["large"])


def test_samples_hold_the_exact_truth(built: Path, world_folder: Path) -> None:
    for sample in Dataset.open(built):
        stem = Path(sample.provenance["video"]).stem
        truth = json.loads((world_folder / f"{stem}.tracks.json").read_text())
        about = json.loads((world_folder / f"{stem}.json").read_text())
        assert sample.size == tuple(truth["size"])
        assert sample.caption == about["caption"]
        assert sample.subject == about["nouns"][0]
        expected = {track["id"]: tuple(track["masks"]) for track in truth["tracks"]}
        for track in sample.tracks:
            assert track.masks == expected[track.id]


def test_every_stage_of_every_clip_stands_in_the_ledger_once(built: Path) -> None:
    rows = rows_of(built)
    assert max(Counter((row.clip, row.stage_key) for row in rows).values()) == 1
    kept = {row.clip for row in rows if row.outcome == "kept"}
    for clip in kept:
        stages = [row.stage for row in rows if row.clip == clip]
        assert stages[0] == "encoder"
        assert stages[-2:] == ["judge", "packer"]
    assert not list(built.glob("parts/*"))


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_ray_gives_the_same_bytes(
    built: Path,
    world_folder: Path,
    recipe: Recipe,
    tmp_path: Path,
    workers: int,
    ray_cluster: None,  # noqa: ARG001
) -> None:
    out = tmp_path / "world"
    build(str(world_folder), str(out), recipe, ray_runner("auto", Scheduling(workers=workers)))
    assert digests(out) == digests(built)
    assert summarise(Storage.at(out)) == summarise(Storage.at(built))


def test_a_second_run_asks_no_stage_anything(world_folder: Path, recipe: Recipe, built: Path) -> None:
    rows: list[Row] = []
    before = digests(built)
    build(str(world_folder), str(built), recipe, local, watch=Watch(answered=rows.append))
    assert rows == []
    assert digests(built) == before


class StopError(RuntimeError):
    pass


def test_after_a_stop_only_what_was_not_durable_is_done_again(
    world_folder: Path, recipe: Recipe, built: Path, tmp_path: Path
) -> None:
    out = tmp_path / "world"
    first: list[Row] = []

    def stop_after_sixty(row: Row) -> None:
        first.append(row)
        if len(first) == 60:
            raise StopError

    with pytest.raises(StopError):
        build(str(world_folder), str(out), recipe, local, watch=Watch(answered=stop_after_sixty))
    second: list[Row] = []
    build(str(world_folder), str(out), recipe, local, watch=Watch(answered=second.append))
    done = [(row.clip, row.stage) for row in first + second]
    assert len(done) == len(set(done))  # a raised stop flushes, so nothing at all is repeated
    assert digests(out) == digests(built)


def test_a_stop_that_is_asked_for_finishes_what_is_under_way(
    world_folder: Path, recipe: Recipe, built: Path, tmp_path: Path
) -> None:
    out = tmp_path / "world"
    rows: list[Row] = []
    summary = build(
        str(world_folder), str(out), recipe, local, watch=Watch(answered=rows.append, stopping=lambda: len(rows) > 30)
    )
    assert not summary.finished
    assert build(str(world_folder), str(out), recipe, local).finished
    assert digests(out) == digests(built)


def test_a_grown_source_adds_shards_and_leaves_the_old_ones(world_folder: Path, recipe: Recipe, tmp_path: Path) -> None:
    videos, out = tmp_path / "videos", tmp_path / "world"
    shutil.copytree(world_folder, videos, ignore=lambda folder, names: [n for n in names if n[:6] > "000009"])
    build(str(videos), str(out), recipe, local)
    before = digests(out)
    shutil.copytree(world_folder, videos, dirs_exist_ok=True)
    summary = build(str(videos), str(out), recipe, local)
    after = digests(out)
    assert before.items() < after.items()
    assert summary.clips == len(list(world_folder.glob("*.mp4")))
    assert verify(Storage.at(out)).violations == ()


def test_a_limit_is_a_beginning_of_the_whole(world_folder: Path, recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "world"
    assert build(str(world_folder), str(out), recipe, local, limit=5).clips == 5
    assert build(str(world_folder), str(out), recipe, local).clips == len(list(world_folder.glob("*.mp4")))


def test_two_writers_the_second_is_refused_with_the_holders_name(
    world_folder: Path, recipe: Recipe, built: Path
) -> None:
    with Storage.at(built).lock("the first one"), pytest.raises(Held, match="the first one"):
        build(str(world_folder), str(built), recipe, local)


class Moody(Captioner):
    """Raises on one video in three, and rejects another third."""

    name: ClassVar[str] = "captioner"

    def open(self) -> Callable[[Sequence[Encoded]], list[Captioned | Rejected]]:
        steady = super().open()

        def answer(batch: Sequence[Encoded]) -> list[Captioned | Rejected]:
            if any(int(record.key, 16) % 3 == 0 for record in batch):
                raise ZeroDivisionError("one of you")
            return steady(batch)

        return answer


def test_an_exception_fails_its_own_clip_and_no_other(world_folder: Path, recipe: Recipe, tmp_path: Path) -> None:
    moody = recipe.model_copy(update={"captioner": Moody()})
    summary = build(str(world_folder), str(tmp_path / "world"), moody, local)
    rows = rows_of(tmp_path / "world")
    failed = {row.clip for row in rows if row.outcome == "failed"}
    assert summary.failed == {"captioner: ZeroDivisionError": len(failed)}
    assert failed == {row.clip for row in rows if row.stage == "encoder" and int(row.clip, 16) % 3 == 0}
    assert all("one of you" in (row.error or "") for row in rows if row.outcome == "failed")
    assert summary.clips == summary.samples + sum(summary.rejected.values()) + sum(summary.failed.values())


def test_refilter_equals_a_build_with_those_rules_and_runs_no_model(
    world_folder: Path, built: Path, tmp_path: Path
) -> None:
    """Rules off and tighter at once."""
    sets = ["rules.motion=null", "rules.border.max=0.2"]
    rows: list[Row] = []
    refiltered = refilter(str(built), str(tmp_path / "a" / "world"), sets, local, watch=Watch(answered=rows.append))
    build(str(world_folder), str(tmp_path / "b" / "world"), load_recipe("embedded", [*SHORT, *sets]), local)
    assert contents(tmp_path / "a" / "world") == contents(tmp_path / "b" / "world")
    assert refiltered.samples == len(contents(tmp_path / "a" / "world"))
    again = {row.stage for row in rows if row.at > max(old.at for old in rows_of(built))}
    assert again <= {"screener", "judge", "duplicate", "packer"}


def contents(dataset: Path) -> dict[str, dict[str, bytes]]:
    opened = Dataset.open(dataset)
    return {opened.key_of(row): opened.raw(row) for row in range(len(opened))}


def test_refilter_needs_no_source(world_folder: Path, recipe: Recipe, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    shutil.copytree(world_folder, videos)
    build(str(videos), str(tmp_path / "world"), recipe, local)
    shutil.rmtree(videos)
    summary = refilter(str(tmp_path / "world"), str(tmp_path / "tight"), ["rules.border.max=0.2"], local)
    assert 0 < summary.samples < summarise(Storage.at(tmp_path / "world")).samples
    assert verify(Storage.at(tmp_path / "tight")).violations == ()


def test_refilter_brings_back_what_was_stopped_early_where_no_model_is_needed(
    built: Path, world_folder: Path, tmp_path: Path
) -> None:
    refilter(str(built), str(tmp_path / "a" / "world"), ["rules.size=null"], local)
    build(str(world_folder), str(tmp_path / "b" / "world"), load_recipe("embedded", [*SHORT, "rules.size=null"]), local)
    assert contents(tmp_path / "a" / "world") == contents(tmp_path / "b" / "world")
    assert len(contents(tmp_path / "a" / "world")) > len(contents(built))


def test_refilter_says_which_clips_would_need_a_model(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Segmenter, "uses_model", True)
    before = summarise(Storage.at(built))
    stopped_by_size = sum(count for why, count in before.rejected.items() if why.startswith("screener: size."))
    summary = refilter(str(built), str(tmp_path / "loose"), ["rules.size=null"], local)
    assert summary.rejected["segmenter: needs a model run"] == stopped_by_size > 0
    assert summary.samples == before.samples


@pytest.mark.parametrize("assignment", ["cutter.max_seconds=3", "captioner.template=null"])
def test_refilter_refuses_what_is_no_rule(built: Path, tmp_path: Path, assignment: str) -> None:
    with pytest.raises(ValueError, match="changes rules only"):
        refilter(str(built), str(tmp_path / "x"), [assignment], local)


def test_a_full_disk_stops_the_build_in_one_line_and_the_next_run_goes_on(
    world_folder: Path, recipe: Recipe, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "world"
    write, writes = Storage.write, Counter[str]()

    def write_until_full(storage: Storage, path: str, data: bytes) -> None:
        writes["all"] += 1
        if writes["all"] > 25:
            raise StorageError(f"cannot write {storage.url}/{path}: the disk is full; free some space")
        write(storage, path, data)

    with monkeypatch.context() as full:
        full.setattr(Storage, "write", write_until_full)
        with pytest.raises(StorageError, match="the disk is full"):
            build(str(world_folder), str(out), recipe, local)
    assert verify(Storage.at(out)).violations == ()
    assert build(str(world_folder), str(out), recipe, local).finished
    assert digests(out) == digests(built)


@pytest.mark.parametrize("runner", [[], ["--ray", "local", "--workers", "1"]])
def test_sigterm_ends_the_build_in_order_and_it_goes_on_later(
    world_folder: Path, recipe: Recipe, built: Path, tmp_path: Path, runner: list[str]
) -> None:
    out = tmp_path / "world"
    command = [sys.executable, "-m", "dreamreel", "build", str(world_folder), str(out), *runner]
    command += [part for setting in SHORT for part in ("--set", setting)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not list(out.glob("parts/*.mp4")):
        time.sleep(0.01)
        assert process.poll() is None
    process.terminate()
    _, said = process.communicate()
    assert process.returncode == 130
    assert "run the same command again" in said
    assert "Traceback" not in said
    assert build(str(world_folder), str(out), recipe, local).finished
    assert digests(out) == digests(built)


def test_a_batch_of_many_gives_the_same_bytes(world_folder: Path, recipe: Recipe, built: Path, tmp_path: Path) -> None:
    batches = {"encoder": 3, "captioner": 5, "measurer": 2, "tracker": 7}
    many = override(recipe, [f"{stage}.needs.batch={size}" for stage, size in batches.items()])
    build(str(world_folder), str(tmp_path / "world"), many, local)
    assert digests(tmp_path / "world") == digests(built)


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_below_one_is_refused(world_folder: Path, recipe: Recipe, tmp_path: Path, limit: int) -> None:
    with pytest.raises(ValueError, match="give at least 1"):
        build(str(world_folder), str(tmp_path / "world"), recipe, local, limit=limit)


def test_a_dataset_inside_its_source_is_refused(world_folder: Path, recipe: Recipe) -> None:
    with pytest.raises(ValueError, match="lies inside the source"):
        build(str(world_folder), str(world_folder / "out"), recipe, local)
    assert not (world_folder / "out").exists()


def test_a_dataset_may_move_between_two_runs(world_folder: Path, recipe: Recipe, built: Path, tmp_path: Path) -> None:
    rows: list[Row] = []
    watch = Watch(answered=rows.append, stopping=lambda: len(rows) > 70)
    build(str(world_folder), str(tmp_path / "a" / "world"), recipe, local, watch=watch)
    (tmp_path / "a").rename(tmp_path / "b")
    build(str(world_folder), str(tmp_path / "b" / "world"), recipe, local)
    assert digests(tmp_path / "b" / "world") == digests(built)
    assert not (tmp_path / "a").exists()


def test_refilter_of_a_refilter_still_knows_what_the_first_dataset_measured(
    world_folder: Path, recipe: Recipe, tmp_path: Path
) -> None:
    videos = tmp_path / "videos"
    shutil.copytree(world_folder, videos)
    build(str(videos), str(tmp_path / "a" / "world"), recipe, local)
    shutil.rmtree(videos)
    refilter(str(tmp_path / "a" / "world"), str(tmp_path / "b" / "world"), ["rules.size.area=[0.04,0.05]"], local)
    again = ["rules.size.area=[0.04,0.9]"]
    refilter(str(tmp_path / "b" / "world"), str(tmp_path / "c" / "world"), again, local)
    assert contents(tmp_path / "c" / "world") == contents(tmp_path / "a" / "world")


def test_refilter_follows_a_parent_that_is_still_being_built(
    world_folder: Path, recipe: Recipe, built: Path, tmp_path: Path
) -> None:
    parent, child = str(tmp_path / "a" / "world"), str(tmp_path / "b" / "world")
    rows: list[Row] = []
    stopping = Watch(answered=rows.append, stopping=lambda: any(row.outcome == "kept" for row in rows))
    build(str(world_folder), parent, recipe, local, watch=stopping)
    first = refilter(parent, child, [], local)
    assert first.finished
    assert 0 < first.waiting < len(list(world_folder.glob("*.mp4")))
    assert "cutter: needs a model run" not in first.rejected
    build(str(world_folder), parent, recipe, local)
    second = refilter(parent, child, [], local)
    assert second.waiting == 0
    assert digests(Path(child)) == digests(built)


def test_refilter_into_itself_or_into_another_dataset_is_refused(
    world_folder: Path, recipe: Recipe, built: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="is the dataset itself"):
        refilter(str(built), str(built), [], local)
    build(str(world_folder), str(tmp_path / "other"), recipe, local, limit=1)
    with pytest.raises(ValueError, match="was not refiltered from"):
        refilter(str(built), str(tmp_path / "other"), [], local)
