"""Videos of a suite made by a run, and without training by attention masks."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from einops import rearrange

from dreamreel import main
from pipeline.recipe import load_recipe
from shards import Storage
from tests.training.tiny_base import write_tiny_base
from tests.training.tiny_run import TINY
from training.evaluation.attention_masks import Guide, MaskedAttentionMaker, attach, sides, words_of
from training.evaluation.making import Conditions, make_videos
from training.evaluation.manifest import read_manifest
from training.evaluation.suite import write_practice_suite
from training.generation.ddim import ddim, guided
from training.model.base import VideoBase
from training.model.masks import box_masks
from training.trainer.recipe import load_train_recipe
from training.trainer.run import train

SIZE, FRAMES = (16, 24), 8


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("base") / "base")


def conditions(seeds: tuple[int, ...] = (0, 1)) -> Conditions:
    boxes = torch.tensor([[2.0, 2, 12, 10], [10, 4, 22, 14]]).repeat_interleave(FRAMES // 2, 0)
    count = len(seeds)
    return Conditions(
        prompts=["a red ball glides past a boat"] * count,
        nouns=["ball"] * count,
        subjects=torch.full((count, *SIZE, 3), 255, dtype=torch.uint8),
        boxes=boxes.expand(count, -1, -1),
        seeds=list(seeds),
    )


def maker(base: VideoBase, masked_steps: int) -> MaskedAttentionMaker:
    return MaskedAttentionMaker(
        base, {"of": "tiny"}, SIZE, FRAMES, 8.0, steps=3, guidance_scale=2.0, masked_steps=masked_steps
    )


def test_without_masked_steps_the_base_makes_what_it_always_did(base_folder: Path) -> None:
    plain = VideoBase.from_pretrained(base_folder)
    asked = conditions((5,))
    noise = torch.randn(4, FRAMES, SIZE[0] // 2, SIZE[1] // 2, generator=torch.Generator().manual_seed(5))[None]
    text = plain.read([asked.prompts[0], ""])

    @torch.no_grad()
    def predict(latents: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        both = plain.unet(latents.repeat(2, 1, 1, 1, 1), timesteps.repeat(2), text, return_dict=False)[0]
        return guided(both[:1], both[1:], 2.0)

    *_, latents = ddim(predict, noise, plain.scheduler, 3)
    wanted = plain.decode(rearrange(latents, "b c f h w -> b f c h w"))
    base = VideoBase.from_pretrained(base_folder)
    found = maker(base, 0).make(asked)
    assert (found.int() - wanted.int()).abs().max() <= 1
    masked = maker(base, 2).make(asked)
    assert not torch.equal(found, masked)
    assert torch.equal(masked, maker(base, 2).make(conditions((5, 6)))[:1])


def test_the_inside_and_the_outside_do_not_see_each_other(base_folder: Path) -> None:
    base = VideoBase.from_pretrained(base_folder)
    guide = Guide()
    attach(base.unet, guide)
    latents = SIZE[0] // 2, SIZE[1] // 2
    asked = conditions((0,))
    inside = sides(box_masks(asked.boxes, SIZE), latents)
    guide.sides = [inside, sides(box_masks(asked.boxes, SIZE), (4, 6))]
    attention = base.unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1
    tokens = torch.randn(FRAMES, latents[0] * latents[1], attention.to_q.in_features)
    flat = rearrange(inside, "b f h w -> (b f) (h w)")
    disturbed = torch.where(flat[..., None], tokens, torch.randn_like(tokens))
    with torch.no_grad():
        before, after = attention(tokens), attention(disturbed)
    torch.testing.assert_close(before[flat], after[flat])
    assert not torch.allclose(before[~flat], after[~flat])
    guide.sides = None
    with torch.no_grad():
        assert not torch.allclose(attention(tokens)[flat], attention(disturbed)[flat])


def test_over_time_a_place_sees_the_frames_on_its_side(base_folder: Path) -> None:
    base = VideoBase.from_pretrained(base_folder)
    guide = Guide()
    attach(base.unet, guide)
    inside = torch.zeros(1, FRAMES, 1, 1, dtype=torch.bool)
    inside[:, :3] = True
    guide.sides = [inside, inside]
    attention = base.unet.transformer_in.transformer_blocks[0].attn1
    tokens = torch.randn(1, FRAMES, attention.to_q.in_features)
    disturbed = torch.where(inside[0, None, :, 0], tokens, torch.randn_like(tokens))
    with torch.no_grad():
        before, after = attention(tokens), attention(disturbed)
    torch.testing.assert_close(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3:], after[:, 3:])


def test_a_box_smaller_than_a_token_still_has_one() -> None:
    masks = box_masks(torch.tensor([[[5.0, 5, 7, 7], [0, 0, 8, 8]]]), (16, 16))
    found = sides(masks, (2, 2))[0]
    assert found.sum((1, 2)).tolist() == [1, 1]


def test_the_subjects_words_are_its_noun_and_what_describes_it(base_folder: Path) -> None:
    base = VideoBase.from_pretrained(base_folder)
    prompts = ["a red ball glides past a boat", "a boat", "red ball"]
    subject, free = words_of(base.tokenizer, prompts, ["ball", "dog", "ball"], base)
    assert subject[0].nonzero()[:, 0].tolist() == [2, 3]  # behind the mark and "a"
    assert (~free[0]).nonzero()[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert not subject[1].any()
    assert free[1].all()
    assert subject[2].nonzero()[:, 0].tolist() == [2]


def test_a_suites_videos_are_made_once(base_folder: Path, tmp_path: Path) -> None:
    suite = write_practice_suite(tmp_path / "suite", 3, SIZE, FRAMES)
    entries, videos = read_manifest(suite), Storage.at(tmp_path / "videos")
    base, recipe = VideoBase.from_pretrained(base_folder), load_recipe("embedded")

    def made(masked_steps: int, stopping: bool = False) -> bool:
        return make_videos(
            entries, suite.parent, videos, maker(base, masked_steps), recipe, at_once=2, stopping=lambda: stopping
        )

    assert not made(1, stopping=True)
    assert made(1)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "videos").glob("*.mp4")}
    assert len(before) == 3
    (tmp_path / "videos" / "0001.mp4").unlink()
    assert made(1)
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "videos").glob("*.mp4")}
    assert {name for name in before if before[name] != after[name]} == {"0001.mp4"}
    with pytest.raises(ValueError, match="were made otherwise"):
        made(2)


def test_a_run_is_evaluated_on_the_practice_suite(
    base_folder: Path, clips_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = [f"base={base_folder}", *TINY, "steps=1", "ema=null", f"loader.window.num_frames={FRAMES}"]
    train(str(clips_folder), str(tmp_path / "run"), load_train_recipe("embedded", changes))
    asked = ["evaluate", str(tmp_path / "run"), "--videos", "2", "--steps", "2", "--protocol", "motion", "--json"]
    capsys.readouterr()
    assert main(asked) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["videos"] == said["asked_now"] == 2
    assert 0 <= said["figures"]["mIoU"]["value"] <= 1
    assert main(asked) == 0
    assert json.loads(capsys.readouterr().out)["asked_now"] == 0
    free = ["evaluate", str(base_folder), "--training-free", "--out", str(tmp_path / "free"), "--size", "16x24"]
    assert main([*free, "--videos", "2", "--steps", "2", "--protocol", "motion", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["videos"] == 2
