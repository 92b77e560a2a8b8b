"""`dreamreel generate` as people call it: what it writes, and one line for whatever of a request cannot be."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dreamreel import main
from shards import Storage, video
from tests.training.tiny_base import write_tiny_base
from training.model.base import VideoBase
from training.trainer.checkpoints import Checkpoints
from training.trainer.ranks import Ranks
from training.trainer.recipe import load_train_recipe
from training.trainer.run_folder import describe_run
from training.trainer.trainee import Trainee

MOVING = {"first": [0.1, 0.2, 0.5, 0.8], "last": [0.5, 0.2, 0.9, 0.8]}

Says = Callable[..., str]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """A small network's threads wait for each other longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of three frames of 16x24 as it begins, a subject image, its mask, and boxes."""
    folder = tmp_path_factory.mktemp("generation")
    write_tiny_base(folder / "base")
    settings = ["loader.height=16", "loader.width=24", "loader.window.num_frames=3"]
    motion = ["model.motion.encoder_channels=[4,8]", "model.motion.temporal_heads=2"]
    recipe = load_train_recipe("embedded", [f"base={folder / 'base'}", *settings, *motion])
    storage = Storage.at(folder / "run")
    trainee = Trainee(VideoBase.named(recipe.base), recipe, Ranks(rank=0, world=1, device=torch.device("cpu")))
    checkpoints = Checkpoints(storage, keep=1)
    checkpoints.save(lambda: trainee.snapshot(7, "{}"))
    checkpoints.wait()
    checkpoints.close()
    describe_run(storage, "clips", recipe)
    describe_run(Storage.at(folder / "young"), "clips", recipe)
    Image.fromarray(np.full((32, 48, 3), 90, np.uint8)).save(folder / "dog.png")
    mask = np.zeros((32, 48), np.uint8)
    mask[8:24, 16:32] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    Image.fromarray(np.zeros((32, 48), np.uint8)).save(folder / "nothing.png")
    Image.fromarray(mask[:8]).save(folder / "small.png")
    (folder / "boxes.json").write_text(json.dumps(MOVING))
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def says(here: Path, capsys: pytest.CaptureFixture[str]) -> Says:
    """The one line that the verb ends with, its options changed; nothing is written."""

    def line(run: str = "run", **changed: str | None) -> str:
        given = {"subject": "dog.png", "mask": "mask.png", "boxes": "boxes.json", "prompt": "a dog", "out": "clip.mp4"}
        options = {"steps": "1", **given} | changed
        words = [word for name, value in options.items() if value is not None for word in (f"--{name}", value)]
        capsys.readouterr()
        assert main(["generate", run, *words]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        told = [text for text in said.err.splitlines() if text.startswith("dreamreel: ")]
        assert len(told) == 1
        assert said.err.endswith(f"{told[0]}\n")
        assert not (here / "clip.mp4").exists()
        return told[0]

    return line


def test_what_was_asked_for_is_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its boxes beside it, and as GIFs too; by the base's new place."""
    moved = shutil.copytree(here / "base", here / "elsewhere")
    words = ["--subject", "dog.png", "--mask", "mask.png", "--boxes", "boxes.json", "--prompt", "a dog"]
    options = ["--steps", "2", "--side-by-side", "--gif", "--json", "--base", str(moved), "--out", "made/clip.mp4"]
    assert main(["generate", "run", *words, *options]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made == [["made/clip.mp4", "made/clip-boxes.mp4", "made/clip.gif", "made/clip-boxes.gif"]]
    clip, beside = (np.stack(list(video.frames(f"made/{name}.mp4"))) for name in ("clip", "clip-boxes"))
    assert clip.shape == (3, 16, 24, 3)
    assert beside.shape == (3, 16, 72, 3)


@pytest.mark.usefixtures("here")
def test_a_batch_is_written_clip_by_clip() -> None:
    asked = {"subject": "dog.png", "mask": "mask.png", "prompt": "a dog"}
    lines = [asked | {"boxes": "boxes.json", "out": "one.mp4"}, asked | {"boxes": MOVING, "out": "two.gif", "seed": 3}]
    Path("many.jsonl").write_text("\n\n".join(json.dumps(line) for line in lines))
    assert main(["generate", "run", "--batch", "many.jsonl", "--steps", "1"]) == 0
    assert Path("one.mp4").is_file()
    assert Path("two.gif").is_file()


@pytest.mark.parametrize(
    ("changed", "says_what"),
    [
        ({"run": "nowhere"}, "nowhere is not a run: it has no run.json; check the path"),
        ({"run": "young"}, "young has no checkpoint yet; train on with --resume"),
        ({"step": "9"}, "has no checkpoint of step 9; there are 7"),
        ({"base": "./gone"}, "base='./gone': there is no folder gone; name one that diffusers wrote"),
        ({"base": "run"}, "run: no base of a text-to-video model, for unet, vae,"),
        ({"recipe": "papper"}, "no recipe 'papper'"),
        ({"device": "abacus"}, "device='abacus' is none that torch knows"),
        ({"steps": "0"}, "--steps 0: the base knows 1000 steps; take 1 to 1000"),
        ({"subject": None, "prompt": None}, "generate needs --subject, --prompt; or a file of requests with --batch"),
        ({"out": "clip.avi"}, "clip.avi: ends neither in .mp4 nor in .gif; name the file so"),
        ({"subject": "cat.png"}, "cat.png: No such file or directory; give a PNG, JPEG or WebP"),
        ({"subject": "boxes.json"}, "boxes.json: no image; give a PNG, JPEG or WebP"),
        ({"subject": "cut.png"}, "cut.png: image file is truncated"),
        ({"mask": None}, "dog.png: says not which part is the subject; give a mask, a noun, or a transparent"),
        (
            {"mask": "nothing.png"},
            "dog.png: no subject in the image, for its mask is empty; give another mask or image",
        ),
        ({"mask": "small.png"}, "small.png: a mask of (8, 48) for an image of (32, 48); give one of the same size"),
        ({"mask": "boxes.json"}, "boxes.json: no image; give a black and white PNG"),
        ({"boxes": "gone.json"}, "gone.json: No such file or directory; name a file of boxes"),
        ({"boxes": "dog.png"}, "dog.png: no text; name a file of boxes"),
    ],
)
def test_what_cannot_be_is_one_line(here: Path, says: Says, changed: dict[str, str | None], says_what: str) -> None:
    whole = (here / "dog.png").read_bytes()
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 48, 3), np.uint8))
    noise.save(here / "cut.png")
    (here / "cut.png").write_bytes((here / "cut.png").read_bytes()[: len(whole) + 900])
    assert says_what in says(**changed)


@pytest.mark.parametrize(
    ("text", "says_what"),
    [
        ('{"boxes": [[0, 0, 0.5, 0.5], null]}', "2 boxes for 3 frames; give one a frame, null where there is none"),
        ('{"first": [0.1, 0.2, 0.5, 0.8], "last": [0.5, 0.2, 1.4, 0.8]}', "the box of frame 2 leaves the frame"),
        ('{"boxes": [[0, 0, 0.5, 0.5],', "no JSON"),
        ("[1, 2]", "no object; a file of boxes is"),
        ('{"from": [0, 0, 1, 1]}', "says from; a file of boxes is"),
        ('{"video": "gone.mp4", "noun": "dog"}', "gone.mp4: no video that can be followed (missing"),
        ('{"video": "gone.mp4"}', "says not what to follow in gone.mp4; add a noun"),
    ],
)
def test_boxes_that_cannot_be_are_one_line(here: Path, says: Says, text: str, says_what: str) -> None:
    (here / "bad.json").write_text(text)
    line = says(boxes="bad.json")
    assert says_what in line
    assert "bad.json" in line or "gone.mp4" in line


@pytest.mark.parametrize(
    ("second", "says_what"),
    [
        ("no json", "many.jsonl, line 2: no JSON"),
        ('{"prompt": "a dog"}', "many.jsonl, line 2: subject: Field required"),
        ('{"prompt": "a", "subject": "b", "boxes": "c", "out": "d.mp4", "sed": 3}', "many.jsonl, line 2: sed: Extra"),
        ('{"prompt": "a", "subject": "b", "boxes": "c", "out": "one.gif"}', "two requests would write one.gif"),
    ],
)
def test_a_line_of_a_batch_that_cannot_be_is_named(here: Path, says: Says, second: str, says_what: str) -> None:
    first = {"subject": "dog.png", "mask": "mask.png", "prompt": "a dog", "boxes": MOVING, "out": "one.gif"}
    (here / "many.jsonl").write_text(f"{json.dumps(first)}\n{second}\n")
    assert says_what in says(batch="many.jsonl")


def test_an_empty_batch_is_told(here: Path, says: Says) -> None:
    (here / "none.jsonl").write_text("\n")
    assert "none.jsonl: no request in it; write one JSON object a line" in says(batch="none.jsonl")
    assert "gone.jsonl: No such file or directory; name a file of requests" in says(batch="gone.jsonl")
