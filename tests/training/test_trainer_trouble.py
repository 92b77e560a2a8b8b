"""What goes wrong in a training is told in one line, and nothing is lost."""

import json
import resource
from pathlib import Path
from typing import Any

import pytest
import torch

from shards import Storage
from tests.training.tiny_run import process, recipe
from training.trainer import checkpoints
from training.trainer.recipe import TrainRecipe
from training.trainer.run import train
from training.trainer.scarcity import memory_told

pytestmark = pytest.mark.usefixtures("single_thread")


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
        (["start=tests"], "tests: no trained DreamVideo-2 here, for dreamvideo2.json is missing"),
        (["start=embedded"], "reference_attention was trained beside another base"),
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


def test_weights_of_other_settings_are_no_start(
    whole: Path, tiny_base: Path, clips_folder: Path, tmp_path: Path
) -> None:
    start = whole / checkpoints.folder_of(5) / "model"
    other = recipe(tiny_base, f"start={start}", "model.motion.encoder=spatial")
    refused(
        clips_folder,
        tmp_path / "run",
        other,
        f"{start}: motion_module was trained beside another base or with other settings of model.motion",
    )


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
            ValueError, match=r"this machine has too little memory for this training: lower at_once \(now 2\), or set"
        ) as told,
        memory_told(recipe(tiny_base), torch.device("cpu")),
    ):
        torch.empty(1 << 50, dtype=torch.uint8)
    assert "loader.height and loader.width (now 16 and 24)" in str(told.value)


def _with_little_memory(dataset: str, run: str, settings: dict[str, Any], told: str) -> None:
    """A GiB more than what is loaded."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (1 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        train(dataset, run, TrainRecipe.model_validate(settings))
    except ValueError as error:
        Path(told).write_text(str(error))


def test_a_run_that_had_too_little_memory_is_begun_again_with_less(
    tiny_base: Path, clips_folder: Path, tmp_path: Path
) -> None:
    run, told = tmp_path / "run", tmp_path / "told.txt"
    large = recipe(tiny_base, "loader.height=4096", "loader.width=6144", "at_once=1", "speed.checkpointing=true")
    short = process(_with_little_memory, str(clips_folder), str(run), large.settings(), str(told))
    short.join(300)
    assert told.read_text() == (
        "this machine has too little memory for this training: set speed.precision=bfloat16, or share the model among "
        "processes by parallel=fsdp2, or lower loader.height and loader.width (now 4096 and 6144) or "
        "loader.window.num_frames (now 3)"
    )
    assert train(str(clips_folder), str(run), recipe(tiny_base, "steps=1")).finished


def refused(dataset: Path, run: Path, chosen: TrainRecipe, says: str, resume: bool = False) -> None:
    with pytest.raises(ValueError, match=says) as told:
        train(str(dataset), str(run), chosen, resume=resume)
    assert "\n" not in str(told.value)


def contents(run: Path) -> dict[Path, bytes]:
    """Of all files but the lock's, which names who held it last."""
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.suffix != ".lock"}
