"""Bytes over HTTP: ranges as RFC 9110 has them, masks, thumbnails, proxies, and nothing that was not meant."""

import io
import json
import tarfile
import zlib
from pathlib import Path

import pytest

from shards import Dataset, video
from tests.barcodes import read_barcode
from tests.curation_ui.conftest import Place, Serve, sample, write_dataset


@pytest.fixture(scope="module")
def whole(reading: Place) -> bytes:
    return Dataset.open(reading.path)[reading.keys[0]].video


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        (None, 200, 0, None),
        ("bytes=0-", 206, 0, None),
        ("bytes=0-0", 206, 0, 1),
        ("bytes=10-19", 206, 10, 20),
        ("bytes=100-99999999", 206, 100, None),
        ("bytes=-7", 206, -7, None),
        ("bytes=-99999999", 206, 0, None),
        ("bytes=5-4", 200, 0, None),
        ("bytes=-", 200, 0, None),
        ("bytes=0-1,3-4", 200, 0, None),
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(500)), 200, 0, None),
        ("bytes=9" + "9" * 30 + "-", 200, 0, None),
        ("lines=0-1", 200, 0, None),
        ("bytes=99999999-", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
    ],
)
def test_a_range(reading: Place, whole: bytes, asked: str | None, status: int, start: int, end: int | None) -> None:
    answer = reading.client().get(f"/media/clips/{reading.keys[0]}.mp4", **({"Range": asked} if asked else {}))
    assert answer.status == status
    if status == 416:
        assert answer.headers["content-range"] == f"bytes */{len(whole)}"
        return
    assert answer.body == whole[start:end]
    if status == 206:
        first = len(whole) + start if start < 0 else start
        assert answer.headers["content-range"] == f"bytes {first}-{first + len(answer.body) - 1}/{len(whole)}"


def test_a_head_says_what_a_get_would_give(reading: Place, whole: bytes) -> None:
    client, path = reading.client(), f"/media/clips/{reading.keys[0]}.mp4"
    answer = client.ask("HEAD", path)
    assert (answer.status, answer.body, int(answer.headers["content-length"])) == (200, b"", len(whole))
    part = client.ask("HEAD", path, Range="bytes=1-3")
    assert (part.status, part.headers["content-length"]) == (206, "3")


def test_the_tag_names_the_content(reading: Place, whole: bytes) -> None:
    client, path = reading.client(), f"/media/clips/{reading.keys[0]}.mp4"
    tag = client.get(path).headers["etag"]
    assert tag.strip('"') == Dataset.open(reading.path).index["mp4_sha256"][0].as_py()
    assert client.get(path, If_None_Match=tag).status == 304
    assert client.get(path, Range="bytes=0-3", If_Range=tag).body == whole[:4]
    other = client.get(path, Range="bytes=0-3", If_Range='"other"')
    assert (other.status, other.body) == (200, whole)


def test_only_an_address_that_names_the_content_is_kept(reading: Place) -> None:
    client, key = reading.client(), reading.keys[0]
    assert "immutable" in client.get(client.clip(key)["mp4"]).headers["cache-control"]
    assert "no-cache" in client.get(f"/media/clips/{key}.mp4").headers["cache-control"]


def test_masks_and_strips_are_those_of_the_shard(reading: Place) -> None:
    client, key = reading.client(), reading.keys[1]
    clip = client.clip(key)
    answer = client.get(clip["masks"])
    assert answer.headers["content-encoding"] == "deflate"  # which HTTP means zlib by
    masks = json.loads(zlib.decompress(answer.body))
    there = Dataset.open(reading.path)[key]
    assert masks["size"] == list(there.size)
    assert [tuple(track["counts"]) for track in masks["tracks"]] == [track.masks for track in there.tracks]
    assert client.get(clip["strip"]).body == there.strip


@pytest.mark.parametrize(
    "path",
    [
        "/media/clips/../../../etc/passwd.mp4",
        "/media/clips/..%2f..%2fetc%2fpasswd.mp4",
        "/media/clips/%2e%2e/dataset.json",
        "/media/../clips/dataset.json",
        "/media/nothing/0.mp4",
        "/media/clips/ffffffffffffffffffff.mp4",
        "/media/clips/shards/clips-000000.tar",
        "/assets/../server.py",
        "/..%2fserver.py",
    ],
)
def test_there_is_no_path_to_walk(reading: Place, path: str) -> None:
    answer = reading.client().get(path)
    assert answer.status == 404
    assert b"root:" not in answer.body


@pytest.mark.parametrize(
    ("codec", "pixel_format", "proxied"),
    [
        ("libx264", "yuv420p", False),
        ("libx264", "yuv444p", True),
        ("mpeg4", "yuv420p", True),
        ("libx265", "yuv420p", True),
    ],
)
def test_what_browsers_do_not_play_comes_as_a_proxy_with_the_same_frames_and_times(
    tmp_path: Path, serve: Serve, codec: str, pixel_format: str, proxied: bool
) -> None:
    from tests.filming import write

    ours = sample(0)
    path = tmp_path / "other.mp4"
    pictures = list(video.frames(ours.video))
    write(path, pictures, ours.pts, ours.time_base, codec=codec, pixel_format=pixel_format, options={})
    place = serve(write_dataset(tmp_path / "clips", [sample(0, video=path.read_bytes())]))
    client = place.client()
    clip = client.clip(place.keys[0])
    assert clip["proxied"] is proxied
    played = client.get(clip["mp4"]).body
    info = video.probe(played)
    assert (info.codec, info.pixel_format) == ("h264", "yuv420p")
    assert [tick * info.timeline.time_base for tick in info.timeline.ticks] == [t * ours.time_base for t in ours.pts]
    assert [read_barcode(frame) for frame in video.frames(played)] == list(range(12))
    assert client.get(clip["mp4"], Range="bytes=4-7").body == b"ftyp"


def test_a_mask_that_inflates_without_end_is_refused(tmp_path: Path, serve: Serve) -> None:
    path = write_dataset(tmp_path / "clips", [sample(0)])
    row = Dataset.open(path).index.to_pylist()[0]
    bomb = zlib.compress(b" " * (64 << 20), 9)
    tar = path / "shards/clips-000000.tar"
    data = bytearray(tar.read_bytes())
    data[row["masks_offset"] : row["masks_offset"] + len(bomb)] = bomb
    tar.write_bytes(data)
    sidecar = path / "shards/clips-000000.parquet"
    _set_size(sidecar, len(bomb))
    place = serve(path)
    answer = place.client().get(f"/media/clips/{place.keys[0]}.masks.json")
    assert (answer.status, "inflates" in answer.detail) == (413, True)


def test_a_tar_that_was_cut_is_told(clips: Path, serve: Serve) -> None:
    place = serve(clips)
    tar = clips / "shards/clips-000000.tar"
    tar.write_bytes(tar.read_bytes()[:-20_000])
    answers = [place.client().get(f"/media/clips/{key}.jpg") for key in place.keys[:6]]
    assert {answer.status for answer in answers} == {200, 502}
    assert all("ends before" in answer.detail for answer in answers if answer.status == 502)


def test_foreign_tars_are_shown_and_not_judged(tmp_path: Path, serve: Serve) -> None:
    folder = tmp_path / "foreign"
    folder.mkdir()
    members = {
        "a/one.mp4": sample(3).video,
        "a/one.txt": b"a dog <script>alert(1)</script>",
        "../two.mp4": sample(5).video,
        "../two.json": json.dumps({"text": "a boat", "fps": 30}).encode(),
        "three.pickle": b"cos\nsystem\n(S'true'\ntR.",
    }
    with tarfile.open(folder / "part-0.tar", "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    place = serve(folder)
    client = place.client("ann")
    cards = client.post("/api/foreign/clips", {}).json["cards"]
    assert [card["caption"] for card in cards] == ["a dog <script>alert(1)</script>", "a boat"]
    clip = client.clip(cards[0]["key"], "foreign")
    assert clip["pts"] == list(sample(3).pts)
    assert [clip["sha256"], clip["masks"], clip["tracks"]] == [None, None, []]
    assert client.get(clip["mp4"]).body == sample(3).video
    assert client.get(clip["strip"]).body[:2] == b"\xff\xd8"
    said = {"id": "0" * 16, "key": cards[0]["key"], "sha256": "0" * 64, "action": "accept"}
    refused = client.post("/api/foreign/verdicts", {"verdicts": [said]})
    assert (refused.status, "no sidecars" in refused.detail) == (403, True)
    assert sorted(path.name for path in folder.iterdir()) == ["part-0.tar"]


def _set_size(sidecar: Path, size: int) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(sidecar)
    place = table.column_names.index("masks_size")
    changed = table.set_column(place, table.schema.field(place), [[size]])
    pq.write_table(changed, sidecar)
