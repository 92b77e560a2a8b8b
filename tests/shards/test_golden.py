"""The golden dataset, written once in format 1, reads as it was drawn; its files never change."""

import hashlib
import json
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shards import Dataset, Decision
from shards.entry import MEMBERS, content_sha256, decoder, to_members
from shards.tar import scan

GOLDEN = Path(__file__).parents[1] / "golden"
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text())
SAMPLES: dict[str, Any] = EXPECTED["samples"]


@pytest.fixture(scope="module")
def golden() -> Dataset:
    return Dataset.open(GOLDEN / "dataset")


def test_it_is_small_and_whole(golden: Dataset) -> None:
    files = [path for path in GOLDEN.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) < 200_000
    assert sorted(s["stem"] for s in EXPECTED["shards"]) == [s.stem for s in golden.shards]
    assert sorted(golden.index["key"].to_pylist()) == sorted(SAMPLES)


@pytest.mark.parametrize("shard", EXPECTED["shards"], ids=lambda shard: str(shard["stem"]))
def test_a_shard_has_its_digest(golden: Dataset, shard: dict[str, Any]) -> None:
    data = golden.storage.read(f"shards/{shard['stem']}.tar")
    assert (len(data), hashlib.sha256(data).hexdigest()) == (shard["bytes"], shard["sha256"])
    (said,) = [s for s in golden.shards if s.stem == shard["stem"]]
    assert (said.num_samples, said.bytes, said.sha256) == (shard["num_samples"], shard["bytes"], shard["sha256"])
    assert len(scan(golden.storage.local_path(said.tar) or "")) == 4 * shard["num_samples"]


@pytest.mark.parametrize("key", SAMPLES)
def test_a_sample_says_what_was_drawn(golden: Dataset, key: str) -> None:
    sample, expected = golden[key], SAMPLES[key]
    for name in ("caption", "subject", "width", "height", "scores", "provenance"):
        assert getattr(sample, name) == expected[name]
    assert list(sample.pts) == expected["pts"]
    assert sample.time_base == Fraction(*expected["time_base"])


@pytest.mark.parametrize("key", SAMPLES)
def test_members_have_their_digests(golden: Dataset, key: str) -> None:
    members = golden.raw(golden.row_of(key))
    digests = {name: [len(data), hashlib.sha256(data).hexdigest()] for name, data in members.items()}
    assert digests == SAMPLES[key]["members"]
    assert content_sha256(members) == SAMPLES[key]["content_sha256"]


@pytest.mark.parametrize("key", SAMPLES)
def test_masks_and_boxes_are_those_drawn(golden: Dataset, key: str) -> None:
    sample = golden[key]
    for track, expected in zip(sample.tracks, SAMPLES[key]["tracks"], strict=True):
        masks = track.decode(sample.size)
        assert (track.id, track.noun) == (expected["id"], expected["noun"])
        assert masks.sum(axis=(1, 2)).tolist() == expected["areas"]
        assert [hashlib.sha256(np.packbits(mask).tobytes()).hexdigest() for mask in masks] == expected["mask_sha256"]
        assert [None if box is None else list(box) for box in track.boxes] == expected["boxes"]
        assert {name: list(values) for name, values in track.series.items()} == expected["series"]


@pytest.mark.parametrize("key", SAMPLES)
def test_the_sidecar_agrees(golden: Dataset, key: str) -> None:
    said, expected = golden.index.slice(golden.row_of(key), 1).to_pylist()[0], SAMPLES[key]
    for name in ("caption", "subject", "width", "height", "pts"):
        assert said[name] == expected[name]
    assert said["sha256"] == expected["content_sha256"]
    assert said["mp4_sha256"] == expected["members"]["mp4"][1]
    assert [said["time_base_num"], said["time_base_den"]] == expected["time_base"]
    assert dict(said["scores"]) == expected["scores"]
    assert {name: said[name] for name in ("video", "start", "end", "caption_by")}.items() <= expected[
        "provenance"
    ].items()
    for track, drawn in zip(said["tracks"], expected["tracks"], strict=True):
        areas = [area for area in drawn["areas"] if area]
        assert (track["id"], track["noun"], track["frames"]) == (drawn["id"], drawn["noun"], len(areas))
        assert track["area"] == pytest.approx(sum(areas) / len(areas) / (said["width"] * said["height"]))
        assert (track["first_box"], track["last_box"]) == (drawn["boxes"][0], drawn["boxes"][-1])


@pytest.mark.parametrize("key", SAMPLES)
def test_the_video_shows_what_was_drawn(golden: Dataset, key: str) -> None:
    """Frames decode, and inside the first track's mask the picture is not the meadow's green."""
    sample = golden[key]
    frames = decoder(".mp4", sample.video)
    assert frames.shape == (sample.num_frames, sample.height, sample.width, 3)
    everywhere = np.any([track.decode(sample.size) for track in sample.tracks], axis=0)
    assert np.abs(frames[~everywhere].mean(axis=0) - (90, 140, 80)).max() < 6
    inside = frames[everywhere].astype(int)
    assert (np.abs(inside - (90, 140, 80)).max(axis=-1) > 40).mean() > 0.9


def test_verdicts_hold(golden: Dataset) -> None:
    """An accept, a rename with a dropped track, a reject taken back, a new caption, and one that is void."""
    captions = {SAMPLES[key]["caption"]: decision for key, decision in golden.decisions().items()}
    assert captions == {
        "a red ball rolls over a meadow": Decision(accepted=True),
        "a box meets a ball": Decision(subject="crate", dropped_tracks=frozenset({2})),
        "„Größer“: 箱が動く 🪁": Decision(caption="a kite"),
    }


def test_todays_code_writes_the_same_members(golden: Dataset) -> None:
    """Masks are compared decoded: another build of zlib may compress them to other bytes."""
    for row, sample in enumerate(golden):
        before, today = golden.raw(row), to_members(sample)
        assert {name: before[name] for name in MEMBERS if name != "masks"} == {
            name: today[name] for name in MEMBERS if name != "masks"
        }
        assert zlib.decompress(before["masks"]) == zlib.decompress(today["masks"])
