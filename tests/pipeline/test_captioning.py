"""Captions by every kind of model: the same alone and in a batch, bound to the frames they were written from."""

import json
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.models.captioning import (
    BoundCaption,
    Caption,
    Frames,
    Unbound,
    Write,
    bound_texts,
    frames_digest,
    sampled,
)
from tests.pipeline import tiny_models

pytestmark = pytest.mark.usefixtures("one_thread")

SAVERS: dict[str, Callable[[Path], None]] = {
    "vit-gpt2": tiny_models.save_vit_gpt2,
    "blip": tiny_models.save_blip,
    "git": lambda folder: tiny_models.save_git(folder, None),
    "git-video": lambda folder: tiny_models.save_git(folder, 3),
    "llava": tiny_models.save_llava,
    "qwen2-vl": tiny_models.save_qwen2_vl,
    "qwen3-vl": tiny_models.save_qwen3_vl,
}
CHAT = ("llava", "qwen2-vl", "qwen3-vl")
NUM_FRAMES = 4
SHOWN = {
    "vit-gpt2": 1,
    "blip": 1,
    "git": 1,
    "git-video": 3,
    "llava": NUM_FRAMES,
    "qwen2-vl": NUM_FRAMES,
    "qwen3-vl": NUM_FRAMES,
}


def clips_of(*lengths: int, height: int = 40, width: int = 48) -> list[Frames]:
    rng = np.random.default_rng(len(lengths))
    coarse = [rng.integers(0, 256, (length, height // 8, width // 8, 3), dtype=np.uint8) for length in lengths]
    return [clip.repeat(8, axis=1).repeat(8, axis=2) for clip in coarse]


CLIPS = [*clips_of(5, 9, 2, 12), *clips_of(7, height=64, width=40)]


def caption(folder: Path, max_new_tokens: int = 12, **settings: str) -> Caption:
    return Caption.model_validate(
        {"model": str(folder), "num_frames": NUM_FRAMES, "max_new_tokens": max_new_tokens, "device": "cpu"} | settings
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("captioners")
    for name, save in SAVERS.items():
        save(root / name)
    return {name: root / name for name in SAVERS}


@pytest.fixture(scope="module")
def writers(folders: dict[str, Path]) -> dict[str, Write]:
    return {name: caption(folder).open() for name, folder in folders.items()}


@pytest.fixture(params=sorted(SAVERS))
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def test_a_batch_gives_what_its_clips_give_alone(name: str, writers: dict[str, Write]) -> None:
    write = writers[name]
    batch = write(CLIPS)
    assert [found for clip in CLIPS for found in write([clip])] == batch
    assert write(CLIPS[::-1]) == batch[::-1]
    assert len({found.text for found in batch}) > 1  # else the laws above would say nothing
    assert write([]) == []


def test_a_model_opened_again_writes_the_same(name: str, folders: dict[str, Path], writers: dict[str, Write]) -> None:
    assert caption(folders[name]).open()(CLIPS) == writers[name](CLIPS)


def test_captions_are_bound_to_the_frames_that_went_in(name: str, writers: dict[str, Write]) -> None:
    captions = writers[name](CLIPS)
    assert [found.frames for found in captions] == [frames_digest(clip) for clip in CLIPS]
    assert bound_texts(CLIPS, captions) == captions


def test_only_evenly_spread_frames_are_looked_at(name: str, writers: dict[str, Write]) -> None:
    write, (clip,) = writers[name], clips_of(11)
    seen = sampled(len(clip), SHOWN[name])
    unseen = clip.copy()
    unseen[[t for t in range(len(clip)) if t not in seen]] = 0
    (whole,), (blanked,), (given_them,) = write([clip]), write([unseen]), write([clip[list(seen)]])
    assert whole.text == blanked.text == given_them.text
    assert len({whole.frames, blanked.frames, given_them.frames}) == 3
    for t in seen:
        others = [clip.copy() for _ in range(9)]
        for k, other in enumerate(others):
            other[t] = CLIPS[3][k]
        assert {found.text for found in write(others)} != {whole.text}


def test_a_text_that_is_cut_off_says_so(name: str, folders: dict[str, Path], writers: dict[str, Write]) -> None:
    """Decoding is greedy: what is cut off earlier is the beginning of what is cut off later."""
    for short, long in zip(caption(folders[name], 3).open()(CLIPS), writers[name](CLIPS), strict=True):
        assert long.text.startswith(short.text)
        assert long == short or not short.finished


def test_texts_come_to_an_end_or_are_cut_off(writers: dict[str, Write]) -> None:
    assert {found.finished for write in writers.values() for found in write(CLIPS)} == {True, False}


@pytest.mark.parametrize("name", CHAT)
def test_a_chat_model_is_asked_by_the_prompt(name: str, folders: dict[str, Path]) -> None:
    asked = {
        prompt: tuple(found.text for found in caption(folders[name], prompt=prompt).open()(CLIPS))
        for prompt in ("a dog runs", "fish in the water")
    }
    assert len(set(asked.values())) == 2
    assert not any("user" in text.split()[:1] for texts in asked.values() for text in texts)


def test_a_model_that_reads_times_is_told_them(folders: dict[str, Path]) -> None:
    slow, fast = (caption(folders["qwen3-vl"], frame_rate=rate).open()(CLIPS) for rate in ("1", "4"))
    assert [found.frames for found in slow] == [found.frames for found in fast]
    assert slow != fast


def test_captions_that_are_not_their_clips_are_caught() -> None:
    captions = [BoundCaption(frames_digest(clip), "the same text", True) for clip in CLIPS]
    with pytest.raises(Unbound, match="place 1 was written from other frames: 'the same text'"):
        bound_texts(CLIPS, [captions[0], captions[2], captions[1], *captions[3:]])
    with pytest.raises(Unbound, match="4 captions came for 5 clips"):
        bound_texts(CLIPS, captions[:-1])
    with pytest.raises(Unbound, match="place 0"):
        bound_texts([CLIPS[0][:-1]], captions[:1])


def test_a_digest_is_of_shape_and_pixels() -> None:
    clip = CLIPS[0]
    other = clip.copy()
    other[-1, -1, -1, -1] ^= 1
    digests = {frames_digest(frames) for frames in (clip, other, clip.reshape(5, 48, 40, 3), clip[::-1])}
    assert len(digests) == 4
    assert frames_digest(clip[::-1][::-1]) == frames_digest(np.asfortranarray(clip)) == frames_digest(clip)


@given(st.integers(1, 500), st.integers(1, 50))
def test_sampled_frames_are_spread_evenly(num_frames: int, wanted: int) -> None:
    numbers = np.array(sampled(num_frames, wanted))
    assert len(numbers) == min(num_frames, wanted)
    assert numbers[0] >= 0
    assert numbers[-1] < num_frames
    steps = np.diff(numbers)
    assert not steps.size or (steps.min() >= 1 and steps.max() - steps.min() <= 1)
    assert abs(numbers[0] - (num_frames - 1 - numbers[-1])) <= 1


def test_what_is_no_clip_is_refused(writers: dict[str, Write]) -> None:
    for wrong in (CLIPS[0].astype(np.float32), CLIPS[0][:0], CLIPS[0][0], CLIPS[0][..., :1]):
        with pytest.raises(ValueError, match=r"must be uint8 \(F, H, W, 3\)"):
            writers["blip"]([CLIPS[1], wrong])  # type: ignore[list-item]


def test_half_precision_writes_too(folders: dict[str, Path]) -> None:
    for name in ("blip", "qwen2-vl"):
        captions = caption(folders[name], dtype="bfloat16").open()(CLIPS)
        assert bound_texts(CLIPS, captions) == captions


def test_a_folders_fingerprint_follows_its_files(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    model = Caption(model=str(tmp_path))
    first = model.fingerprint()
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "note").write_text("hidden")
    assert model.fingerprint() == first
    (tmp_path / "weights").write_text("a")
    second = model.fingerprint()
    (tmp_path / "weights").rename(tmp_path / "renamed")
    assert len({first, second, model.fingerprint()}) == 3


def test_a_hub_name_stands_for_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the hub's cache, as another program filled it: no byte of the network is asked for."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "models--some--captioner"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(commit)
    (cached / "snapshots" / commit).mkdir(parents=True)
    (cached / "snapshots" / commit / "config.json").write_text(json.dumps({"model_type": "blip"}))
    assert Caption(model="some/captioner").fingerprint().endswith(f"commit {commit}")
    with pytest.raises(OSError, match="cached files"):
        Caption(model="some/other").fingerprint()
