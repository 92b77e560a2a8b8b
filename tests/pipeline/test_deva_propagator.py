"""The laws of DEVA's propagation: streaming, both directions, sizes, series, and what it refuses."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.models.deva.core import Core, Merged
from pipeline.models.deva.frames import Observer, TrackedFrame, at_size, to_image
from pipeline.models.deva.matching import feature_map
from pipeline.models.deva.network import Deva
from pipeline.models.deva.propagator import BACKWARD_FRAMES, Propagator
from pipeline.models.deva.settings import SMALL, Propagation
from tests.pipeline.deva_seeded import (
    as_bytes,
    normalised,
    repeating_network,
    seeded_frames,
    seeded_masks,
    seeded_network,
)

TIGHT = Propagation(
    mem_every=1, max_mid_term_frames=4, min_mid_term_frames=2, num_prototypes=16, max_long_term_elements=56
)


@pytest.fixture(scope="module")
def small() -> Deva:
    return seeded_network(SMALL)


def small_frames(num_frames: int) -> NDArray[np.uint8]:
    return as_bytes(seeded_frames(num_frames, 48, 64))


SMALL_MASKS = seeded_masks(48, 64)


def same(a: TrackedFrame, b: TrackedFrame) -> bool:
    return (
        torch.equal(a.probabilities, b.probabilities)
        and np.array_equal(a.masks, b.masks)
        and (a.ids, a.confidence, a.area) == (b.ids, b.confidence, b.area)
    )


def test_every_frame_is_answered_as_it_is_read(small: Deva) -> None:
    read = 0

    def frames() -> Iterator[NDArray[np.uint8]]:
        nonlocal read
        for frame in small_frames(6):
            read += 1
            yield frame

    for t, frame in enumerate(Propagator(small, TIGHT).track(frames(), SMALL_MASKS)):
        assert (frame.index, read, frame.ids) == (t, t + 1, (1, 2))
        assert frame.masks.shape == (2, 48, 64)
        assert frame.masks.sum(axis=0).max() <= 1
        torch.testing.assert_close(frame.probabilities.sum(0), torch.ones(48, 64))
        assert not torch.is_inference_mode_enabled()  # between frames the caller's own mode holds
    assert read == 6


def test_first_masks_come_back(small: Deva) -> None:
    first = next(Propagator(small, TIGHT).track(small_frames(1), SMALL_MASKS))
    assert np.array_equal(first.masks, SMALL_MASKS)
    assert first.confidence == pytest.approx((1, 1))


def test_masks_are_carried_to_the_end() -> None:
    """A network that sees objects where they last were keeps them; a frame reduced on the way in does too."""
    masks = np.zeros((2, 64, 128), bool)
    masks[0, 32:, :32] = masks[1, 32:, 64:96] = True
    for short_side in (None, 32):
        propagator = Propagator(repeating_network(), TIGHT.model_copy(update={"short_side": short_side}))
        last = list(propagator.track(as_bytes(seeded_frames(20, 64, 128)), masks))[-1]
        ious = [(a & b).sum() / (a | b).sum() for a, b in zip(last.masks, masks, strict=True)]
        assert min(ious) > 0.6  # of one position, corners wear off
        assert min(c for c in last.confidence if c) > 0.8


def test_a_beginning_of_a_clip_is_tracked_as_within_it(small: Deva) -> None:
    propagator = Propagator(small, TIGHT)
    whole = list(propagator.track(small_frames(9), SMALL_MASKS))
    part = list(propagator.track(small_frames(9)[:6], SMALL_MASKS))
    assert all(same(a, b) for a, b in zip(whole, part, strict=False))


def test_clips_side_by_side_do_not_touch(small: Deva) -> None:
    propagator, frames = Propagator(small, TIGHT), small_frames(8)
    alone = list(propagator.track(frames, SMALL_MASKS))
    other = propagator.track(frames[::-1], SMALL_MASKS[::-1].copy())
    beside = [frame for frame, _ in zip(propagator.track(frames, SMALL_MASKS), other, strict=True)]
    assert all(same(a, b) for a, b in zip(alone, beside, strict=True))


def test_an_object_that_joins_takes_its_place() -> None:
    core, images = Core(repeating_network(), TIGHT), normalised(seeded_frames(2, 64, 128))
    old, new = torch.zeros(1, 64, 128), torch.zeros(1, 64, 128)
    old[:, 16:48, :64] = new[:, :, 32:] = 1
    core.step(core.encode(images[0]), old)
    maps = core.step(core.encode(images[1]), new)
    assert maps[1, 20:44, 4:28].min() > 0.99
    assert maps[1, :, 32:].max() < 0.01
    assert maps[2, :, 32:].min() > 0.99


def test_an_object_that_stays_keeps_its_own_state(small: Deva) -> None:
    """Dropping the first of two objects leaves the second as if it had been alone."""
    images, masks = normalised(seeded_frames(4, 48, 64)), torch.from_numpy(SMALL_MASKS)

    def state(first: Tensor, kept: int) -> tuple[Tensor, Tensor]:
        core = Core(small, TIGHT)
        core.step(core.encode(images[0]), first)
        core.incorporate(core.encode(images[1]), lambda _: Merged([kept], masks[1:]))
        return core.sensory, core.step(core.encode(images[2]))

    torch.testing.assert_close(state(masks, 1), state(masks[1:], 0), rtol=0, atol=1e-4)


def test_an_object_alone_of_a_batch(small: Deva) -> None:
    """Up to the aggregation objects do not see each other: logits of two at once are those of each."""

    def logits(masks: NDArray[np.bool_]) -> Tensor:
        core = Core(small, TIGHT)
        images = normalised(seeded_frames(2, 48, 64))
        core.step(core.encode(images[0]), torch.from_numpy(masks))
        frame = core.encode(images[1])
        readout = feature_map(core.memory.read(frame.query), frame.grid)
        with torch.inference_mode():
            found: Tensor = small.mask_decoder(frame.features, readout, core.sensory, core.last_masks)[1]
        return found

    both = logits(SMALL_MASKS)
    torch.testing.assert_close(
        both, torch.cat([logits(SMALL_MASKS[:1]), logits(SMALL_MASKS[1:])]), rtol=1e-4, atol=1e-4
    )
    assert not torch.allclose(both[0], both[1], atol=0.05)


def test_both_directions(small: Deva) -> None:
    propagator, frames, seed = Propagator(small, TIGHT), small_frames(BACKWARD_FRAMES + 9), BACKWARD_FRAMES + 3
    reads: list[range] = []

    def frames_of(numbers: range) -> Iterator[NDArray[np.uint8]]:
        reads.append(numbers)
        return (frames[t] for t in numbers)

    tracked = list(propagator.track_from(frames_of, len(frames), seed, SMALL_MASKS))
    assert [frame.index for frame in tracked] == [*range(seed, len(frames)), *range(seed - 1, -1, -1)]
    onwards = propagator.track(frames[seed:], SMALL_MASKS)
    back = islice(propagator.track(frames[seed::-1], SMALL_MASKS), 1, None)
    assert all(same(a, b) for a, b in zip(tracked, [*onwards, *back], strict=True))
    assert all(numbers.step == 1 for numbers in reads)
    assert max(len(numbers) for numbers in reads[1:]) == BACKWARD_FRAMES


def test_from_the_first_frame_there_is_one_direction(small: Deva) -> None:
    propagator, frames = Propagator(small, TIGHT), small_frames(3)
    tracked = list(propagator.track_from(lambda numbers: frames[list(numbers)], 3, 0, SMALL_MASKS))
    assert [frame.index for frame in tracked] == [0, 1, 2]


def test_large_frames_are_reduced_on_the_way_in(small: Deva) -> None:
    """Frames of twice the size, all pixels doubled, with a mask too thin for the reduced frame."""
    frames = small_frames(3).repeat(2, axis=1).repeat(2, axis=2)
    masks = SMALL_MASKS.repeat(2, axis=1).repeat(2, axis=2)
    masks[0] = False
    masks[0, 31, 10:60] = True
    settings = TIGHT.model_copy(update={"short_side": 48})
    tracked = list(Propagator(small, settings).track(frames, masks))
    assert [frame.masks.shape for frame in tracked] == [(2, 96, 128)] * 3
    assert np.array_equal(tracked[0].masks, masks)
    torch.testing.assert_close(tracked[2].probabilities.sum(0), torch.ones(96, 128))
    whole = list(Propagator(small, TIGHT).track(frames, masks))
    assert not torch.allclose(tracked[2].probabilities, whole[2].probabilities, atol=0.01)


def test_the_network_s_input_is_normalised() -> None:
    frame = small_frames(1)[0]
    expected = normalised((frame.astype(np.float32) / 255).transpose(2, 0, 1))
    torch.testing.assert_close(to_image(frame, frame.shape[:2], torch.device("cpu")), expected)


@pytest.mark.parametrize(
    ("size", "settings", "expected"),
    [
        ((1080, 1920), {"short_side": 480}, (480, 853)),
        ((1920, 1080), {"short_side": 480}, (853, 480)),
        ((300, 400), {"short_side": 480}, (300, 400)),
        ((300, 400), {"short_side": 480, "enlarge": True}, (480, 640)),
        ((600, 400), {"short_side": 200, "enlarge": True}, (300, 200)),
        ((9, 9), {"short_side": None}, (9, 9)),
    ],
)
def test_input_size(size: tuple[int, int], settings: dict[str, Any], expected: tuple[int, int]) -> None:
    assert Propagation(**settings).input_size(size) == expected


def test_frames_are_enlarged_to_something() -> None:
    with pytest.raises(ValueError, match="enlarge needs a short_side"):
        Propagation(short_side=None, enlarge=True)


def test_enlarged_frames_are_answered_at_their_own_size(small: Deva) -> None:
    """As frames that came enlarged, whose probabilities are then reduced."""
    frames = small_frames(3)
    own = Propagator(small, TIGHT.model_copy(update={"short_side": 96, "enlarge": True}))
    network_size = own.settings.input_size((48, 64))
    core = Core(small, TIGHT)
    masks = torch.from_numpy(SMALL_MASKS).float().repeat_interleave(2, 1).repeat_interleave(2, 2)
    images = [to_image(frame, network_size, torch.device("cpu")) for frame in frames]
    expected = [core.step(core.encode(image), None if t else masks) for t, image in enumerate(images)]
    for tracked, maps in list(zip(own.track(frames, SMALL_MASKS), expected, strict=True))[1:]:
        assert tracked.probabilities.shape == (3, 48, 64)
        torch.testing.assert_close(tracked.probabilities, at_size(maps, (48, 64)))


def test_half_precision_is_near(small: Deva) -> None:
    frames, half = small_frames(4), TIGHT.model_copy(update={"precision": "bfloat16"})
    exact = list(Propagator(small, TIGHT).track(frames, SMALL_MASKS))[-1]
    near = list(Propagator(small, half).track(frames, SMALL_MASKS))[-1]
    assert near.probabilities.dtype == torch.float32
    difference = (exact.probabilities - near.probabilities).abs()
    assert 0 < difference.mean() < 0.01


def test_the_series_of_a_moving_square() -> None:
    """A square of 4x4 pixels in a frame of 20x40 moves by (2, 3), then is gone, then is back."""
    observer, frames = Observer(), []
    for t, corner in enumerate([(2, 5), (4, 8), None, (4, 8)]):
        maps = torch.zeros(2, 20, 40)
        if corner:
            maps[1, corner[0] : corner[0] + 4, corner[1] : corner[1] + 4] = torch.tensor([0.75, 0.75, 1.0, 1.0])
        maps[0] = 1 - maps[1]
        frames.append(observer.see(t, maps, (7,)))
    assert [frame.area for frame in frames] == [(0.02,), (0.02,), (0.0,), (0.02,)]
    assert [frame.confidence for frame in frames] == [(0.875,), (0.875,), (None,), (0.875,)]
    assert frames[1].shift == pytest.approx((13**0.5 / 2000**0.5,))
    assert [frames[t].shift for t in (0, 2, 3)] == [(None,)] * 3


Refused = Callable[[Propagator], object]


@pytest.mark.parametrize(
    ("why", "act"),
    [
        (r"masks are uint8", lambda p: p.track([], np.ones((1, 4, 4), np.uint8))),
        (r"masks are bool \(4, 4\)", lambda p: p.track([], np.ones((4, 4), bool))),
        (r"masks are bool \(0, ", lambda p: p.track([], np.zeros((0, 4, 4), bool))),
        (r"object 2 has no pixel", lambda p: p.track([], np.stack([np.eye(4), np.zeros((4, 4))]).astype(bool))),
        (r"masks are \(48, 32\) and frames", lambda p: list(p.track(small_frames(1), SMALL_MASKS[:1, :, :32]))),
        (r"frame 0 is float", lambda p: list(p.track(seeded_frames(1), SMALL_MASKS))),
        (r"frame 1 is", lambda p: list(p.track([small_frames(1)[0], as_bytes(seeded_frames(1))[0]], SMALL_MASKS))),
        (r"frame 3 with the masks", lambda p: p.track_from(lambda r: small_frames(3)[r], 3, 3, SMALL_MASKS)),
        (
            r"only 2 frames came",
            lambda p: list(p.track_from(lambda r: small_frames(3)[list(r)][:2], 3, 0, SMALL_MASKS)),
        ),
    ],
)
def test_wrong_use_is_said(small: Deva, why: str, act: Refused) -> None:
    with pytest.raises(ValueError, match=why):
        act(Propagator(small, TIGHT))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"max_mid_term_frames": 5}, "must be above min_mid_term_frames 5"),
        ({"num_prototypes": 20_000}, "must be at least num_prototypes"),
        ({"top_k": 0}, "top_k"),
        ({"memory_every": 2}, "memory_every"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Propagation(**settings)
