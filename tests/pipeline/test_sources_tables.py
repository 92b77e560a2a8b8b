"""Sources that are tables: WebVid's CSV, and Parquet."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.records import Video
from pipeline.sources import SourceFault, parse_source
from pipeline.sources.parquet import Parquet
from pipeline.sources.webvid import Webvid
from tests.pipeline.source_trees import split, write_tree

HEADER = "videoid,contentUrl,duration,page_dir,name\n"


def test_webvid_finds_both_layouts_and_tells_what_was_not_downloaded(tmp_path: Path) -> None:
    rows = (
        '21179416,https://x/1.mp4,PT00H00M11S,006001_006050,"Aerial shot, winter\nforest"\n'
        "1066674784,https://x/2.mp4,PT00H00M10S,063451_063500,A dog\n"
        "5,https://x/3.mp4,PT00H00M10S,000001_000050,Gone\n"
        "21179416,https://x/1.mp4,PT00H00M11S,006001_006050,Again\n"
        ",https://x/4.mp4,PT00H00M10S,000001_000050,Nameless\n"
        "1066674785,https://x/5.mp4,,,\n"
    )
    files = ["videos/006001_006050/21179416.mp4", "videos/1066674784.mp4", "videos/1066674785.mp4"]
    root = write_tree(tmp_path, {"meta.csv": HEADER + rows, **dict.fromkeys(files, "")})
    assert list(parse_source(f"webvid:{root}/meta.csv").videos()) == [
        Video(id="webvid/21179416", uri=str(root / files[0]), caption="Aerial shot, winter forest"),
        Video(id="webvid/1066674784", uri=str(root / files[1]), caption="A dog"),
        SourceFault(id="webvid/5", why="video not downloaded", value="https://x/3.mp4"),
        SourceFault(id="webvid/21179416#2", why="id came before", value=str(root / files[0])),
        SourceFault(id="webvid/row 5", why="row without a videoid", value="Nameless"),
        Video(id="webvid/1066674785", uri=str(root / files[2]), caption=None),
    ]


def test_webvid_videos_may_lie_elsewhere(tmp_path: Path) -> None:
    write_tree(tmp_path, {"meta.csv": "videoid,name,page_dir\n1,A dog,\n", "far/1.mp4": ""})
    videos, _ = split(parse_source(f"webvid:{tmp_path}/meta.csv,root={tmp_path}/far"))
    assert [video.uri for video in videos] == [f"{tmp_path}/far/1.mp4"]
    with pytest.raises(ValueError, match="nowhere: there is no such folder"):
        parse_source(f"webvid:{tmp_path}/meta.csv,root={tmp_path}/nowhere").videos()


def test_a_csv_of_this_folder_needs_no_slash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path, {"meta.csv": HEADER + "1,u,d,,A dog\n", "videos/1.mp4": ""})
    monkeypatch.chdir(tmp_path)
    assert [entry.id for entry in parse_source("webvid:meta.csv").videos()] == ["webvid/1"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "column videoid, page_dir, name is missing (it has no column); add it to the header"),
        (b"videoid,url\n1,2\n", "column page_dir, name is missing (it has videoid, url)"),
        (b"videoid,page_dir,name\n1,2,\xff\xfe\n", "not CSV in UTF-8 after line 0"),
        (b'videoid,page_dir,name\n1,2,"' + b"x" * 200_000, "field larger than field limit"),
    ],
)
def test_a_csv_that_cannot_be_read_is_told_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    root = write_tree(tmp_path, {"meta.csv": content})
    with pytest.raises(ValueError, match=r"meta\.csv: [^\n]*$") as told:
        list(Webvid(place=f"{root}/meta.csv").videos())
    assert message in str(told.value)


def write_table(path: Path, **columns: Any) -> Parquet:
    pq.write_table(pa.table(columns), path)
    return Parquet(place=str(path))


def test_parquet_rows(tmp_path: Path) -> None:
    source = write_table(
        tmp_path / "rows.parquet",
        uri=pa.array(["sub/a.mp4", "/data/b.mp4", "s3://bucket/c.mp4", None, "d.mp4"]),
        id=pa.array(["one", None, "three", "four", "one"]),
        caption=pa.array(["A  dog", None, "", "x", "y"]),
        nouns=pa.array([["Dog", None], None, [], None, ["cat"]], type=pa.list_(pa.string())),
        other=pa.array(range(5)),
    )
    assert list(source.videos()) == [
        Video(id="parquet/one", uri=f"{tmp_path}/sub/a.mp4", caption="A dog", nouns=("dog",)),
        Video(id="parquet//data/b.mp4", uri="/data/b.mp4"),
        Video(id="parquet/three", uri="s3://bucket/c.mp4"),
        SourceFault(id="parquet/row 4", why="row without a uri", value=None),
        SourceFault(id="parquet/one#2", why="id came before", value=f"{tmp_path}/d.mp4"),
    ]


def test_parquet_needs_uri_alone_and_takes_numbers_as_ids(tmp_path: Path) -> None:
    assert [e.id for e in write_table(tmp_path / "a.parquet", uri=["x.mp4"]).videos()] == ["parquet/x.mp4"]
    assert [e.id for e in write_table(tmp_path / "b.parquet", uri=["x.mp4"], id=[7]).videos()] == ["parquet/7"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"url": ["a"]}, "column uri is missing (it has url); add it"),
        ({"uri": [1]}, "column uri is int64; make it string"),
        ({"uri": ["a"], "caption": [1.5]}, "column caption is double; make it string"),
        ({"uri": ["a"], "nouns": ["dog"]}, "column nouns is string; make it list<string>"),
        ({"uri": ["a"], "nouns": [[1]]}, "make it list<string>"),
        ({"uri": pa.array([], pa.string())}, "there is no video"),
    ],
)
def test_a_wrong_table_is_told_in_one_line(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    source = write_table(tmp_path / "rows.parquet", **columns)
    with pytest.raises(ValueError, match=r"rows\.parquet: [^\n]*$") as told:
        source.videos()
    assert message in str(told.value)


def test_a_file_that_is_no_parquet_is_told(tmp_path: Path) -> None:
    write_tree(tmp_path, {"rows.parquet": "uri\na.mp4\n"})
    with pytest.raises(ValueError, match=r"rows\.parquet: not a Parquet file"):
        Parquet(place=f"{tmp_path}/rows.parquet").videos()
