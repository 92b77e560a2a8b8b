"""Two versions side by side, by the same comparison as `shards diff`."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from shards import Dataset, Track
from shards.diff import diff
from tests.curation_ui.conftest import SIZE, Place, Serve, sample, write_dataset


def ask(place: Place, **asked: Any) -> Any:
    while True:  # it is compared in the background
        answer = place.client().post("/api/diff", {"a": "old", "b": "new", **asked})
        assert answer.status == 200, answer.body
        if answer.json["ready"]:
            return answer.json
        time.sleep(0.02)


def test_a_difference_is_told_as_diff_tells_it(tmp_path: Path, serve: Serve) -> None:
    masks = np.zeros((12, *SIZE), bool)
    masks[:, 10:20, 10:30] = True
    moved = Track.of_masks(masks, id=1, noun="dog")
    old = write_dataset(tmp_path / "old", [sample(number) for number in range(6)])
    other = [sample(1), sample(2, tracks=(moved,)), sample(3, caption="another"), sample(4), sample(5), sample(6)]
    new = write_dataset(tmp_path / "new", other)
    place = serve(old, new)
    found = ask(place)
    truth = diff(Dataset.open(old), Dataset.open(new))
    assert (found["same"], found["counts"]["changed"]) == (truth.same, len(truth.changed)) == (3, 2)
    assert (found["counts"]["only_in_a"], found["counts"]["only_in_b"], found["total"]) == (1, 1, 4)
    (masked,) = ask(place, only="masks")["changes"]
    (change,) = [change for change in truth.changed if change.ious]
    assert (masked["key"], masked["tracks"]) == (change.key, [{"id": 1, "iou": change.ious[1], "side": "both"}])
    (captioned,) = ask(place, only="caption")["changes"]
    assert captioned["caption"] == [sample(3).caption, "another"]
    (gone,) = ask(place, only="only_in_a")["changes"]
    assert (gone["side"], gone["strip_b"]) == ("a", None)
    assert place.client().get(gone["strip_a"]).status == 200
    assert [change["key"] for change in ask(place, limit=2, offset=2)["changes"]] == [c.key for c in truth.changed]


def test_a_dataset_that_there_is_not_is_told(reading: Place) -> None:
    assert reading.client().post("/api/diff", {"a": "clips", "b": "none"}).status == 404


def test_reload_shows_what_a_build_added(tmp_path: Path, serve: Serve) -> None:
    path = write_dataset(tmp_path / "clips", [sample(0)])
    place = serve(path)
    client = place.client("ann")
    client.decide(place.keys[0], "reject")
    write_dataset(path, [sample(0), sample(1)])
    assert client.post("/api/clips/clips", {}).json["total"] == 1
    assert client.post("/api/clips/reload", {}).json["samples"] == 2
    page = client.post("/api/clips/clips", {}).json
    assert [card["state"] for card in page["cards"]] == ["rejected", "open"]
