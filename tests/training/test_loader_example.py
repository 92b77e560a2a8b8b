"""What a batch shows of a clip is that clip: frames, boxes, masks and the subject image, resized and cropped alike."""

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from shards import Dataset, Sample, Track, video
from shards.entry import content_sha256, to_members
from shards.rle import Box
from shards.verdicts import Redrawn
from tests.shards.filmed import filmed, write_dataset
from training.loader import Augmentation, Batch, Loader, Reference, Share, Window, draws, open_stream
from training.loader.clips import Clip
from training.loader.example import Example, example, window
from training.loader.latents import LatentCache
from training.loader.picture import Crop
from training.loader.subject import cut_out, is_informative
from training.model.masks import box_masks

SIZE = (48, 64)
AS_IT_IS = Loader(height=48, width=64, window=Window(num_frames=6), text_dropout=0.0, masks=True)
"""Neither resizes nor crops the practice clips."""


@pytest.fixture(scope="module")
def sample() -> Sample:
    return filmed(0, frames=30)


def clip_of(sample: Sample, stride: int = 3) -> Clip:
    return Clip(
        key=sample.key,
        row=0,
        shard="practice-000000",
        sha256=content_sha256(to_members(sample)),
        caption=sample.caption,
        subject=sample.subject,
        track=sample.tracks[0].id,
        stride=stride,
    )


def test_a_track_made_anew_has_latents_of_its_own(sample: Sample, tmp_path: Path) -> None:
    cache = LatentCache(folder=tmp_path, loader=AS_IT_IS, encoder="vae")
    clip = clip_of(sample)
    anew = Redrawn(id=clip.track, noun=clip.subject, masks=sample.tracks[0].masks[::-1])
    assert cache.name(clip) == cache.name(clip_of(sample)) != cache.name(replace(clip, redrawn=anew))


def drawn(sample: Sample, number: int = 0, **changes: Any) -> Example:
    generator = draws.of_sample(0, number, sample.key, 0)
    return example(clip_of(sample), to_members(sample), AS_IT_IS.model_copy(update=changes), generator)


def masks_of(one: Example) -> NDArray[np.bool_]:
    assert one.masks is not None
    return one.masks


def test_a_window_at_the_clips_size_is_its_frames_boxes_and_masks(sample: Sample) -> None:
    whole = np.stack(list(video.frames(sample.video)))
    masks = sample.tracks[0].decode(SIZE)
    firsts = set()
    for number in range(12):
        one = drawn(sample, number)
        (first,) = [t for t in range(30 - 15) if np.array_equal(masks_of(one), masks[t : t + 16 : 3])]
        firsts.add(first)
        assert np.array_equal(one.frames, whole[first : first + 16 : 3])
        assert one.boxes.tolist() == [list(box) for box in sample.tracks[0].boxes[first : first + 16 : 3] if box]
        assert one.present.all()
        (reference,) = [
            t for t in range(first, first + 16, 3) if np.array_equal(one.subject[masks[t]], whole[t][masks[t]])
        ]
        assert (one.subject[~masks[reference]] == 255).all()
    assert len(firsts) > 4


def test_a_clip_gives_the_same_frames_whichever_are_asked_for(sample: Sample) -> None:
    """Those that nobody asks for and no other refers to are left out by the decoder."""
    whole = np.stack(list(video.frames(sample.video)))
    generator = np.random.default_rng(0)
    for count in (1, 2, 5, 11, 30):
        wanted = sorted(generator.permutation(30)[:count].tolist())
        clip = video.stored_clip(sample.video, sample.pts, sample.time_base, SIZE)
        assert np.array_equal(np.stack(list(clip.frames(wanted, SIZE))), whole[wanted])


def test_a_pixel_of_the_mask_lies_in_its_frames_box(sample: Sample) -> None:
    """M, drawn from the boxes, is the masks' extent, frame by frame."""
    one = drawn(sample)
    inside = box_masks(torch.from_numpy(one.boxes), SIZE).bool().numpy()
    for mask, box_mask in zip(masks_of(one), inside, strict=True):
        assert np.array_equal(box_mask, mask.any(1)[:, None] & mask.any(0)[None])


@pytest.mark.parametrize("size", [(24, 32), (96, 128), (48, 40), (20, 64), (30, 30)])
def test_boxes_follow_the_masks_through_resize_and_crop(sample: Sample, size: tuple[int, int]) -> None:
    one = drawn(sample, height=size[0], width=size[1])
    assert one.frames.shape == (6, *size, 3)
    assert masks_of(one).shape == (6, *size)
    for mask, box in zip(masks_of(one), one.boxes, strict=True):
        y, x = np.nonzero(mask)
        extent = (x.min(), y.min(), x.max() + 1, y.max() + 1)
        assert box == pytest.approx(extent, abs=1.0)


@pytest.mark.parametrize(
    ("source", "size"),
    [((48, 64), (96, 128)), ((480, 854), (256, 448)), ((333, 500), (256, 448)), ((99, 20), (64, 64))],
)
def test_the_crop_is_the_middle_of_the_smallest_picture_that_covers(
    source: tuple[int, int], size: tuple[int, int]
) -> None:
    crop = Crop.centred(source, size)
    spare = [scaled - wanted for scaled, wanted in zip(crop.scaled, size, strict=True)]
    assert min(spare) == 0
    assert (crop.top, crop.left) == (spare[0] // 2, spare[1] // 2)
    assert crop.scaled[0] / source[0] == pytest.approx(crop.scaled[1] / source[1], rel=0.03)


def test_a_mask_is_resized_by_area_or_nearest() -> None:
    crop = Crop.centred((8, 8), (2, 2))
    mask = np.zeros((8, 8), bool)
    mask[:2, :4] = True  # half of the first pixel
    mask[4:, 4] = True  # a quarter of the last
    assert crop.mask(mask, "area").tolist() == [[True, False], [False, False]]
    assert crop.mask(mask, "nearest").tolist() == [[bool(mask[2, 2]), False], [False, bool(mask[6, 6])]]
    larger = Crop.centred((8, 8), (32, 32)).mask(mask, "area")
    assert larger[:8, :16].mean() > 0.95
    assert larger.mean() == pytest.approx(mask.mean(), abs=0.01)


def test_a_box_outside_the_crop_is_none() -> None:
    crop = Crop.centred((40, 100), (40, 40))
    boxes, present = crop.boxes([(0, 0, 20, 20), (20, 5, 50, 30), None, (0, 0, 30, 40)])
    assert present.tolist() == [False, True, False, False]
    assert boxes.tolist() == [[0, 0, 0, 0], [0, 5, 20, 30], [0, 0, 0, 0], [0, 0, 0, 0]]


BOX: Box = (0, 0, 9, 9)


def firsts(boxes: list[Box | None], shape: Window, keys: tuple[int, ...] = (0,)) -> set[int]:
    generator = np.random.default_rng(0)
    return {window(boxes, 2, shape, keys, generator)[0] for _ in range(200)}


def test_windows_begin_anywhere_at_key_frames_or_where_the_subject_is() -> None:
    seen: list[Box | None] = [BOX] * 20
    first, *rest = window(seen, 2, Window(num_frames=4), (0,), np.random.default_rng(0))
    assert rest == [first + 2, first + 4, first + 6]
    assert firsts(seen, Window(num_frames=4)) == set(range(14))
    assert firsts(seen, Window(num_frames=4, start="key"), (0, 8, 13, 16)) == {0, 8, 13}
    late: list[Box | None] = [None] * 10 + [BOX] * 10
    assert firsts(late, Window(num_frames=4, min_visible=0.5)) == set(range(6, 14))
    assert firsts(late, Window(num_frames=4, min_visible=1.0)) == set(range(10, 14))
    brief: list[Box | None] = [None] * 19 + [BOX]
    assert firsts(brief, Window(num_frames=4)) == {13}  # the only one that shows it at all


def test_the_reference_is_informative_where_a_frame_is() -> None:
    """Only frames 12 to 17 show more than a speck; only 15 does so away from the border."""
    masks = np.zeros((2, 30, *SIZE), bool)
    masks[0, :, 20:22, 30:32] = True
    masks[0, 12:18, 10:40, :30] = True
    masks[0, 15] = False
    masks[0, 15, 10:40, 10:40] = True
    one = filmed(1, frames=30, tracks=(Track.of_masks(masks[0], id=1, noun="cat"),), subject="cat")
    large = drawn(one, reference=Reference(frames="clip", min_area=0.1))
    assert (large.subject != 255).any(-1)[10:40, 10:30].mean() > 0.95
    inner = drawn(one, reference=Reference(frames="clip", min_area=0.1, at_border=False))
    assert (inner.subject[:, :10] == 255).all()
    assert (inner.subject != 255).any(-1)[10:40, 10:40].mean() > 0.95
    assert is_informative(masks[0, 15], Reference(min_area=0.1, at_border=False))
    assert not is_informative(masks[0, 12], Reference(min_area=0.1, at_border=False))
    nothing = drawn(one, reference=Reference(min_area=0.9))  # none is: the largest mask of all
    assert (nothing.subject != 255).any(-1).sum() > 500


def test_augmentation_moves_mirrors_and_paints_the_subject_and_nothing_else() -> None:
    frame = np.full((60, 80, 3), (200, 100, 50), np.uint8)
    mask = np.zeros((60, 80), bool)
    mask[20:40, 30:45] = True
    mask[20:25, 45:60] = True  # an L: its mirror image is another
    frame[~mask] = (0, 0, 255)

    def cut(by: Augmentation | None, seed: int = 0) -> NDArray[np.uint8]:
        return cut_out(frame, mask, Reference(augmentation=by), np.random.default_rng(seed))

    still = Augmentation(flip=0, degrees=0, scale=0, blur=0, colour=0)
    assert np.array_equal(cut(None), cut(still))

    def shape(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
        return np.asarray((picture != 255).any(-1), np.bool_)

    assert np.array_equal(shape(cut(None)), mask)
    mirrored = shape(cut(still.model_copy(update={"flip": 1.0})))
    rows, columns = np.flatnonzero(mirrored.any(1)), np.flatnonzero(mirrored.any(0))
    assert np.array_equal(mirrored[rows][:, columns], mask[20:40, 30:60][:, ::-1])
    turned = shape(cut(still.model_copy(update={"degrees": 30.0})))
    assert not np.array_equal(turned, mask)
    assert turned.sum() == pytest.approx(mask.sum(), rel=0.05)
    sizes = [shape(cut(still.model_copy(update={"scale": 0.5}), seed)).sum() / mask.sum() for seed in range(40)]
    assert 0.2 < min(sizes) < 0.6
    assert 1.5 < max(sizes) < 2.5
    painted = cut(still.model_copy(update={"colour": 0.3}))
    assert np.array_equal(shape(painted), mask)
    assert not np.array_equal(painted[mask], frame[mask])


def test_captions_are_dropped_as_often_as_asked(clips_folder: Path) -> None:
    loader = Loader(height=24, width=40, window=Window(num_frames=3), text_dropout=0.3, workers=0)
    batches: list[Batch] = list(islice(open_stream(str(clips_folder), loader, Share(batch=14)), 20))
    captions = [caption for batch in batches for caption in batch.captions]
    assert captions.count("") / len(captions) == pytest.approx(0.3, abs=5 * (0.21 / 280) ** 0.5)
    assert len({int(seed) for batch in batches for seed in batch.noise_seeds}) == 280


def test_a_batch_has_the_shapes_it_says(clips_folder: Path) -> None:
    loader = Loader(height=24, width=40, window=Window(num_frames=3), workers=0)
    batch = next(open_stream(str(clips_folder), loader, Share(batch=5)).batches())
    assert len(batch) == batch.end == 5
    assert batch.frames.shape == (5, 3, 24, 40, 3)
    assert batch.boxes.shape == (5, 3, 4)
    assert batch.present.shape == (5, 3)
    assert batch.subjects.shape == (5, 24, 40, 3)
    assert batch.masks is None
    assert batch.noise_seeds.shape == (5,)


def test_the_trackless_frames_have_no_box(tmp_path: Path) -> None:
    """Of a track that is away in frame 1, and comes first because people dropped the other."""
    one = filmed(0, frames=6)
    (ball,) = [track for track in one.tracks if track.noun == "ball"]
    write_dataset(tmp_path, [filmed(0, frames=6, tracks=(ball,), subject="ball")])
    loader = Loader(height=48, width=64, window=Window(num_frames=6, fps=24), workers=0)
    batch = next(open_stream(str(tmp_path), loader, Share(batch=1)).batches())
    assert batch.present.tolist() == [[True, False, True, True, True, True]]
    assert batch.boxes[0, 1].tolist() == [0, 0, 0, 0]
    assert len(Dataset.open(tmp_path)) == 1
