"""The sidecar says of each sample what the sample says of itself, and survives Parquet unchanged."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from shards import Sample
from shards.entry import content_sha256, to_members
from shards.sample import InvalidSample
from shards.sidecar import SCHEMA, About, from_parquet, row, to_parquet
from shards.tar import Member

MakeSample = Callable[..., Sample]
ABOUT = About(tar_sha256="ab" * 32, tar_bytes=10_240, num_samples=2)


def _row(sample: Sample) -> dict[str, Any]:
    members = to_members(sample)
    places = {name: Member(name=name, offset=512 * n, size=len(data)) for n, (name, data) in enumerate(members.items())}
    return row(sample, members, places)


def test_a_row_says_what_the_sample_says(make_sample: MakeSample) -> None:
    sample = make_sample(3)
    members = to_members(sample)
    said = _row(sample)
    assert sorted(said) == sorted(SCHEMA.names)
    assert said["sha256"] == content_sha256(members)
    assert said["mp4_sha256"] == hashlib.sha256(sample.video).hexdigest()
    assert (said["mp4_offset"], said["mp4_size"]) == (1024, len(sample.video))
    assert (said["strip_offset"], said["strip_size"]) == (1536, len(sample.strip))
    assert (said["video"], said["start"], said["end"], said["caption_by"]) == (
        "practice/3",
        1.5,
        1.5 + 4 / 24,
        "source",
    )
    assert said["duration"] == pytest.approx(4 / 24)
    assert said["fps"] == pytest.approx(24)
    assert said["pts"] == (0, 2, 4, 6)


def test_a_track_is_summed_up(make_sample: MakeSample) -> None:
    sample = make_sample(0)
    dog, cat = _row(sample)["tracks"]
    masks = sample.tracks[1].decode(sample.size)
    assert cat["frames"] == 3
    assert cat["area"] == pytest.approx(masks.sum() / (3 * 24 * 32))
    assert (dog["first_box"], dog["last_box"]) == ((3, 2, 20, 12), (3, 2, 20, 15))


def test_a_subject_that_is_away_has_no_box(make_sample: MakeSample) -> None:
    sample = make_sample(frames=2)  # the cat is absent in frame 1
    assert _row(sample)["tracks"][1]["last_box"] is None
    table, _ = from_parquet(to_parquet([_row(sample)], ABOUT))
    assert table["tracks"].to_pylist()[0][1]["last_box"] is None


def test_one_frame_has_the_clips_speed(make_sample: MakeSample) -> None:
    assert _row(make_sample(frames=1))["fps"] == pytest.approx(24)


def test_rows_survive_parquet(make_sample: MakeSample) -> None:
    rows = [_row(make_sample(n)) for n in range(2)]
    table, about = from_parquet(to_parquet(rows, ABOUT))
    assert about == ABOUT
    assert table.schema.equals(SCHEMA)
    for read, wrote in zip(table.to_pylist(), rows, strict=True):
        assert read == {**wrote, "pts": list(wrote["pts"]), "tracks": [_listed(t) for t in wrote["tracks"]]}


def _listed(track: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in track.items()}


def test_the_same_rows_give_the_same_bytes(make_sample: MakeSample) -> None:
    assert to_parquet([_row(make_sample(n)) for n in range(3)], ABOUT) == to_parquet(
        [_row(make_sample(n)) for n in range(3)], ABOUT
    )


def test_a_mean_area_is_over_frames_with_a_mask(make_sample: MakeSample) -> None:
    dog, _ = _row(make_sample(1, size=(50, 60)))["tracks"]
    heights = np.array([10, 11, 12, 13])
    assert dog["area"] == pytest.approx((heights * (21 - 3)).mean() / (50 * 60))


def test_provenance_must_say_where_a_clip_is_from(make_sample: MakeSample) -> None:
    with pytest.raises(InvalidSample, match="provenance does not say start, end, caption_by"):
        _row(make_sample(provenance={"video": "x"}))


def test_a_newer_format_is_told(make_sample: MakeSample) -> None:
    newer = About(tar_sha256="", tar_bytes=0, num_samples=1, schema=99)
    with pytest.raises(ValueError, match=r"x\.parquet is of format 99, this code reads up to 1; update it"):
        from_parquet(to_parquet([_row(make_sample())], newer), "x.parquet")


@pytest.mark.parametrize("data", [b"", b"PAR1", b"no parquet" * 10])
def test_what_is_no_parquet_is_told(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"x\.parquet is not a sidecar, or damaged"):
        from_parquet(data, "x.parquet")


def test_parquet_of_something_else_is_told() -> None:
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(pa.table({"a": [1]}), sink)
    with pytest.raises(ValueError, match="is not a sidecar"):
        from_parquet(sink.getvalue().to_pybytes())
