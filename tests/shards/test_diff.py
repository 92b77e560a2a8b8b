"""Two datasets side by side: every kind of difference is told, with the masks' IoU, and nothing else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from shards import Sample, Track
from shards.dataset import Dataset
from shards.diff import Change, diff, lines, mask_iou
from tests.shards.filmed import filmed, key, write_dataset

SIZE = (48, 64)


def opened(folder: Path, *samples: Sample) -> Dataset:
    return Dataset.open(write_dataset(folder, list(samples)).url)


def changed(tmp_path: Path, before: Sample, after: Sample) -> Change:
    found = diff(opened(tmp_path / "a", before, filmed(9)), opened(tmp_path / "b", after, filmed(9)))
    assert (found.only_in_a, found.only_in_b, found.same) == ((), (), 1)
    assert len(found.changed) == 1
    return found.changed[0]


NOTHING = Change(key=key(0), caption=None, subject=None, video=False, ious={}, only_in_a=(), only_in_b=(), other=())


def test_a_dataset_does_not_differ_from_itself_in_other_shards(tmp_path: Path) -> None:
    samples = [filmed(n) for n in range(4)]
    a = opened(tmp_path / "a", *samples)
    b = Dataset.open(write_dataset(tmp_path / "b", samples[2:], samples[:2], name="other").url)
    calls: list[int] = []
    found = diff(a, b, calls.append)
    assert (found.same, found.changed, found.only_in_a, found.only_in_b) == (4, (), (), ())
    assert lines(found) == ["4 the same, 0 changed, 0 only in A, 0 only in B"]
    assert calls == [4] * 4


def test_masks_that_differ_in_their_compression_only_are_told_so(tmp_path: Path) -> None:
    a, b = (opened(tmp_path / name, filmed(0), filmed(9)) for name in "ab")
    index = b.index.set_column(b.index.column_names.index("sha256"), "sha256", pa.array(["of other bytes"] * 2))
    found = diff(a, Dataset(b.storage, b.info, b.shards, index))
    assert found.changed == tuple(
        replace(NOTHING, key=k, other=("masks compressed otherwise",)) for k in sorted([key(0), key(9)])
    )


def test_clips_of_one_side(tmp_path: Path) -> None:
    found = diff(opened(tmp_path / "a", *map(filmed, (0, 1, 2))), opened(tmp_path / "b", *map(filmed, (1, 5))))
    assert found.only_in_a == tuple(sorted([key(0), key(2)]))
    assert found.only_in_b == (key(5),)
    assert found.same == 1


def test_an_empty_side(tmp_path: Path) -> None:
    found = diff(opened(tmp_path / "a", filmed(0)), Dataset.open(write_dataset(tmp_path / "b").url))
    assert (found.only_in_a, found.only_in_b, found.same) == ((key(0),), (), 0)


def test_a_caption_and_a_subject(tmp_path: Path) -> None:
    before = filmed(0)
    first = replace(before.tracks[0], noun="wolf")
    after = replace(before, caption="new", subject="wolf", tracks=(first, before.tracks[1]))
    change = changed(tmp_path, before, after)
    expected = replace(NOTHING, caption=(before.caption, "new"), subject=("dog", "wolf"), other=("tracks",))
    assert change == expected


def test_a_score(tmp_path: Path) -> None:
    before = filmed(0)
    assert changed(tmp_path, before, replace(before, scores={"area": 0.5})) == replace(NOTHING, other=("scores",))


def test_video_bytes(tmp_path: Path) -> None:
    before = filmed(0)
    assert changed(tmp_path, before, replace(before, video=filmed(1).video)) == replace(NOTHING, video=True)


def test_a_mask_by_its_iou(tmp_path: Path) -> None:
    before = filmed(0)
    masks = before.tracks[0].decode(SIZE)
    masks[3] = False  # gone in one of six frames
    masks[4] = np.where(np.arange(64) < 32, masks[4], False)
    share = masks[4].sum() / before.tracks[0].decode(SIZE)[4].sum()
    assert 0 < share < 1
    after = replace(before, tracks=(Track.of_masks(masks, id=1, noun="dog"), before.tracks[1]))
    assert changed(tmp_path, before, after).ious == {1: pytest.approx((4 + share) / 6)}


def test_tracks_of_one_side(tmp_path: Path) -> None:
    before = filmed(0)
    third = replace(before.tracks[1], id=3)
    change = changed(tmp_path, before, replace(before, tracks=(before.tracks[0], third)))
    assert (change.only_in_a, change.only_in_b, change.ious) == ((2,), (3,), {})


def test_masks_of_another_size_have_no_iou(tmp_path: Path) -> None:
    change = changed(tmp_path, filmed(0), filmed(0, frames=7))
    assert change.ious == {}
    assert {"masks", "num_frames", "pts"} <= set(change.other)


def test_the_words_name_everything(tmp_path: Path) -> None:
    before = filmed(0)
    masks = before.tracks[0].decode(SIZE)
    masks[0] = False
    after = replace(before, caption="new", video=filmed(1).video, tracks=(Track.of_masks(masks, id=1, noun="dog"),))
    a, b = opened(tmp_path / "a", before, filmed(1)), opened(tmp_path / "b", after, filmed(2))
    text = "\n".join(lines(diff(a, b)))
    for part in (f"only in A  {key(1)}", f"only in B  {key(2)}", "-> 'new'", "video bytes", "track 2 only in A"):
        assert part in text
    assert "track 1 mask IoU 0.8333" in text
    assert text.endswith("0 the same, 1 changed, 1 only in A, 1 only in B")


MASKS = arrays(bool, (3, 4, 5))


@given(MASKS.filter(np.any), MASKS.filter(np.any))
def test_mask_iou_is_the_mean_over_frames(
    one: np.ndarray[tuple[int, int, int], np.dtype[np.bool_]],
    other: np.ndarray[tuple[int, int, int], np.dtype[np.bool_]],
) -> None:
    a, b = (Track.of_masks(masks, id=1, noun="dog") for masks in (one, other))
    either = (one | other).sum((1, 2))
    exact = np.where(either == 0, 1, (one & other).sum((1, 2)) / np.maximum(either, 1)).mean()
    assert mask_iou(a, b, (4, 5)) == pytest.approx(exact)
    assert mask_iou(a, a, (4, 5)) == 1
    assert mask_iou(a, b, (4, 5)) == mask_iou(b, a, (4, 5))
    assert (mask_iou(a, b, (4, 5)) == 1) == bool((one == other).all())
    assert 0 <= mask_iou(a, b, (4, 5)) <= 1
