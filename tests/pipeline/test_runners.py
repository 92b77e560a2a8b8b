"""Runners: what a worker promises of every job, on either runner."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pipeline.records import Clip, Rejected, Video
from pipeline.runners import Crashed, Outcome, Runner, Workers
from pipeline.runners.actors import ray_runner, show_token
from pipeline.runners.attempt import Functions, Poisoned, attempt
from pipeline.runners.local import local
from pipeline.scheduler.settings import Scheduling, scheduling
from pipeline.stage import Needs, Stage, TwoStep
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
        if "hang" in video.id:
            time.sleep(3600)
        if "bomb" in video.id:
            hoard = [bytearray(b"1" * (64 << 20)) for _ in range(64)]  # 4 GiB, at once and for a while
            time.sleep(len(hoard))
        if "full" in video.id:
            raise StorageError("cannot write there: the disk is full")
        return Rejected(stage=self.name, why="refused", value=1.0) if "reject" in video.id else video


def videos(*names: str) -> tuple[Video, ...]:
    return tuple(Video(id=name, uri=name) for name in names)


def on_ray(workers: int) -> Runner:
    return ray_runner("auto", Scheduling(workers=workers))


@pytest.fixture(params=["local", "ray"])
def workers(request: pytest.FixtureRequest, ray_cluster: None) -> Iterator[Workers]:  # noqa: ARG001
    with ExitStack() as stack:
        runner = local if request.param == "local" else on_ray(2)
        yield stack.enter_context(runner([Picky(needs=Needs(batch=4))]))


def outcomes(workers: Workers, *names: str) -> dict[str, Outcome]:
    """What becomes of videos of these names; each must come back once."""
    for video in videos(*names):
        workers.put(0, video)
    found: dict[str, Outcome] = {}
    while len(found) < len(names):
        for answer in workers.collect():
            for record, outcome in zip(answer.job.records, answer.outcomes, strict=True):
                assert record.id not in found
                found[record.id] = outcome
    return found


def test_one_outcome_for_each_record_and_only_the_guilty_crash(workers: Workers) -> None:
    found = outcomes(workers, "a", "raise-b", "reject-c", "d")
    assert {name: type(outcome).__name__ for name, outcome in found.items()} == {
        "a": "Video",
        "raise-b": "Crashed",
        "reject-c": "Rejected",
        "d": "Video",
    }
    assert found["raise-b"].error == "LookupError"
    assert "cannot stand raise-b" in found["raise-b"].message
    assert "_answer" in found["raise-b"].traceback
    assert not found["raise-b"].quarantined


def test_many_records_all_come_back_once(workers: Workers) -> None:
    names = [str(n) for n in range(60)]
    assert {name: outcome.id for name, outcome in outcomes(workers, *names).items()} == {n: n for n in names}


def test_what_no_worker_has_in_hand_comes_back_when_work_is_stopped(workers: Workers) -> None:
    for video in videos("a", "b", "c"):
        workers.put(0, video)
    assert sorted(record.id for _, record in workers.drain()) == ["a", "b", "c"]
    assert workers.room() == 0
    assert workers.collect() == []


def test_a_full_disk_stops_the_work_and_blames_no_clip() -> None:
    def stage(_: Sequence[Video]) -> list[Video]:
        raise StorageError("the disk is full")

    with pytest.raises(StorageError, match="disk is full"):
        attempt(stage, videos("a", "b"))


def test_a_full_disk_is_told_in_the_storages_own_words_on_any_runner(workers: Workers) -> None:
    with pytest.raises(StorageError) as caught:
        outcomes(workers, "a", "full-b")
    assert type(caught.value) is StorageError
    assert str(caught.value) == "cannot write there: the disk is full"


def test_the_innocent_in_hand_when_a_worker_dies_are_never_blamed(ray_cluster: None) -> None:  # noqa: ARG001
    """One worker, killers on every side: each record is tried alone before it is blamed."""
    with on_ray(1)([Picky()]) as workers:
        found = outcomes(workers, "1kill", "2", "3kill", "4", "5", "6kill", "7")
    assert {name for name, outcome in found.items() if isinstance(outcome, Crashed)} == {"1kill", "3kill", "6kill"}


def test_a_worker_that_hangs_is_ended_and_its_record_quarantined(ray_cluster: None) -> None:  # noqa: ARG001
    with ray_runner("auto", Scheduling(workers=2, first_deadline=2.0))([Picky()]) as workers:
        found = outcomes(workers, "a", "hang-b", "c", "d")
    assert [name for name, outcome in found.items() if isinstance(outcome, Crashed)] == ["hang-b"]
    assert found["hang-b"].error == "DeadlineExceeded"
    assert "picky gave no answer" in found["hang-b"].traceback


def test_a_worker_that_takes_more_memory_than_it_may_is_ended(ray_cluster: None) -> None:  # noqa: ARG001
    with on_ray(2)([Picky(needs=Needs(memory=1.0))]) as workers:
        found = outcomes(workers, "a", "bomb-b", "c", "d")
    assert [name for name, outcome in found.items() if isinstance(outcome, Crashed)] == ["bomb-b"]
    assert found["bomb-b"].quarantined


def test_work_begins_with_the_workers_that_the_cluster_has_room_for(ray_cluster: None) -> None:  # noqa: ARG001
    with on_ray(9)([Picky()]) as workers:
        assert len(outcomes(workers, *map(str, range(30)))) == 30


def test_the_autoscaler_is_asked_for_gpus_and_let_off_at_the_end(ray_cluster: None) -> None:  # noqa: ARG001
    from ray._private.ray_constants import AUTOSCALER_RESOURCE_REQUEST_CHANNEL
    from ray.experimental.internal_kv import _internal_kv_get

    def asked() -> Any:
        return json.loads(_internal_kv_get(AUTOSCALER_RESOURCE_REQUEST_CHANNEL) or b"[]")

    with ray_runner("auto", Scheduling(workers=1, gpus=3))([Picky()]) as workers:
        assert len(outcomes(workers, "a", "b")) == 2
        assert asked() == [{"GPU": 1.0}] * 3
    assert asked() == []


@pytest.mark.parametrize("given", [None, "disabled"])
def test_a_cluster_is_shown_the_machines_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str | None
) -> None:
    monkeypatch.setattr(os, "environ", {"HOME": str(tmp_path)} | ({"RAY_AUTH_MODE": given} if given else {}))
    show_token()
    assert os.environ.get("RAY_AUTH_MODE") == given
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("secret")
    show_token()
    assert os.environ["RAY_AUTH_MODE"] == (given or "token")


def test_a_runner_needs_a_worker() -> None:
    with pytest.raises(ValueError, match="workers"):
        scheduling(workers=0)


def test_settings_of_the_run_are_checked() -> None:
    assert scheduling(["strikes=3"], workers=2) == Scheduling(strikes=3, workers=2)
    with pytest.raises(ValueError, match=r"--schedule strike=3: write NAME=VALUE with one of .*strikes"):
        scheduling(["strike=3"])


def test_memory_that_runs_out_halves_the_batch_until_it_fits() -> None:
    import torch  # not above: this module is loaded by Ray's workers, too

    calls: list[int] = []

    def stage(batch: Sequence[Video]) -> list[Video]:
        calls.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return list(batch)

    some = videos(*"abcdefgh")
    assert attempt(stage, some) == (some, 2)
    assert calls == [8, 4, 2, 2, 4, 2, 2]


def test_one_record_too_large_for_the_memory_may_pass_later() -> None:
    import torch

    def stage(batch: Sequence[Video]) -> list[Video]:
        if any(video.id == "big" for video in batch):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return list(batch)

    found, passed = attempt(stage, videos("a", "big", "c"))
    assert [isinstance(outcome, Crashed) for outcome in found] == [False, True, False]
    assert found[1].may_pass
    assert passed == 1


def test_a_gpu_that_fails_for_good_is_the_workers_end_not_the_records() -> None:
    def stage(_: Sequence[Video]) -> list[Video]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(Poisoned):
        attempt(stage, videos("a", "b"))


def test_the_next_job_is_prepared_while_one_is_in_work_and_they_take_turns() -> None:
    """Two jobs in two threads: both are prepared before the first of them ends, and they never run together."""
    prepared, log = threading.Barrier(2, timeout=20), list[str]()

    class Two(Stage[Video, Video]):
        name: ClassVar[str] = "two"

        def open(self) -> TwoStep[Video, Video]:
            def prepare(batch: Sequence[Video]) -> str:
                prepared.wait()
                return f"frames of {batch[0].id}"

            def run(batch: Sequence[Video], frames: str) -> list[Video | Rejected]:
                log.append(f"begin {frames}")
                log.append(f"end {frames}")
                return list(batch)

            return TwoStep(prepare, run)

    functions = Functions([Two()])
    with ThreadPoolExecutor(2) as threads:
        jobs = [threads.submit(functions.answer, 0, videos(name)) for name in "ab"]
        assert [job.result().outcomes for job in jobs] == [videos("a"), videos("b")]
    begun = [line.removeprefix("begin ") for line in log[::2]]
    assert log == [f"{what} {frames}" for frames in begun for what in ("begin", "end")]
    assert sorted(begun) == ["frames of a", "frames of b"]


def test_what_goes_wrong_in_preparing_is_only_the_guilty_records() -> None:
    class Two(Stage[Video, Video]):
        name: ClassVar[str] = "two"

        def open(self) -> TwoStep[Video, Video]:
            def prepare(batch: Sequence[Video]) -> None:
                if any(video.id == "bad" for video in batch):
                    raise LookupError("cannot decode")

            return TwoStep(prepare, lambda batch, _: list(batch))

    found = Functions([Two()]).answer(0, videos("a", "bad", "c")).outcomes
    assert [isinstance(outcome, Crashed) for outcome in found] == [False, True, False]


@pytest.mark.parametrize("clips", [0, 2])
def test_a_video_that_is_lost_or_doubled_in_the_fan_out_crashes(clips: int) -> None:
    (video,) = videos("a")
    clip = Clip(key="k", video=video, start=0, end=1, first_frame=0, num_frames=1, source_sha256="")
    ((outcome,), _) = attempt(lambda batch: [[clip] * clips], [video])
    assert isinstance(outcome, Crashed)
    assert "not each once" in outcome.message
