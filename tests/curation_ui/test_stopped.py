"""Clips that stopped can be looked at: the very bytes that were judged, with what was found in them."""

import hashlib
import json
from pathlib import Path

import pytest

from pipeline.embedded.world import World, write_videos
from pipeline.recipe import load_recipe
from pipeline.run import build
from pipeline.runners.local import local
from shards import ledger, video
from shards.storage import Storage
from tests.curation_ui.conftest import Client, Serve

CALM = "rules={motion: {max_iou: 0, min_shift: 10}}"  # nobody moves so much, so the Judge stops every clip
LARGE = "rules={size: {area: [0.95, 1]}}"  # nor is anything so large: the Screener does


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two practice videos with their truth."""
    folder = tmp_path_factory.mktemp("videos")
    write_videos(folder, World(num_frames=24, frame_rate=12.0), 2, cases=("plain",))
    return folder


def built(videos: Path, dataset: Path, rules: str) -> Path:
    recipe = load_recipe("embedded", [rules, "measurer.camera=null", "measurer.text=null"])
    build(str(videos), str(dataset), recipe, local)
    return dataset


def stopped(client: Client) -> list[str]:
    cards = client.post("/api/clips/clips", {"filter": {"kind": "stopped"}}).json["cards"]
    return [card["key"] for card in cards]


def test_a_clip_that_was_judged_shows_what_was_judged(videos: Path, tmp_path: Path, serve: Serve) -> None:
    place = serve(built(videos, tmp_path / "clips", CALM))
    before = sorted(path for path in place.path.rglob("*") if path.is_file())
    client = place.client()
    keys = stopped(client)
    assert len(keys) == 2
    rows = {(row.clip, row.stage): json.loads(row.added or "null") for row in ledger.read(Storage.at(place.path), 0)}
    for key in keys:
        clip = client.get(f"/api/clips/clips/{key}?kind=stopped").json
        assert (clip["stage"], clip["why"], clip["sha256"]) == ("judge", "motion.iou", None)
        data = client.get(clip["mp4"]).body
        assert hashlib.sha256(data).hexdigest() == rows[key, "encoder"]["sha256"]
        assert video.probe(data).num_frames == len(clip["pts"]) == 24
        (found,) = rows[key, "tracker"]["tracks"]
        assert client.get(clip["masks"]).json["tracks"] == [{"id": found["id"], "counts": found["masks"]}]
        assert clip["caption"] == rows[key, "captioner"]["caption"]
        assert [box is None for box in clip["tracks"][0]["boxes"]] == [mask is None for mask in found["masks"]]
        assert client.get(clip["strip"]).body[:2] == b"\xff\xd8"
    assert sorted(path for path in place.path.rglob("*") if path.is_file()) == before  # nothing is left in the dataset


def test_a_clip_that_was_not_tracked_shows_its_detections(videos: Path, tmp_path: Path, serve: Serve) -> None:
    copies = tmp_path / "videos"
    copies.mkdir()
    for file in videos.iterdir():
        (copies / file.name).write_bytes(file.read_bytes())
    place = serve(built(copies, tmp_path / "clips", LARGE))
    client = place.client()
    key, other = stopped(client)
    clip = client.get(f"/api/clips/clips/{key}?kind=stopped").json
    assert (clip["stage"], clip["why"], clip["masks"]) == ("screener", "size.area", None)
    boxes = clip["tracks"][0]["boxes"]
    assert [t for t, box in enumerate(boxes) if box is not None] == [0]
    assert client.get(clip["mp4"]).status == 200
    for file in copies.glob("*.mp4"):
        file.unlink()
    gone = client.get(f"/media/clips/stopped/{other}.mp4")
    assert (gone.status, "missing" in gone.detail) == (422, True)
    assert client.get(f"/media/clips/stopped/{key}.mp4").status == 200  # it was kept
    assert client.get(f"/media/clips/stopped/{'0' * 20}.mp4").status == 404
