"""A dataset on an object store: built there, proved there, read from there by byte ranges."""

import hashlib
from pathlib import Path

from pipeline.recipe import load_recipe
from pipeline.run import build, refilter
from pipeline.runners.local import local
from shards import Dataset, Storage
from shards.verify import verify
from tests.wire import Wire

RECIPE = load_recipe("embedded", ["cutter.shots=null", "shards.videos=8"])


def digests(storage: Storage) -> dict[str, str]:
    return {path: hashlib.sha256(storage.read(path)).hexdigest() for path in storage.list("shards")}


def test_a_build_to_s3_gives_the_bytes_of_a_local_one(world_folder: Path, s3: str, wire: Wire, tmp_path: Path) -> None:
    build(str(world_folder), f"{s3}/world", RECIPE, local)
    build(str(world_folder), str(tmp_path / "world"), RECIPE, local)
    remote = Storage.at(f"{s3}/world")
    assert digests(remote) == digests(Storage.at(tmp_path / "world"))
    assert verify(remote).violations == ()
    assert remote.list("parts") == []

    whole = sum(remote.size(path) for path in remote.list("shards", ".tar"))
    dataset = Dataset.open(f"{s3}/world")
    before = wire.received
    sample = dataset[len(dataset) // 2]
    fetched = wire.received - before
    assert len(sample.video) < fetched < len(sample.video) + 40_000 < whole


def test_refilter_from_one_store_to_another(world_folder: Path, s3: str, tmp_path: Path) -> None:
    build(str(world_folder), f"{s3}/world", RECIPE, local)
    summary = refilter(f"{s3}/world", str(tmp_path / "tight"), ["rules.border.max=0.2"], local)
    assert 0 < summary.samples < len(Dataset.open(f"{s3}/world"))
    assert verify(Storage.at(tmp_path / "tight")).violations == ()


def test_videos_may_lie_on_s3_too(world_folder: Path, s3: str, tmp_path: Path) -> None:
    source = Storage.at(f"{s3}/videos")
    for path in world_folder.glob("00000[0-3]*"):
        source.write(path.name, path.read_bytes())
    build(source.url, str(tmp_path / "a"), RECIPE, local)
    local_videos = tmp_path / "videos"
    local_videos.mkdir()
    for path in world_folder.glob("00000[0-3]*"):
        (local_videos / path.name).write_bytes(path.read_bytes())
    build(str(local_videos), str(tmp_path / "other" / "a"), RECIPE, local)
    assert digests(Storage.at(tmp_path / "a")) == digests(Storage.at(tmp_path / "other" / "a"))
