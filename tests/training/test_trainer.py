"""A run is the same however it was stopped and over however many processes; what goes wrong is told in one line."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from shards import Storage
from tests.training.tiny_base import write_tiny_base
from training.loader import LatentCache, Share, open_stream
from training.model.base import VideoBase
from training.model.dreamvideo2 import DreamVideo2
from training.trainer import checkpoints
from training.trainer.log import Moment, moments
from training.trainer.previews import COLOUR
from training.trainer.recipe import TrainRecipe, load_train_recipe, train_recipe_names
from training.trainer.run import Summary, memory_told, train

TINY = (
    "steps=5",
    "batch=4",
    "at_once=2",
    "ema=0.9",
    "saves.every=2",
    "optimizer.lr=1e-2",
    "optimizer.warmup=2",
    "loader.height=16",
    "loader.width=24",
    "loader.window.num_frames=3",
    "loader.workers=0",
    "model.motion.encoder_channels=[4,8]",
    "model.motion.temporal_heads=2",
)
"""Five steps of four clips, each in two passes."""


@pytest.fixture(scope="module")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The last bits of a sum depend on how many threads share it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def recipe(base: Path, *changes: str) -> TrainRecipe:
    return load_train_recipe("embedded", [f"base={base}", *TINY, *changes])


@pytest.fixture(scope="module")
def whole(tiny_base: Path, clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    summary = train(str(clips_folder), str(folder), recipe(tiny_base))
    assert summary.finished
    assert summary.steps == 5
    return folder


def weights(run: Path, step: int = 5, name: str = "model") -> dict[str, torch.Tensor]:
    folder = run / checkpoints.folder_of(step) / name
    files = sorted(folder.rglob("*.safetensors"))
    return {f"{file.parent.name}.{key}": value for file in files for key, value in load_file(file).items()}


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal, bit by bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def assert_same_run(one: Path, other: Path) -> None:
    for name in ("model", "ema"):
        assert same(weights(one, name=name), weights(other, name=name))
    a, b = (checkpoints.state_of(Storage.at(run), 5) for run in (one, other))
    assert same(a, b)
    assert [learnt(moment) for moment in log(one)] == [learnt(moment) for moment in log(other)]


def log(run: Path) -> list[Moment]:
    return moments(Storage.at(run))


def learnt(moment: Moment) -> tuple[Any, ...]:
    return moment.step, moment.loss, moment.inside, moment.outside, moment.grad_norm, moment.position, moment.keys


# --- what a run leaves


def test_only_what_is_trained_changes_and_is_kept(whole: Path, tiny_base: Path) -> None:
    base = VideoBase.from_pretrained(tiny_base)
    trained = DreamVideo2.from_pretrained(whole / checkpoints.folder_of(5) / "model", base.unet)
    torch.manual_seed(0)
    fresh = DreamVideo2.beside(VideoBase.from_pretrained(tiny_base).unet, trained.settings)
    moved = {key for key, value in trained.state_dict().items() if not torch.equal(value, fresh.state_dict()[key])}
    assert moved
    assert not any(key.startswith("unet.") for key in moved)
    files = {str(path.relative_to(whole)) for path in whole.rglob("*.safetensors")}
    assert not any("unet" in file or "vae" in file or "text_encoder" in file for file in files)


def test_the_last_checkpoints_stay(tiny_base: Path, clips_folder: Path, tmp_path: Path) -> None:
    train(str(clips_folder), str(tmp_path / "run"), recipe(tiny_base, "saves.every=1", "saves.keep=2", "steps=4"))
    assert checkpoints.steps(Storage.at(tmp_path / "run")) == [3, 4]
    assert {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()} == {
        f"step-0000000{step}{ending}" for step in (3, 4) for ending in ("", ".json")
    }


def test_the_log_tells_every_step(whole: Path) -> None:
    told = log(whole)
    assert [moment.step for moment in told] == [1, 2, 3, 4, 5]
    assert [moment.position for moment in told] == [4, 8, 12, 16, 20]
    assert [moment.lr for moment in told] == [0.005, 0.01, 0.01, 0.01, 0.01]
    for moment in told:
        assert len(moment.keys) == 4
        assert moment.loss > 0
        assert moment.inside
        assert moment.outside
        assert 0 <= moment.data_wait <= 1
        assert moment.mfu is None  # of a processor nothing is published
        assert moment.of_gemm
    assert len({key for moment in told[:3] for key in moment.keys}) == 12  # no clip twice in an epoch


def test_the_average_follows_the_weights(whole: Path) -> None:
    """Of decay 0.9: nearer to the last weights than to where they began, and not the same."""
    last, average = weights(whole), weights(whole, name="ema")
    assert last.keys() == average.keys()
    assert any(not torch.equal(last[key], average[key]) for key in last)


def test_previews_and_tensorboard_show_a_run_and_change_nothing_about_it(
    whole: Path, tiny_base: Path, clips_folder: Path, tmp_path: Path
) -> None:
    """Previews are target and generated clip with their boxes, events what the log has of numbers."""
    run = tmp_path / "run"
    changes = ("previews.every=3", "previews.count=1", "previews.num_inference_steps=2", "tensorboard=true")
    train(str(clips_folder), str(run), recipe(tiny_base, *changes))
    assert sorted(path.name for path in (run / "previews").iterdir()) == ["step-00000003-0.gif", "step-00000005-0.gif"]
    with Image.open(run / "previews" / "step-00000003-0.gif") as gif:
        assert (gif.size, gif.n_frames) == ((48, 16), 3)  # type: ignore[attr-defined]
        pixels = np.asarray(gif.convert("RGB")).astype(int)
    red = np.abs(pixels - COLOUR).sum(-1) < 60
    assert red[:, :24].any()
    assert np.array_equal(red[:, :24], red[:, 24:])
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    losses = {event.step: event.value for event in events.Scalars("loss")}
    assert losses == {moment.step: pytest.approx(moment.loss) for moment in log(whole)}
    assert {"inside", "outside", "grad_norm", "lr", "data_wait"} <= {*events.Tags()["scalars"]}
    assert_same_run(whole, run)


def test_clips_are_encoded_once_and_learnt_from_as_before(tiny_base: Path, clips_folder: Path, tmp_path: Path) -> None:
    """Half precision is all that a cache changes; a file that was cut off is made anew."""
    frozen, place = "loader.freeze=true", f"latents={tmp_path / 'latents'}"
    keeping = recipe(tiny_base, frozen, place)
    train(str(clips_folder), str(tmp_path / "without"), recipe(tiny_base, frozen))
    train(str(clips_folder), str(tmp_path / "filling"), keeping)
    files = sorted((tmp_path / "latents").rglob("*.safetensors"))
    assert len(files) == 14
    cache = LatentCache(
        folder=tmp_path / "latents",
        loader=keeping.loader,
        encoder=VideoBase.from_pretrained(tiny_base).encoder_digest(),
    )
    stream = open_stream(str(clips_folder), keeping.loader, Share(batch=2), cache=cache)
    assert all(batch.encoded for batch in islice(stream.batches(), 8))
    files[0].write_bytes(files[0].read_bytes()[:-9])
    assert not all(batch.encoded for batch in islice(stream.batches(), 8))
    train(str(clips_folder), str(tmp_path / "full"), recipe(tiny_base, frozen, place, "loader.workers=1"))
    assert same(weights(tmp_path / "filling"), weights(tmp_path / "full"))
    losses, expected = ([moment.loss for moment in log(tmp_path / name)] for name in ("full", "without"))
    assert losses == pytest.approx(expected, rel=1e-3)
    assert losses != expected


def test_latents_are_kept_of_frozen_clips_only(tiny_base: Path) -> None:
    with pytest.raises(ValueError, match=r"set loader\.freeze=true"):
        recipe(tiny_base, "latents=here")


# --- going on


def _until_killed(dataset: str, run: str, settings: dict[str, Any], after: int) -> None:
    """A run whose process is killed in its step number `after`, from 0."""
    torch.set_num_threads(1)
    calls = iter(range(10**9))

    def stopping() -> bool:
        if next(calls) == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    train(dataset, run, TrainRecipe.model_validate(settings), resume=True, stopping=stopping)


def process(work: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Forked from a process that has loaded what a training needs."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["training.loader.stream", "pandas", "training.trainer.run", "torch._dynamo"])
    started = context.Process(target=work, args=arguments)
    started.start()
    return started


def test_a_killed_run_goes_on_bit_by_bit(whole: Path, tiny_base: Path, clips_folder: Path, tmp_path: Path) -> None:
    """Killed twice with SIGKILL: before anything was saved, and while a checkpoint was being written or just was."""
    run, settings = tmp_path / "run", recipe(tiny_base).settings()
    for after in (0, 2):
        killed = process(_until_killed, str(clips_folder), str(run), settings, after)
        killed.join(300)
        assert killed.exitcode == -signal.SIGKILL
    assert train(str(clips_folder), str(run), recipe(tiny_base), resume=True).finished
    assert_same_run(whole, run)


def test_a_run_that_is_asked_to_stop_is_saved_and_goes_on(
    whole: Path, tiny_base: Path, clips_folder: Path, tmp_path: Path
) -> None:
    run, calls = tmp_path / "run", iter((False, False, True))
    stopped = train(str(clips_folder), str(run), recipe(tiny_base), stopping=lambda: next(calls))
    assert (stopped.finished, stopped.steps) == (False, 3)
    assert checkpoints.steps(Storage.at(run)) == [2, 3]
    assert train(str(clips_folder), str(run), recipe(tiny_base, "at_once=2"), resume=True).finished
    assert_same_run(whole, run)


def test_a_finished_run_has_nothing_left_to_do(whole: Path, tiny_base: Path, clips_folder: Path) -> None:
    again = train(str(clips_folder), str(whole), recipe(tiny_base), resume=True)
    assert again == Summary(finished=True, steps=5, loss=None, clips_per_second=None)


def test_a_half_written_checkpoint_is_none(whole: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    (run / f"{checkpoints.folder_of(5)}.json").unlink()
    assert checkpoints.steps(Storage.at(run)) == [2, 4]


# --- many processes


def _as_rank(rank: int, world: int, port: int, dataset: str, run: str, settings: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    train(dataset, run, TrainRecipe.model_validate(settings))


@pytest.mark.parametrize(("world", "at_once"), [(2, 1), (4, 1)])
def test_many_processes_train_as_one(
    tiny_base: Path, clips_folder: Path, tmp_path: Path, world: int, at_once: int, free_port: int
) -> None:
    """Over gloo, at the same global batch and the paper's rate: losses and weights within 1e-5, the same clips."""
    rate = "optimizer.lr=1e-4"
    train(str(clips_folder), str(tmp_path / "alone"), recipe(tiny_base, rate))
    settings = recipe(tiny_base, rate, f"at_once={at_once}").settings()
    arguments = (world, free_port, str(clips_folder), str(tmp_path / "run"), settings)
    ranks = [process(_as_rank, rank, *arguments) for rank in range(world)]
    for rank in ranks:
        rank.join(300)
    assert [rank.exitcode for rank in ranks] == [0] * world
    one, many = log(tmp_path / "alone"), log(tmp_path / "run")
    assert [sorted(moment.keys) for moment in many] == [sorted(moment.keys) for moment in one]
    assert [moment.loss for moment in many] == pytest.approx([moment.loss for moment in one], abs=1e-5)
    ours, theirs = weights(tmp_path / "alone"), weights(tmp_path / "run")
    assert max(float((ours[key] - theirs[key]).abs().max()) for key in ours) < 1e-5


@pytest.fixture
def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


# --- trouble


def refused(dataset: Path, run: Path, chosen: TrainRecipe, says: str, resume: bool = False) -> None:
    with pytest.raises(ValueError, match=says) as told:
        train(str(dataset), str(run), chosen, resume=resume)
    assert "\n" not in str(told.value)


def test_a_run_of_another_recipe_or_not_asked_to_go_on_is_left_alone(
    whole: Path, tiny_base: Path, clips_folder: Path
) -> None:
    before = contents(whole)
    refused(clips_folder, whole, recipe(tiny_base), "holds a run at step 5; go on with --resume")
    other = recipe(tiny_base, "optimizer.lr=3e-4", "loader.seed=4")
    refused(
        clips_folder, whole, other, r"other settings \(loader\.seed: 0 -> 4; optimizer\.lr: 0\.01 -> 0\.0003\)", True
    )
    refused(clips_folder.parent, whole, recipe(tiny_base), "other settings .dataset:", True)
    assert contents(whole) == before


def contents(run: Path) -> dict[Path, bytes]:
    """Of all files but the lock's, which names who held it last."""
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.suffix != ".lock"}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["batch=6", "at_once=4"], "batch=6 cannot be laid out over 1 processes with at_once=4"),
        (["loader.height=17"], "pictures of 17x24 are no whole latents"),
        (
            ["model.motion.encoder_channels=[4,8,8]"],
            "encoder_channels needs 2 numbers, one more than halvings, and has 3",
        ),
        (["loader.window.num_frames=30"], "has no clip to train on: none of 14 samples is long enough"),
        (["base=tests"], "tests: no base of a text-to-video model, for unet, vae,"),
        (["base=./gone"], "base='./gone': there is no folder gone; name one that diffusers wrote"),
        (["device=cuda:7"], "no GPU is here"),
        (["device=abacus"], "is none that torch knows"),
    ],
)
def test_what_does_not_go_together_is_told(
    tiny_base: Path, clips_folder: Path, tmp_path: Path, changes: list[str], says: str
) -> None:
    if "device=cuda:7" in changes and torch.cuda.is_available():
        pytest.skip("a GPU is here")
    refused(clips_folder, tmp_path / "run", recipe(tiny_base, *changes), says)
    assert not (tmp_path / "run" / "run.json").exists()  # the folder stays free for what was meant


def test_a_loss_that_is_no_number_names_its_samples_and_saves_nothing(
    tiny_base: Path, clips_folder: Path, tmp_path: Path
) -> None:
    run, wild = tmp_path / "run", recipe(tiny_base, "optimizer.lr=1e30", "optimizer.warmup=0", "saves.every=1")
    with pytest.raises(ValueError, match=r"step \d: the loss is (nan|inf)") as told:
        train(str(clips_folder), str(run), wild)
    step = int(str(told.value).split()[1].rstrip(":"))
    seen = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    assert seen["step"] == step - 1
    assert checkpoints.steps(Storage.at(run)) == [*range(max(1, step - 3), step)]
    assert str(told.value).count(", ") >= 4
    assert "leave them out by loader.sampling.where" in str(told.value)


def test_too_little_memory_says_what_to_lower(tiny_base: Path) -> None:
    """A petabyte is refused by the allocator itself."""
    with (
        pytest.raises(
            ValueError, match=r"this machine has too little memory for a step: lower at_once \(now 2\), set"
        ) as told,
        memory_told(recipe(tiny_base), torch.device("cpu")),
    ):
        torch.empty(1 << 50, dtype=torch.uint8)
    assert "loader.height and loader.width (now 16 and 24)" in str(told.value)


def test_recipes_are_valid() -> None:
    assert train_recipe_names() == ["embedded", "paper"]
    paper = load_train_recipe("paper")
    assert (paper.optimizer.lr, paper.optimizer.weight_decay, paper.steps, paper.batch) == (1e-4, 0.0, 30_000, 144)
    loader = paper.loader
    assert (loader.height, loader.width, loader.window.num_frames, loader.window.fps) == (256, 448, 16, 8)
    with pytest.raises(
        ValueError, match=r"unknown setting loader\.window\.num_frame; did you mean loader\.window\.num_frames\?"
    ):
        load_train_recipe("paper", ["loader.window.num_frame=4"])


def test_the_verb_trains_stops_on_sigterm_and_goes_on(tiny_base: Path, clips_folder: Path, tmp_path: Path) -> None:
    """As people call it: one line for wrong use; SIGTERM saves."""
    settings = [word for change in (f"base={tiny_base}", *TINY, "steps=1000") for word in ("--set", change)]
    command = [sys.executable, "-m", "dreamreel", "train", str(clips_folder), str(tmp_path / "run"), *settings]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("step 1/1000: loss "):
            break
    running.terminate()
    out, error = running.communicate(timeout=300)
    assert running.returncode == 130, error
    step = checkpoints.steps(Storage.at(tmp_path / "run"))[-1]
    assert out.startswith(f"{step} of 1000 steps, loss ")
    assert "run the same command with --resume to go on" in error
