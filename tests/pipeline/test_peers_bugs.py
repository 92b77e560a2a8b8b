"""Fourteen bugs that pipelines of this kind have had, each as what ours does in its place."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from benchmarks.cluster.played import Part, played, with_played_packer, write_source
from pipeline.build import Watch, sidecar_keys
from pipeline.models import sam2_tracker
from pipeline.models.deva import propagator
from pipeline.models.deva.settings import SMALL
from pipeline.models.deva_tracker import DevaTracker
from pipeline.models.sam2_tracker import Sam2Tracker
from pipeline.recipe import Recipe
from pipeline.records import Captioned, Encoded, Rejected, Video, grow
from pipeline.run import build, refilter
from pipeline.runners import Crashed
from pipeline.runners.actors import ray_runner
from pipeline.runners.attempt import attempt
from pipeline.runners.local import local
from pipeline.scheduler.commands import Start, Stop
from pipeline.scheduler.settings import Scheduling
from pipeline.stage import Needs
from pipeline.stages.annotate import Captioner
from shards import Dataset, Storage, StorageError, ledger
from shards.ledger import Row
from tests.pipeline import tiny_models
from tests.pipeline.deva_seeded import as_bytes, seeded_frames, seeded_masks, seeded_network
from tests.pipeline.test_build import digests
from tests.pipeline.test_runners import Picky, outcomes, videos
from tests.pipeline.test_scheduler import NODE, Hands, stage
from tests.pipeline.test_trackers import NUM_FRAMES, SIZE, segment, write_clip

VIDEOS = 12
FOUR = ["shards.videos=4"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_source(tmp_path_factory.mktemp("source") / "source.parquet", VIDEOS)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return played({}, {}, FOUR)


@pytest.fixture(scope="module")
def whole(source: str, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built in one go."""
    out = tmp_path_factory.mktemp("whole") / "clips"
    build(source, str(out), recipe, local)
    return out


class StopError(RuntimeError):
    pass


def dies_after(rows: int, stage: str = "") -> Watch:
    """The build's process ends, as far as it can tell, after so many answers (of a stage)."""
    seen = Counter[str]()

    def answered(row: Row) -> None:
        seen[row.stage if stage else ""] += 1
        if seen[stage] >= rows:
            raise StopError

    return Watch(answered=answered)


def test_01_a_half_written_file_is_never_counted_as_done(
    source: str, recipe: Recipe, whole: Path, tmp_path: Path
) -> None:
    """Elsewhere a torn file under its final name made the next run skip the work."""
    out = tmp_path / "clips"
    with pytest.raises(StopError):
        build(source, str(out), recipe, local, watch=dies_after(60))
    for tar in (whole / "shards").glob("*.tar"):
        if not (out / "shards" / tar.name).exists():
            (out / "shards").mkdir(exist_ok=True)
            (out / "shards" / tar.name).write_bytes(tar.read_bytes()[:-700])
    assert len(Dataset.open(out)) < len(Dataset.open(whole))
    build(source, str(out), recipe, local)
    assert digests(out) == digests(whole)


def test_02_a_video_is_done_when_its_last_clip_is(source: str, tmp_path: Path) -> None:
    """Elsewhere a checkpoint of the input row counted a video as done with its first clip."""
    recipe = played({"cutter": Part(clips=3)}, {}, FOUR)
    whole, out = tmp_path / "whole" / "clips", tmp_path / "out" / "clips"
    build(source, str(whole), recipe, local)
    for clips in (1, 5, 16):
        with pytest.raises(StopError):
            build(source, str(out), recipe, local, watch=dies_after(clips, "judge"))
    assert build(source, str(out), recipe, local).clips == 3 * VIDEOS
    assert digests(out) == digests(whole)


class Reversing(Captioner):
    """Answers a batch in the wrong order."""

    name: ClassVar[str] = "captioner"

    def open(self) -> Callable[[Sequence[Encoded]], list[Captioned | Rejected]]:
        return lambda batch: [
            grow(Captioned, record, caption=record.video.caption, caption_author="test") for record in reversed(batch)
        ]


def test_03_a_caption_is_never_bound_to_another_clip(source: str, recipe: Recipe, tmp_path: Path) -> None:
    """Elsewhere captions were dealt out by position, and a batch in another order mixed them up in silence."""
    needs = Needs(batch=4)
    mixed = recipe.model_copy(update={"captioner": Reversing(needs=needs, model=None)})
    summary = build(source, str(tmp_path / "clips"), mixed, local)
    assert not summary.failed
    for sample in Dataset.open(tmp_path / "clips"):
        assert sample.provenance["video"].removeprefix("parquet/") in sample.caption
    ((outcome,), _) = attempt(lambda batch: videos("other"), videos("mine"))
    assert isinstance(outcome, Crashed)
    assert "with a record of" in outcome.message


def test_04_the_books_are_never_closed_before_the_work_behind_them(
    source: str, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere a checkpoint was written while its data was still on the way, and a crash between lost it."""
    write, seen = Storage.write, Counter[str]()

    def watched(storage: Storage, path: str, data: bytes) -> None:
        if found := re.fullmatch(r"shards/clips-(\d+)\.parquet", path):
            seen["sidecar"] += 1
            judged = {row.clip for row in ledger.read(storage, int(found[1])) if row.stage == "judge"}
            assert len(judged) == 4  # why the others are not in it is durable before it stands
            assert storage.exists(path.replace(".parquet", ".tar"))
        if found := re.fullmatch(r"ledger/(\d+)\.parquet", path):
            seen["books"] += 1
            kept = sidecar_keys(storage, f"shards/clips-{found[1]}.parquet")
            judged = {r.clip for r in ledger.read(storage, int(found[1])) if (r.stage, r.outcome) == ("judge", "done")}
            assert kept == judged
        write(storage, path, data)

    monkeypatch.setattr(Storage, "write", watched)
    build(source, str(tmp_path / "clips"), recipe, local)
    assert seen == {"sidecar": 3, "books": 3}


def test_05_another_layout_neither_discards_nor_moves_work(source: str, whole: Path, tmp_path: Path) -> None:
    """Elsewhere another number of partitions, or a source that grew, gave the files to other tasks."""
    out, calls = tmp_path / "clips", tmp_path / "calls"
    counting = played({"captioner": Part(calls=str(calls))}, {}, FOUR)
    build(source, str(out), counting, local, limit=6)
    before = digests(out)
    with pytest.raises(ValueError, match=r"shards\.videos: 4 -> 5"):
        build(source, str(out), played({}, {}, ["shards.videos=5"]), local)
    build(source, str(out), counting, local)
    assert before.items() <= digests(out).items()
    assert max(Counter(calls.read_text().split()).values()) == 1
    assert {sample.key for sample in Dataset.open(out)} == {sample.key for sample in Dataset.open(whole)}


def test_06_nothing_goes_on_unrecorded(
    source: str, recipe: Recipe, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere the recorder died, and the run went on to an end that nobody could resume from."""
    out, write, written = tmp_path / "clips", Storage.write, Counter[str]()

    def fails(storage: Storage, path: str, data: bytes) -> None:
        folder = path.partition("/")[0]
        written[folder] += 1
        if folder == "ledger" and written[folder] > 3:  # the plan, and two segments
            raise StorageError("cannot write the ledger: the disk is full")
        write(storage, path, data)

    with monkeypatch.context() as full:
        full.setattr(Storage, "write", fails)
        with pytest.raises(StorageError, match="cannot write the ledger"):
            build(source, str(out), recipe, local)
    assert written["shards"] <= 1  # a shard waits until the books know its clips
    build(source, str(out), recipe, local)
    assert digests(out) == digests(whole)


def test_07_a_clip_that_takes_its_worker_down_costs_its_neighbours_nothing(ray_cluster: None) -> None:  # noqa: ARG001
    """Elsewhere the whole batch or block of a bad clip was dropped with it."""
    with ray_runner("auto", Scheduling(workers=2))([Picky(needs=Needs(batch=3))]) as workers:
        found = outcomes(workers, *(f"{n}kill" if n == 4 else f"{n}" for n in range(12)))
    assert [name for name, outcome in found.items() if isinstance(outcome, Crashed)] == ["4kill"]
    assert found["4kill"].error == "WorkerDied"
    assert found["4kill"].quarantined


def test_08_a_poison_clip_is_not_tried_for_ever(
    source: str,
    tmp_path: Path,
    ray_cluster: None,  # noqa: ARG001
) -> None:
    """Elsewhere the task of a clip that kills its process was given to one worker after another without end."""
    calls = tmp_path / "calls"
    poison = played({"namer": Part(troubles={"parquet/000005": "exit"}, calls=str(calls))}, {}, FOUR)
    runner = with_played_packer(ray_runner("auto", Scheduling(workers=1)))
    summary = build(source, str(tmp_path / "clips"), poison, runner)
    assert summary.quarantined == {"namer: WorkerDied": 1}
    (end,) = [e for e in ledger.endings(Storage.at(tmp_path / "clips")).values() if e.outcome == "quarantined"]
    assert end.video == "parquet/000005"
    assert Counter(calls.read_text().split())[end.clip] == Scheduling().strikes
    assert summary.clips == VIDEOS == 1 + summary.samples + sum(summary.rejected.values())
    assert build(source, str(tmp_path / "clips"), poison, local) == summary  # it would take this process down


@pytest.mark.parametrize("kind", ["deva", "sam2"])
def test_09_a_subject_keeps_its_identity_where_its_frames_are_read_in_parts(
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    one_thread: None,  # noqa: ARG001
) -> None:
    """Elsewhere a tracker that was started anew for each chunk of frames numbered its subjects anew."""
    torch.save(seeded_network(SMALL).state_dict(), tmp_path / "deva.pth")
    tiny_models.save_sam2(tmp_path / "sam2")
    trackers: dict[str, DevaTracker | Sam2Tracker] = {
        "deva": DevaTracker(checkpoint=str(tmp_path / "deva.pth"), size="embedded", device="cpu"),
        "sam2": Sam2Tracker(model=str(tmp_path / "sam2"), device="cpu"),
    }
    track, module = trackers[kind].open(), {"deva": propagator, "sam2": sam2_tracker}[kind]
    path = write_clip(tmp_path / "clip.mp4", as_bytes(seeded_frames(NUM_FRAMES, *SIZE)))
    last, masks = NUM_FRAMES - 1, seeded_masks(*SIZE)
    seen = [segment(masks[0], frame=last), segment(masks[1], frame=last, noun="cat")]
    found = {}
    for frames in (3, NUM_FRAMES + 1):
        monkeypatch.setattr(module, "BACKWARD_FRAMES", frames)
        found[frames] = track(path, NUM_FRAMES, seen)
    assert found[3] == found[NUM_FRAMES + 1]
    assert [(tracklet.id, tracklet.noun, len(tracklet.masks)) for tracklet in found[3]] == [
        (1, "dog", NUM_FRAMES),
        (2, "cat", NUM_FRAMES),
    ]


def test_10_shards_have_the_same_bytes_whatever_the_batches_the_way_and_the_time(
    source: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere shard names held random parts, members a time and an owner, and samples came as they were done."""
    needs = {"captioner": Needs(batch=5), "encoder": Needs(batch=3), "tracker": Needs(gpus=1, batch=2)}
    out = tmp_path / "elsewhere" / "clips"
    monkeypatch.setattr("time.time", lambda: 2e9)
    with pytest.raises(StopError):
        build(source, str(out), played({}, needs, FOUR), local, watch=dies_after(70))
    build(source, str(out), played({}, needs, FOUR), local)
    assert digests(out) == digests(whole)


def test_11_gpu_workers_are_started_all_at_once_and_none_is_ended_while_it_loads() -> None:
    """Elsewhere workers came up one after another, each after minutes of loading, and some were scaled away before."""
    hands = Hands(stage("ground", 1.0, gpus=0.5, load=60), stage("track", 1.0, gpus=1, load=60), nodes=[NODE] * 2)
    starts = [command for command in hands.act() if isinstance(command, Start)]
    assert sum(start.gpus for start in starts) == 8
    assert {start.loads for start in starts} == {(0,), (1,)}
    hands.scheduler.resize([NODE])  # a machine goes while all are loading
    hands.clock.now += 600
    assert not [command for command in hands.act() if isinstance(command, Stop)]


def test_12_another_threshold_never_reuses_what_was_judged_by_the_old_one(
    source: str, recipe: Recipe, whole: Path, tmp_path: Path
) -> None:
    """Elsewhere a run with a changed threshold found its output there and changed nothing, in silence."""
    tighter = "rules.border.max=0.3"
    strict = played({}, {}, [*FOUR, tighter])
    with pytest.raises(ValueError, match=r"rules\.border\.max: 0\.5 -> 0\.3"):
        build(source, str(whole), strict, local)
    build(source, str(tmp_path / "built" / "clips"), strict, local)
    refilter(str(whole), str(tmp_path / "refiltered" / "clips"), [tighter], local)
    assert digests(tmp_path / "refiltered" / "clips") == digests(tmp_path / "built" / "clips") != digests(whole)
    assert build(source, str(whole), recipe, local).finished


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda batch: list(batch)[:-1], "answers for"),
        (lambda batch: [*batch, batch[0]], "answers for"),
        (lambda batch: list(reversed(batch)), "with a record of"),
    ],
)
def test_13_a_batch_of_n_gives_n_answers_each_of_its_own_record(
    function: Callable[[Sequence[Video]], list[Video]], says: str
) -> None:
    """Elsewhere a stage that gave fewer or more shifted every answer behind. Here each record is then asked alone."""
    calls: list[int] = []

    def answer(batch: Sequence[Video]) -> list[Video]:
        calls.append(len(batch))
        return function(batch)

    found, _ = attempt(answer, videos("a", "b"))
    assert calls == [2, 1, 1]
    for record, outcome in zip(videos("a", "b"), found, strict=True):
        assert outcome == record or (isinstance(outcome, Crashed) and says in outcome.message)


def test_14_a_build_goes_on_in_a_folder_that_is_not_empty(
    source: str, recipe: Recipe, whole: Path, tmp_path: Path
) -> None:
    """Elsewhere an output folder with anything in it was refused, so that a stopped run had to begin anew."""
    out = tmp_path / "clips"
    (out / "shards").mkdir(parents=True)
    (out / "notes.txt").write_text("mine")
    (out / "shards" / "notes.txt").write_text("mine, too")
    with pytest.raises(StopError):
        build(source, str(out), recipe, local, watch=dies_after(50))
    assert build(source, str(out), recipe, local).finished
    assert (out / "notes.txt").read_text() == "mine"
    (out / "shards" / "notes.txt").unlink()
    assert digests(out) == digests(whole)
