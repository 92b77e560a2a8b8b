"""Every metric is what a few independent lines compute, on videos whose answers are known; and on practice truth."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from shards import Storage
from tests.training.painted import SIZE, Box, in_shares, paint, painted_settings
from training.evaluation import metrics
from training.evaluation.clips import decoded
from training.evaluation.encoders import Clip, Dino
from training.evaluation.flow import DisFlow, Raft
from training.evaluation.intervals import mean
from training.evaluation.manifest import Entry
from training.evaluation.practice_suite import practice_items
from training.evaluation.run import Measured, evaluate
from training.evaluation.settings import load_settings
from training.generation.pictures import write_clip

WAY: list[Box | None] = [(5 + 4 * t, 8, 25 + 4 * t, 24) for t in range(6)]


def measured(
    folder: Path, painted: list[Box | None], target: list[Box | None], prompt: str = "a red box", **settings: Any
) -> Measured:
    """The figures of one painted video, with a subject image that is half red, half blue."""
    paint(folder / "video", painted)
    subject = np.zeros((20, 20, 3), np.uint8)
    subject[:, :10, 0], subject[:, 10:, 2] = 255, 255
    Image.fromarray(subject).save(folder / "subject.png")
    entry = Entry(video="video", prompt=prompt, noun="box", subject="subject.png", boxes=in_shares(target))
    result = evaluate([entry], folder, folder, Storage.at(folder / "out"), painted_settings(**settings), name="x")
    assert result is not None
    assert not result.faults
    return result.measured[0]


# --- Boxes


def test_a_subject_that_follows_its_boxes_exactly(tmp_path: Path) -> None:
    video = measured(tmp_path, WAY, WAY).scores.video
    assert video["mIoU"] == 1
    assert video["CD"] == 0
    assert video["detected"] == 1


def test_a_subject_beside_its_boxes_by_a_fixed_way(tmp_path: Path) -> None:
    beside = [None if box is None else (box[0] + 3, box[1] + 4, box[2] + 3, box[3] + 4) for box in WAY]
    video = measured(tmp_path, beside, WAY).scores.video
    both = (20 - 3) * (16 - 4)
    assert video["mIoU"] == pytest.approx(both / (2 * 20 * 16 - both))
    assert video["CD"] == pytest.approx(5 / math.hypot(*SIZE))


def test_distance_may_be_a_share_of_each_side(tmp_path: Path) -> None:
    beside = [None if box is None else (box[0] + 3, box[1] + 4, box[2] + 3, box[3] + 4) for box in WAY]
    video = measured(tmp_path, beside, WAY, distance_by="sides").scores.video
    assert video["CD"] == pytest.approx(math.hypot(3 / SIZE[1], 4 / SIZE[0]))


@pytest.mark.parametrize(
    ("policy", "iou", "distance"),
    [({}, 4 / 6, 2 / 6), ({"missing_iou": "left out", "missing_distance": "left out"}, 1.0, 0.0)],
)
def test_frames_without_the_subject_count_as_the_policy_says(
    tmp_path: Path, policy: dict[str, Any], iou: float, distance: float
) -> None:
    video = measured(tmp_path, [*WAY[:4], None, None], WAY, **policy).scores.video
    assert video["mIoU"] == pytest.approx(iou)
    assert video["CD"] == pytest.approx(distance)
    assert video["CD, detected"] == 0
    assert video["detected"] == pytest.approx(4 / 6)


def test_frames_without_a_target_are_left_out(tmp_path: Path) -> None:
    one = measured(tmp_path, WAY, [None, *WAY[1:]])
    assert one.scores.video["mIoU"] == 1
    assert np.isnan(one.scores.frames["mIoU"]).tolist() == [True] + [False] * 5


def test_another_policy_asks_no_model_again(tmp_path: Path) -> None:
    measured(tmp_path, [*WAY[:4], None, None], WAY)
    entry = Entry(video="video", prompt="a red box", noun="box", subject="subject.png", boxes=in_shares(WAY))
    other = painted_settings(missing_iou="left out", distance_by="sides")
    result = evaluate([entry], tmp_path, tmp_path, Storage.at(tmp_path / "out"), other, name="x")
    assert result is not None
    assert result.asked_now == 0
    assert result.measured[0].scores.video["mIoU"] == 1


# --- Likeness


def cosine(a: Any, b: Any) -> float:
    return float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_likeness_is_what_a_few_lines_compute(tmp_path: Path) -> None:
    video = measured(tmp_path, [*WAY[:3], None, None, None], WAY).scores.video
    shown = [np.asarray(Image.open(path)).astype(float) for path in sorted((tmp_path / "video").iterdir())]
    whole = [frame.reshape(-1, 3).mean(0) for frame in shown]
    inside = [f[b[1] : b[3], b[0] : b[2]].reshape(-1, 3).mean(0) for f, b in zip(shown, WAY, strict=True) if b]
    subject = np.array([127.5, 0, 127.5])
    assert video["CLIP-T"] == pytest.approx(np.mean([cosine(c, [1, 0, 0]) for c in whole]), abs=1e-6)
    assert video["CLIP-I"] == pytest.approx(np.mean([cosine(c, subject) for c in whole]), abs=1e-6)
    assert video["R-CLIP"] == pytest.approx(np.mean([cosine(c, subject) for c in inside]), abs=1e-6)
    assert video["DINO-I"] == pytest.approx(np.mean([cosine(c**2, subject**2) for c in whole]), abs=1e-6)
    assert video["R-DINO"] == pytest.approx(np.mean([cosine(c**2, subject**2) for c in inside]), abs=1e-6)
    pairs = [cosine(a, b) for a, b in pairwise(whole)]
    assert video["T.Cons"] == pytest.approx(np.mean(pairs), abs=1e-6)


def test_identical_frames_are_wholly_consistent_and_not_dynamic(tmp_path: Path) -> None:
    video = measured(tmp_path, [WAY[0]] * 6, [WAY[0]] * 6).scores.video
    assert video["T.Cons"] == pytest.approx(1)
    assert video["DD"] == 0


# --- Flow


def test_a_pair_is_as_fast_as_its_fastest_twentieth() -> None:
    flow = np.zeros((20, 20, 2), np.float32)
    flow[0] = (3, 4)  # 20 of 400 pixels
    assert metrics.fastest_flow(flow) == pytest.approx(5)
    flow[1] = (30, 40)
    assert metrics.fastest_flow(flow) == pytest.approx(50)


def test_a_video_is_dynamic_once_a_quarter_of_its_frames_move() -> None:
    size = (256, 448)
    assert not metrics.is_dynamic([6.1] * 3 + [6.0] * 12, 16, size)
    assert metrics.is_dynamic([6.1] * 4 + [0.0] * 11, 16, size)
    assert metrics.is_dynamic([1.6] * 2 + [0.0] * 5, 8, (64, 96))  # 1.5 pixels, twice
    assert not metrics.is_dynamic([], 1, size)


def test_flow_of_a_shifted_picture_is_its_shift() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    frames = np.stack([np.roll(picture, 3 * t, 1) for t in range(3)])
    field = DisFlow().open()(frames)[0]
    assert np.median(field[..., 0]) == pytest.approx(3, abs=0.3)
    assert np.median(field[..., 1]) == pytest.approx(0, abs=0.3)


def test_raft_loads_from_a_file(tmp_path: Path) -> None:
    from torchvision.models.optical_flow import raft_large  # type: ignore[import-untyped]

    torch.manual_seed(0)
    torch.save(raft_large(weights=None).state_dict(), tmp_path / "raft.pth")
    follow = Raft(checkpoint=str(tmp_path / "raft.pth"), num_flow_updates=1, device="cpu").open()
    frames = np.zeros((2, 64, 96, 3), np.uint8)
    assert follow(frames).shape == (1, 64, 96, 2)
    assert follow(frames[:1]).shape == (0, 64, 96, 2)
    with pytest.raises(ValueError, match="torchvision has"):
        Raft(weights="other").open()


# --- Encoders from a folder


def test_clip_from_a_folder_sees_and_reads_as_transformers_does(tmp_path: Path) -> None:
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(0)
    vision = {"image_size": 32, "patch_size": 8, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    text = {"vocab_size": 5, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "eos_token_id": 1}
    heads = {"num_attention_heads": 2}
    config = transformers.CLIPConfig(
        vision_config=vision | heads, text_config=text | heads | {"max_position_embeddings": 6}, projection_dim=8
    )
    made: Any = transformers.CLIPModel(config)
    network = made.eval()
    network.save_pretrained(tmp_path)
    words = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3, "dog": 4}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    kind: Any = transformers.PreTrainedTokenizerFast
    tokenizer = kind(tokenizer_object=words, pad_token="<pad>", unk_token="<unk>", eos_token="</s>")
    tokenizer.save_pretrained(tmp_path)
    pictures = smooth_pictures()
    processor: Any = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    with torch.inference_mode():
        pixels = processor([Image.fromarray(picture) for picture in pictures], return_tensors="pt")["pixel_values"]
        wanted = network.vision_model(pixels).pooler_output @ network.visual_projection.weight.T
        said = network.get_text_features(
            **tokenizer(["a dog"], padding="max_length", max_length=6, return_tensors="pt")
        )
    opened = Clip(model=str(tmp_path), device="cpu").open()
    np.testing.assert_allclose(opened(pictures), wanted.numpy(), atol=5e-3)
    rows = said if isinstance(said, torch.Tensor) else said.pooler_output
    np.testing.assert_allclose(opened.read(["a dog"]), rows.numpy(), atol=1e-5)


def test_dino_from_a_folder_gives_its_class_token(tmp_path: Path) -> None:
    import transformers

    torch.manual_seed(0)
    config = transformers.ViTConfig(
        image_size=32, patch_size=8, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    made: Any = transformers.ViTModel(config)
    network = made.eval()
    network.save_pretrained(tmp_path)
    pictures = smooth_pictures()
    side = round(256 * 32 / 224)
    cut = [Image.fromarray(p).resize(resized(p, side), Image.Resampling.BICUBIC) for p in pictures]
    pixels = np.stack([middle(np.asarray(p), 32) for p in cut]).astype(np.float32) / 255
    pixels = (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    with torch.inference_mode():
        wanted = network(torch.from_numpy(pixels).float().permute(0, 3, 1, 2)).last_hidden_state[:, 0]
    found = Dino(model=str(tmp_path), device="cpu").open()(pictures)
    np.testing.assert_allclose(found, wanted.numpy(), atol=5e-2)
    squashed = Dino(model=str(tmp_path), device="cpu", square="squash").open()(pictures)
    assert not np.allclose(found[0], squashed[0], atol=1e-3)


def smooth_pictures() -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """Of two sizes."""
    rng = np.random.default_rng(0)
    small = [rng.integers(0, 255, shape, np.uint8) for shape in ((5, 8, 3), (5, 8, 3), (6, 6, 3))]
    return [np.asarray(Image.fromarray(s).resize((80, 60 if n < 2 else 80))) for n, s in enumerate(small)]


def resized(picture: Any, side: int) -> tuple[int, int]:
    height, width = picture.shape[:2]
    return round(side * width / min(height, width)), round(side * height / min(height, width))


def middle(picture: Any, side: int) -> Any:
    y, x = ((length - side) // 2 for length in picture.shape[:2])
    return picture[y : y + side, x : x + side]


# --- Practice truth


def test_practice_truth_is_found_where_it_is(tmp_path: Path) -> None:
    entries = []
    for number, item in enumerate(practice_items(6, (180, 320), 8)):
        write_clip(tmp_path / f"{number}.mp4", item.truth()[::2], 8.0)
        boxes = {"boxes": item.boxes[::2].tolist()}
        entries.append(Entry(video=f"{number}.mp4", prompt=item.scene.caption, noun=item.noun, boxes=boxes))
    settings = load_settings("embedded")
    result = evaluate(entries, tmp_path, tmp_path, Storage.at(tmp_path / "out"), settings, name="x", protocol="motion")
    assert result is not None
    overlap, distance = (mean([one.scores.video[m] or 0.0 for one in result.measured]).value for m in ("mIoU", "CD"))
    assert overlap >= 0.9
    assert distance <= 0.02
    likely = [one.scores.video["CLIP-T"] or 0.0 for one in result.measured]
    read = settings.text
    assert read is not None
    videos = [list(decoded(tmp_path / entry.video)[0]) for entry in entries]
    wrong = read.open()([(video, entries[n - 1].prompt or "") for n, video in enumerate(videos)])
    assert all(right > other for right, other in zip(likely, wrong, strict=True))
