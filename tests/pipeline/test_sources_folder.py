"""A folder of videos and its sidecars."""

import itertools
import json
from pathlib import Path

import fsspec
import pytest

from pipeline.records import TrackFile, Video
from pipeline.sources import SourceFault, parse_source
from pipeline.sources.folder import Folder
from tests.pipeline.source_trees import faults, split, write_tree


def one(root: Path) -> Video:
    (video,), faults = split(Folder(place=str(root)))
    assert not faults
    return video


def test_videos_at_any_depth_by_suffix_and_nothing_else(tmp_path: Path) -> None:
    suffixes = ["mp4", "mkv", "webm", "mov", "avi", "gif", "m4v", "MP4"]
    files = {f"sub/{k}.{suffix}": "" for k, suffix in enumerate(suffixes)}
    others = {"x.srt": "", "JPEGImages/dog/00000.jpg": "", "notes.txt": "", ".hidden.mp4": "", ".cache/x.mp4": ""}
    root = write_tree(tmp_path, {**files, **others})
    videos, faults = split(Folder(place=str(root)))
    assert [video.id for video in videos] == [f"folder/{name}" for name in sorted(files)]
    assert [video.uri for video in videos] == [str(root / name) for name in sorted(files)]
    assert not faults


def test_a_caption_is_one_line_of_text(tmp_path: Path) -> None:
    video = one(write_tree(tmp_path, {"a b.mp4": "", "a b.txt": "\ufeff A dog\r\n runs  \n"}))
    assert (video.caption, video.caption_by) == ("A dog runs", "source")


def test_a_json_says_caption_nouns_and_tracks(tmp_path: Path) -> None:
    said = {"caption": "A dog", "nouns": ["Dog", " dog ", "tennis  ball", ""], "tracks": "a.tracks.json", "fps": 3}
    root = write_tree(tmp_path, {"a.mp4": "", "a.json": json.dumps(said), "a.tracks.json": "{}"})
    video = one(root)
    assert (video.caption, video.nouns) == ("A dog", ("dog", "tennis ball"))
    assert video.annotation == TrackFile(path=str(root / "a.tracks.json"))


def test_a_text_wins_over_a_json_and_an_empty_text_does_not(tmp_path: Path) -> None:
    said = json.dumps({"caption": "from json"})
    files = {"a.mp4": "", "a.json": said, "a.txt": "from text", "b.mp4": "", "b.json": said, "b.txt": " \n"}
    videos, _ = split(Folder(place=str(write_tree(tmp_path, files))))
    assert [video.caption for video in videos] == ["from text", "from json"]


@pytest.mark.parametrize(
    ("files", "why", "value"),
    [
        ({"a.json": "{"}, "sidecar is broken", "a.json: Invalid JSON"),
        ({"a.json": "[]"}, "sidecar is broken", "a.json: "),
        ({"a.json": '{"caption": 3}'}, "sidecar is broken", "a.json: caption: "),
        ({"a.json": '{"nouns": "dog"}'}, "sidecar is broken", "a.json: nouns: "),
        ({"a.json": '{"tracks": "gone.json"}'}, "track file is missing", "gone.json"),
        ({"a.txt": b"\xff\xfe"}, "caption is not UTF-8", "a.txt: "),
    ],
)
def test_a_broken_sidecar_is_a_fault_of_its_video(
    tmp_path: Path, files: dict[str, str | bytes], why: str, value: str
) -> None:
    root = write_tree(tmp_path, {"a.mp4": "", "b.mp4": "", **files})
    videos, (fault,) = split(Folder(place=str(root)))
    assert [video.id for video in videos] == ["folder/b.mp4"]
    assert (fault.id, fault.why) == ("folder/a.mp4", why)
    assert (fault.value or "").startswith(value)


def test_a_sidecar_without_its_video_is_a_fault_only_beside_videos(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"s/a.mp4": "", "s/b.txt": "", "s/c.json": "{}", "t/subjects.json": "{}", "d.txt": ""})
    assert faults(Folder(place=str(root))) == {
        "folder/s/b.txt": "sidecar without its video",
        "folder/s/c.json": "sidecar without its video",
    }


def test_videos_come_lazily(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"a.mp4": "", "sub/b.mp4": ""})
    videos = Folder(place=str(root)).videos()
    assert next(videos).id == "folder/a.mp4"
    write_tree(root, {"sub/c.mp4": ""})
    assert [entry.id for entry in videos] == ["folder/sub/b.mp4", "folder/sub/c.mp4"]


def test_links_are_followed(tmp_path: Path) -> None:
    write_tree(tmp_path, {"there/a.mp4": "", "here/x.mp4": ""})
    (tmp_path / "here/linked").symlink_to(tmp_path / "there")
    (tmp_path / "here/file.mp4").symlink_to(tmp_path / "there/a.mp4")
    videos, _ = split(Folder(place=str(tmp_path / "here")))
    assert [video.id for video in videos] == ["folder/file.mp4", "folder/x.mp4", "folder/linked/a.mp4"]


def test_any_fsspec_url_works() -> None:
    store = fsspec.filesystem("memory")
    store.pipe({"/clips/a.mp4": b"", "/clips/a.txt": b"A dog", "/clips/sub/b.mp4": b"", "/clips/sub/c.txt": b""})
    videos, faults = split(parse_source("memory://clips"))
    assert [(video.id, video.uri, video.caption) for video in videos] == [
        ("folder/a.mp4", "memory://clips/a.mp4", "A dog"),
        ("folder/sub/b.mp4", "memory://clips/sub/b.mp4", None),
    ]
    assert [fault.id for fault in faults] == ["folder/sub/c.txt"]


def test_the_real_clips(real_clips: Path) -> None:
    entries = list(itertools.islice(Folder(place=str(real_clips)).videos(), 10))
    assert not any(isinstance(entry, SourceFault) for entry in entries)
    captioned = {entry.id: entry.caption is not None for entry in entries if isinstance(entry, Video)}
    assert captioned == {
        "folder/coffee.mp4": True,
        "folder/dog.mp4": True,
        "folder/juggle.mp4": True,
        "folder/decode/nasa_13013.mp4": False,
    }
