"""A run is the same over however many processes, whether each holds the model or a shard of it."""

import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.tensor import DTensor

from shards import Storage
from tests.training.tiny_run import PREVIEWS, log, process, recipe, weights
from training.model.base import VideoBase
from training.trainer import checkpoints
from training.trainer.ranks import Ranks, joined
from training.trainer.recipe import TrainRecipe
from training.trainer.run import train
from training.trainer.trainee import Trainee

pytestmark = pytest.mark.usefixtures("single_thread")

RATE = "optimizer.lr=1e-4"
"""The paper's; with a wilder one the last bits of sums in another order would grow."""

CLIP = "optimizer.clip=0.05"
"""Below every gradient's norm here."""


@pytest.fixture(scope="module")
def alone(tiny_base: Path, clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process at the paper's rate, with previews."""
    folder = tmp_path_factory.mktemp("runs") / "alone"
    train(str(clips_folder), str(folder), recipe(tiny_base, RATE, CLIP, *PREVIEWS))
    return folder


@pytest.mark.parametrize(("world", "parallel"), [(2, "ddp"), (4, "ddp"), (2, "fsdp2")])
def test_many_processes_train_as_one(
    alone: Path, tiny_base: Path, clips_folder: Path, tmp_path: Path, world: int, parallel: str
) -> None:
    """At the same global batch: losses, norms, weights and their average within 1e-5, the same clips and files."""
    chosen = recipe(tiny_base, RATE, CLIP, *PREVIEWS, "at_once=1", f"parallel={parallel}")
    train_together(world, clips_folder, tmp_path / "run", chosen)
    assert_nearly_same_run(alone, tmp_path / "run")


def test_a_run_goes_on_in_shards_and_out_of_them(
    alone: Path, tiny_base: Path, clips_folder: Path, tmp_path: Path
) -> None:
    """One process's checkpoint of step 2, gone on with in two by FSDP2; theirs of step 4 in one."""
    run = Path(shutil.copytree(alone, tmp_path / "run"))
    forget(run, 4, 5)
    changes = (RATE, CLIP, *PREVIEWS)
    train_together(2, clips_folder, run, recipe(tiny_base, *changes, "at_once=1", "parallel=fsdp2"))
    assert_nearly_same_run(alone, run)
    forget(run, 5)
    assert train(str(clips_folder), str(run), recipe(tiny_base, *changes), resume=True).finished
    assert_nearly_same_run(alone, run)


def test_two_processes_hold_half_of_every_tensor_each(tiny_base: Path, tmp_path: Path) -> None:
    """Of the frozen UNet, too."""
    settings, port = recipe(tiny_base, "parallel=fsdp2").settings(), free_port()
    told = [tmp_path / f"{rank}.json" for rank in range(2)]
    ranks = [process(_tell_what_is_held, rank, port, settings, str(path)) for rank, path in enumerate(told)]
    for rank in ranks:
        rank.join(300)
    one, other = (json.loads(path.read_text()) for path in told)
    here = Ranks(rank=0, world=1, device=torch.device("cpu"))
    model = Trainee(VideoBase.named(str(tiny_base)), recipe(tiny_base), here).model
    assert {name: of for name, (_, of) in one.items()} == {name: own.numel() for name, own in model.named_parameters()}
    assert all(mine + theirs[0] == of for (mine, of), theirs in zip(one.values(), other.values(), strict=True))
    assert sum(mine for mine, _ in other.values()) > 0.45 * sum(of for _, of in one.values())


def _tell_what_is_held(rank: int, port: int, settings: dict[str, Any], told: str) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    chosen = TrainRecipe.model_validate(settings)
    with joined("cpu") as ranks:
        model = Trainee(VideoBase.named(chosen.base), chosen, ranks).model
        shards = {name: own for name, own in model.named_parameters() if isinstance(own, DTensor)}
        held = {name: [own.to_local().numel(), own.numel()] for name, own in shards.items()}
    Path(told).write_text(json.dumps(held))


def train_together(world: int, dataset: Path, run: Path, chosen: TrainRecipe) -> None:
    """Over gloo; a run that is there goes on."""
    arguments = (world, free_port(), str(dataset), str(run), chosen.settings())
    ranks = [process(_as_rank, rank, *arguments) for rank in range(world)]
    for rank in ranks:
        rank.join(300)
    assert [rank.exitcode for rank in ranks] == [0] * world


def _as_rank(rank: int, world: int, port: int, dataset: str, run: str, settings: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    train(dataset, run, TrainRecipe.model_validate(settings), resume=True)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def assert_nearly_same_run(one: Path, other: Path) -> None:
    expected, found = log(one), log(other)
    assert [sorted(moment.keys) for moment in found] == [sorted(moment.keys) for moment in expected]
    for name in ("loss", "grad_norm"):
        values = [getattr(moment, name) for moment in expected]
        assert [getattr(moment, name) for moment in found] == pytest.approx(values, abs=1e-5)
    for name in ("model", "ema"):
        ours, others = weights(one, name=name), weights(other, name=name)
        assert ours.keys() == others.keys()
        assert max(float((ours[key] - others[key]).abs().max()) for key in ours) < 1e-5
    moments, theirs = (checkpoints.state_of(Storage.at(run), 5)["optimizer"]["state"] for run in (one, other))
    assert moments.keys() == theirs.keys()
    for number, own in moments.items():
        assert all(torch.allclose(theirs[number][name], value, rtol=0, atol=1e-5) for name, value in own.items())
    files = {path.relative_to(one) for path in (one / checkpoints.FOLDER).rglob("*") if path.is_file()}
    assert files == {path.relative_to(other) for path in (other / checkpoints.FOLDER).rglob("*") if path.is_file()}
    for file in files:
        if file.suffix == ".json":
            assert (one / file).read_bytes() == (other / file).read_bytes()


def forget(run: Path, *steps: int) -> None:
    for step in steps:
        (run / f"{checkpoints.folder_of(step)}.json").unlink()
