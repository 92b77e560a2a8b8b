"""Stock webdataset reads a shard: every member arrives, and the decoder gives frames, masks and boxes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shards import Dataset, Sample, Storage, decoder, write_shard
from shards.entry import to_members

webdataset = pytest.importorskip("webdataset")
# It leaves its stream to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

GOLDEN = Path(__file__).parents[1] / "golden/dataset"


def _read(path: Path, *decoders: Any) -> list[dict[str, Any]]:
    clips = webdataset.WebDataset(str(path), shardshuffle=False)
    return list(clips.decode(*decoders) if decoders else clips)


def test_every_member_arrives_untouched(tmp_path: Path, make_sample: Callable[..., Sample]) -> None:
    samples = {s.key: s for s in (make_sample(n) for n in range(7))}
    write_shard(Storage.at(tmp_path), "clips", 0, samples.values())
    clips = _read(tmp_path / "shards/clips-000000.tar")
    assert [clip["__key__"] for clip in clips] == sorted(samples)
    for clip in clips:
        assert {n: v for n, v in clip.items() if not n.startswith("__")} == to_members(samples[clip["__key__"]])


@pytest.mark.parametrize("shard", [0, 1])
def test_the_decoder_gives_frames_masks_and_boxes(shard: int) -> None:
    golden = Dataset.open(GOLDEN)
    for clip in _read(GOLDEN / f"shards/golden-00000{shard}.tar", decoder):
        sample = golden[clip["__key__"]]
        shape = (sample.num_frames, sample.height, sample.width)
        assert (clip["mp4"].shape, clip["mp4"].dtype) == ((*shape, 3), np.uint8)
        assert list(clip["masks"]) == [track.id for track in sample.tracks]
        for track, said in zip(sample.tracks, clip["json"]["tracks"], strict=True):
            assert clip["masks"][track.id].dtype == bool
            assert np.array_equal(clip["masks"][track.id], track.decode(sample.size))
            assert said["boxes"] == [None if box is None else list(box) for box in track.boxes]
        assert clip["strip.jpg"] == sample.strip


def test_other_decoders_go_beside_ours() -> None:
    (clip, *_) = _read(GOLDEN / "shards/golden-000000.tar", decoder, "pil")
    assert clip["strip.jpg"].height == 96
    assert clip["masks"]
