"""DEVA's semi-online mode: the vote against all subsets, merging against exact cases, the mode as a whole."""

from collections.abc import Iterator
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.models.deva.consensus import TIE, choose, consensus
from pipeline.models.deva.objects import Labels, ObjectTable, Segmentation, Votes, ious, segmentation
from pipeline.models.deva.semi_online import SemiOnlineFrame, SemiOnlineTracker
from pipeline.models.deva.settings import Propagation, SemiOnline
from tests.pipeline.deva_seeded import as_bytes, repeating_network, seeded_frames

SIZE = (12, 20)


def shown(*spans: tuple[int, int], categories: tuple[int, ...] | None = None) -> Segmentation:
    """Things that fill columns [start, end) of a frame, of categories 0, 1, ... and score 0.5."""
    labels = np.zeros(SIZE, np.int64)
    for k, (start, end) in enumerate(spans, start=1):
        labels[:, start:end] = k
    named = categories or tuple(range(len(spans)))
    return Segmentation(labels=labels, votes=tuple(Votes(categories=(c,), scores=(0.5,)) for c in named))


def columns(labels: Labels) -> list[int]:
    """The label of each column."""
    assert (labels == labels[:1]).all()
    row: list[int] = labels[0].tolist()
    return row


# --- Labels


def test_the_larger_is_painted_first_and_the_empty_left_out() -> None:
    masks = np.zeros((3, 4, 6), bool)
    masks[0, 1:3, 1:3] = True
    masks[2, :, :5] = True
    found = segmentation(masks, categories=[4, 5, 6], scores=[0.4, 0.5, 0.6])
    assert [vote.category for vote in found.votes] == [6, 4]
    assert (found.labels == 2).sum() == 4
    assert (found.labels == 1).sum() == 16


@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 999))
def test_ious_of_label_maps_are_those_of_their_masks(num_a: int, num_b: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = random.integers(0, num_a + 1, (5, 6)), random.integers(0, num_b + 1, (5, 6))
    table = ious(a, num_a, b, num_b)
    assert table.shape == (num_a, num_b)
    for i, j in product(range(num_a), range(num_b)):
        both, either = (a == i + 1) & (b == j + 1), (a == i + 1) | (b == j + 1)
        assert table[i, j] == pytest.approx(both.sum() / max(1, either.sum()))


def test_the_most_frequent_category_is_voted_the_smallest_of_equals() -> None:
    votes = Votes(categories=(3, 1, 3, 1, 2), scores=(0.5, 0.25, 0.75, 1.0, 0.0))
    assert (votes.category, votes.score) == (1, 0.5)
    assert (votes + Votes(categories=(3,), scores=(0.5,))).category == 3


# --- The vote


@st.composite
def _programs(draw: st.DrawFn) -> tuple[NDArray[np.float64], list[tuple[int, int]]]:
    """Supports as of IoUs, in tenths so that ties are common, and pairs among at most 7 members."""
    num = draw(st.integers(0, 7))
    every = list(combinations(range(num), 2))
    pairs = draw(st.lists(st.sampled_from(every), unique=True, max_size=8)) if every else []
    support = np.full(num, -0.5)
    for pair in pairs:
        support[list(pair)] += draw(st.sampled_from([0.6, 0.7, 0.8, 1.0]))
    return support, pairs


@given(_programs())
def test_the_vote_is_the_best_of_all_subsets(program: tuple[NDArray[np.float64], list[tuple[int, int]]]) -> None:
    support, pairs = program
    allowed = [
        taken
        for taken in product((1, 0), repeat=len(support))  # lowest numbers first
        if not any(taken[a] and taken[b] for a, b in pairs)
    ]
    values = [float(np.dot(taken, support)) for taken in allowed]
    first_best = next(taken for taken, value in zip(allowed, values, strict=True) if value > max(values) - TIE)
    assert choose(support, pairs) == [n for n, taken in enumerate(first_best) if taken]


def test_what_most_frames_show_survives() -> None:
    """A thing in all three frames, one that only the second frame shows, one in the first and third."""
    frames = [shown((0, 8), (15, 20)), shown((1, 9), (10, 14)), shown((2, 10), (15, 19))]
    agreed = consensus(frames)
    # Of the first thing the second frame's mask agrees best with the others; of the third thing the first is taken.
    assert columns(agreed.labels) == [0] + [2] * 8 + [0] * 6 + [1] * 5
    assert [vote.categories for vote in agreed.votes] == [(1, 1), (0, 0, 0)]


def test_two_frames_that_barely_agree_are_enough() -> None:
    assert columns(consensus([shown((0, 8)), shown((2, 10))]).labels) == [1] * 8 + [0] * 12
    assert not consensus([shown((0, 9)), shown((3, 12))]).votes  # an IoU of a half is none


def test_a_small_thing_stays_on_top_of_a_later_larger_one() -> None:
    """The large one is taken from the third frame, which does not see the small one within it."""
    small_first = [shown((0, 13), (2, 6)), shown((1, 14), (3, 7))]
    frames = [Segmentation(labels=np.where(f.labels, 3 - f.labels, 0), votes=f.votes) for f in small_first]
    agreed = consensus([*frames, shown((0, 14))])
    assert columns(agreed.labels) == [2, 2, 1, 1, 1, 1] + [2] * 8 + [0] * 6


def test_one_frame_s_word_does_not_count() -> None:
    for frames in ([shown((0, 8))], [shown((0, 8)), shown(), shown((10, 18))]):
        agreed = consensus(frames)
        assert (agreed.votes, agreed.labels.max()) == ((), 0)


def test_a_thing_within_another_stays_on_top() -> None:
    agreed = consensus([shown((0, 14), (4, 8))] * 2)
    assert columns(agreed.labels) == [1] * 4 + [2] * 4 + [1] * 6 + [0] * 6


# --- Merging


def test_a_detection_meets_its_object_and_others_enter_by_size() -> None:
    table = ObjectTable(max_missed_detections=1, max_num_objects=None)
    kept, masks = table.merge(np.zeros(SIZE, np.int64), shown((0, 4), (5, 13)))
    assert (kept, masks.shape, table.ids) == ([], (2, *SIZE), (1, 2))
    assert [tracked.votes.category for tracked in table.objects] == [1, 0]

    carried = shown((6, 14), (1, 5)).labels  # object 1 at columns 6-13, object 2 at 1-4
    kept, masks = table.merge(carried, shown((7, 15), (16, 20), categories=(8, 9)))
    assert (kept, table.ids) == ([0, 1], (1, 2, 3))
    assert [tracked.votes.categories for tracked in table.objects] == [(1, 8), (0,), (9,)]
    assert [tracked.misses for tracked in table.objects] == [0, 1, 0]
    assert [np.flatnonzero(mask[0]).tolist() for mask in masks] == [
        list(range(6, 15)),  # what was carried and what was detected
        list(range(1, 5)),
        list(range(16, 20)),
    ]


def test_a_detection_over_half_of_an_object_is_another() -> None:
    table = ObjectTable(max_missed_detections=1, max_num_objects=None)
    table.merge(np.zeros(SIZE, np.int64), shown((0, 8)))
    _, masks = table.merge(shown((0, 8)).labels, shown((0, 4)))
    assert table.ids == (1, 2)
    assert [np.flatnonzero(mask[0]).tolist() for mask in masks] == [[4, 5, 6, 7], [0, 1, 2, 3]]


def test_who_is_missed_too_often_goes_and_no_id_comes_back() -> None:
    table = ObjectTable(max_missed_detections=1, max_num_objects=None)
    table.merge(np.zeros(SIZE, np.int64), shown((0, 4), (5, 13)))
    carried = shown((5, 13), (0, 4)).labels
    for misses in (1, 0, 1):  # a detection in between starts the count anew
        table.merge(carried, shown((5, 13)) if misses else shown((5, 13), (0, 4)))
        assert [tracked.misses for tracked in table.objects] == [0, misses]
    kept, masks = table.merge(carried, shown((5, 13)))
    assert (kept, len(masks), table.ids) == ([0], 1, (1,))
    _, masks = table.merge(shown((5, 13)).labels, shown((5, 13), (0, 4)))
    assert table.ids == (1, 3)


def test_a_merge_beyond_the_number_of_objects_is_passed_over() -> None:
    table = ObjectTable(max_missed_detections=1, max_num_objects=2)
    table.merge(np.zeros(SIZE, np.int64), shown((0, 4), (5, 13)))
    kept, masks = table.merge(shown((5, 13), (0, 4)).labels, shown((5, 13), (15, 18)))
    assert (kept, len(masks)) == ([0, 1], 2)
    assert [tracked.misses for tracked in table.objects] == [1, 1]


@given(st.integers(0, 999))
def test_masks_of_a_merge_never_overlap(seed: int) -> None:
    random, table = np.random.default_rng(seed), ObjectTable(max_missed_detections=1, max_num_objects=None)
    carried, seen = np.zeros((6, 8), np.int64), 0
    for _ in range(6):
        number = int(random.integers(0, 4))
        blocks = random.random((number, 6, 8)) < random.random((number, 1, 1))
        kept, masks = table.merge(carried, segmentation(blocks, [0] * number, [0.5] * number))
        assert masks.sum(axis=0).max(initial=0) <= 1
        assert len(masks) == len(table.ids) == len(set(table.ids))
        assert kept == sorted(kept)
        assert all(i > seen for i in table.ids[len(kept) :])
        seen = max([seen, *table.ids])
        carried = (masks * np.arange(1, len(masks) + 1)[:, None, None]).sum(axis=0)


# --- The mode


FRAMES = as_bytes(seeded_frames(18, 64, 128))


def box(left: int) -> NDArray[np.bool_]:
    mask = np.zeros((1, 64, 128), bool)
    mask[0, 32:, left : left + 32] = True
    return mask


class Detector:
    """Sees one thing until frame `gone`, another from frame `late` on, and keeps which frames it was asked for."""

    def __init__(self, gone: int = 99, late: int = 99) -> None:
        self.asked: list[int] = []
        self.reading = -1
        self._gone, self._late = gone, late

    def read(self, num_frames: int) -> Iterator[NDArray[np.uint8]]:
        for frame in FRAMES[:num_frames]:
            self.reading += 1
            yield frame

    def __call__(self, frame: NDArray[np.uint8]) -> Segmentation:
        assert np.array_equal(frame, FRAMES[self.reading])
        self.asked.append(self.reading)
        boxes = [box(0)] * (self.reading < self._gone) + [box(64)] * (self.reading >= self._late)
        return segmentation(np.concatenate(boxes), [3] * len(boxes), [0.5] * len(boxes))


def track(detector: Detector, num_frames: int, propagation: Propagation, **settings: int) -> list[SemiOnlineFrame]:
    tracker = SemiOnlineTracker(repeating_network(), propagation, SemiOnline(**settings), detector)
    return list(tracker.track(detector.read(num_frames)))


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_the_detector_is_asked_for_every_vote() -> None:
    detector = Detector()
    frames = track(detector, 18, Propagation(mem_every=2))
    assert detector.asked == [0, 1, 2, 5, 6, 7, 10, 11, 12, 15, 16, 17]
    assert [frame.index for frame in frames] == list(range(18))
    assert [frame.ids for frame in frames] == [(1,)] * 18
    assert all(iou(frame.masks, box(0)) > 0.8 for frame in frames)
    assert frames[17].objects[0].votes.categories == (3,) * 12


@pytest.mark.parametrize("short_side", [None, 32])
def test_who_comes_late_enters_and_who_is_gone_is_dropped(short_side: int | None) -> None:
    detector = Detector(gone=5, late=5)
    frames = track(detector, 18, Propagation(mem_every=2, short_side=short_side), max_missed_detections=1)
    first, second = 1, 2
    expected = [(first,)] * 5 + [(first, second)] * 5 + [(second,)] * 8
    assert [frame.ids for frame in frames] == expected
    assert [frame.masks.shape for frame in frames] == [(len(ids), 64, 128) for ids in expected]
    assert iou(frames[17].masks, box(64)) > 0.6  # one position wide, its corners wear off
    assert [tracked.misses for tracked in frames[9].objects] == [1, 0]


def test_of_two_voting_frames_the_first_one_s_mask_is_taken() -> None:
    frames = track(Detector(), 2, Propagation(), num_voting_frames=2)
    assert np.array_equal(frames[0].masks, box(0))


def test_what_only_one_voting_frame_shows_does_not_enter() -> None:
    frames = track(Detector(late=7), 9, Propagation())
    assert [frame.ids for frame in frames] == [(1,)] * 9


def test_frames_wait_for_their_vote_only() -> None:
    detector = Detector()
    tracker = SemiOnlineTracker(repeating_network(), Propagation(), SemiOnline(), detector)
    waits = [detector.reading - frame.index for frame in tracker.track(detector.read(10))]
    assert waits == [2, 1, 0, 0, 0, 2, 1, 0, 0, 0]


def test_a_clip_too_short_for_a_vote_has_no_objects() -> None:
    frames = track(Detector(), 2, Propagation())
    assert [(frame.ids, frame.masks.shape) for frame in frames] == [((), (0, 64, 128))] * 2


def test_labels_of_another_size_are_refused() -> None:
    tracker = SemiOnlineTracker(repeating_network(), Propagation(), SemiOnline(), lambda _frame: shown())
    with pytest.raises(ValueError, match=r"detected labels are \(12, 20\), the frame \(64, 128\)"):
        list(tracker.track(FRAMES))


@pytest.mark.parametrize(
    ("settings", "why"),
    [({"detection_every": 2}, "a frame would vote twice"), ({"max_missed_detections": -1}, "max_missed_detections")],
)
def test_settings_that_cannot_work(settings: dict[str, int], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        SemiOnline(**settings)
