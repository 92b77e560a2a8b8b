"""The command line's SOURCE, and what holds for every source."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from pipeline.records import Video
from pipeline.sources import SOURCES, Entry, Source, SourceFault, parse_source
from pipeline.sources.davis import Davis
from pipeline.sources.folder import Folder
from pipeline.sources.webvid import Webvid
from tests.pipeline.source_trees import write_tree


def test_a_plain_path_or_url_is_a_folder() -> None:
    assert parse_source("some/videos") == Folder(place="some/videos")
    assert parse_source("s3://bucket/videos") == Folder(place="s3://bucket/videos")
    assert parse_source("simplecache::s3://bucket/videos").place == "simplecache::s3://bucket/videos"


def test_a_name_and_a_place() -> None:
    assert parse_source("davis:/data/DAVIS") == Davis(place="/data/DAVIS")
    assert parse_source("davis:s3://bucket/DAVIS") == Davis(place="s3://bucket/DAVIS")
    assert {name: parse_source(f"{name}:x").name for name in SOURCES} == {name: name for name in SOURCES}


def test_settings_follow_the_place_and_other_commas_belong_to_it() -> None:
    assert parse_source("webvid:a,b.csv,root=s3://b/v") == Webvid(place="a,b.csv", root="s3://b/v")
    assert parse_source("davis:D,frame_rate=12.5,split=2017/val") == Davis(place="D", frame_rate=12.5, split="2017/val")


def test_a_folder_whose_name_has_a_colon_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path, {"day:one/a.mp4": ""})
    monkeypatch.chdir(tmp_path)
    assert [entry.id for entry in parse_source("day:one").videos()] == ["folder/a.mp4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("devis:/data", "unknown source 'devis' in 'devis:/data'; did you mean 'davis'?"),
        ("xyzzy:/data", "unknown source 'xyzzy' in 'xyzzy:/data'; there is folder, webvid"),
        ("davis:D,splt=val", "davis has no setting 'splt'; did you mean 'split'?"),
        ("ucf101:D,split=val", "ucf101 has no setting 'split'; there is none"),
        ("davis:D,frame_rate=fast", "frame_rate: Input should be a valid number"),
        ("davis:D,frame_rate=0", "frame_rate: Input should be greater than 0"),
        ("davis:", "source 'davis:' names no place; write davis:PATH"),
        ("", "source '' names no place; write folder:PATH"),
    ],
)
def test_a_wrong_source_is_told_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]*$") as told:
        parse_source(text)
    assert message in str(told.value)


@pytest.mark.parametrize("name", SOURCES)
def test_a_missing_place_is_told_at_once(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no such (folder|file); check the path$"):
        parse_source(f"{name}:{tmp_path}/nowhere").videos()


@pytest.mark.parametrize("name", ["folder", "ucf101", "got10k", "videobooth"])
def test_a_place_without_a_video_is_told_at_once_with_the_layout(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"there is no video; {name} expects ") as told:
        parse_source(f"{name}:{tmp_path}").videos()
    assert SOURCES[name].expects in str(told.value)


class _Listed(Source):
    """A source that begins with a fault and gives ids twice."""

    name = "listed"
    expects = "nothing"

    def entries(self) -> Iterator[Entry]:
        yield SourceFault(id="listed/0", why="broken", value=None)
        yield from (Video(id=f"listed/{k}", uri=f"{k}.mp4") for k in (1, 2, 1, 0))
        yield SourceFault(id="listed/0", why="broken too", value="x")


def test_faults_before_the_first_video_come_and_no_id_comes_twice() -> None:
    assert list(_Listed(place="x").videos()) == [
        SourceFault(id="listed/0", why="broken", value=None),
        Video(id="listed/1", uri="1.mp4"),
        Video(id="listed/2", uri="2.mp4"),
        SourceFault(id="listed/1#2", why="id came before", value="1.mp4"),
        SourceFault(id="listed/0#2", why="id came before", value="0.mp4"),
        SourceFault(id="listed/0#3", why="broken too", value="x"),
    ]


def test_a_source_of_faults_alone_names_the_first(tmp_path: Path) -> None:
    csv = write_tree(tmp_path, {"v.csv": "videoid,page_dir,name\n7,a,x\n8,a,y\n"}) / "v.csv"
    with pytest.raises(ValueError, match=r"no video; 2 without one, the first: video not downloaded \(webvid/7\)"):
        Webvid(place=str(csv)).videos()


def test_ids_and_order_do_not_depend_on_where_the_source_lies(tmp_path: Path) -> None:
    files = {"b.mp4": "", "a.mp4": "", "z/a.mp4": "", "c/d/e.webm": ""}
    near = write_tree(tmp_path / "near", files)
    far = write_tree(tmp_path / "far/off", dict(reversed(files.items())))
    ids = [entry.id for entry in Folder(place=str(near)).videos()]
    assert ids == ["folder/a.mp4", "folder/b.mp4", "folder/c/d/e.webm", "folder/z/a.mp4"]
    assert ids == [entry.id for entry in Folder(place=str(far)).videos()]


def test_videos_survive_json(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path,
        {
            "JPEGImages/480p/dog/00000.jpg": "",
            "Annotations/480p/dog/00000.png": "",
            "subjects.json": json.dumps({"dog": {"1": "dog"}}),
        },
    )
    videos = list(Davis(place=str(root)).videos())
    codec = TypeAdapter(Video)
    assert [codec.validate_json(codec.dump_json(video)) for video in videos if isinstance(video, Video)] == videos
