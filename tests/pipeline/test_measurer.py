"""The Measurer on clips that lie encoded on disk, with tracks and pictures whose values are known."""

import re
from collections.abc import Callable
from dataclasses import fields, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dreamreel
from pipeline.recipe import load_recipe
from pipeline.records import Measured, Rejected, Tracked, from_json, to_json
from pipeline.stages.camera import Camera
from pipeline.stages.duplicate import DuplicateIndex
from pipeline.stages.judge import Judge
from pipeline.stages.look import fingerprint, measure_look
from pipeline.stages.measure import measure_detections, measure_tracks
from pipeline.stages.measurer import Measurer
from pipeline.stages.rules import Black, Duplicate, OwnMotion, Rules, Static
from shards import video
from tests.pipeline.tracked_clips import SIZE, STILL, WALK, filmed

Clips = Callable[..., Tracked]


@pytest.fixture
def clip(tmp_path: Path) -> Clips:
    return partial(filmed, tmp_path)


def measured(record: Tracked, **how: Any) -> Measured:
    [answer] = Measurer(**how).open()([record])
    assert isinstance(answer, Measured)
    return answer


def test_a_clip_grows_by_its_scores_and_its_hashes(clip: Clips) -> None:
    record = clip()
    answer = measured(record)
    assert all(getattr(answer, f.name) == getattr(record, f.name) for f in fields(record))
    look = measure_look(np.stack(list(video.frames(record.path, [1, 3, 5, 7]))))
    assert answer.scores == measure_detections(record) | measure_tracks(record) | look
    assert answer.scores["motion.iou"] == pytest.approx(1 / 15)
    assert answer.phash == fingerprint(np.stack(list(video.frames(record.path, [1, 3, 5, 7]))))


def test_every_clip_is_measured_in_order_also_one_without_a_subject(clip: Clips) -> None:
    records = [clip(seed=1), clip((None,) * 4, seed=2), clip(dogs=0, seed=3)]
    answers = Measurer().open()(records)
    assert answers == [measured(record) for record in records]
    track = {"effective": 0.0, "count.tracks": 1.0}
    assert answers[1].scores == answers[1].scores | track | measure_detections(records[1])
    assert "motion.iou" not in answers[1].scores
    assert answers[2].scores == answers[2].scores | {"count": 0.0} | measure_tracks(records[2])
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


# --- What the frames show


def painted(record: Tracked, colour: int) -> Tracked:
    """The same tracks over a video of one colour."""
    frames = np.full((record.num_frames, *SIZE, 3), colour, np.uint8)
    Path(record.path).write_bytes(video.encode(frames, record.pts, Fraction(1, 25)))
    return record


def test_an_all_black_video_is_rejected_by_that_name(clip: Clips) -> None:
    rules = load_recipe("embedded").rules
    [answer] = Judge(rules=rules).open()([measured(painted(clip(), 0), camera=Camera())])
    assert isinstance(answer, Rejected)
    assert (answer.why, answer.value) == ("black.share", 1.0)


def test_a_picture_that_stands_is_rejected_by_that_name_and_black_is_not_said_of_grey(clip: Clips) -> None:
    grey = measured(painted(clip(), 90))
    [answer] = Judge(rules=Rules(black=Black(), static=Static())).open()([grey])
    assert isinstance(answer, Rejected)
    assert (answer.why, answer.value) == ("static.share", 1.0)
    [kept] = Judge(rules=Rules(black=Black(), static=Static())).open()([measured(clip())])
    assert isinstance(kept, Measured)


# --- The camera


def test_the_camera_is_measured_where_the_recipe_says_so(clip: Clips) -> None:
    with_camera, without = measured(clip(), camera=Camera(rate=100)), measured(clip())
    more = with_camera.scores.keys() - without.scores.keys()
    assert more == {"motion.compensated", "camera.shift", "camera.zoom", "camera.known"}
    assert with_camera.scores | without.scores == with_camera.scores
    assert with_camera.phash == without.phash


def test_a_subject_that_moves_before_a_camera_that_stands(clip: Clips) -> None:
    walk, still = (measured(clip(boxes), camera=Camera(rate=100)).scores for boxes in (WALK, STILL))
    assert walk["motion.compensated"] == pytest.approx(28 / np.hypot(*SIZE), abs=0.005)
    assert still["motion.compensated"] == pytest.approx(0, abs=0.002)
    assert walk["camera.shift"] == pytest.approx(0, abs=0.005)


@pytest.mark.parametrize("boxes", [(None,) * 8, (None, *WALK[1:2], *(None,) * 6)])
def test_a_subject_that_is_not_seen_in_two_compared_frames_does_not_move(clip: Clips, boxes: tuple[None, ...]) -> None:
    assert measured(clip(boxes), camera=Camera()).scores["motion.compensated"] == 0


def test_a_clip_without_a_track_has_a_camera_all_the_same(clip: Clips) -> None:
    scores = measured(replace(clip(), tracks=()), camera=Camera(rate=100)).scores
    assert (scores["motion.compensated"], scores["camera.known"]) == (0, 1)


def test_one_frame_tells_nothing_of_a_camera(clip: Clips) -> None:
    scores = measured(clip(WALK[:1]), camera=Camera()).scores
    assert {name: scores[name] for name in scores if name.startswith("camera.")} == {
        "camera.shift": 0,
        "camera.zoom": 1,
        "camera.known": 1,
    }


def test_what_is_measured_and_by_which_library_is_in_the_digest() -> None:
    digests = {Measurer().digest(), Measurer(camera=Camera()).digest(), Measurer(camera=Camera(rate=2)).digest()}
    assert len(digests) == 3
    assert Measurer().fingerprint() == ""
    assert "opencv" in Measurer(camera=Camera()).fingerprint()


def test_the_formats_readme_names_every_score(clip: Clips) -> None:
    readme = (Path(dreamreel.__file__).parent / "shards/README.md").read_text()
    table = readme.partition("## Scores")[2].partition("## ")[0]
    named = {name for row in table.splitlines()[4:] for name in re.findall(r"`([\w.]+)`", row.partition(" | ")[0])}
    written = {"text.share", "nsfw", "duplicate.distance"}
    assert named == written | measured(clip(), camera=Camera()).scores.keys()


def test_other_thresholds_need_neither_frames_nor_a_camera_anew(clip: Clips) -> None:
    record = measured(clip(), camera=Camera(rate=100))
    Path(record.path).unlink()
    for rules, why in (
        (Rules(own_motion=OwnMotion(), static=Static(), black=Black()), None),
        (Rules(own_motion=OwnMotion(min_shift=0.5)), "motion.compensated"),
        (Rules(static=Static(max_share=0.1)), "static.share"),
    ):
        [answer] = Judge(rules=rules).open()([record])
        assert (answer.why if isinstance(answer, Rejected) else None) == why


def test_a_rule_about_what_is_not_measured_is_refused_with_the_mend() -> None:
    assert load_recipe("embedded", ["rules.own_motion={}", "measurer.camera={}"]).rules.own_motion == OwnMotion()
    with pytest.raises(ValueError, match=r"^rules\.text judges by what measurer\.text measures, which is off: set "):
        load_recipe("embedded", ["rules.text={}"])
