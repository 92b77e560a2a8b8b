"""Both trackers: one tracklet a segment, one entry a frame, in both directions, from a clip's file."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.models.deva.propagator import Propagator
from pipeline.models.deva.settings import SMALL, Propagation
from pipeline.models.deva_tracker import DevaTracker
from pipeline.models.sam2_tracker import Sam2Tracker, _Follower
from pipeline.models.tracking import DIGITS, ClipFrames, EmptyMask
from pipeline.records import Detection, Segment, Tracklet
from shards import rle, video
from tests.pipeline import tiny_models
from tests.pipeline.deva_seeded import as_bytes, repeating_network, seeded_frames, seeded_masks, seeded_network

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = (48, 64)
NUM_FRAMES = 20
MASKS = seeded_masks(*SIZE)
TIGHT = Propagation(
    mem_every=1, max_mid_term_frames=4, min_mid_term_frames=2, num_prototypes=16, max_long_term_elements=56
)

Track: TypeAlias = Callable[[str, int, Sequence[Segment]], tuple[Tracklet, ...]]


def write_clip(path: Path, frames: NDArray[np.uint8]) -> str:
    """Frame by frame the same pixels in whatever order: lossless but for the colours' conversion."""
    path.write_bytes(video.encode(iter(frames), range(len(frames)), Fraction(1, 8), crf=0))
    return str(path)


def segment(mask: NDArray[np.bool_], frame: int = 0, noun: str = "dog") -> Segment:
    counts = rle.encode(mask)
    box = rle.box(counts, SIZE) or (0, 0, 1, 1)
    return Segment(
        detection=Detection(noun=noun, frame=frame, box=box, score=0.75, text_score=0.5),
        mask=counts,
        predicted_iou=0.875,
        stability=0.625,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trackers")
    torch.save(seeded_network(SMALL).state_dict(), folder / "deva.pth")
    torch.save(repeating_network().state_dict(), folder / "repeating.pth")
    tiny_models.save_sam2(folder / "sam2")
    tiny_models.save_sam2(folder / "blind", object_score=-30.0)
    frames = as_bytes(seeded_frames(NUM_FRAMES, *SIZE))
    write_clip(folder / "clip.mp4", frames)
    write_clip(folder / "reversed.mp4", frames[::-1])
    write_clip(folder / "other.mp4", frames[:, ::-1].copy())
    return folder


@pytest.fixture(scope="module")
def clip(folder: Path) -> str:
    return str(folder / "clip.mp4")


@pytest.fixture(scope="module")
def deva(folder: Path) -> Track:
    return DevaTracker(checkpoint=str(folder / "deva.pth"), size="embedded", propagation=TIGHT, device="cpu").open()


@pytest.fixture(scope="module")
def sam2(folder: Path) -> Track:
    return Sam2Tracker(model=str(folder / "sam2"), device="cpu").open()


@pytest.fixture(params=["deva", "sam2"])
def track(request: pytest.FixtureRequest) -> Track:
    found: Track = request.getfixturevalue(request.param)
    return found


def as_seen(tracklet: Tracklet, numbers: Sequence[int]) -> list[tuple[Any, ...]]:
    rows = list(zip(tracklet.masks, *(tracklet.series[name] for name in sorted(tracklet.series)), strict=True))
    return [rows[t] for t in numbers]


def test_a_segment_gives_a_tracklet_with_an_entry_for_every_frame(track: Track, clip: str) -> None:
    tracklets = track(clip, NUM_FRAMES, [segment(MASKS[0]), segment(MASKS[1], noun="cat")])
    assert [(t.id, t.noun) for t in tracklets] == [(1, "dog"), (2, "cat")]
    for k, tracklet in enumerate(tracklets):
        masks = rle.decode_clip(tracklet.masks, SIZE)
        assert np.array_equal(masks[0], MASKS[k])
        assert sum(mask is not None for mask in tracklet.masks) > 1
        assert set(tracklet.series) == {"confidence", "area", "shift"}
        assert {len(values) for values in tracklet.series.values()} == {NUM_FRAMES}
        for t, mask in enumerate(tracklet.masks):
            assert (mask is None) == (not masks[t].any()) == (tracklet.series["confidence"][t] is None)
            assert tracklet.series["area"][t] == pytest.approx(masks[t].mean(), abs=10**-DIGITS)


def test_scores_are_the_segments_and_the_mean_confidence(track: Track, clip: str) -> None:
    (tracklet,) = track(clip, NUM_FRAMES, [segment(MASKS[0])])
    sure = [value for value in tracklet.series["confidence"] if value is not None]
    assert tracklet.scores == {
        "detector": 0.75,
        "text": 0.5,
        "predicted_iou": 0.875,
        "stability": 0.625,
        "confidence": pytest.approx(np.mean(sure), abs=2 * 10**-DIGITS),
    }
    assert all(0 < value <= 1 for value in sure)
    given = Segment(detection=Detection(noun="dog", frame=0, box=(0, 0, 1, 1), score=None), mask=rle.encode(MASKS[0]))
    assert set(track(clip, NUM_FRAMES, [given])[0].scores) == {"confidence"}


def test_shift_is_the_way_of_the_centre_over_the_diagonal(track: Track, clip: str) -> None:
    (tracklet,) = track(clip, NUM_FRAMES, [segment(MASKS[0], frame=8)])
    masks = rle.decode_clip(tracklet.masks, SIZE)
    centres = [np.argwhere(mask).mean(axis=0) if mask.any() else None for mask in masks]
    for t in range(NUM_FRAMES):
        before, now = centres[t - 1 if t > 8 else min(t + 1, 8)], centres[t]
        if t == 8 or before is None or now is None:
            assert tracklet.series["shift"][t] is None
        else:
            way = np.linalg.norm(now - before) / np.hypot(*SIZE)
            assert tracklet.series["shift"][t] == pytest.approx(way, abs=10**-DIGITS)


def test_the_same_clip_gives_the_same_tracklets_whatever_came_between(track: Track, folder: Path, clip: str) -> None:
    segments = [segment(MASKS[0], frame=5), segment(MASKS[1], frame=5)]
    first = track(clip, NUM_FRAMES, segments)
    assert track(str(folder / "other.mp4"), NUM_FRAMES, segments[:1]) != first[:1]
    assert track(clip, NUM_FRAMES, segments) == first


def test_before_its_detection_a_subject_is_followed_as_in_the_reversed_clip(
    track: Track, folder: Path, clip: str
) -> None:
    seed, last = 12, NUM_FRAMES - 1
    (found,) = track(clip, NUM_FRAMES, [segment(MASKS[0], frame=seed)])
    (turned,) = track(str(folder / "reversed.mp4"), NUM_FRAMES, [segment(MASKS[0], frame=last - seed)])
    assert as_seen(found, range(NUM_FRAMES)) == as_seen(turned, range(last, -1, -1))


def test_segments_of_different_frames_are_followed_each_from_its_own(track: Track, clip: str) -> None:
    early, late = segment(MASKS[0], frame=2), segment(MASKS[1], frame=9, noun="cat")
    both = track(clip, NUM_FRAMES, [late, early])
    for tracklet, alone in zip(both, (late, early), strict=True):
        (single,) = track(clip, NUM_FRAMES, [alone])
        assert (tracklet.noun, tracklet.masks, tracklet.series) == (single.noun, single.masks, single.series)
    assert [tracklet.id for tracklet in both] == [1, 2]


def test_a_mask_without_a_pixel_is_the_datas_fault(track: Track, clip: str) -> None:
    with pytest.raises(EmptyMask) as caught:
        track(clip, NUM_FRAMES, [segment(MASKS[0]), segment(np.zeros(SIZE, bool), noun="cat")])
    assert (caught.value.why, caught.value.value) == ("empty mask", "cat")


def test_another_clips_numbers_are_refused(track: Track, clip: str, folder: Path) -> None:
    with pytest.raises(ValueError, match=f"has {NUM_FRAMES} frames, not 19"):
        track(clip, NUM_FRAMES - 1, [segment(MASKS[0])])
    with pytest.raises(ValueError, match="run lengths sum to"):
        track(clip, NUM_FRAMES, [segment(np.ones((8, 8), bool))])
    with pytest.raises(ValueError, match=f"frame {NUM_FRAMES} "):
        track(clip, NUM_FRAMES, [segment(MASKS[0], frame=NUM_FRAMES)])
    (folder / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(video.Unreadable):
        track(str(folder / "broken.mp4"), NUM_FRAMES, [segment(MASKS[0])])


def test_no_segment_gives_no_tracklet(track: Track, clip: str) -> None:
    assert track(clip, NUM_FRAMES, []) == ()


def test_deva_gives_what_its_propagator_gives(deva: Track, clip: str) -> None:
    tracklets = deva(clip, NUM_FRAMES, [segment(MASKS[0]), segment(MASKS[1])])
    for frame in Propagator(seeded_network(SMALL), TIGHT).track(video.frames(clip), MASKS):
        counts = rle.encode_clip(frame.masks)
        assert counts == tuple(tracklet.masks[frame.index] for tracklet in tracklets)
        assert frame.confidence == pytest.approx([t.series["confidence"][frame.index] for t in tracklets], abs=1e-6)


def test_deva_carries_masks_to_both_ends(folder: Path, clip: str) -> None:
    """A network that sees objects where they last were keeps them."""
    track = DevaTracker(
        checkpoint=str(folder / "repeating.pth"), size="embedded", propagation=TIGHT, device="cpu"
    ).open()
    mask = np.zeros(SIZE, bool)
    mask[16:, :32] = True
    (tracklet,) = track(clip, NUM_FRAMES, [segment(mask, frame=7)])
    masks = rle.decode_clip(tracklet.masks, SIZE)
    assert min((m & mask).sum() / (m | mask).sum() for m in masks) > 0.6


def test_deva_leaves_a_hidden_segment_without_a_mask(deva: Track, clip: str) -> None:
    shown, hidden = deva(clip, NUM_FRAMES, [segment(MASKS[0]), segment(MASKS[0])])
    assert shown.masks[0] is not None
    assert hidden.masks[0] is None
    assert hidden.series["confidence"][0] is None


def test_devas_fingerprint_is_its_checkpoints_digest(folder: Path) -> None:
    one, other = (DevaTracker(checkpoint=str(folder / name)).fingerprint() for name in ("deva.pth", "repeating.pth"))
    assert one != other
    assert len(one) == 64


def test_a_checkpoint_of_another_size_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="weights of another"):
        DevaTracker(checkpoint=str(folder / "deva.pth")).open()


def test_sam2_follows_objects_as_if_each_were_alone(folder: Path, clip: str) -> None:
    """In double precision: the last bits of float32 change with the size of a batch, and grow from frame to frame."""
    from transformers import Sam2VideoProcessor

    tracker = Sam2Tracker(model=str(folder / "sam2"), device="cpu")
    follow = _Follower(tracker.load_network().double(), tracker.load(Sam2VideoProcessor))
    both = list(follow(ClipFrames(clip, NUM_FRAMES), 0, MASKS))
    for k in range(len(MASKS)):
        alone = list(follow(ClipFrames(clip, NUM_FRAMES), 0, MASKS[k : k + 1]))
        for one, other in zip(alone, both, strict=True):
            assert np.array_equal(one.masks[0], other.masks[k])
            assert one.confidence[0] == pytest.approx(other.confidence[k], abs=1e-6)
    assert any(seen.confidence[0] != pytest.approx(seen.confidence[1], abs=1e-3) for seen in both)


def test_sam2_forgets_only_what_it_no_longer_needs(sam2: Track, folder: Path, clip: str) -> None:
    """The library's own way, which keeps the whole clip and every frame's memory, gives the same masks."""
    from transformers import Sam2VideoModel, Sam2VideoProcessor

    network: Any = Sam2VideoModel.from_pretrained(folder / "sam2")
    processor: Any = Sam2VideoProcessor.from_pretrained(folder / "sam2")
    session = processor.init_video_session()
    processor.add_inputs_to_inference_session(session, frame_idx=0, obj_ids=[1], input_masks=[MASKS[0]])
    (found,) = sam2(clip, NUM_FRAMES, [segment(MASKS[0])])
    for t, frame in enumerate(video.frames(clip)):
        pixels = processor(images=frame, return_tensors="pt").pixel_values
        answer = network(session, frame=pixels, frame_idx=t)
        if t:
            (mask,) = processor.post_process_masks([answer.pred_masks], original_sizes=[SIZE])
            assert found.masks[t] == rle.encode_clip(mask[:, 0].numpy())[0]
            confidence = float(answer.object_score_logits.sigmoid())
            assert found.series["confidence"][t] == pytest.approx(confidence, abs=10**-DIGITS)
    assert len(session.processed_frames) == NUM_FRAMES  # which it did keep


def test_sam2_holds_no_more_of_a_long_clip_than_of_a_short_one(folder: Path, clip: str) -> None:
    tracker = Sam2Tracker(model=str(folder / "sam2"), device="cpu")
    held: list[int] = []

    class Watched(_Follower):
        def _forget(self, session: Any, time: int) -> None:
            super()._forget(session, time)
            outputs = session.output_dict_per_obj.values()
            held.append(
                sum(
                    t.numel() for o in outputs for kind in o.values() for frame in kind.values() for t in frame.values()
                )
            )
            assert not session.processed_frames
            assert not any(session.frames_tracked_per_obj.values())

    from transformers import Sam2VideoProcessor

    follow = Watched(tracker.load_network(), tracker.load(Sam2VideoProcessor))
    assert len(list(follow(ClipFrames(clip, NUM_FRAMES), 0, MASKS[:1]))) == NUM_FRAMES
    assert held[0] < held[1]  # it remembers at all
    assert len(set(held[4:])) == 1


def test_sam2_says_nothing_of_an_object_that_is_not_there(folder: Path, clip: str) -> None:
    (tracklet,) = Sam2Tracker(model=str(folder / "blind"), device="cpu").open()(clip, NUM_FRAMES, [segment(MASKS[0])])
    assert tracklet.masks[0] == rle.encode(MASKS[0])
    assert set(tracklet.masks[1:]) == {None}
    assert set(tracklet.series["confidence"][1:]) == {None}
    assert set(tracklet.series["area"][1:]) == {0.0}
    assert tracklet.scores["confidence"] == 1.0


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_sam2_runs_at_half_precision(
    folder: Path, clip: str, sam2: Track, dtype: Literal["bfloat16", "float16"]
) -> None:
    track = Sam2Tracker(model=str(folder / "sam2"), device="cpu", dtype=dtype).open()
    (half,), (full,) = (t(clip, NUM_FRAMES, [segment(MASKS[0], frame=3)]) for t in (track, sam2))
    assert half.masks[3] == full.masks[3]
    assert sum(mask is not None for mask in half.masks) > 1
    assert half.series["confidence"][4] == pytest.approx(full.series["confidence"][4], abs=0.05)
    assert half.series["confidence"] != full.series["confidence"]
