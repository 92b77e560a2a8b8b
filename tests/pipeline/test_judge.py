"""Screener, Measurer and Judge on clips that lie encoded on disk, with tracks whose values are known exactly."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.records import Detection, Measured, Rejected, Tracked, Tracklet, Video, from_json, to_json
from pipeline.stages.duplicate import DuplicateIndex
from pipeline.stages.judge import Judge, Measurer, Screener, source_of
from pipeline.stages.measure import fingerprint, measure_detections, measure_tracks
from pipeline.stages.rules import Border, Count, Duplicate, Effective, Motion, Rules, Size, rejudge
from shards import rle, video
from shards.rle import Box

WIDTH, HEIGHT = 96, 64
WALK: tuple[Box | None, ...] = tuple((8 + 4 * t, 16, 40 + 4 * t, 48) for t in range(8))
STILL: tuple[Box | None, ...] = ((8, 16, 40, 48),) * 8
RULES = Rules(count=Count(), size=Size(), motion=Motion(), effective=Effective(), border=Border())

Clips = Callable[..., Tracked]


@pytest.fixture
def clip(tmp_path: Path) -> Clips:
    """Makes a clip of a bright dog that is tracked through `boxes`, on a background of its own for every `seed`."""

    def make(boxes: Sequence[Box | None] = WALK, *, seed: int = 0, source: str = "practice", dogs: int = 1) -> Tracked:
        path = tmp_path / f"{seed}-{len(boxes)}.mp4"
        coarse = np.random.default_rng(seed).integers(0, 200, (4, 6, 3), dtype=np.uint8)
        frames = np.stack([np.kron(coarse, np.ones((16, 16, 1), np.uint8))] * len(boxes))
        masks = np.zeros((len(boxes), HEIGHT, WIDTH), dtype=bool)
        for mask, box in zip(masks, boxes, strict=True):
            if box is not None:
                mask[box[1] : box[3], box[0] : box[2]] = True
        frames[masks] = 250
        pts = tuple(range(len(boxes)))
        path.write_bytes(video.encode(frames, pts, Fraction(1, 25)))
        first = next((box for box in boxes if box is not None), (0, 0, 32, 32))
        return Tracked(
            key="0f",
            video=Video(id=f"{source}/walk/{seed}", uri="walk.mp4"),
            start=0.0,
            end=len(boxes) / 25,
            first_frame=0,
            num_frames=len(boxes),
            source_sha256="5e",
            path=str(path),
            sha256="5e",
            width=WIDTH,
            height=HEIGHT,
            pts=pts,
            time_base=(1, 25),
            scale=(1.0, 1.0),
            caption="a dog",
            caption_author="source",
            subjects=("dog",),
            subject="dog",
            namer="source",
            detections=(Detection(noun="dog", frame=0, box=first, score=0.9),) * dogs,
            detector="source",
            segments=(),
            segmenter="source",
            tracks=(Tracklet(id=1, noun="dog", masks=rle.encode_clip(masks)),),
            tracker="source",
        )

    return make


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


# --- Measurer


def test_a_clip_grows_by_its_scores_and_its_hashes(clip: Clips) -> None:
    record = clip()
    answer = measured(record)
    assert all(getattr(answer, f.name) == getattr(record, f.name) for f in fields(record))
    assert answer.scores == measure_detections(record) | measure_tracks(record)
    assert answer.scores["motion.iou"] == pytest.approx(1 / 15)
    assert answer.phash == fingerprint(np.stack(list(video.frames(record.path, [1, 3, 5, 7]))))


def test_every_clip_is_measured_in_order_also_one_without_a_subject(clip: Clips) -> None:
    records = [clip(seed=1), clip((None,) * 4, seed=2), clip(dogs=0, seed=3)]
    answers = Measurer().open()(records)
    assert answers == [measured(record) for record in records]
    assert answers[1].scores == {"effective": 0.0, "count.tracks": 1.0} | measure_detections(records[1])
    assert answers[2].scores == {"count": 0.0} | measure_tracks(records[2])
    assert Measurer().open()([]) == []


@pytest.mark.parametrize("num_frames", [1, 2, 3])
def test_a_clip_shorter_than_its_hashes_repeats_frames(clip: Clips, num_frames: int) -> None:
    record = clip(WALK[:num_frames])
    hashes = fingerprint(np.stack(list(video.frames(record.path))))
    numbers = {1: (0, 0, 0, 0), 2: (0, 0, 1, 1), 3: (0, 1, 1, 2)}[num_frames]
    assert measured(record).phash == tuple(hashes[number] for number in numbers)


def test_what_is_usable_is_a_setting(clip: Clips) -> None:
    record = clip((*WALK[:7], (8, 16, 24, 32)))  # a quarter of the area
    usable = [Measurer(usable_area=share).open()([record])[0].scores["effective"] for share in (0.25, 0.26)]
    assert usable == [1.0, 7 / 8]
    assert Measurer(usable_area=0.26).digest() != Measurer().digest()


def test_a_measured_record_survives_the_ledger(clip: Clips) -> None:
    record = clip()
    answer = measured(record)
    assert from_json(Measured, record, to_json(answer)) == answer


def test_the_same_clip_encoded_again_is_a_duplicate_and_another_is_not(clip: Clips) -> None:
    index, rule = DuplicateIndex(), Duplicate()
    index.add("aa", measured(clip(seed=1)).phash)
    coarser = clip(seed=1)
    frames = list(video.frames(coarser.path))
    Path(coarser.path).write_bytes(video.encode(frames, coarser.pts, Fraction(1, 25), crf=36))
    for record, is_duplicate in ((coarser, True), (clip(seed=2), False)):
        nearest = index.nearest(measured(record).phash)
        assert nearest is not None
        assert (rule.broken({"duplicate.distance": float(nearest[0])}) is not None) is is_duplicate


# --- Judge


def test_a_good_clip_passes_unchanged(clip: Clips) -> None:
    record = measured(clip())
    [answer] = Judge(rules=RULES).open()([record])
    assert answer is record


def test_the_rejection_says_rule_and_value_and_keeps_all_that_was_measured(clip: Clips) -> None:
    record = clip(STILL)
    scores = measure_detections(record) | measure_tracks(record)
    assert judged(record) == Rejected(stage="judge", why="motion.iou", value=1.0, scores=scores)


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
    answer = rejected(judged(clip(WALK[:1]), Rules(motion=Motion())))
    assert (answer.why, answer.value) == ("motion.iou", 1.0)


@pytest.mark.parametrize(("lost", "dogs", "why"), [(True, 1, "track.none"), (False, 0, "count.none")])
def test_a_clip_without_its_subject_is_rejected_whatever_the_rules(
    clip: Clips, lost: bool, dogs: int, why: str
) -> None:
    answer = rejected(judged(clip((None,) * 8 if lost else WALK, dogs=dogs), Rules()))
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
