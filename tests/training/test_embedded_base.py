"""The embedded base's training: from nothing to a folder that loads, and what its parts promise each other."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.embedded.train import Run
from training.embedded.clips import NUM_FRAMES, PART, SIZE, Clips
from training.embedded.sheet import draw, sheet
from training.embedded.tasks.unet import PACK, Denoising, ImagesTask, UnetTask, temporal
from training.embedded.train import Training
from training.model.base import VideoBase


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Training:
    """One that is through, of as few steps as there can be."""
    folder = tmp_path_factory.mktemp("base")
    found = Training(
        runs=folder / "runs",
        weights=folder / "weights",
        clips=Clips(folder=folder / "runs" / "clips", count=PART),
        device=torch.device("cpu"),
        vae_steps=2,
        images_steps=2,
        unet_steps=2,
        start=None,
        batches={"batch_size": 2},
        end=None,
    )
    assert found.train(workers=1)
    return found


@pytest.fixture(scope="module")
def base(training: Training) -> VideoBase:
    return VideoBase.from_pretrained(training.weights)


def latents(count: int) -> torch.Tensor:
    return torch.randn(count, 16, NUM_FRAMES, 8, 12, generator=torch.Generator().manual_seed(0)).half()


def test_what_was_trained_loads_and_draws(base: VideoBase) -> None:
    drawn = draw(base, ["a red car", "a dog"], steps=2)
    assert drawn.shape == (2, NUM_FRAMES, *SIZE, 3)
    assert sheet(drawn).size == (NUM_FRAMES * SIZE[1], 2 * SIZE[0])


def test_packed_latents_are_the_vaes_own_in_another_order(base: VideoBase) -> None:
    frames = torch.randint(256, (3, *SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    vae: Any = base.vae
    own = vae.encode(frames.permute(0, 3, 1, 2) / 127.5 - 1).latent_dist.mean * vae.config.scaling_factor
    packed = base.encode(frames)
    assert base.pack == PACK
    assert packed.shape == (3, 16, SIZE[0] // base.stride, SIZE[1] // base.stride)
    assert torch.equal(packed.flatten().sort().values, own.flatten().sort().values)
    for row, column in ((0, 0), (1, 0), (0, 1), (1, 1)):
        assert torch.equal(packed[:, 2 * row + column :: 4], own[:, :, row::2, column::2])
    back = vae.decode(own / vae.config.scaling_factor).sample
    expected = ((back + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    apart = (base.decode(packed).int() - expected.int()).abs()
    assert (
        apart.max() <= 1
    )  # threads share sums in their own ways, so that a value between two levels may round to either
    assert (apart > 0).float().mean() < 0.01


def test_a_stopped_training_goes_on_to_the_same_weights(training: Training, tmp_path: Path) -> None:
    """The first images' step alone, as a stop would leave it; then the same command."""
    again = replace(training, runs=tmp_path / "runs", weights=tmp_path / "weights")
    shutil.copytree(training.runs, again.runs, ignore=shutil.ignore_patterns("images", "unet"))
    vae = again._vae()
    assert vae is not None
    first = ImagesTask(again._encoded(vae), training.clips.captions(), 2, 2)
    first.warmup = 0
    run = Run(task=first, runs=again.runs, device=again.device)
    run.learn(first.batch(0))
    run._save()
    assert again.train(workers=1)
    for part in ("vae", "unet"):
        file = Path(part, "diffusion_pytorch_model.safetensors")
        assert (again.weights / file).read_bytes() == (training.weights / file).read_bytes()


def test_clips_begin_as_the_pictures_that_were_learnt(tmp_path: Path) -> None:
    """Temporal layers add nothing at first: of one frame, or of eight alike, the network says what it said of one."""
    task = ImagesTask(latents(4), ["a red car drives to the right"] * 4, 2, 2)
    run = Run(task=task, runs=tmp_path, device=torch.device("cpu"))
    run.learn(task.batch(0))
    run._save()
    moving = UnetTask(latents(4), ["a dog"] * 4, 1).network(tmp_path)
    noisy, times, tokens = latents(2)[:, :, :1].float(), torch.tensor([3, 700]), task.tokens[:2]
    still = run.averaged(noisy, times, tokens)
    torch.testing.assert_close(moving(noisy, times, tokens), still, atol=1e-5, rtol=0)
    eight = moving(noisy.expand(-1, -1, NUM_FRAMES, -1, -1), times, tokens)
    torch.testing.assert_close(eight, still.expand_as(eight), atol=1e-5, rtol=0)


def test_every_part_learns_once_clips_are_seen() -> None:
    task = UnetTask(latents(4), ["a dog"] * 4, 1, 2)
    network = Denoising()
    for module in temporal(network.unet):
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.02)  # behind outputs of nothing, no gradient comes through
    sum(task.losses(network, task.batch(0)).values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call]
    unseen = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert not unseen
