"""Datasets of every place and state: on an object store, without a sample yet, damaged, with names like any other's."""

import json
import secrets
from pathlib import Path
from typing import Any

import fsspec
import pytest

from shards import Dataset, DatasetInfo, Storage, write_info
from shards.entry import canonical_json
from tests.curation_ui.conftest import Serve, sample, write_dataset


def test_a_dataset_on_an_object_store_is_served_and_judged(made: Path, serve: Serve) -> None:
    url = f"memory://{secrets.token_hex(4)}/clips"
    store = fsspec.filesystem("memory")
    for file in made.rglob("*"):
        if file.is_file():
            store.pipe_file(f"{url}/{file.relative_to(made)}", file.read_bytes())
    place = serve(url)
    client = place.client("ann")
    page = client.post("/api/clips/clips", {"sort": "motion.iou", "limit": 3}).json
    assert page["total"] == 12
    key = page["cards"][0]["key"]
    clip = client.clip(key)
    whole = Dataset.open(made)[key].video
    assert client.get(clip["mp4"], Range="bytes=10-19").body == whole[10:20]
    assert client.get(clip["mp4"]).body == whole
    assert client.get(clip["masks"]).status == client.get(clip["strip"]).status == 200
    assert [client.decide(key, action).status for action in ("flag", "reject")] == [200, 200]
    assert Dataset.open(url).decisions()[key].accepted is False
    assert client.get("/api/clips/home").status == 404
    store.rm(url, recursive=True)


def test_a_build_that_has_no_shard_yet_can_be_watched(tmp_path: Path, serve: Serve) -> None:
    storage = Storage.at(tmp_path / "clips")
    write_info(storage, DatasetInfo(name="clips", code="0"))
    client = serve(tmp_path / "clips").client("ann")
    assert client.post("/api/clips/clips", {}).json == {"total": 0, "offset": 0, "cards": []}
    columns = [column["name"] for column in client.get("/api/clips/columns").json]
    answer = client.post("/api/clips/facets", {"columns": columns})
    assert answer.status == 200, answer.body
    assert client.post("/api/clips/sample", {}).json["keys"] == []
    assert client.post("/api/clips/thresholds", {"settings": {}}).json["kept"] == 0
    write_dataset(tmp_path / "clips", [sample(0)])
    assert client.post("/api/clips/reload", {}).json["samples"] == 1


def test_two_datasets_of_one_name_are_told_apart(tmp_path: Path, serve: Serve) -> None:
    paths = [write_dataset(tmp_path / parent / "My Clips!", [sample(number)]) for number, parent in enumerate("ab")]
    home = serve(*paths).client().get("/api/home").json
    assert [(one["dataset"], one["url"]) for one in home["datasets"]] == [
        ("my-clips", str(paths[0])),
        ("my-clips-2", str(paths[1])),
    ]


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda said: {**said, "key": "0" * 20}, "is of 00000"),
        (lambda said: {"key": said["key"]}, "lacks caption"),
        (lambda _: [], "is of None"),
    ],
)
def test_a_clip_whose_description_is_damaged_is_told(tmp_path: Path, serve: Serve, damage: Any, why: str) -> None:
    path = write_dataset(tmp_path / "clips", [sample(0)])
    row = Dataset.open(path).index.to_pylist()[0]
    tar = path / "shards/clips-000000.tar"
    data = bytearray(tar.read_bytes())
    place = slice(row["json_offset"], row["json_offset"] + row["json_size"])
    text = canonical_json(damage(json.loads(data[place])))
    data[place] = text.ljust(row["json_size"])[: row["json_size"]]
    tar.write_bytes(data)
    answer = serve(path).client().get(f"/api/clips/clips/{row['key']}")
    assert (answer.status, why in answer.detail) == (400, True)
    assert serve(path).client().post("/api/clips/clips", {}).json["total"] == 1  # the others can still be seen
