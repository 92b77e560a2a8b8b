"""Crashes at every durable step and every stage call of a build, and what resuming makes of them."""

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from random import Random
from typing import Any, BinaryIO, ClassVar

import numpy as np
import pytest

from pipeline import plan
from pipeline.build import Build, sidecar_keys
from pipeline.journal import Journal
from pipeline.line import Line
from pipeline.recipe import load_recipe
from pipeline.records import Clip, Encoded, Rejected, Video, grow, record_key
from pipeline.run import Summary, summarise
from pipeline.runners import Answer, Crashed, Job
from pipeline.runners.attempt import Functions, attempt
from pipeline.scheduler.state import PoolState, StageState
from pipeline.stage import Needs, Stage
from pipeline.stages.encoder import part_path
from pipeline.stages.packer import Load, Packed
from shards import Sample, Storage, Track, ledger
from shards.ledger import Row
from shards.writer import write_shard

VIDEOS = tuple(Video(id=f"test/{n}", uri=f"{n}.mp4") for n in range(16))


class CrashError(BaseException):
    """The process is gone: nothing that comes after it is done either, not even what `finally` asks for."""


@dataclass
class Fate:
    """When the process dies: after so many steps of its life; a step is a call of a stage or half of a write."""

    steps: float = float("inf")
    taken: int = 0

    def step(self) -> None:
        self.taken += 1
        if self.taken > self.steps:
            raise CrashError


FATE = Fate()


@pytest.fixture(autouse=True)
def _mortal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before and after each change of the storage the process may die."""
    write, remove, writer = Storage.write, Storage.remove, Storage.writer

    def mortal_write(storage: Storage, path: str, data: bytes) -> None:
        FATE.step()
        write(storage, path, data)
        FATE.step()

    def mortal_remove(storage: Storage, path: str) -> None:
        FATE.step()
        remove(storage, path)

    @contextlib.contextmanager
    def mortal_writer(storage: Storage, path: str) -> Iterator[BinaryIO]:
        FATE.step()
        with writer(storage, path) as stream:
            yield stream
            FATE.step()
        FATE.step()

    monkeypatch.setattr(Storage, "write", mortal_write)
    monkeypatch.setattr(Storage, "remove", mortal_remove)
    monkeypatch.setattr(Storage, "writer", mortal_writer)


def mood(key: str, what: str) -> float:
    """A number in [0, 1) that is the same whenever it is asked for."""
    return int(record_key(key, what)[:8], 16) / (1 << 32)


class Temper(Stage[Any, Any]):
    """Raises, rejects or answers, by the record's key; with `luck`, an error comes in some runs only."""

    reads_video: ClassVar[bool] = False
    outside: ClassVar[frozenset[str]] = frozenset({"needs", "luck"})

    luck: int | None = None

    def open(self) -> Callable[[Sequence[Any]], list[Any]]:
        def answer(batch: Sequence[Any]) -> list[Any]:
            FATE.step()
            return [self._tempered(record) for record in batch]

        return answer

    def _tempered(self, record: Any) -> Any:
        if mood(record.key, f"raise {self.name} {self.luck}") < 0.05:
            raise ZeroDivisionError(record.key)
        if mood(record.key, f"reject {self.name}") < 0.08:
            return Rejected(stage=self.name, why="temper", value=1.0)
        return self._answer(record)

    def _answer(self, record: Any) -> Any:
        return record


class Cutter(Temper):
    name: ClassVar[str] = "cutter"
    gives: ClassVar[type | None] = Clip

    def _answer(self, record: Video) -> list[Clip]:
        count = 1 + int(mood(record.key, "clips") * 4)
        return [
            Clip(
                key=record_key(record.id, n),
                video=record,
                start=n,
                end=n + 1,
                first_frame=n,
                num_frames=1,
                source_sha256="",
            )
            for n in range(count)
        ]


class Encoder(Temper):
    name: ClassVar[str] = "encoder"
    gives: ClassVar[type | None] = Encoded

    dataset: str

    def _answer(self, record: Clip) -> Encoded:
        storage = Storage.at(self.dataset)
        storage.write(part_path(record.key), record.key.encode())
        if isinstance(record, Encoded):
            return record
        return grow(
            Encoded,
            record,
            path="",
            sha256="",
            width=8,
            height=8,
            pts=(0,),
            time_base=(1, 12),
            scale=(1.0, 1.0),
        )


@dataclass(frozen=True, kw_only=True)
class Looked(Encoded):
    """What the build asks of a measured clip."""

    scores: dict[str, float] = field(default_factory=dict)
    phash: tuple[str, ...] = ()


class Looker(Temper):
    """Needs the clip's file, and gives one of few looks, so that there are duplicates."""

    name: ClassVar[str] = "looker"
    gives: ClassVar[type | None] = Looked
    reads_video: ClassVar[bool] = True

    dataset: str

    def _answer(self, record: Encoded) -> Looked:
        assert Storage.at(self.dataset).read(part_path(record.key)) == record.key.encode()
        look = int(mood(record.key, "look") * 40)
        return grow(Looked, record, scores={"look": look}, phash=(record_key(look)[:16],) * 4)


class Judge(Temper):
    name: ClassVar[str] = "judge"
    filters: ClassVar[bool] = True


class Packer(Temper):
    """The real one but for pictures."""

    name: ClassVar[str] = "packer"

    def _tempered(self, record: Load) -> Packed:
        storage = Storage.at(record.dataset)

        def samples(clips: Sequence[Any]) -> list[Sample]:
            return [self._sample(clip, storage.read(part_path(clip.key))) for clip in clips]

        outcomes = {clip.key: attempt(samples, [clip])[0][0] for clip in record.clips}
        failed = {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, Crashed)}
        shard = None if failed else write_shard(storage, record.name, record.number, outcomes.values())
        return Packed(key=record.key, shard=shard, failed=failed)

    def _sample(self, clip: Any, data: bytes) -> Sample:
        if mood(clip.key, f"raise packer {self.luck}") < 0.25:
            raise ZeroDivisionError(clip.key)
        track = Track.of_masks(np.ones((1, 8, 8), bool), id=1, noun="dog")
        return Sample(
            key=clip.key,
            video=data,
            strip=b"strip",
            pts=clip.pts,
            time_base=Fraction(*clip.time_base),
            width=8,
            height=8,
            caption="a dog",
            subject="dog",
            tracks=(track,),
            scores=clip.scores,
            provenance={
                "video": clip.video.id,
                "start": clip.start,
                "end": clip.end,
                "source_sha256": "",
                "caption_by": "test",
                "recipe": "test",
                "models": {},
                "phash": list(clip.phash),
            },
        )


class UnorderedWorkers:
    """Take some records, batch those of a stage, and answer job by job, in any order, as remote workers would."""

    def __init__(self, stages: Sequence[Stage[Any, Any]], random: Random) -> None:
        self._stages = stages
        self._functions = Functions(stages)
        self._random = random
        self._waiting: list[tuple[int, Any]] = []
        self._whole = False

    def room(self) -> int:
        return 5 - len(self._waiting)

    def put(self, stage: int, record: Any, size: int = 0) -> None:  # noqa: ARG002
        assert not (self._whole and isinstance(record, Video)), "a video came after the last"
        self._waiting.append((stage, record))

    def collect(self) -> list[Answer]:
        if not self._waiting or self._random.random() < 0.2:
            return []
        stage = self._random.choice(self._waiting)[0]
        batch = [waiting for waiting in self._waiting if waiting[0] == stage][: self._stages[stage].needs.batch]
        self._waiting = [waiting for waiting in self._waiting if waiting not in batch]
        job = Job(stage=stage, records=tuple(record for _, record in batch))
        done = self._functions.answer(stage, job.records)
        return [Answer(job=job, outcomes=done.outcomes, seconds=done.seconds, worker="")]

    def no_more(self) -> None:
        self._whole = True

    def drain(self) -> list[tuple[int, Any]]:
        left, self._waiting = self._waiting, []
        return left

    def state(self) -> tuple[list[StageState], list[PoolState]]:
        return [], []


def run(url: str, random: Random, *, luck: int | None = None, videos: Sequence[Video] = VIDEOS) -> None:
    """One life of a build's process: dies where FATE says."""
    storage = Storage.at(url)
    needs = Needs(batch=random.choice([1, 3]))
    stages: list[Stage[Any, Any]] = [
        Cutter(luck=luck, needs=needs),
        Encoder(luck=luck, needs=needs, dataset=url),
        Looker(luck=luck, needs=needs, dataset=url),
        Judge(luck=luck, needs=needs),
    ]
    plan.extend(storage, plan.said(videos), videos_per_shard=2)
    workers = UnorderedWorkers([*stages, Packer(luck=luck)], random)
    journal = Journal(storage, seconds=random.choice([0.0, 100.0]))
    assert Build(storage, "clips", load_recipe("embedded"), Line(stages), workers, journal).run()


def run_until_done(url: str, random: Random, lives: Iterator[float], *, lucky: bool = False) -> int:
    """Resume after each crash; returns how many there were."""
    for crashes, FATE.steps in enumerate(lives):
        FATE.taken = 0
        with contextlib.suppress(CrashError):
            run(url, random, luck=crashes if lucky else None)
            return crashes
    raise AssertionError("no life was long enough")


def contents(url: str, folder: str) -> dict[str, bytes]:
    storage = Storage.at(url)
    return {path: storage.read(path) for path in storage.list(folder)}


def endings(url: str) -> dict[str, tuple[Any, ...]]:
    """Where every clip's way ended, without the time."""
    return {clip: tuple(ending)[:-1] for clip, ending in ledger.endings(Storage.at(url)).items()}


def check_laws(url: str) -> Summary:
    """What holds of every finished build, however it came about."""
    storage = Storage.at(url)
    summary = summarise(storage)
    assert summary.clips == summary.samples + sum(summary.rejected.values()) + sum(summary.failed.values())
    in_shards: list[str] = []
    for path in storage.list("shards", ".parquet"):
        in_shards += sidecar_keys(storage, path)
    kept = {clip for clip, ending in ledger.endings(storage).items() if ending.outcome == "kept"}
    assert max(Counter(in_shards).values(), default=1) == 1
    assert set(in_shards) == kept
    rows = [row for shard in ledger.closed(storage) for row in ledger.read(storage, shard)]
    cut = {row.clip: row.added for row in rows if row.stage == "cutter" and row.outcome == "done"}
    clips = {clip["key"] for added in cut.values() for clip in json.loads(added or "")}
    assert set(ledger.endings(storage)) == clips | {video.key for video in VIDEOS if video.key not in cut}
    assert storage.list("parts") == []
    assert all(stem.isdigit() for stem in (p[7:-8] for p in storage.list("ledger") if "plan" not in p))
    return summary


@pytest.fixture(scope="module")
def whole() -> str:
    """The build that nothing stopped."""
    url = "memory://whole"
    run(url, Random(0))
    return url


def test_the_line_has_every_kind_of_outcome(whole: str) -> None:
    summary = check_laws(whole)
    assert summary.samples > 5
    assert {why.split(":")[0] for why in summary.rejected} >= {"encoder", "looker", "judge", "duplicate"}
    assert {why.split(":")[0] for why in summary.failed} >= {"packer"}
    assert len(contents(whole, "shards")) >= 6


STRIDE = 12


@pytest.mark.parametrize("first", range(3))
def test_a_crash_at_any_step_changes_nothing(whole: str, first: int) -> None:
    for step in range(first, 10_000, STRIDE):
        url = f"memory://crash-{step}"
        crashes = run_until_done(url, Random(first), iter([step, float("inf")]))
        check_laws(url)
        assert contents(url, "shards") == contents(whole, "shards"), step
        assert endings(url) == endings(whole), step
        if not crashes:
            assert step > 100
            return


@pytest.mark.parametrize("seed", range(12))
def test_crashes_one_after_another_change_nothing(whole: str, seed: int) -> None:
    random = Random(seed)
    url = f"memory://crashes-{seed}"
    run_until_done(url, random, iter(lambda: random.choice([5, 20, 60, 300]) * random.random() + seed % 7, None))
    check_laws(url)
    assert contents(url, "shards") == contents(whole, "shards")
    assert endings(url) == endings(whole)


@pytest.mark.parametrize("seed", range(30))
def test_errors_that_come_and_go_between_crashes_leave_the_books_true(seed: int) -> None:
    random = Random(seed)
    url = f"memory://luck-{seed}"
    run_until_done(url, random, iter(lambda: 120 * random.random(), None), lucky=True)
    check_laws(url)


def test_a_clock_that_was_set_back_does_not_make_old_answers_the_last() -> None:
    storage = Storage.at("memory://clock")
    for now, outcome in ((2e9, "failed"), (1e9, "kept")):
        journal = Journal(storage, clock=lambda now=now: now)  # type: ignore[misc]
        journal.open(0)
        row = Row(shard=0, video="v", clip="c", stage="packer", stage_key="k", outcome=outcome, at=journal.now())  # type: ignore[arg-type]
        journal.add(row)
        journal.flush()
    assert ledger.endings(storage)["c"].outcome == "kept"
    assert [row.outcome for row in ledger.read(storage, 0)] == ["failed", "kept"]
