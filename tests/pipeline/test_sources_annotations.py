"""Annotations laid onto clips: exact at scale 1, the data's fault where they do not fit."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from pipeline.records import FirstMask, FrameBoxes, IndexedMasks, TrackFile
from pipeline.sources.annotations import BadAnnotation, Span, boxes, first_mask, tracks
from pipeline.sources.davis import Davis
from shards import rle
from shards.rle import Size
from tests.pipeline.source_trees import split, write_palette, write_tree

ONE = (1.0, 1.0)

Stack = NDArray[np.uint8]  # [T, H, W] labels


def three_objects() -> Stack:
    """4 frames of 6x9: object 1 moves right, object 2 leaves after the second frame, object 7 enters in the last."""
    stack = np.zeros((4, 6, 9), np.uint8)
    for t in range(4):
        stack[t, 1:4, t : t + 3] = 1
    stack[:2, 4:6, 5:8] = 2
    stack[3, 0, 0:2] = 7
    return stack


def masks_of(folder: Path, stack: Stack, nouns: dict[int, str] | None = None) -> IndexedMasks:
    for t, labels in enumerate(stack):
        write_palette(folder / f"{t:05d}.png", labels)
    return IndexedMasks(folder=str(folder), nouns=nouns or {})


def decoded(counts: tuple[str | None, ...], size: Size) -> NDArray[np.bool_]:
    return rle.decode_clip(counts, size)


def refused(why: str, value: str | float | None, call: Any, *args: Any, **kwargs: Any) -> None:
    with pytest.raises(BadAnnotation) as bad:
        call(*args, **kwargs)
    assert bad.value.why == why
    if isinstance(value, str):
        assert str(bad.value.value).startswith(value)
    else:
        assert bad.value.value == value


# --- Masks by label (DAVIS)


@given(
    stack=arrays(
        np.uint8, st.tuples(*[st.integers(1, 4), st.integers(2, 8), st.integers(2, 8)]), elements=st.integers(0, 3)
    )
)
def test_every_mask_equals_its_png(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> None:
    nouns = {1: "cat", 2: "dog", 3: "cow"}
    annotation = masks_of(tmp_path_factory.mktemp("masks"), stack, nouns)
    size = (stack.shape[1] // 2 * 2, stack.shape[2] // 2 * 2)
    kept = stack[:, : size[0], : size[1]]
    if not kept.any():
        refused("no subject is in the clip", None, tracks, annotation, (0, len(stack)), size, ONE)
        return
    found = tracks(annotation, (0, len(stack)), size, ONE)
    assert [(track.id, track.noun) for track in found] == [(int(k), nouns[k]) for k in np.unique(kept) if k]
    for track in found:
        np.testing.assert_array_equal(decoded(track.masks, size), kept == track.id)
        assert [mask is None for mask in track.masks] == [not (frame == track.id).any() for frame in kept]


def test_three_objects_of_a_palette(tmp_path: Path) -> None:
    stack = three_objects()
    annotation = masks_of(tmp_path, stack, {1: "dog", 2: "ball", 7: "cat"})
    found = tracks(annotation, (0, 4), (6, 8), ONE)
    assert [(track.id, track.noun) for track in found] == [(1, "dog"), (2, "ball"), (7, "cat")]
    for track in found:
        np.testing.assert_array_equal(decoded(track.masks, (6, 8)), stack[:, :, :8] == track.id)
    first = [None if mask is None else rle.box(mask, (6, 8)) for mask in found[0].masks]
    assert first == [(0, 1, 3, 4), (1, 1, 4, 4), (2, 1, 5, 4), (3, 1, 6, 4)]
    assert [mask is None for mask in found[1].masks] == [False, False, True, True]


def test_a_span_takes_its_own_frames(tmp_path: Path) -> None:
    stack = three_objects()
    annotation = masks_of(tmp_path, stack, {1: "dog", 2: "ball", 7: "cat"})
    found = tracks(annotation, (1, 2), (6, 8), ONE)
    assert [track.id for track in found] == [1, 2]
    np.testing.assert_array_equal(decoded(found[0].masks, (6, 8)), stack[1:3, :, :8] == 1)


def test_objects_without_a_noun(tmp_path: Path) -> None:
    annotation = masks_of(tmp_path / "some", three_objects(), {2: "ball"})
    assert [track.id for track in tracks(annotation, (0, 4), (6, 8), ONE)] == [2]
    unnamed = masks_of(tmp_path / "none", three_objects())
    refused("masks without nouns", "3 objects in", tracks, unnamed, (0, 4), (6, 8), ONE, noun="dog")
    single = masks_of(tmp_path / "single", np.minimum(three_objects(), 1))
    refused("masks without nouns", "1 objects in", tracks, single, (0, 4), (6, 8), ONE)
    assert [(t.id, t.noun) for t in tracks(single, (0, 4), (6, 8), ONE, noun="dog")] == [(1, "dog")]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_255_is_the_object_where_it_is_the_only_label(tmp_path: Path, mode: str) -> None:
    stack = (three_objects() == 1) * np.uint8(255)
    for t, labels in enumerate(stack):
        Image.fromarray(labels).convert(mode).save(tmp_path / f"{t:05d}.png")
    (track,) = tracks(IndexedMasks(folder=str(tmp_path), nouns={1: "dog"}), (0, 4), (6, 8), ONE)
    np.testing.assert_array_equal(decoded(track.masks, (6, 8)), stack[:, :, :8] == 255)


def test_one_bit_images_are_masks(tmp_path: Path) -> None:
    Image.fromarray((three_objects()[0] == 1) * np.uint8(255)).convert("1").save(tmp_path / "0.png")
    (track,) = tracks(IndexedMasks(folder=str(tmp_path), nouns={1: "dog"}), (0, 1), (6, 8), ONE)
    np.testing.assert_array_equal(decoded(track.masks, (6, 8))[0], three_objects()[0, :, :8] == 1)


@pytest.mark.parametrize("span", [(0, 4), (0, 1), (2, 1)])
def test_255_is_void_beside_other_labels_even_outside_the_clip(tmp_path: Path, span: Span) -> None:
    stack = three_objects()
    stack[stack == 2] = 0
    stack[stack == 7] = 0
    stack[1:3] = 0
    stack[:, 5, :] = 255
    annotation = masks_of(tmp_path, stack, {1: "dog"})
    if span == (2, 1):
        refused("no subject is in the clip", None, tracks, annotation, span, (6, 8), ONE)
    else:
        (track,) = tracks(annotation, span, (6, 8), ONE)
        np.testing.assert_array_equal(decoded(track.masks, (6, 8)), stack[: span[1], :, :8] == 1)


def test_255_is_void_though_the_only_object_lies_in_the_lost_column(tmp_path: Path) -> None:
    labels = np.zeros((1, 6, 9), np.uint8)
    labels[0, :, 8] = 1
    labels[0, 2, 2:5] = 255
    annotation = masks_of(tmp_path, labels, {1: "dog"})
    refused("no subject is in the clip", None, tracks, annotation, (0, 1), (6, 8), ONE)


def test_masks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    annotation = masks_of(tmp_path / "fine", three_objects(), {1: "dog"})
    refused("fewer masks than frames", "4 of 5", tracks, annotation, (1, 4), (6, 8), ONE)
    refused("fewer masks than frames", "0 of 1", tracks, IndexedMasks(folder=str(tmp_path / "no")), (0, 1), (6, 8), ONE)
    refused("mask size is not the video's", "9x6 at scale", tracks, annotation, (0, 4), (6, 6), ONE)
    refused("mask size is not the video's", "9x6 at scale", tracks, annotation, (0, 4), (8, 8), ONE)
    refused("mask size is not the video's", "9x6 at scale", tracks, annotation, (0, 4), (6, 8), (2.0, 1.0))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"not a picture", "mask cannot be read"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "mask cannot be read"),
        (b"", "mask cannot be read"),
        ("truncated", "mask cannot be read"),
        ("RGB", "mask is a colour image, not one of labels"),
        ("I;16", "mask has more than 8 bits a pixel"),
    ],
)
def test_broken_pngs_are_refused(tmp_path: Path, content: bytes | str, why: str) -> None:
    path = tmp_path / "00000.png"
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    if content == "I;16":
        Image.fromarray(noise[..., 0].astype(np.uint16) * 200).save(path)
    else:
        Image.fromarray(noise).save(path)
    if content == "truncated":
        path.write_bytes(path.read_bytes()[:500])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    refused(why, "00000.png", tracks, IndexedMasks(folder=str(tmp_path)), (0, 1), (40, 40), ONE)


@pytest.mark.parametrize("factor", [2, 3])
def test_at_a_whole_scale_every_pixel_is_repeated(tmp_path: Path, factor: int) -> None:
    stack = three_objects()
    annotation = masks_of(tmp_path, stack, {1: "dog"})
    size = (6 * factor, 9 * factor // 2 * 2)
    (track,) = tracks(annotation, (0, 4), size, (float(factor), float(factor)))
    larger = stack.repeat(factor, axis=1).repeat(factor, axis=2)[:, :, : size[1]]
    np.testing.assert_array_equal(decoded(track.masks, size), larger == 1)


def test_at_half_scale_a_pixel_is_the_one_under_its_centre(tmp_path: Path) -> None:
    stack = np.random.default_rng(1).integers(0, 2, (1, 8, 12), dtype=np.uint8)
    (track,) = tracks(masks_of(tmp_path, stack, {1: "dog"}), (0, 1), (4, 6), (0.5, 0.5))
    np.testing.assert_array_equal(decoded(track.masks, (4, 6)), stack[:, 1::2, 1::2] == 1)


def test_real_davis_masks_equal_the_pngs_and_boxes_their_extents(real_clips: Path) -> None:
    videos, faults = split(Davis(place=str(real_clips / "davis")))
    assert [(video.id, video.nouns) for video in videos] == [("davis/car-shadow", ("car",)), ("davis/dog", ("dog",))]
    assert not faults
    for video in videos:
        assert isinstance(video.annotation, IndexedMasks)
        paths = sorted(Path(video.annotation.folder).glob("*.png"))
        (track,) = tracks(video.annotation, (0, len(paths)), (480, 854), ONE)
        for path, mask in zip(paths, track.masks, strict=True):
            truth = np.asarray(Image.open(path)) > 0
            assert mask is not None
            np.testing.assert_array_equal(rle.decode(mask, (480, 854)), truth)
            y, x = np.nonzero(truth)
            assert rle.box(mask, (480, 854)) == (x.min(), y.min(), x.max() + 1, y.max() + 1)


# --- Tracks of a file


def track_file(root: Path, tracks: list[dict[str, Any]] | None = None, **changes: Any) -> TrackFile:
    stack = three_objects()
    if tracks is None:
        tracks = [{"id": k, "noun": noun, "masks": rle.encode_clip(stack == k)} for k, noun in ((7, "Cat"), (1, "dog"))]
    write_tree(root, {"a.json": json.dumps({"size": [6, 9], "tracks": tracks, **changes})})
    return TrackFile(path=str(root / "a.json"))


def test_tracks_of_a_file_are_exact(tmp_path: Path) -> None:
    found = tracks(track_file(tmp_path), (1, 3), (6, 8), ONE)
    assert [(track.id, track.noun) for track in found] == [(1, "dog"), (7, "cat")]
    for track in found:
        np.testing.assert_array_equal(decoded(track.masks, (6, 8)), three_objects()[1:, :, :8] == track.id)
    assert [track.id for track in tracks(track_file(tmp_path), (0, 2), (6, 8), ONE)] == [1]


def test_a_mask_that_lies_in_the_lost_column_is_no_mask(tmp_path: Path) -> None:
    edge = np.zeros((1, 6, 9), bool)
    edge[:, :, 8] = True
    annotation = track_file(tmp_path, [{"id": 1, "noun": "dog", "masks": rle.encode_clip(edge)}])
    refused("no subject is in the clip", None, tracks, annotation, (0, 1), (6, 8), ONE)


@pytest.mark.parametrize(
    ("changes", "why", "value"),
    [
        ({"tracks": [{"id": 1, "noun": "dog", "masks": [None]}]}, "fewer masks than frames", "track 1: 1 of 4"),
        ({"tracks": [{"id": 0, "noun": "dog", "masks": []}]}, "track file is broken", "a.json: ids [0]"),
        ({"tracks": [{"id": 1, "noun": "a", "masks": []}] * 2}, "track file is broken", "a.json: ids [1, 1]"),
        ({"tracks": [{"id": 1, "noun": " ", "masks": []}]}, "track without a noun", "track 1"),
        ({"tracks": [{"id": 1, "noun": "dog"}]}, "track file is broken", "a.json: tracks.0.masks: Field required"),
        ({"tracks": [{"id": 1, "noun": "dog", "masks": ["?"] * 4}]}, "run lengths are broken", "track 1: "),
        ({"tracks": []}, "no subject is in the clip", None),
        ({"size": [4, 9]}, "run lengths are broken", "track 7: "),
        ({"size": 5}, "track file is broken", "a.json: size: "),
    ],
)
def test_track_files_that_do_not_fit_are_refused(tmp_path: Path, changes: Any, why: str, value: str | None) -> None:
    refused(why, value, tracks, track_file(tmp_path, **changes), (0, 4), (6, 8), ONE)


def test_missing_and_broken_track_files_are_refused(tmp_path: Path) -> None:
    gone = TrackFile(path=str(tmp_path / "gone.json"))
    refused("annotation is missing", str(tmp_path / "gone.json"), tracks, gone, (0, 1), (6, 8), ONE)
    write_tree(tmp_path, {"b.json": "{"})
    refused(
        "track file is broken",
        "b.json: Invalid JSON",
        tracks,
        TrackFile(path=f"{tmp_path}/b.json"),
        (0, 1),
        (6, 8),
        ONE,
    )


# --- Boxes (GOT-10k)


def frame_boxes(*rows: tuple[int, int, int, int] | None) -> FrameBoxes:
    return FrameBoxes(noun="dog", boxes=rows)


def test_boxes_of_a_span_cut_to_the_frame() -> None:
    annotation = frame_boxes((9, 9, 9, 9), (1, 2, 5, 6), None, (-3, -2, 4, 99), (20, 2, 25, 5), (7, 0, 9, 2))
    assert boxes(annotation, (1, 5), (10, 8), ONE) == ((1, 2, 5, 6), None, (0, 0, 4, 10), None, (7, 0, 8, 2))
    refused("fewer boxes than frames", "6 of 7", boxes, annotation, (1, 6), (10, 8), ONE)


def test_boxes_scale_with_the_clip_and_never_vanish() -> None:
    annotation = frame_boxes((2, 4, 6, 10), (4, 4, 5, 5), (0, 0, 1920, 1080))
    assert boxes(annotation, (0, 1), (100, 100), (0.5, 2.0)) == ((1, 8, 3, 20),)
    assert boxes(annotation, (1, 2), (108, 192), (0.1, 0.1)) == ((0, 0, 1, 1), (0, 0, 192, 108))


# --- The first frame's mask (VideoBooth)


def test_a_first_mask_is_whatever_is_not_zero(tmp_path: Path) -> None:
    labels = three_objects()[3] * np.uint8(30)
    Image.fromarray(labels).save(tmp_path / "mask_1.png")
    annotation = FirstMask(path=str(tmp_path / "mask_1.png"), noun="dog")
    mask = first_mask(annotation, (0, 9), (6, 8), ONE)
    np.testing.assert_array_equal(rle.decode(mask, (6, 8)), labels[:, :8] != 0)
    refused("the mask is of the video's first frame, not of the clip's", 3, first_mask, annotation, (3, 9), (6, 8), ONE)


def test_a_first_mask_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    gone = FirstMask(path=str(tmp_path / "gone.png"), noun="dog")
    refused("annotation is missing", str(tmp_path), first_mask, gone, (0, 1), (6, 8), ONE)
    Image.new("L", (9, 6)).save(tmp_path / "empty.png")
    empty = FirstMask(path=str(tmp_path / "empty.png"), noun="dog")
    refused("the mask is empty", empty.path, first_mask, empty, (0, 1), (6, 8), ONE)


def test_a_fault_travels_between_processes() -> None:
    bad = pickle.loads(pickle.dumps(BadAnnotation("fewer masks than frames", "4 of 5")))
    assert (bad.why, bad.value) == ("fewer masks than frames", "4 of 5")
