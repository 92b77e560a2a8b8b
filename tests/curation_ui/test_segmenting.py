"""A subject segmented anew from a click or box, by the embedded models on a practice clip with known masks."""

import json
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.embedded.world import World, write_videos
from pipeline.recipe import load_recipe
from pipeline.stages.packer import strip
from shards import Dataset, DatasetInfo, Sample, Storage, video, write_info, write_shard
from shards.diff import mask_iou
from shards.repack import Settings, repack
from shards.sample import Track
from shards.select import decided, overlay
from tests.curation_ui.browser.reviewing import serving
from tests.curation_ui.conftest import Client, Place, Serve


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips whose masks are exact, in a dataset of the embedded models' recipe."""
    folder = tmp_path_factory.mktemp("practice")
    write_videos(folder / "videos", World(num_frames=8, frame_rate=12.0), 2, cases=("plain",))
    samples = [_sample(number, path) for number, path in enumerate(sorted(folder.glob("videos/*.mp4")))]
    storage = Storage.at(folder / "clips")
    write_info(storage, DatasetInfo(name="clips", code="0", recipe=load_recipe("embedded").settings()))
    write_shard(storage, "clips", 0, samples)
    return folder / "clips"


def _sample(number: int, path: Path) -> Sample:
    truth = json.loads(path.with_suffix(".tracks.json").read_text())
    (said, *_) = truth["tracks"]
    height, width = truth["size"]
    frames = len(said["masks"])
    data = video.encode(video.frames(str(path)), range(frames), Fraction(1, 12))
    track = Track.of_masks(said["masks"], id=1, noun=said["noun"], size=(height, width))
    origin = {"video": f"practice/{number}", "start": 0.0, "end": frames / 12, "caption_by": "source"}
    return Sample(
        key=f"{number:020x}",
        video=data,
        strip=strip(data, frames),
        pts=tuple(range(frames)),
        time_base=Fraction(1, 12),
        width=width,
        height=height,
        caption="a thing",
        subject=said["noun"],
        tracks=(track,),
        scores={},
        provenance=origin,
    )


def wait(place: Place, job: str) -> Any:
    while True:  # it runs in a process aside
        found = place.client().get(f"/api/clips/segment/{job}").json
        if found["state"] not in ("waiting", "running"):
            return found
        time.sleep(0.05)


def test_a_click_gives_a_track_that_is_taken_by_a_verdict(practice: Path, serve: Serve) -> None:
    place = serve(practice)
    client = place.client("ann")
    dataset = Dataset.open(practice)
    sample = dataset[0]
    frame = 3
    mask = sample.tracks[0].decode(sample.size)[frame]
    ys, xs = np.nonzero(mask)
    middle = int(np.argmin((xs - xs.mean()) ** 2 + (ys - ys.mean()) ** 2))
    said = {"key": sample.key, "sha256": client.clip(sample.key)["sha256"], "track": 1, "frame": frame}
    asked = client.post("/api/clips/segment", {**said, "point": [int(xs[middle]), int(ys[middle])]})
    assert asked.status == 200, asked.body
    done = wait(place, asked.json["job"])
    assert done["state"] == "done", done["message"]
    masks = client.get(done["masks"]).json
    assert masks["size"] == list(sample.size)
    (track,) = masks["tracks"]
    assert client.clip(sample.key)["history"] == []  # looked at before it is taken
    drawn = Track.of_masks(track["counts"], id=1, noun="any", size=sample.size)
    assert done["iou"] == mask_iou(sample.tracks[0], drawn, sample.size) > 0.5

    box = next(box for box in sample.tracks[0].boxes if box is not None)
    more = client.post("/api/clips/segment", {**said, "track": None, "frame": 0, "box": box}).json
    found = wait(place, more["job"])  # the models are there already
    assert (found["state"], found["iou"]) == ("done", None)
    assert client.get(found["masks"]).json["tracks"][0]["id"] == 2

    taken = [client.post(f"/api/clips/segment/{done['job']}/accept", {}) for _ in range(2)]
    assert [answer.json["state"] for answer in taken] == ["accepted", "accepted"]
    clip = client.clip(sample.key)
    assert [event["action"] for event in clip["history"]] == ["retrack"]
    assert (clip["tracks"][0]["redrawn"], clip["redrawn"]["1"]) == (True, track["counts"])
    assert clip["tracks"][0]["boxes"][frame] == list(drawn.boxes[frame] or ())
    laid = decided(sample, Dataset.open(practice).decisions()[sample.key])
    assert laid is not None
    assert (laid.tracks[0].masks, laid.tracks[0].noun) == (tuple(track["counts"]), sample.tracks[0].noun)
    out = Storage.at(practice.parent / "repacked")
    repack(dataset, out, Settings(), code="0")
    again = Dataset.open(out.url)
    assert again[sample.key].tracks == laid.tracks
    assert again[sample.key].provenance["before_review"] == {"redrawn_tracks": [1]}
    row = overlay(dataset.index, dataset.decisions()).select(["tracks"]).to_pylist()[0]
    assert row["tracks"] == again.index.select(["tracks"]).to_pylist()[0]["tracks"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"frame": 99, "point": [1, 1]}, "frame 99"),
        ({"frame": 0, "point": [10_000, 1]}, "not inside"),
        ({"frame": 0, "box": [5, 5, 5, 9]}, "not inside"),
        ({"frame": 0, "box": [-5, 5, 9, 9]}, "not inside"),
        ({"frame": 0}, "one of both"),
        ({"frame": 0, "point": [1, 1], "box": [1, 1, 2, 2]}, "one of both"),
        ({"frame": 0, "point": [1, 1], "track": 77}, "no track 77"),
        ({"frame": 0, "point": [1, 1], "sha256": "0" * 64}, "not what you saw"),
    ],
)
def test_what_cannot_be_segmented_is_told_at_once(practice: Path, serve: Serve, asked: Any, said: str) -> None:
    place = serve(practice)
    client = place.client("ann")
    clip = client.clip(place.keys[0])
    answer = client.post("/api/clips/segment", {"key": clip["key"], "sha256": clip["sha256"], **asked})
    assert (answer.status, said in answer.detail) == (400, True), answer.body


def test_a_recipe_without_a_segmenter_is_told(clips: Path, serve: Serve) -> None:
    place = serve(clips)
    client = place.client("ann")
    clip = client.clip(place.keys[0])
    said = {"key": clip["key"], "sha256": clip["sha256"], "frame": 0, "point": [1, 1]}
    answer = client.post("/api/clips/segment", said)
    assert (answer.status, "has no segmenter" in answer.detail) == (400, True)
    assert place.client().post("/api/clips/segment", said).status == 401
    assert client.get("/api/clips/segment/0").status == 404


def test_the_process_that_segments_ends_with_its_server(practice: Path) -> None:
    """Killed, a server can tell nobody; what it had loaded must not stay in memory."""
    with serving(practice) as server:
        client = Client(int(server.url.rstrip("/").rpartition(":")[2]))
        assert client.sign_in("ann").status == 200
        clip = client.clip(Dataset.open(practice).index["key"][0].as_py())
        said = {"key": clip["key"], "sha256": clip["sha256"], "frame": 0, "point": [1, 1]}
        assert client.post("/api/clips/segment", said).status == 200
        aside = children(server.process.pid)
        assert aside
        server.kill()
        while any(Path(f"/proc/{process}").exists() for process in aside):
            time.sleep(0.05)


def children(process: int) -> list[str]:
    """Numbers of the processes that a process has started, from any of its threads."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [child for task in tasks for child in task.read_text().split()]
