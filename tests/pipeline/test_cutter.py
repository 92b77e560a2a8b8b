"""Cutter: one shot a clip, lengths within bounds, every frame accounted for, and no surprise from a broken file."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.models.transnet import TransNet
from pipeline.records import Clip, Rejected, Video
from pipeline.stages.cutter import Cutter, source_sha256
from tests import torture


def cut(cutter: Cutter, path: Path, frame_rate: float | None = None) -> list[Clip] | Rejected:
    (answer,) = cutter.open()([Video(id="test/one", uri=str(path), frame_rate=frame_rate)])
    return answer


def spans(answer: list[Clip] | Rejected) -> list[tuple[int, int]]:
    assert isinstance(answer, list)
    return [(clip.first_frame, clip.first_frame + clip.num_frames) for clip in answer]


def test_shots_are_cut_where_the_practice_world_cuts(world_folder: Path) -> None:
    found, true = [], []
    for path in sorted(world_folder.glob("??????.json")):
        about = json.loads(path.read_text())
        if about["case"] in ("cut", "plain", "camera"):
            ends = spans(cut(Cutter(min_frames=2, min_seconds=0), path.with_suffix(".mp4")))
            found.append([first for first, _ in ends[1:]])
            true.append(about["cuts"])
    assert any(true)
    assert found == true


@pytest.mark.parametrize("max_seconds", [0.5, 1.0, 1.7, 5.0])
def test_long_shots_fall_into_equal_parts_that_miss_no_frame(tmp_path: Path, max_seconds: float) -> None:
    path = tmp_path / "long.mp4"
    torture.cfr(path)
    answer = cut(Cutter(shots=None, max_seconds=max_seconds, min_seconds=0, min_frames=1), path)
    assert isinstance(answer, list)
    ends = spans(answer)
    assert ends[0][0] == 0
    assert all(a[1] == b[0] for a, b in pairwise(ends))
    lengths = [last - first for first, last in ends]
    assert max(lengths) - min(lengths) <= 1
    assert all(clip.end - clip.start <= max_seconds + 0.051 for clip in answer)
    assert len({clip.key for clip in answer}) == len(answer)


def test_a_clip_keeps_its_key_wherever_the_file_lies(tmp_path: Path) -> None:
    keys = []
    for folder in ("here", "there"):
        path = tmp_path / folder / "a.mp4"
        path.parent.mkdir()
        torture.cfr(path)
        answer = cut(Cutter(shots=None, min_seconds=0), path)
        assert isinstance(answer, list)
        keys.append([clip.key for clip in answer])
    assert keys[0] == keys[1]


def test_what_is_too_short_is_rejected_with_its_length(tmp_path: Path) -> None:
    path = tmp_path / "one.mp4"
    torture.one_frame(path)
    answer = cut(Cutter(shots=None), path)
    assert isinstance(answer, Rejected)
    assert answer.why == "too short"
    assert isinstance(answer.value, float)


@pytest.mark.parametrize("name", sorted(torture.BROKEN))
@pytest.mark.parametrize("shots", [None, TransNet()])
def test_a_broken_file_is_rejected_with_its_reason(tmp_path: Path, name: str, shots: TransNet | None) -> None:
    write, why = torture.BROKEN[name]
    path = tmp_path / name
    write(path)
    answer = cut(Cutter(shots=shots, min_seconds=0, min_frames=1), path)
    if isinstance(answer, Rejected):
        assert answer.why == why
    else:  # no network looks at the frames here: the Encoder finds out
        assert (shots, why) == (None, "undecodable")


def test_a_folder_of_images_is_one_shot_with_a_digest_of_its_images(tmp_path: Path) -> None:
    torture.image_folder(tmp_path / "images", 12)
    answer = cut(Cutter(min_seconds=0), tmp_path / "images", frame_rate=24.0)
    assert spans(answer) == [(0, 12)]
    assert isinstance(answer, list)
    before = answer[0].source_sha256
    video = answer[0].video
    next((tmp_path / "images").iterdir()).write_bytes(b"other")
    assert source_sha256(video) != before
