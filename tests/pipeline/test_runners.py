"""Runners: what a worker promises of every job, on either runner."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import ClassVar

import pytest

from pipeline.records import Clip, Rejected, Video
from pipeline.runners import Answer, Crashed, Job, Pool
from pipeline.runners.actors import ray_runner
from pipeline.runners.attempt import attempt
from pipeline.runners.local import local
from pipeline.stage import Needs, Stage
from shards.storage import StorageError


class Picky(Stage[Video, Video]):
    """Raises on some videos, rejects others, and on request takes its process down."""

    name: ClassVar[str] = "picky"

    def open(self) -> Callable[[Sequence[Video]], list[Video | Rejected]]:
        return lambda batch: [self._answer(video) for video in batch]

    def _answer(self, video: Video) -> Video | Rejected:
        if "raise" in video.id:
            raise LookupError(f"cannot stand {video.id}")
        if "kill" in video.id:
            os.kill(os.getpid(), signal.SIGKILL)
        if "full" in video.id:
            raise StorageError("cannot write there: the disk is full")
        return Rejected(stage=self.name, why="refused", value=1.0) if "reject" in video.id else video


def videos(*names: str) -> tuple[Video, ...]:
    return tuple(Video(id=name, uri=name) for name in names)


@pytest.fixture(params=["local", "ray"])
def pool(request: pytest.FixtureRequest, ray_cluster: None) -> Iterator[Pool]:  # noqa: ARG001
    runner = local if request.param == "local" else ray_runner("auto", workers=2)
    with ExitStack() as stack:
        yield stack.enter_context(runner([Picky(needs=Needs(batch=4))]))


def all_answers(pool: Pool, jobs: Sequence[Job]) -> list[Answer]:
    """Every answer, jobs being handed over as there is room."""
    waiting, answers = list(jobs), list[Answer]()
    wanted = sum(len(job.records) for job in jobs)
    while sum(len(answer.outcomes) for answer in answers) < wanted:
        while waiting and pool.free(waiting[0].stage) > 0:
            pool.submit(waiting.pop(0))
        answers += pool.collect()
    return answers


def test_one_outcome_for_each_record_in_order_and_only_the_guilty_crash(pool: Pool) -> None:
    job = Job(stage=0, records=videos("a", "raise-b", "reject-c", "d"))
    (answer,) = all_answers(pool, [job])
    kinds = [type(outcome).__name__ for outcome in answer.outcomes]
    assert kinds == ["Video", "Crashed", "Rejected", "Video"]
    assert answer.outcomes[1].error == "LookupError"
    assert "cannot stand raise-b" in answer.outcomes[1].message
    assert "_answer" in answer.outcomes[1].traceback


def test_many_jobs_all_come_back_once(pool: Pool) -> None:
    jobs = [Job(stage=0, records=videos(f"{n}x", f"{n}y")) for n in range(20)]
    answers = all_answers(pool, jobs)
    assert sorted(id(answer.job) for answer in answers) == sorted(id(job) for job in jobs)
    assert all(a.outcomes == a.job.records for a in answers)


def test_a_dead_worker_costs_its_neighbours_nothing(ray_cluster: None) -> None:  # noqa: ARG001
    with ray_runner("auto", workers=2)([Picky()]) as pool:
        jobs = [Job(stage=0, records=videos(f"{n}a", f"{n}kill" if n == 1 else f"{n}b", f"{n}c")) for n in range(4)]
        outcomes = {
            record.id: outcome
            for answer in all_answers(pool, jobs)
            for record, outcome in zip(answer.job.records, answer.outcomes, strict=True)
        }
    assert len(outcomes) == 12
    crashed = [name for name, outcome in outcomes.items() if isinstance(outcome, Crashed)]
    assert crashed == ["1kill"]
    assert outcomes["1kill"].error == "WorkerDied"


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda batch: list(batch)[:-1], "answers for"),
        (lambda batch: list(reversed(batch)), "with a record of"),
    ],
)
def test_a_lost_or_swapped_answer_is_never_stored(
    function: Callable[[Sequence[Video]], list[Video]], says: str
) -> None:
    """A batch of two that loses or swaps answers: each record is then asked alone, and what is still wrong crashes."""
    calls: list[int] = []

    def stage(batch: Sequence[Video]) -> list[Video]:
        calls.append(len(batch))
        return function(batch)

    outcomes = attempt(stage, videos("a", "b"))
    assert calls == [2, 1, 1]
    for record, outcome in zip(videos("a", "b"), outcomes, strict=True):
        assert outcome == record or (isinstance(outcome, Crashed) and says in outcome.message)


def test_a_caption_for_another_clip_crashes_even_alone() -> None:
    (outcome,) = attempt(lambda batch: videos("other"), videos("mine"))
    assert isinstance(outcome, Crashed)
    assert "with a record of" in outcome.message


def test_a_full_disk_stops_the_work_and_blames_no_clip() -> None:
    def stage(_: Sequence[Video]) -> list[Video]:
        raise StorageError("the disk is full")

    with pytest.raises(StorageError, match="disk is full"):
        attempt(stage, videos("a", "b"))


def test_a_full_disk_is_told_in_the_storages_own_words_on_any_runner(pool: Pool) -> None:
    with pytest.raises(StorageError) as caught:
        all_answers(pool, [Job(stage=0, records=videos("a", "full-b"))])
    assert type(caught.value) is StorageError
    assert str(caught.value) == "cannot write there: the disk is full"


def test_the_innocent_in_hand_when_a_worker_dies_are_never_blamed(ray_cluster: None) -> None:  # noqa: ARG001
    """One worker, killers on every side: each record is tried alone before it is blamed."""
    names = ["1kill", "2", "3kill", "4", "5", "6kill", "7"]
    with ray_runner("auto", workers=1)([Picky()]) as pool:
        outcomes = {
            answer.job.records[0].id: answer.outcomes[0]
            for answer in all_answers(pool, [Job(stage=0, records=videos(name)) for name in names])
        }
    assert {name for name, outcome in outcomes.items() if isinstance(outcome, Crashed)} == {"1kill", "3kill", "6kill"}


def test_work_begins_with_the_workers_that_the_cluster_has_room_for(ray_cluster: None) -> None:  # noqa: ARG001
    with ray_runner("auto", workers=9)([Picky()]) as pool:
        assert len(all_answers(pool, [Job(stage=0, records=videos(f"{n}")) for n in range(30)])) == 30


def test_a_runner_needs_a_worker() -> None:
    with pytest.raises(ValueError, match="0 workers can do no work"):
        ray_runner("auto", workers=0)


@pytest.mark.parametrize("clips", [0, 2])
def test_a_video_that_is_lost_or_doubled_in_the_fan_out_crashes(clips: int) -> None:
    (video,) = videos("a")
    clip = Clip(key="k", video=video, start=0, end=1, first_frame=0, num_frames=1, source_sha256="")
    (outcome,) = attempt(lambda batch: [[clip] * clips], [video])
    assert isinstance(outcome, Crashed)
    assert "not each once" in outcome.message
