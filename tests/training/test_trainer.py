"""A run leaves what it should and is the same however it was stopped."""

import os
import shutil
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from shards import Storage
from tests.training.tiny_run import PREVIEWS, TINY, log, process, recipe, same, weights
from training.loader import LatentCache, Share, open_stream
from training.model.base import VideoBase
from training.model.dreamvideo2 import DreamVideo2
from training.trainer import checkpoints
from training.trainer.log import Moment
from training.trainer.previews import COLOUR
from training.trainer.recipe import TrainRecipe, load_train_recipe, train_recipe_names
from training.trainer.run import Summary, train

pytestmark = pytest.mark.usefixtures("single_thread")


def assert_same_run(one: Path, other: Path) -> None:
    for name in ("model", "ema"):
        assert same(weights(one, name=name), weights(other, name=name))
    a, b = (checkpoints.state_of(Storage.at(run), 5) for run in (one, other))
    assert same(a, b)
    assert [learnt(moment) for moment in log(one)] == [learnt(moment) for moment in log(other)]


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
    train(str(clips_folder), str(run), recipe(tiny_base, *PREVIEWS, "tensorboard=true"))
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


def test_a_run_begins_with_anothers_weights(whole: Path, tiny_base: Path, clips_folder: Path, tmp_path: Path) -> None:
    start = whole / checkpoints.folder_of(5) / "model"
    still = recipe(tiny_base, "steps=1", "optimizer.lr=1e-30", f"start={start}")
    train(str(clips_folder), str(tmp_path / "run"), still)
    begun, other = weights(tmp_path / "run", 1), weights(whole)
    assert begun.keys() == other.keys()
    assert all(torch.allclose(begun[name], other[name], rtol=0.0, atol=1e-20) for name in other)


def test_what_begins_with_anothers_weights_is_all_trained(
    whole: Path, tiny_base: Path, clips_folder: Path, tmp_path: Path
) -> None:
    start = whole / checkpoints.folder_of(5) / "model"
    train(str(clips_folder), str(tmp_path / "run"), recipe(tiny_base, "steps=1", f"start={start}"))
    begun, other = weights(tmp_path / "run", 1), weights(whole)
    assert [name for name in other if torch.equal(begun[name], other[name])] == []


def test_a_half_written_checkpoint_is_none(whole: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    (run / f"{checkpoints.folder_of(5)}.json").unlink()
    assert checkpoints.steps(Storage.at(run)) == [2, 4]


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
