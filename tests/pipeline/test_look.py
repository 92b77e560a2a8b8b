"""Hashes and shares of frames whose look is known exactly."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.stages.look import fingerprint, look_frames, measure_look


def scene(seed: int, height: int = 96, width: int = 128) -> NDArray[np.uint8]:
    """A smooth picture of its own for every seed, uint8 [H, W, 3]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def distance(a: str, b: str) -> int:
    return (int(a, 16) ^ int(b, 16)).bit_count()


def test_a_hash_is_16_hex_digits_a_frame_and_the_same_for_the_same_frame() -> None:
    hashes = fingerprint(np.stack([scene(0), scene(1), scene(0), scene(2)]))
    assert [len(bytes.fromhex(digits)) for digits in hashes] == [8] * 4
    assert hashes[0] == hashes[2]
    assert len(set(hashes)) == 3


def test_the_hashes_of_known_pictures() -> None:
    # A ramp has odd harmonics only, along its own axis; they are positive where it falls.
    falling = np.broadcast_to(np.arange(255, 0, -4, dtype=np.uint8)[None, :, None], (48, 64, 3))
    rising = falling[:, ::-1]
    down = falling.transpose(1, 0, 2)[:48, :48].repeat(2, axis=1)
    first_row, first_column = "d5" + "00" * 7, "8080008000800080"
    assert fingerprint(falling[None]) == (first_row,)
    assert fingerprint(rising[None]) == ("80" + "00" * 7,)
    assert fingerprint(down[None]) == (first_column,)


def test_a_flat_frame_has_no_bit_of_noise() -> None:
    hashes = fingerprint(np.stack([np.full((50, 70, 3), grey, dtype=np.uint8) for grey in (1, 77, 200, 255)]))
    assert set(hashes) == {"8000000000000000"}


@pytest.mark.parametrize("seed", range(10))
def test_size_and_brightness_hardly_change_a_hash_and_another_scene_does(seed: int) -> None:
    picture = scene(seed)
    small = np.asarray(Image.fromarray(picture).resize((64, 48), Image.Resampling.BILINEAR))
    dark = (picture * 0.8).astype(np.uint8)
    hashes = [fingerprint(frame[None])[0] for frame in (picture, small, dark, scene(seed + 1))]
    assert max(distance(hashes[0], hashes[1]), distance(hashes[0], hashes[2])) <= 8
    assert distance(hashes[0], hashes[3]) >= 16


@pytest.mark.parametrize(
    ("num_frames", "numbers"),
    [(1, (0, 0, 0, 0)), (2, (0, 0, 1, 1)), (3, (0, 1, 1, 2)), (4, (0, 1, 2, 3)), (80, (10, 30, 50, 70))],
)
def test_frames_are_spread_evenly(num_frames: int, numbers: tuple[int, ...]) -> None:
    assert look_frames(num_frames) == numbers


# --- Shares


def looks(*frames: NDArray[np.uint8]) -> dict[str, float]:
    return measure_look(np.stack(frames))


def test_a_still_picture_is_static_and_frozen_and_neither_black_nor_barred() -> None:
    assert looks(*[scene(0)] * 4) == {"static.share": 1, "frozen.share": 1, "black.share": 0, "bars.share": 0}


def test_only_what_never_changes_is_static() -> None:
    frames = np.stack([scene(0)] * 4)
    frames[1, :48, :32] = 255 - frames[1, :48, :32]
    frames[2, 80:, 100:] = 255 - frames[2, 80:, 100:]
    changed = np.abs(2 * frames[0].astype(int) - 255).max(-1)
    changed[48:80], changed[:48, 32:], changed[80:, :100] = 0, 0, 0
    assert looks(*frames)["static.share"] == pytest.approx((changed == 0).mean(), abs=0.02)
    assert looks(*frames)["frozen.share"] == 0


def test_coding_noise_does_not_move_a_picture() -> None:
    noise = np.random.default_rng(0).integers(-2, 3, (4, 96, 128, 3))
    frames = np.clip(scene(0) + noise, 0, 255).astype(np.uint8)
    assert looks(*frames)["static.share"] > 0.99


def test_slides_are_frozen_but_for_their_changes() -> None:
    scores = looks(scene(0), scene(0), scene(1), scene(1))
    assert scores["frozen.share"] == pytest.approx(2 / 3)
    assert scores["static.share"] < 0.2


def test_black_is_counted_by_frames_and_a_dark_scene_is_not_black() -> None:
    black, dark = np.full((96, 128, 3), 16, np.uint8), np.full((96, 128, 3), 40, np.uint8)
    assert looks(black, scene(0), black, scene(1))["black.share"] == 0.5
    assert looks(dark, dark, dark)["black.share"] == 0
    assert looks(*[black] * 4) == {"static.share": 1, "frozen.share": 1, "black.share": 1, "bars.share": 1}


@pytest.mark.parametrize(("top", "left", "share"), [(12, 0, 0.25), (0, 16, 0.25), (12, 16, 1 - 0.75**2), (0, 0, 0)])
def test_bars_are_black_at_the_border_in_every_frame(top: int, left: int, share: float) -> None:
    frames = np.maximum(np.stack([scene(seed) for seed in range(3)]), 40)
    barred = frames.copy()
    barred[:, :top], barred[:, 96 - top :] = 0, 0
    barred[:, :, :left], barred[:, :, 128 - left :] = 0, 0
    assert looks(*barred)["bars.share"] == pytest.approx(share)
    assert looks(*barred, frames[0])["bars.share"] == 0


def test_one_frame_stays_the_same() -> None:
    scores = looks(scene(0))
    assert (scores["static.share"], scores["frozen.share"]) == (1, 1)


def test_shares_hardly_depend_on_the_size() -> None:
    large = [np.asarray(Image.fromarray(scene(seed)).resize((640, 480))) for seed in (0, 1, 1)]
    small = [scene(seed) for seed in (0, 1, 1)]
    assert looks(*large) == pytest.approx(looks(*small), abs=0.03)
