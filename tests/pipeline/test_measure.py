"""Measured values against detections and tracks whose answers are known exactly."""

from collections.abc import Sequence
from dataclasses import replace
from math import hypot, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import Detection, Tracked, Tracklet
from pipeline.stages.measure import (
    box_iou,
    centre_shift,
    measure_detections,
    measure_tracks,
    touches_border,
)
from shards.rle import Box
from tests.pipeline import tracked_clips

WIDTH, HEIGHT = 100, 60
DIAGONAL = hypot(WIDTH, HEIGHT)
STILL: Box = (10, 10, 30, 20)


def tracked(boxes: Sequence[Box | None]) -> Tracked:
    return tracked_clips.tracked(boxes, (HEIGHT, WIDTH))


def detection(box: Box, *, noun: str = "dog", frame: int = 0, score: float | None = 0.9) -> Detection:
    return Detection(noun=noun, frame=frame, box=box, score=score)


def with_detections(*detections: Detection) -> Tracked:
    return replace(tracked([STILL] * 4), detections=detections)


def boxes() -> st.SearchStrategy[Box]:
    def box(x0: int, y0: int, width: int, height: int) -> Box:
        return x0, y0, min(x0 + width, WIDTH), min(y0 + height, HEIGHT)

    return st.builds(
        box,
        st.integers(0, WIDTH - 1),
        st.integers(0, HEIGHT - 1),
        st.integers(1, WIDTH),
        st.integers(1, HEIGHT),
    )


# --- Detections


def test_one_detection_gives_its_ratios() -> None:
    scores = measure_detections(with_detections(detection((10, 30, 35, 60))))
    assert scores == {"count": 1, "size.width": 0.25, "size.height": 0.5, "size.area": 0.125}


def test_no_detection_has_a_count_and_no_size() -> None:
    assert measure_detections(with_detections()) == {"count": 0}


def test_only_the_subject_is_counted() -> None:
    record = with_detections(detection(STILL), detection(STILL, noun="cat"), detection(STILL, noun="ball"))
    assert measure_detections(record)["count"] == 1


def test_only_the_first_frame_with_the_subject_is_counted() -> None:
    record = with_detections(
        detection((0, 0, 50, 30), frame=5),
        detection(STILL, frame=0, noun="cat"),
        detection((0, 0, 9, 9), frame=10),
    )
    scores = measure_detections(record)
    assert (scores["count"], scores["size.area"]) == (1, 0.25)


def test_the_size_is_that_of_the_best_detection() -> None:
    record = with_detections(
        detection((0, 0, 10, 60), score=0.4),
        detection((0, 0, 20, 60), score=0.6),
        detection((0, 0, 30, 60), score=0.5),
    )
    scores = measure_detections(record)
    assert (scores["count"], scores["size.width"]) == (3, 0.2)


def test_detections_without_a_score_are_measured_by_the_first() -> None:
    record = with_detections(detection((0, 0, 10, 60), score=None), detection((0, 0, 20, 60), score=None))
    assert measure_detections(record)["size.width"] == 0.1


# --- Tracks


def test_a_still_subject() -> None:
    assert measure_tracks(tracked([STILL] * 5)) == {
        "count.tracks": 1,
        "effective": 1,
        "motion.iou": 1,
        "motion.shift": 0,
        "lost.spans": 0,
        "lost.longest": 0,
        "area.jump": 1,
        "area.mean": 200 / 6000,
        "border": 0,
    }


def test_motion_compares_first_and_last_frame_and_nothing_between() -> None:
    scores = measure_tracks(tracked([STILL, (60, 30, 80, 40), (20, 10, 40, 20)]))
    assert scores["motion.iou"] == pytest.approx(1 / 3)
    assert scores["motion.shift"] == pytest.approx(10 / DIAGONAL)


@pytest.mark.parametrize("ends", [(None, STILL, (20, 10, 40, 20)), (STILL, (20, 10, 40, 20), None, None)])
def test_a_subject_absent_at_an_end_is_compared_where_it_first_and_last_is(
    ends: tuple[Box | None, ...],
) -> None:
    scores = measure_tracks(tracked(ends))
    assert scores["motion.iou"] == pytest.approx(1 / 3)
    assert scores["effective"] == 2 / len(ends)


def test_absence_at_an_end_is_no_gap() -> None:
    scores = measure_tracks(tracked([None, None, STILL, STILL, None]))
    assert (scores["lost.spans"], scores["lost.longest"], scores["effective"]) == (0, 0, 0.4)


def test_gaps_are_counted_and_the_longest_is_measured() -> None:
    scores = measure_tracks(tracked([None, STILL, None, STILL, STILL, None, None, None, STILL, None]))
    assert (scores["lost.spans"], scores["lost.longest"], scores["effective"]) == (2, 0.3, 0.4)


@pytest.mark.parametrize("track", [(STILL,), (None, STILL, None)])
def test_a_single_mask_neither_moves_nor_jumps(track: tuple[Box | None, ...]) -> None:
    scores = measure_tracks(tracked(track))
    assert (scores["motion.iou"], scores["motion.shift"], scores["area.jump"]) == (1, 0, 1)
    assert (scores["effective"], scores["lost.spans"]) == (1 / len(track), 0)


@pytest.mark.parametrize("track", [(None,), (None, None, None)])
def test_a_subject_that_is_nowhere_has_nothing_else_to_measure(track: tuple[None, ...]) -> None:
    assert measure_tracks(tracked(track)) == {"count.tracks": 1, "effective": 0}


def test_no_track_at_all() -> None:
    assert measure_tracks(replace(tracked([STILL]), tracks=())) == {"count.tracks": 0, "effective": 0}


def test_only_the_first_track_is_the_subject() -> None:
    record = tracked([STILL, STILL])
    other = tracked([(0, 0, 90, 60), None]).tracks[0]
    both = replace(record, tracks=(*record.tracks, Tracklet(id=2, noun="cat", masks=other.masks)))
    assert measure_tracks(both) == measure_tracks(record) | {"count.tracks": 2}


def test_a_remnant_is_present_but_not_usable() -> None:
    full, remnant, quarter = (0, 0, 20, 20), (0, 0, 9, 11), (0, 0, 10, 10)  # 400, 99 and 100 pixels
    assert measure_tracks(tracked([full, remnant, full, full]))["effective"] == 0.75
    assert measure_tracks(tracked([full, quarter, full, full]))["effective"] == 1
    assert measure_tracks(tracked([full, remnant, full, full]), usable_area=0.2)["effective"] == 1
    assert measure_tracks(tracked([full, quarter, full, full]), usable_area=0.3)["effective"] == 0.75


@pytest.mark.parametrize("order", [1, -1])
def test_an_area_jumps_up_or_down(order: int) -> None:
    track = [(10, 10, 20, 20), (10, 10, 30, 20), (10, 10, 30, 50)][::order]  # 100, 200 and 800 pixels
    assert measure_tracks(tracked(track))["area.jump"] == 4


def test_an_area_may_change_over_a_gap() -> None:
    assert measure_tracks(tracked([(0, 0, 10, 10), None, (0, 0, 100, 60)]))["area.jump"] == 1


def test_the_mean_area_leaves_absent_frames_out() -> None:
    assert measure_tracks(tracked([(0, 0, 10, 30), None, (0, 0, 10, 60)]))["area.mean"] == 0.075


@pytest.mark.parametrize(
    ("box", "touches"),
    [
        ((0, 1, 50, 59), True),
        ((1, 0, 50, 59), True),
        ((50, 1, 100, 59), True),
        ((1, 30, 99, 60), True),
        ((1, 1, 99, 59), False),
        ((0, 0, 100, 60), True),
    ],
)
def test_a_box_touches_any_of_four_borders(box: Box, touches: bool) -> None:
    assert touches_border(box, (HEIGHT, WIDTH)) is touches
    assert measure_tracks(tracked([box, STILL, None, STILL, STILL]))["border"] == touches / 4


# --- Laws


@given(boxes(), boxes())
def test_iou_is_symmetric_and_1_for_the_same_box_alone(a: Box, b: Box) -> None:
    assert box_iou(a, b) == box_iou(b, a)
    assert 0 <= box_iou(a, b) <= 1
    assert (box_iou(a, b) == 1) is (a == b)


@given(boxes(), boxes())
def test_iou_equals_the_pixels_counted(a: Box, b: Box) -> None:
    masks = np.zeros((2, HEIGHT, WIDTH), dtype=bool)
    for mask, (x0, y0, x1, y1) in zip(masks, (a, b), strict=True):
        mask[y0:y1, x0:x1] = True
    assert box_iou(a, b) == masks.all(axis=0).sum() / masks.any(axis=0).sum()


@given(boxes(), boxes(), boxes())
def test_shift_is_a_distance(a: Box, b: Box, c: Box) -> None:
    size = (HEIGHT, WIDTH)
    assert centre_shift(a, a, size) == 0
    assert centre_shift(a, b, size) == centre_shift(b, a, size)
    assert centre_shift(a, b, size) < 1
    assert centre_shift(a, c, size) <= centre_shift(a, b, size) + centre_shift(b, c, size) + 1e-12


def test_shift_from_corner_to_corner() -> None:
    assert centre_shift((0, 0, 2, 2), (98, 98, 100, 100), (100, 100)) == pytest.approx(98 / 100)
    assert centre_shift((0, 0, 2, 2), (98, 0, 100, 2), (100, 100)) == pytest.approx(98 / (100 * sqrt(2)))


@given(st.lists(st.one_of(st.none(), boxes()), min_size=1, max_size=8).filter(any))
def test_played_backwards_a_track_measures_the_same(track: list[Box | None]) -> None:
    forwards, backwards = measure_tracks(tracked(track)), measure_tracks(tracked(track[::-1]))
    assert forwards == pytest.approx(backwards)


@given(st.lists(st.booleans(), min_size=1, max_size=40).filter(any))
def test_frames_are_usable_absent_at_an_end_or_in_a_gap(present: list[bool]) -> None:
    scores = measure_tracks(tracked([STILL if there else None for there in present]))
    inner = "".join("x" if there else "." for there in present).strip(".")
    gaps = [gap for gap in inner.split("x") if gap]
    assert scores["lost.spans"] == len(gaps)
    assert scores["lost.longest"] == max(map(len, gaps), default=0) / len(present)
    assert scores["effective"] == sum(present) / len(present)
