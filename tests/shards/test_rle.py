"""Run lengths agree with pycocotools to the byte, and with the pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from pycocotools import mask as coco

from shards import rle

SIZES = [(1, 1), (1, 7), (7, 1), (2, 2), (5, 8), (64, 48), (97, 131)]
Masks = NDArray[np.bool_]


def coco_encode(mask: Masks) -> str:
    counts: bytes = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    return counts.decode()


def pixel_box(mask: Masks) -> rle.Box | None:
    ys, xs = np.nonzero(mask)
    return (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1) if len(xs) else None


def masks_of(size: rle.Size) -> list[Masks]:
    rng = np.random.default_rng(7)
    checker = np.indices(size).sum(axis=0) % 2 == 1
    half = np.zeros(size, bool)
    half[size[0] // 2 :] = True
    random = [rng.random(size) < share for share in (0.02, 0.3, 0.5, 0.9)]
    return [np.zeros(size, bool), np.ones(size, bool), checker, ~checker, half, ~half, *random]


@pytest.mark.parametrize("size", SIZES)
def test_strings_are_those_of_pycocotools(size: rle.Size) -> None:
    for mask in masks_of(size):
        counts = rle.encode(mask)
        assert counts == coco_encode(mask)
        assert np.array_equal(rle.decode(counts, size), mask)
        assert rle.area(counts, size) == mask.sum()
        assert rle.box(counts, size) == pixel_box(mask)
    every = masks_of(size)
    assert rle.areas([None, *map(rle.encode, every), None], size) == [None, *(mask.sum() for mask in every), None]
    assert rle.areas([None], size) == [None]


masks = hnp.array_shapes(min_dims=2, max_dims=2, max_side=40).flatmap(lambda s: hnp.arrays(np.bool_, s))
clips = hnp.array_shapes(min_dims=3, max_dims=3, max_side=14).flatmap(lambda s: hnp.arrays(np.bool_, s))


@given(masks)
def test_any_mask(mask: Masks) -> None:
    counts = rle.encode(mask)
    assert counts == coco_encode(mask)
    assert np.array_equal(rle.decode(counts, mask.shape), mask)
    assert rle.box(counts, mask.shape) == pixel_box(mask)
    assert rle.area(counts, mask.shape) == mask.sum()


@given(clips)
def test_a_clip_is_its_frames(masks: Masks) -> None:
    counts = rle.encode_clip(masks)
    assert counts == tuple(coco_encode(mask) if mask.any() else None for mask in masks)
    assert np.array_equal(rle.decode_clip(counts, masks.shape[1:]), masks)


def ellipses(seed: int, size: rle.Size, frames: int) -> Masks:
    """A blob that drifts, so that two seeds overlap for part of the time."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(size)
    cy, cx, ry, rx = (rng.uniform(0.2, 0.6) * side for side in (*size, *size))
    t = np.arange(frames)[:, None, None]
    return ((y - cy - t) / ry) ** 2 + ((x - cx - 2 * t) / rx) ** 2 < 1


@pytest.mark.parametrize("seeds", [(1, 2), (3, 4), (5, 5)])
def test_iou_of_overlapping_tracks(seeds: tuple[int, int]) -> None:
    size = (60, 80)
    a, b = (ellipses(seed, size, 12) for seed in seeds)
    for first, second in zip(a, b, strict=True):
        expected = (first & second).sum() / (first | second).sum()
        assert rle.iou(rle.encode(first), rle.encode(second), size) == expected


@given(masks, st.integers(0, 2**32 - 1))
def test_iou_is_that_of_the_pixels(mask: Masks, seed: int) -> None:
    other = np.random.default_rng(seed).random(mask.shape) < 0.4
    union = (mask | other).sum()
    expected = (mask & other).sum() / union if union else 1.0
    size = mask.shape
    assert rle.iou(rle.encode(mask), rle.encode(other), size) == expected
    assert rle.iou(rle.encode(other), rle.encode(mask), size) == expected
    assert rle.iou(rle.encode(mask), rle.encode(mask), size) == 1.0


def test_two_empty_masks_are_the_same_mask() -> None:
    empty = rle.encode(np.zeros((4, 5), bool))
    assert rle.iou(empty, empty, (4, 5)) == 1.0
    assert rle.iou(empty, rle.encode(np.ones((4, 5), bool)), (4, 5)) == 0.0


def test_long_runs_need_several_characters() -> None:
    mask = np.zeros((2000, 1500), bool)
    mask[:, 700:] = True
    mask[3, 900] = False
    counts = rle.encode(mask)
    assert counts == coco_encode(mask)
    assert rle.box(counts, (2000, 1500)) == (700, 0, 1500, 2000)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
def test_runs_of_length_zero_inside_are_read_as_pycocotools_reads_them() -> None:
    counts = "3010"  # 3 background, none, 1 background, none
    assert np.array_equal(rle.decode(counts, (2, 2)), coco.decode({"size": [2, 2], "counts": counts.encode()}))
    assert rle.box(counts, (2, 2)) is None


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
@given(st.tuples(st.integers(1, 6), st.integers(1, 6)), st.lists(st.integers(0, 12)))
def test_any_runs_are_drawn_as_pycocotools_draws_them(size: rle.Size, lengths: list[int]) -> None:
    """Runs of length zero anywhere, runs that touch, runs that end with a column."""
    ends = np.minimum(np.cumsum([*lengths, size[0] * size[1]]), size[0] * size[1])
    counts = np.diff(ends, prepend=0).tolist()
    coded = coco.frPyObjects({"size": list(size), "counts": counts}, *size)
    mask = coco.decode(coded).astype(bool)
    string = coded["counts"].decode()
    assert np.array_equal(rle.decode(string, size), mask)
    drawn = rle.decode_clip([None, string, string, None], size)
    assert np.array_equal(drawn, np.stack([np.zeros_like(mask), mask, mask, np.zeros_like(mask)]))
    assert rle.box(string, size) == pixel_box(mask)
    assert rle.area(string, size) == mask.sum()


MALFORMED = [
    ("", "not a run-length string"),
    ("ü", "not a run-length string"),
    ("4\n", "is none of run lengths"),
    ("~", "is none of run lengths"),
    ("5", "sum to 5, not to 2x2 = 4"),
    ("13", "sum to 4, not to 3x2 = 6"),
    ("1P", "breaks off inside a run length"),
    ("PPPPPPP0", "more than 32 bits"),
    ("N6", "negative"),
]


@pytest.mark.parametrize(("counts", "what"), MALFORMED)
def test_malformed_strings_are_refused_with_what_is_wrong(counts: str, what: str) -> None:
    size = (3, 2) if "3x2" in what else (2, 2)
    for read in (rle.decode, rle.area, rle.box):
        with pytest.raises(ValueError, match=what):
            read(counts, size)
    with pytest.raises(ValueError, match=f"frame 2: .*{what}"):
        rle.decode_clip([None, rle.encode(np.ones(size, bool)), counts], size)


@given(masks, st.data())
def test_a_cut_string_is_never_taken_for_a_mask(mask: Masks, data: st.DataObject) -> None:
    mask[-1, -1] = True  # so that no tail can be a run of length 0
    counts = rle.encode(mask)
    cut = data.draw(st.integers(0, len(counts) - 1))
    with pytest.raises(ValueError, match=r"run.length"):
        rle.box(counts[:cut], mask.shape)


def test_only_bool_arrays_of_pixels_are_masks() -> None:
    for wrong in (np.ones((2, 2), np.uint8), np.ones(4, bool), np.ones((0, 3), bool)):
        with pytest.raises(ValueError, match="a mask is a bool array"):
            rle.encode(wrong)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(ValueError, match="a mask is a bool array"):
        rle.encode_clip(np.ones((2, 2), bool))


def test_a_clip_without_the_subject() -> None:
    assert rle.encode_clip(np.zeros((3, 4, 5), bool)) == (None, None, None)
    assert rle.decode_clip([None, None], (4, 5)).sum() == 0
    assert rle.decode_clip([], (4, 5)).shape == (0, 4, 5)
