"""From real and difficult sources to what the ledger and the shards say of them."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.recipe import load_recipe
from pipeline.run import build, summarise
from pipeline.runners.local import local
from shards import Dataset, Storage, ledger
from shards.verify import verify
from tests import torture
from tests.pipeline.recipes import SOURCE_ALONE

SHORT = load_recipe("embedded", ["cutter.shots=null", "cutter.min_seconds=0", "cutter.min_frames=1", *SOURCE_ALONE])


def test_davis_masks_are_the_pngs_and_boxes_their_extents(real_clips: Path, tmp_path: Path) -> None:
    source = real_clips / "davis"
    summary = build(f"davis:{source}", str(tmp_path / "davis"), load_recipe("embedded"), local)
    assert (summary.clips, summary.samples) == (2, 2)
    for sample in Dataset.open(tmp_path / "davis"):
        sequence = sample.provenance["video"].removeprefix("davis/")
        pngs = sorted((source / "Annotations" / "480p" / sequence).glob("*.png"))
        truth = np.stack([np.asarray(Image.open(png)) > 0 for png in pngs])
        (track,) = sample.tracks
        assert np.array_equal(track.decode(sample.size), truth)
        for box, mask in zip(track.boxes, truth, strict=True):
            ys, xs = np.nonzero(mask)
            assert box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    assert verify(Storage.at(tmp_path / "davis")).violations == ()


def test_davis_with_several_objects_in_a_palette(tmp_path: Path) -> None:
    """Three objects of 2017: each named one is a track of its own, in the order of their labels."""
    frames, masks = (tmp_path / kind / "480p" / "zoo" for kind in ("JPEGImages", "Annotations"))
    frames.mkdir(parents=True)
    masks.mkdir(parents=True)
    labels = np.zeros((12, 64, 96), np.uint8)
    for t in range(12):
        labels[t, 10:40, 5 + 3 * t : 35 + 3 * t] = 1
        labels[t, 44:60, 10:30] = 2
        labels[t, 2:8, 60:80] = 3
        picture = Image.fromarray(labels[t], "P")
        picture.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0, 0, 0, 200])
        picture.save(masks / f"{t:05d}.png")
        Image.fromarray(np.stack([labels[t] * 60] * 3, -1)).save(frames / f"{t:05d}.jpg")
    (tmp_path / "subjects.json").write_text('{"zoo": {"1": "horse", "2": "dog", "3": "bird"}}')
    recipe = load_recipe("embedded", ["cutter.min_seconds=0", "rules={}"])
    build(f"davis:{tmp_path}", str(tmp_path / "out"), recipe, local)
    (sample,) = Dataset.open(tmp_path / "out")
    assert [(track.id, track.noun) for track in sample.tracks] == [(1, "horse"), (2, "dog"), (3, "bird")]
    for track in sample.tracks:
        assert np.array_equal(track.decode(sample.size), labels == track.id)
    assert sample.subject == "horse"


def test_real_clips_without_annotations_say_how_far_they_came(real_clips: Path, tmp_path: Path) -> None:
    build(str(real_clips), str(tmp_path / "real"), load_recipe("embedded", ["cutter.shots=null", *SOURCE_ALONE]), local)
    ends = {(end.video, end.stage) for end in ledger.endings(Storage.at(tmp_path / "real")).values()}
    assert ends == {
        ("folder/coffee.mp4", "grounder"),
        ("folder/dog.mp4", "grounder"),
        ("folder/juggle.mp4", "grounder"),
        ("folder/decode/nasa_13013.mp4", "captioner"),
    }


def test_every_difficult_file_is_handled_or_rejected_with_its_reason(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for name, make in torture.READABLE.items():
        make(videos / name)
    for name, (write, _) in torture.BROKEN.items():
        write(videos / name)
    summary = build(str(videos), str(tmp_path / "out"), SHORT, local)
    assert not summary.failed
    ends = {end.video.removeprefix("folder/"): (end.stage, end.why) for end in ledger.endings(_at(tmp_path)).values()}
    listed = {path.name for path in videos.iterdir()} & set(ends)
    assert {name for name in torture.READABLE if name.endswith((".mp4", ".mkv", ".webm", ".gif", ".avi"))} <= listed
    for name, (stage, why) in ends.items():
        if name in torture.READABLE:
            assert stage == "captioner", (name, why)  # encoded; nobody said what is in it
        elif name in torture.BROKEN:  # a writer may leave a file behind that it made the difficult one from
            assert why == torture.BROKEN[name][1]


def _at(folder: Path) -> Storage:
    return Storage.at(folder / "out")


def test_a_caption_without_its_video_stands_in_the_ledger(world_folder: Path, tmp_path: Path) -> None:
    videos = _videos(tmp_path, world_folder)
    (videos / "b.txt").write_text("a caption without its video")
    summary = build(str(videos), str(tmp_path / "out"), SHORT, local)
    assert summary.clips == 2
    assert "source: sidecar without its video" in summary.rejected


def test_a_faulty_entry_that_was_mended_becomes_a_video(world_folder: Path, tmp_path: Path) -> None:
    videos = _videos(tmp_path, world_folder)
    (videos / "a.json").write_text("{")
    (videos / "b.mp4").write_bytes((world_folder / "000001.mp4").read_bytes())
    summary = build(str(videos), str(tmp_path / "out"), SHORT, local)
    assert any(why.startswith("source: ") for why in summary.rejected)
    (videos / "a.json").write_text('{"caption": "a dog"}')
    mended = build(str(videos), str(tmp_path / "out"), SHORT, local)
    assert mended.clips == summary.clips == 2
    assert not any(why.startswith("source: ") for why in mended.rejected)
    assert mended == summarise(_at(tmp_path))


def _videos(tmp_path: Path, world_folder: Path) -> Path:
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "a.mp4").write_bytes((world_folder / "000000.mp4").read_bytes())
    return videos


def test_an_unreadable_source_file_changes_nothing_for_its_neighbours(world_folder: Path, tmp_path: Path) -> None:
    digests = []
    for broken in (False, True):
        videos = tmp_path / f"videos{broken}"
        videos.mkdir()
        for path in sorted(world_folder.glob("00000[0-4]*")):
            (videos / path.name).write_bytes(path.read_bytes())
        if broken:
            torture.truncated(videos / "bad.mp4")
        out = tmp_path / f"{broken}" / "out"
        build(str(videos), str(out), SHORT, local)
        digests.append([hashlib.sha256(shard.read_bytes()).hexdigest() for shard in sorted(out.glob("shards/*"))])
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("nowhere", "nowhere"),
        ("davs:somewhere", "did you mean 'davis'?"),
        ("webvid:none.csv", "none.csv"),
    ],
)
def test_a_wrong_source_is_one_line(tmp_path: Path, source: str, says: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        build(source, str(tmp_path / "out"), SHORT, local)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_name_that_is_no_text_stops_nobody_else(world_folder: Path, tmp_path: Path) -> None:
    videos = _videos(tmp_path, world_folder)
    data = (world_folder / "000001.mp4").read_bytes()
    (videos / "b\udcff.mp4").write_bytes(data)
    (videos / "ein H\u00fcndchen \u72ac.mp4").write_bytes(data)
    summary = build(str(videos), str(tmp_path / "out"), SHORT, local)
    assert summary.clips == 3
    assert summary.rejected["source: name is not UTF-8"] == 1
    assert {end.video for end in ledger.endings(_at(tmp_path)).values()} >= {"folder/ein H\u00fcndchen \u72ac.mp4"}
