"""Screener and Judge on clips that were measured on disk, with tracks whose values are known exactly."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pipeline.records import Measured, Rejected, Tracked, Video
from pipeline.stages.judge import Judge, Screener, source_of
from pipeline.stages.measure import measure_detections
from pipeline.stages.measurer import Measurer
from pipeline.stages.rules import Border, Count, Effective, Motion, Rules, Size, rejudge
from tests.pipeline.tracked_clips import STILL, filmed

RULES = Rules(count=Count(), size=Size(), motion=Motion(), effective=Effective(), border=Border())

Clips = Callable[..., Tracked]


@pytest.fixture
def clip(tmp_path: Path) -> Clips:
    return partial(filmed, tmp_path)


def measured(record: Tracked) -> Measured:
    [answer] = Measurer().open()([record])
    assert isinstance(answer, Measured)
    return answer


def judged(record: Tracked, rules: Rules = RULES) -> Measured | Rejected:
    [answer] = Judge(rules=rules).open()([measured(record)])
    return answer


def rejected(answer: object) -> Rejected:
    assert isinstance(answer, Rejected)
    return answer


# --- Judge


def test_a_good_clip_passes_unchanged(clip: Clips) -> None:
    record = measured(clip())
    [answer] = Judge(rules=RULES).open()([record])
    assert answer is record


def test_the_rejection_says_rule_and_value_and_keeps_all_that_was_measured(clip: Clips) -> None:
    record = clip(STILL)
    assert judged(record) == Rejected(stage="judge", why="motion.iou", value=1.0, scores=measured(record).scores)


def test_the_first_broken_rule_is_the_reason_and_the_scores_tell_of_all(clip: Clips) -> None:
    answer = rejected(judged(clip(((0, 16, 40, 48),) * 3 + (None,) * 5, dogs=2)))
    assert (answer.why, answer.value) == ("count", 2.0)
    names = [broken.rule for broken in rejudge(answer.scores, RULES, "practice")]
    assert names == ["count", "motion.iou", "effective", "border"]


def test_one_answer_per_clip_in_order(clip: Clips) -> None:
    records = [measured(record) for record in (clip(seed=1), clip(STILL, seed=2), clip(seed=3))]
    answers = Judge(rules=RULES).open()(records)
    assert (answers[0], rejected(answers[1]).why, answers[2]) == (records[0], "motion.iou", records[2])
    assert Judge(rules=RULES).open()([]) == []


def test_a_one_frame_clip_does_not_move(clip: Clips) -> None:
    answer = rejected(judged(clip(STILL[:1]), Rules(motion=Motion())))
    assert (answer.why, answer.value) == ("motion.iou", 1.0)


@pytest.mark.parametrize(("lost", "dogs", "why"), [(True, 1, "track.none"), (False, 0, "count.none")])
def test_a_clip_without_its_subject_is_rejected_whatever_the_rules(
    clip: Clips, lost: bool, dogs: int, why: str
) -> None:
    answer = rejected(judged(clip((None,) * 8, dogs=dogs) if lost else clip(dogs=dogs), Rules()))
    assert (answer.why, answer.value) == (why, 0.0)


def test_judging_needs_no_frames(clip: Clips) -> None:
    records = [measured(clip(seed=1)), measured(clip(STILL, seed=2))]
    for record in records:
        Path(record.path).unlink()
    answers = Judge(rules=RULES).open()(records)
    assert (answers[0], rejected(answers[1]).why) == (records[0], "motion.iou")


def test_the_motion_rule_is_switched_by_source(clip: Clips) -> None:
    rules = Rules(motion=Motion(sources=("webvid",)))
    answers = [judged(clip(STILL, source=source), rules) for source in ("webvid", "davis")]
    assert [type(answer) for answer in answers] == [Rejected, Measured]


@pytest.mark.parametrize(
    ("name", "source"), [("davis/dog", "davis"), ("got10k/val/3", "got10k"), ("dog.mp4", "dog.mp4"), ("", "")]
)
def test_the_source_stands_before_the_first_slash(clip: Clips, name: str, source: str) -> None:
    assert source_of(replace(clip(), video=Video(id=name, uri="dog.mp4"))) == source


# --- Screener


def test_the_screener_passes_a_record_on_unchanged(clip: Clips) -> None:
    record = clip()
    [answer] = Screener(rules=RULES).open()([record])
    assert answer is record


def test_the_screener_needs_neither_tracks_nor_frames(clip: Clips) -> None:
    record = clip(STILL)  # the Judge's motion rule would reject it
    Path(record.path).unlink()
    [answer] = Screener(rules=RULES).open()([record])
    assert answer is record


def test_the_screener_rejects_too_many_too_large_and_none(clip: Clips) -> None:
    records = [clip(dogs=2), clip(((0, 0, 96, 64),) * 2), clip(dogs=0), clip()]
    answers = Screener(rules=RULES).open()(records)
    assert answers == [
        Rejected(stage="screener", why="count", value=2.0, scores=measure_detections(records[0])),
        Rejected(stage="screener", why="size.width", value=1.0, scores=measure_detections(records[1])),
        Rejected(stage="screener", why="count.none", value=0.0, scores={"count": 0.0}),
        records[3],
    ]


def test_what_the_screener_rejects_the_judge_would_reject_for_the_same_reason(clip: Clips) -> None:
    records = [clip(dogs=2), clip(((0, 0, 96, 64),) * 2), clip(dogs=0)]
    for record, screened in zip(records, Screener(rules=RULES).open()(records), strict=True):
        answer = judged(record)
        assert (rejected(screened).why, rejected(screened).value) == (rejected(answer).why, rejected(answer).value)
        assert rejected(screened).scores.items() <= rejected(answer).scores.items()
