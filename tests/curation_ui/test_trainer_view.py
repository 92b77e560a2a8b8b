"""The trainer's view is the trainer's: the same frames, boxes and subject image as its stream gives."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from shards import Dataset
from tests.curation_ui.conftest import Place, Serve, sample, write_dataset
from training.loader import Share, open_stream
from training.trainer.recipe import load_train_recipe

RECIPE = """
name: small
loader: {height: 64, width: 96, text_dropout: 0, window: {num_frames: 4, fps: 30}, workers: 0}
"""


def picture(url: str) -> NDArray[np.uint8]:
    kind, _, data = url.partition(";base64,")
    assert kind in ("data:image/png", "data:image/jpeg")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def ask(place: Place, key: str, recipe: Path | str, **more: Any) -> Any:
    return place.client().post("/api/clips/trainer", {"key": key, "recipe": str(recipe), **more})


def test_it_is_what_the_stream_gives(clips: Path, serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    place = serve(clips, train_recipe=str(path))
    place.client("ann").decide(place.keys[0], "rename_subject", "zebra")
    place.client("ann").decide(place.keys[0], "edit_caption", "a zebra")
    recipe = load_train_recipe(str(path))
    stream = open_stream(str(clips), recipe.loader, Share(batch=12))
    batch = next(iter(stream))
    for key in place.keys[:3]:
        view = ask(place, key, path).json
        row = batch.keys.index(key)
        assert (view["caption"], view["noun"]) == (batch.captions[row], batch.nouns[row])
        assert len(view["frames"]) == 4
        for t, frame in enumerate(view["frames"]):
            assert np.abs(picture(frame["picture"]).astype(int) - batch.frames[row, t].numpy()).mean() < 2  # JPEG
            assert frame["box"] == (batch.boxes[row, t].tolist() if batch.present[row, t] else None)
            x0, y0, x1, y1 = (edge / 8 for edge in batch.boxes[row, t].tolist())
            weights = picture(frame["weights"]) / 255 * view["greatest_weight"]
            assert weights.shape == (8, 12)
            inside = (x1 - x0) * (y1 - y0) * (view["greatest_weight"] - view["least_weight"])
            assert weights.sum() == pytest.approx(96 + inside, rel=0.02)
        assert np.abs(picture(view["subject"]).astype(int) - batch.subjects[row].numpy()).mean() < 3
    assert ask(place, place.keys[0], path).json == ask(place, place.keys[0], path).json
    assert "zebra" in (ask(place, place.keys[0], path).json["noun"])


def test_what_no_training_draws_is_told(clips: Path, serve: Serve) -> None:
    place = serve(clips)
    short = ask(place, place.keys[0], "paper")
    assert (short.status, "12 frames" in short.detail) == (400, True)
    place.client("ann").decide(place.keys[0], "reject")
    rejected = ask(place, place.keys[0], "paper")
    assert (rejected.status, "rejected" in rejected.detail) == (400, True)
    assert ask(place, place.keys[1], "/etc/passwd").status == 400


def test_a_clip_of_no_dataset_is_told(tmp_path: Path, serve: Serve) -> None:
    place = serve(write_dataset(tmp_path / "clips", [sample(0)]))
    assert ask(place, "0" * 20, "paper").status == 404
    assert len(Dataset.open(tmp_path / "clips")) == 1
