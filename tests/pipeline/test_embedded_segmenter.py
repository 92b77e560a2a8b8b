"""Training of the embedded Segment Anything: its batches, its decoding beside the package's own, and that it learns."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pipeline.embedded.tasks import segmenter
from pipeline.embedded.tasks.segmenter import LEAST_PIXELS, SIZES, SegmenterTask, frames, jittered, judge
from pipeline.embedded.world import World
from pipeline.models.segment_anything import decode
from pipeline.models.weights import load_weights

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def network(tmp_path: Path) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return SegmenterTask().network(tmp_path)


@pytest.fixture(autouse=True)
def few_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmenter, "FRAMES", 3)


@pytest.mark.parametrize("step", range(0, len(SIZES), 3))
def test_a_batch_is_a_pure_function_of_its_step(step: int) -> None:
    one, other, next_one = (SegmenterTask().batch(number) for number in (step, step, step + len(SIZES)))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert one["images"].shape == next_one["images"].shape
    assert not torch.equal(one["images"], next_one["images"])
    height, width = SIZES[step]
    assert one["images"].shape[:2] == (3, 3)
    assert max(one["images"].shape[2:]) == 192
    assert one["masks"].shape[1:] == (height, width)
    assert set(one["owner"].tolist()) == {0, 1, 2}
    assert len(one["owner"]) == len(one["boxes"]) == len(one["masks"])
    assert (one["masks"].sum((1, 2)) >= LEAST_PIXELS).all()


def test_boxes_lie_around_their_masks_on_the_networks_scale() -> None:
    batch = SegmenterTask().batch(1)
    scale = 192 / batch["masks"].shape[2]
    for box, mask in zip(batch["boxes"], batch["masks"], strict=True):
        rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
        tight = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) * scale
        sides = (tight[2:] - tight[:2]).repeat(2)
        assert ((box - tight).abs() <= 0.3 * sides + scale).all()


def test_jitter_keeps_boxes_in_the_frame_and_never_empties_them() -> None:
    rng = np.random.default_rng(0)
    for box in ((0, 0, 160, 96), (10, 20, 60, 50), (7, 7, 8, 8), (150, 90, 160, 96)):
        assert jittered(box, (96, 160), 0.0, rng) == box
        moved = np.array([jittered(box, (96, 160), 0.2, rng) for _ in range(200)])
        assert (moved[:, :2] >= 0).all()
        assert (moved[:, 2] <= 160).all()
        assert (moved[:, 3] <= 96).all()
        assert (moved[:, 2:] > moved[:, :2]).all()
        assert (moved != box).any() or box == (7, 7, 8, 8)


def test_a_batched_decode_gives_the_packages_own_logits(network: Any) -> None:
    """Those of one image and one box at a time, through the package's whole forward pass."""
    batch = SegmenterTask().batch(0)
    with torch.inference_mode():
        embeddings = network.image_encoder(network.preprocess(batch["images"]))
        logits, guesses = decode(network, embeddings[batch["owner"]], batch["boxes"])
        for number, (owner, box) in enumerate(zip(batch["owner"], batch["boxes"], strict=True)):
            prompt = {"image": batch["images"][owner], "boxes": box[None], "original_size": batch["masks"].shape[1:]}
            (expected,) = network([prompt], multimask_output=False)
            torch.testing.assert_close(logits[number], expected["low_res_logits"][0], rtol=1e-3, atol=1e-4)
            torch.testing.assert_close(guesses[number], expected["iou_predictions"][0, 0], rtol=1e-3, atol=1e-4)


def test_a_few_steps_lower_the_loss(network: Any) -> None:
    task = SegmenterTask()
    batch = task.batch(0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    sums = []
    for _ in range(6):
        losses = task.losses(network, batch)
        assert set(losses) == {"pixels", "dice", "guess"}
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        sums.append(total.item())
    assert sums[-1] < 0.9 * sums[0]
    untrained = [name for name, p in network.named_parameters() if p.grad is None]
    assert all("hypernetworks_mlps" in name or name.startswith("prompt_encoder.") for name in untrained)


def test_perfect_logits_cost_nothing(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the resolution of the decoder, a truth that it can draw, with a guess of 1."""
    task = SegmenterTask()
    batch = task.batch(0)
    batch["masks"] = torch.zeros(len(batch["boxes"]), 115, 192, dtype=torch.bool)
    batch["masks"][:, 20:60, 40:120] = True
    drawn = torch.full((len(batch["boxes"]), 1, 96, 96), -60.0)
    drawn[:, :, 10:30, 20:60] = 60.0
    monkeypatch.setattr(segmenter, "decode", lambda *_: (drawn, torch.ones(len(drawn))))
    perfect = {name: value.item() for name, value in task.losses(network, batch).items()}
    assert perfect["guess"] < 1e-6
    assert perfect["dice"] < 0.02
    monkeypatch.setattr(segmenter, "decode", lambda *_: (-drawn, torch.ones(len(drawn))))
    assert all(value > 0.9 for value in (loss.item() for loss in task.losses(network, batch).values()))


def test_saved_weights_are_half_precision_and_load(network: Any, tmp_path: Path) -> None:
    task = SegmenterTask()
    task.save(network, tmp_path / "weights")
    path = tmp_path / "weights" / "segment_anything.safetensors"
    assert path.stat().st_size < 4_000_000
    assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float16}
    fresh: Any = task.network(tmp_path)
    load_weights(fresh, path, mend="train it")
    world = World(seed=3, num_frames=8)
    one, other = (judge(sam.eval(), world, 0.0, 4) for sam in (network, fresh))
    assert one.shape == other.shape
    assert one.shape[0] == 2
    assert one.shape[1] >= 4
    np.testing.assert_allclose(one, other, atol=0.05)


def test_frames_show_an_object_and_come_from_every_case() -> None:
    drawn = frames(World(num_frames=8), 0, np.random.default_rng(0))
    seen = [next(drawn) for _ in range(12)]
    assert all(len(frame.masks) and (frame.masks.sum((1, 2)) >= LEAST_PIXELS).all() for frame in seen)
    shares = [frame.masks[0].mean() for frame in seen]
    assert min(shares) < 0.04
    assert max(shares) > 0.3


def test_crowded_frames_show_more_objects_none_of_which_shares_a_pixel() -> None:
    crowded, plain = (frames(World(num_frames=8), 0, np.random.default_rng(0), crowded=share) for share in (1.0, 0.0))
    many = [next(crowded) for _ in range(12)]
    assert sum(len(frame.masks) for frame in many) > 1.5 * sum(len(next(plain).masks) for _ in range(12))
    assert all(frame.masks.sum(0).max() == 1 for frame in many)
