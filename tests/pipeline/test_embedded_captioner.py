"""The small captioner: its examples are true, its training learns, its files load as any captioner's do."""

import re
from collections.abc import Sequence
from copy import deepcopy
from fractions import Fraction
from getpass import getuser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoProcessor

from pipeline.embedded.drawing import COLOURS
from pipeline.embedded.scenes import CASES, Scene
from pipeline.embedded.silhouettes import NOUNS
from pipeline.embedded.tasks.caption_examples import (
    GRID,
    INPUT,
    LEAST_COVER,
    NUM_FRAMES,
    examples,
    frames_alone,
    patches,
    resized,
    stacked,
)
from pipeline.embedded.tasks.captioner import LONGEST, CaptionerTask, Captioning, tokenizer
from pipeline.embedded.tasks.sight import Sight, SightTask, normalised
from pipeline.embedded.world import World
from pipeline.models.caption_faults import checked_caption
from pipeline.models.captioning import Caption, Frames, sampled
from pipeline.models.nouns import NounFinder
from pipeline.recipe import load_recipe
from shards import video
from shards.rle import Size
from shards.video import encode

pytestmark = pytest.mark.usefixtures("one_thread")

SCENES = st.builds(
    lambda seed, index, case: World(seed=seed).scene(index, case),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.sampled_from(CASES),
)


# --- Words


@settings(max_examples=300, deadline=None)
@given(scene=SCENES)
def test_every_caption_is_spelled_in_whole_words_and_read_back(scene: Scene) -> None:
    words = tokenizer()
    spelled = words(scene.caption)["input_ids"]
    assert words.unk_token_id not in spelled
    assert words.decode(spelled) == scene.caption


def test_no_word_is_there_twice_or_for_nothing() -> None:
    words = tokenizer()
    said = {word for index in range(4000) for word in words.tokenize(World(seed=3, hard=0.7).scene(index).caption)}
    assert said == set(words.get_vocab()) - set(words.all_special_tokens)


# --- Examples


def test_a_step_has_its_examples_whatever_was_drawn_before() -> None:
    alone = examples(5, 3)
    examples(4, 3)
    for one, other in zip(alone, examples(5, 3), strict=True):
        assert np.array_equal(one.frames, other.frames)
        assert one.caption == other.caption
        assert all(torch.equal(a, b) for a, b in zip(one.patches, other.patches, strict=True))
    drawn = [example.frames.tobytes() for step in (5, 6) for example in examples(step, 3)]
    assert len(set(drawn)) == 6


def test_examples_are_what_the_network_takes() -> None:
    for example in examples(0, 12):
        assert example.frames.shape == (NUM_FRAMES, *INPUT, 3)
        assert all(values.shape == (NUM_FRAMES, *GRID) for values in example.patches)
        assert example.patches.nouns.any()
        assert torch.equal(example.patches.nouns > 0, example.patches.colours > 0)
        words = example.caption.replace(",", "").split()
        noun, colour = (next(word for word in words if word in among) for among in (_spelled(), COLOURS))
        subject = example.patches.subject > 0
        assert set(example.patches.nouns[subject].tolist()) <= {NOUNS.index(_spelled()[noun]) + 1}
        assert set(example.patches.colours[subject].tolist()) <= {list(COLOURS).index(colour) + 1}
    together = stacked(frames_alone(0, 6))
    assert together["frames"].shape == (6, *INPUT, 3)
    assert all(values.shape == (6, *GRID) for values in together["patches"])


def _spelled() -> dict[str, str]:
    return {noun: noun for noun in NOUNS} | {f"{noun}s": noun for noun in NOUNS}


@settings(max_examples=20, deadline=None)
@given(scene=SCENES, share=st.floats(0, 1))
def test_a_patch_is_of_the_object_that_covers_most_of_it(scene: Scene, share: float) -> None:
    frame = scene.frame(round(share * (scene.num_frames - 1)))
    told = patches(scene, [frame], 0)
    height, width = scene.size
    for row, column in np.ndindex(*GRID):  # of pixels that a patch shares with its neighbours, both have the whole
        rows = slice(height * row // GRID[0], -(-height * (row + 1) // GRID[0]))
        columns = slice(width * column // GRID[1], -(-width * (column + 1) // GRID[1]))
        part = frame.masks[:, rows, columns].mean((1, 2), dtype=np.float32)
        noun = int(told.nouns[0, row, column])
        assert (noun > 0) == (part.max() >= np.float32(LEAST_COVER))
        if noun:
            likely = np.flatnonzero(part >= part.max() - 1e-6)
            assert NOUNS[noun - 1] in {scene.actors[k].look.noun for k in likely}


# --- Training


@pytest.fixture(scope="module")
def sight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs, in which a sight was trained not at all."""
    runs = tmp_path_factory.mktemp("runs")
    torch.manual_seed(1)
    average = {f"module.{name}": value for name, value in Sight().state_dict().items()}
    (runs / "sight").mkdir()
    torch.save({"average": average}, runs / "sight" / "last.pt")
    return runs


@pytest.fixture(scope="module")
def network(sight: Path) -> Captioning:
    torch.manual_seed(2)
    made = CaptionerTask().network(sight)
    assert isinstance(made, Captioning)
    return made.eval()


def test_the_captioner_begins_with_the_sight_that_was_trained(sight: Path, network: Captioning) -> None:
    average = torch.load(sight / "sight" / "last.pt")["average"]
    for name, value in network.model.model.vision_tower.state_dict().items():
        assert torch.equal(value, average[f"module.vision.{name}"])
    with pytest.raises(ValueError, match=r"no such run; train sight before the captioner"):
        CaptionerTask().network(sight / "nowhere")


@pytest.mark.parametrize("task", [SightTask(), CaptionerTask()], ids=lambda task: task.name)
def test_what_is_seen_again_is_learnt(task: Any, sight: Path) -> None:
    task.batch_size = 4
    torch.manual_seed(3)
    network = task.network(sight)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    batch = task.batch(0)
    seen = []
    for _ in range(25):
        losses = task.losses(network, batch)
        seen.append({name: value.item() for name, value in losses.items()})
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert all(seen[-1][name] < 0.7 * seen[0][name] for name in seen[0]), (seen[0], seen[-1])


def test_words_beyond_a_captions_end_teach_nothing(network: Captioning) -> None:
    task = CaptionerTask()
    task.batch_size = task.lone_frames = 2
    batch = task.batch(0)
    with torch.no_grad():
        told = task.losses(network, batch)
        pads = torch.full((2, 5), task.processor.tokenizer.pad_token_id)
        longer = task.losses(network, batch | {"tokens": torch.cat((batch["tokens"], pads), 1)})
    assert longer["words"].item() == pytest.approx(told["words"].item(), rel=0.02)  # bfloat16's last bits


def test_training_scores_the_words_that_the_model_itself_would(network: Captioning) -> None:
    task = CaptionerTask()
    task.batch_size = task.lone_frames = 2
    batch = task.batch(0)
    frames = normalised(batch["frames"])
    with torch.no_grad():
        told = network(frames, batch["tokens"])
        own = network.model(input_ids=batch["tokens"], pixel_values=frames[: 2 * NUM_FRAMES]).logits
    assert torch.allclose(told.words, own[:, -told.words.shape[1] :], atol=1e-5)


# --- As files


@pytest.fixture(scope="module")
def rounded(network: Captioning) -> Captioning:
    """The same network with weights that half precision holds exactly."""
    return deepcopy(network).half().float()


@pytest.fixture(scope="module")
def folder(rounded: Captioning, tmp_path_factory: pytest.TempPathFactory) -> Path:
    weights = tmp_path_factory.mktemp("weights")
    CaptionerTask().save(rounded, weights)
    return weights / "captioner"


def clips(indices: Sequence[int], size: Size = (96, 160)) -> list[Frames]:
    """Whole scenes as a build has them: out of H.264."""
    scenes = [World(seed=21, size=size).scene(index) for index in indices]
    return [np.stack(list(video.frames(encode(scene.render().frames, range(24), Fraction(1, 8))))) for scene in scenes]


def test_the_files_write_what_the_training_saw(folder: Path, rounded: Captioning) -> None:
    shown = clips(range(6))
    with torch.no_grad():
        expected = CaptionerTask().captions(rounded, [clip[list(sampled(24, NUM_FRAMES))] for clip in shown])
    write = Caption(
        model=str(folder), num_frames=NUM_FRAMES, max_new_tokens=LONGEST, device="cpu", dtype="float32"
    ).open()
    assert [caption.text for caption in write(shown)] == expected


def test_the_processor_shows_frames_as_the_training_does(folder: Path) -> None:
    images = AutoProcessor.from_pretrained(folder).image_processor  # type: ignore[no-untyped-call]
    for size in ((96, 160), (180, 320), (120, 160)):
        (clip,) = clips((0,), size)
        given_them = images(images=[clip[0]], return_tensors="pt")["pixel_values"][0]
        trained_on = normalised(torch.from_numpy(resized(clip[0])))
        assert given_them.shape == trained_on.shape
        assert (given_them - trained_on).abs().max() < 4 / 63.75  # grey levels: two ways to reduce a picture


def test_the_files_are_half_as_large_and_tell_nothing_of_their_maker(folder: Path, rounded: Captioning) -> None:
    files = {path.name: path for path in folder.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= set(files)
    weights = load_file(files["model.safetensors"])
    assert {value.dtype for value in weights.values()} == {torch.float16}
    assert sum(value.numel() for value in weights.values()) == sum(p.numel() for p in rounded.model.parameters())
    for name, path in files.items():
        if name != "model.safetensors":
            assert not {str(folder), str(Path.home()), getuser()} & set(re.split(r'[\s"]', path.read_text())), name


def test_every_run_of_the_same_weights_is_the_same_file(folder: Path, rounded: Captioning, tmp_path: Path) -> None:
    CaptionerTask().save(rounded, tmp_path)
    for path in folder.iterdir():
        assert (tmp_path / "captioner" / path.name).read_bytes() == path.read_bytes()


# --- The weights of the package


@pytest.mark.parametrize("size", [(96, 160), (180, 320)])
def test_the_packaged_captioner_names_most_subjects_of_scenes_it_never_saw(size: Size) -> None:
    model = load_recipe("embedded").captioner.model
    assert model is not None
    plain = World(size=size, num_frames=24, seed=21, hard=0)
    scenes = [plain.scene(index) for index in range(16)]
    shown = [np.stack(list(video.frames(encode(scene.render().frames, range(24), Fraction(1, 8))))) for scene in scenes]
    captions = model.model_copy(update={"device": "cpu", "dtype": "float32"}).open()(shown)
    texts = [checked_caption(caption.text, finished=caption.finished) for caption in captions]
    assert all(isinstance(text, str) for text in texts)
    named = [subjects[0].noun for subjects in NounFinder().open()([str(text) for text in texts])]
    assert sum(noun == scene.nouns[0] for noun, scene in zip(named, scenes, strict=True)) >= 11
