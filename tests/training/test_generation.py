"""Generation: boxes from every form, subject images, the pipeline, and what is said of bad input."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from shards import video as videos
from tests.training.tiny_base import write_tiny_base
from training.generation.boxes import along, between, boxes_of, svg_points
from training.generation.ddim import guided
from training.generation.pictures import side_by_side, write_clip
from training.generation.pipeline import DreamVideo2Pipeline
from training.generation.subject import framed, read_image
from training.model.base import VideoBase
from training.model.dreamvideo2 import DreamVideo2
from training.model.settings import ModelSettings, MotionSettings

FIRST, LAST = [0.1, 0.2, 0.3, 0.4], [0.5, 0.2, 0.9, 0.8]
SIZE = (16, 24)


# --- Boxes


def test_from_first_to_last_every_edge_moves_evenly() -> None:
    boxes = boxes_of({"first": FIRST, "last": LAST}, 5)
    np.testing.assert_allclose(boxes[[0, -1]], [FIRST, LAST])
    np.testing.assert_allclose(np.diff(boxes, axis=0), np.tile((np.array(LAST) - FIRST) / 4, (4, 1)))
    np.testing.assert_array_equal(boxes, between(np.array(FIRST), np.array(LAST), 5))


def test_along_a_trajectory_the_box_keeps_its_size_and_its_pace() -> None:
    way = [[0.0, 0.0], [0.1, 0.0], [0.1, 0.3]]  # its corners are not evenly apart
    boxes = boxes_of({"first": FIRST, "trajectory": way}, 9)
    np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], np.tile([0.2, 0.2], (9, 1)))
    np.testing.assert_allclose(boxes[0], FIRST)
    np.testing.assert_allclose(boxes[-1, :2], [0.2, 0.5])
    np.testing.assert_allclose(np.abs(np.diff(boxes[:, :2], axis=0)).sum(1), 0.05)


def test_an_svg_path_is_the_trajectory_that_it_draws() -> None:
    lines = svg_points("M 1 2 l 3 0 v 4 Z", "here")
    np.testing.assert_allclose(lines, [[1, 2], [4, 2], [4, 6], [1, 2]])
    circle = svg_points("M 1 0 A 1 1 0 0 1 -1 0", "here")
    np.testing.assert_allclose(np.hypot(*circle.T), 1, atol=1e-3)
    one, other = (
        boxes_of({"first": FIRST, **way}, 6)
        for way in ({"path": "M 0 0 L .2 .1"}, {"trajectory": [[0, 0], [0.2, 0.1]]})
    )
    np.testing.assert_allclose(one, other)


def test_boxes_in_pixels_are_those_in_shares() -> None:
    pixels = {"size": [100, 200], "first": [20, 20, 60, 40], "last": [100, 20, 180, 80]}
    np.testing.assert_allclose(boxes_of(pixels, 4), boxes_of({"first": FIRST, "last": LAST}, 4))


def test_a_frame_may_have_no_box() -> None:
    boxes = boxes_of({"boxes": [FIRST, None, LAST]}, 3)
    assert np.isnan(boxes).all(1).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"first": FIRST, "last": [0.5, 0.2, 1.2, 0.8]}, r"here: the box of frame \d leaves the frame"),
        ({"first": FIRST, "trajectory": [[0, 0], [0, 1]]}, "leaves the frame"),
        ({"boxes": [FIRST, LAST]}, "here: 2 boxes for 4 frames"),
        ({"boxes": [None] * 4}, "no frame has a box"),
        ({"boxes": [[0.4, 0.2, 0.3, 0.4]] * 4}, "the box of frame 0 is empty"),
        ({"first": FIRST, "trajectory": [[0, 0]]}, "leads nowhere"),
        ({"first": FIRST, "path": "L 1 1 M"}, "no SVG path|leads nowhere|no way"),
        ({"first": [1, 2, 3], "last": LAST}, "is no box"),
        ({"first": FIRST}, "a file of boxes is"),
        ({"size": [0, 4], "first": FIRST, "last": LAST}, "size"),
    ],
)
def test_boxes_that_cannot_be_are_refused_in_one_line(said: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as error:
        boxes_of(said, 4, "here")
    assert "\n" not in str(error.value)


def test_a_way_starts_where_the_first_box_is() -> None:
    far = along(np.array(FIRST), np.array([[5.0, 5.0], [5.1, 5.0]]), 3)
    np.testing.assert_allclose(far[0], FIRST)


# --- Subject images


def test_a_subject_stands_on_blank_where_the_image_was_transparent(tmp_path: Path) -> None:
    pixels = np.full((32, 48, 4), 100, np.uint8)
    pixels[..., 3] = 0
    pixels[8:24, 16:32, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "clear.png")
    picture, mask = read_image(tmp_path / "clear.png")
    assert mask is not None
    subject = framed(picture, mask, SIZE, "clear.png")
    expected = np.full((*SIZE, 3), 255)
    expected[4:12, 8:16] = 100
    np.testing.assert_array_equal(subject, expected)


def test_an_image_without_a_subject_is_refused(tmp_path: Path) -> None:
    picture, mask = np.zeros((32, 48, 3), np.uint8), np.zeros((32, 48), bool)
    with pytest.raises(ValueError, match="no subject in the image"):
        framed(picture, mask, SIZE, "dog.png")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ValueError, match="no image; give a PNG"):
        read_image(tmp_path / "text.png")


# --- The pipeline


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> VideoBase:
    return VideoBase.from_pretrained(write_tiny_base(tmp_path_factory.mktemp("base")))


@pytest.fixture(scope="module")
def pipeline(base: VideoBase) -> DreamVideo2Pipeline:
    torch.manual_seed(0)
    settings = ModelSettings(motion=MotionSettings(encoder_channels=(8, 8), temporal_heads=2))
    model = DreamVideo2.beside(base.unet, settings)
    for weight in model.parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight, std=0.1)
    return DreamVideo2Pipeline.of(base, model)


def generated(pipeline: DreamVideo2Pipeline, **changed: Any) -> torch.Tensor:
    subject = torch.full((2, *SIZE, 3), 255, dtype=torch.uint8)
    subject[:, 4:12, 8:16] = torch.tensor([200, 30, 30], dtype=torch.uint8)
    boxes = torch.tensor(boxes_of({"first": FIRST, "last": LAST}, 3) * [24, 16, 24, 16])
    given: dict[str, Any] = {
        "prompts": ["a red dog", "a boat"],
        "subjects": subject,
        "boxes": boxes.expand(2, -1, -1),
        "seeds": [0, 1],
        "num_inference_steps": 3,
    }
    return pipeline(**(given | changed))


def test_a_seed_is_a_clip_whatever_else_is_in_the_batch(pipeline: DreamVideo2Pipeline) -> None:
    whole = generated(pipeline)
    assert whole.shape == (2, 3, *SIZE, 3)
    assert whole.dtype == torch.uint8
    assert torch.equal(whole, generated(pipeline))
    alone = generated(pipeline, prompts=["a red dog"], seeds=[0], **_first(2))
    assert (alone[0].int() - whole[0].int()).abs().max() <= 1
    assert not torch.equal(whole, generated(pipeline, seeds=[2, 3]))


def _first(of: int) -> dict[str, Any]:
    subject = torch.full((of, *SIZE, 3), 255, dtype=torch.uint8)
    subject[:, 4:12, 8:16] = torch.tensor([200, 30, 30], dtype=torch.uint8)
    boxes = torch.tensor(boxes_of({"first": FIRST, "last": LAST}, 3) * [24, 16, 24, 16])
    return {"subjects": subject[:1], "boxes": boxes[None]}


def test_prompt_boxes_and_guidance_reach_the_clip(pipeline: DreamVideo2Pipeline) -> None:
    plain = generated(pipeline)
    moved = torch.tensor(boxes_of({"first": LAST, "last": FIRST}, 3) * [24, 16, 24, 16]).expand(2, -1, -1)
    for changed in ({"prompts": ["a ball", "a cat"]}, {"boxes": moved}, {"guidance_scale": 1.0}):
        assert not torch.equal(plain, generated(pipeline, **changed))


def test_the_subject_is_looked_at_once_and_every_step_is_told_of(
    pipeline: DreamVideo2Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, steps = [], []
    look = pipeline._model.look

    def seen(*given: Any) -> Any:
        looks.append(1)
        return look(*given)

    monkeypatch.setattr(pipeline._model, "look", seen)
    generated(pipeline, callback_on_step_end=lambda number, _latents: steps.append(number))
    assert len(looks) == 1
    assert steps == [0, 1, 2]


def test_a_saved_pipeline_is_loaded_as_it_was(pipeline: DreamVideo2Pipeline, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path)
    assert not list(tmp_path.rglob("*.bin"))
    assert json.loads((tmp_path / "model_index.json").read_text())["_class_name"] == "DreamVideo2Pipeline"
    again = DreamVideo2Pipeline.from_pretrained(tmp_path)
    assert torch.equal(generated(again), generated(pipeline))


def test_guidance_goes_from_what_has_no_text_towards_what_has() -> None:
    with_text, without = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0])
    assert torch.allclose(guided(with_text, without, 9.0), without + 9 * (with_text - without))


# --- Files


@pytest.mark.parametrize("ending", [".mp4", ".gif"])
def test_a_clip_is_written_with_its_frames(tmp_path: Path, ending: str) -> None:
    frames = np.stack([np.full((16, 24, 3), shade, np.uint8) for shade in (0, 120, 240)])
    path = tmp_path / f"clip{ending}"
    write_clip(path, frames, 8.0)
    if ending == ".mp4":
        assert np.abs(np.stack(list(videos.frames(str(path)))).astype(int) - frames).max() < 6
    else:
        with Image.open(path) as image:
            assert getattr(image, "n_frames", 1) == 3


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"neither in \.mp4 nor in \.gif"):
        write_clip(tmp_path / "clip.avi", np.zeros((2, 16, 24, 3), np.uint8), 8.0)


def test_side_by_side_shows_subject_boxes_and_clip() -> None:
    frames = np.zeros((2, 16, 24, 3), np.uint8)
    boxes = np.array([[2.0, 2, 8, 8], [np.nan] * 4])
    shown = side_by_side(frames, boxes, np.full((16, 24, 3), 9, np.uint8))
    assert shown.shape == (2, 16, 72, 3)
    assert (shown[:, :, :24] == 9).all()
    assert (shown[0, 2, 50] == (255, 64, 64)).all()
    assert not shown[1, :, 48:].any()
