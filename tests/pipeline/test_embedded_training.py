"""The training of small models: its runner, and what the detector learns from."""

import importlib.util
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import AutoTokenizer

from pipeline.embedded.captions import PLURALS
from pipeline.embedded.scenes import CASES
from pipeline.embedded.silhouettes import NOUNS
from pipeline.embedded.tasks.detector import BackboneTask, DetectorTask
from pipeline.embedded.tasks.prompts import LOOK_ALIKES, question
from pipeline.embedded.tasks.set_losses import Boxes, Targets, anchors, dense_losses, matched_losses
from pipeline.embedded.tasks.text_encoder import words, write_text_encoder
from pipeline.embedded.tasks.views import View, batch_of_views, view
from pipeline.embedded.train import Run
from pipeline.embedded.world import World
from pipeline.models.grounding_dino import GroundingDino
from pipeline.models.grounding_dino.prompt import prompts
from pipeline.models.grounding_dino.sampling import sampled_sum

pytestmark = pytest.mark.usefixtures("one_thread")


class ShortBackbone(BackboneTask):
    steps, size, warmup = 2, 4, 1

    def quality(self, network: nn.Module) -> dict[str, float]:  # noqa: ARG002
        return {}


class ShortDetector(DetectorTask):
    steps, size, warmup = 4, 2, 2
    stop_at: int | None = None

    def quality(self, network: nn.Module) -> dict[str, float]:  # noqa: ARG002
        return {}

    def batch(self, step: int) -> dict[str, Any]:
        if step == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().batch(step)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a backbone's run."""
    folder = tmp_path_factory.mktemp("runs")
    assert run(ShortBackbone(), folder).train()
    return folder


@pytest.fixture(scope="module")
def trained(runs: Path) -> Run:
    through = run(ShortDetector(), runs)
    assert through.train()
    return through


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return AutoTokenizer.from_pretrained(write_text_encoder(tmp_path_factory.mktemp("words")))


def run(task: Any, folder: Path) -> Run:
    return Run(task=task, runs=folder, device=torch.device("cpu"))


# --- The runner


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(runs: Path, trained: Run, tmp_path: Path) -> None:
    (tmp_path / "backbone").symlink_to(runs / "backbone")
    task = ShortDetector()
    task.stop_at = 1
    handler = signal.getsignal(signal.SIGTERM)
    first = run(task, tmp_path)
    assert not first.train()
    assert first.step == 2
    assert signal.getsignal(signal.SIGTERM) == handler
    second = run(ShortDetector(), tmp_path)
    assert second.step == 2
    assert second.train()
    for kept, gone_on in ((trained.network, second.network), (trained.averaged, second.averaged)):
        expected, found = kept.state_dict(), gone_on.state_dict()
        assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


def test_a_finished_run_has_nothing_left_to_do(runs: Path, trained: Run) -> None:
    again = run(ShortDetector(), runs)
    assert again.step == trained.step == ShortDetector.steps
    assert again.train()
    assert again.step == ShortDetector.steps


def test_training_changes_every_part_that_is_asked(trained: Run, runs: Path) -> None:
    fresh = ShortDetector().network(runs).state_dict()
    stale = {name for name, tensor in trained.network.state_dict().items() if torch.equal(tensor, fresh[name])}
    # Words that no prompt had, positions that no phrase reached, and BERT's pooler have nothing to learn from.
    assert {name for name in stale if not name.startswith("bert.")} <= {"transformer.level_embed"}


def test_a_detector_without_a_backbone_says_what_to_do_first(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="train the backbone before the detector"):
        run(ShortDetector(), tmp_path)


def test_what_is_saved_is_what_the_pipeline_loads(trained: Run, tmp_path: Path) -> None:
    trained.task.save(trained.averaged, tmp_path)
    own = tmp_path / "grounding_dino"
    model = GroundingDino(
        checkpoint=str(own / "model.safetensors"),
        size="embedded",
        text_encoder=str(own),
        box_threshold=0.0,
        text_threshold=0.0,
        device="cpu",
    )
    frame = World().scene(1).frame(0).image
    (found,) = model.open()([(frame, ("dog", "ball"))])
    assert {detection.noun for detection in found} == {"dog", "ball"}
    assert (own / "model.safetensors").stat().st_size < 12e6


def test_a_new_run_can_begin_with_what_was_saved(trained: Run, tmp_path: Path) -> None:
    trained.task.save(trained.averaged, tmp_path / "weights")
    on = Run(task=ShortDetector(), runs=tmp_path / "runs", device=torch.device("cpu"), start=tmp_path / "weights")
    assert on.step == 0
    saved, begun = trained.averaged.state_dict(), on.network.state_dict()
    assert all(torch.equal(tensor.half().to(tensor), begun[name]) for name, tensor in saved.items())


# --- Batches


@pytest.mark.parametrize("task", [ShortBackbone(), ShortDetector()])
def test_a_batch_is_a_pure_function_of_its_step(task: Any) -> None:
    one, again, other = task.batch(3), task.batch(3), task.batch(4)
    assert same(one, again)
    assert not same(one, other)


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(
        torch.equal(value, other[name]) if isinstance(value, Tensor) else value == other[name]
        for name, value in one.items()
    )


@pytest.mark.parametrize("case", CASES)
def test_a_view_shows_every_visible_object_where_it_is(case: Any) -> None:
    scene = World(size=(180, 320), seed=5).scene(3, case)
    shown, frame = view(scene, 0), scene.frame(0)
    assert shown.image.shape == (90, 160, 3)
    boxes = [box for box in frame.boxes() if box is not None]
    for one, box in zip(shown.objects, boxes, strict=True):
        x, y, width, height = (value * side for value, side in zip(one.box, (320, 180, 320, 180), strict=True))
        edges = x - width / 2, y - height / 2, x + width / 2, y + height / 2
        assert edges == pytest.approx(box, abs=1e-3)


def test_a_prompt_is_read_by_the_tokenizer_as_it_was_spelled(tokenizer: Any) -> None:
    rng = np.random.default_rng(0)
    for shown in batch_of_views(0, 40):
        spelled = question(shown, rng)
        phrases = spelled.text.removesuffix(" .").split(" . ")
        (read,) = prompts(phrases, tokenizer)
        assert read.text == spelled.text
        assert list(read.tokens.values()) == list(spelled.tokens.values())
        assert len(tokenizer(spelled.text)["input_ids"]) == spelled.length + 2


def test_of_what_is_hardly_seen_a_prompt_says_nothing() -> None:
    shown = View(np.zeros((96, 160, 3), np.uint8), ())
    dog = view(World(seed=5).scene(0, "plain"), 0).objects[0]._replace(noun="dog", clear=False)
    rng = np.random.default_rng(0)
    asked = {noun for _ in range(300) for noun in question(shown._replace(objects=(dog,)), rng).tokens}
    assert "dog" not in asked
    assert set(NOUNS) - asked == {"dog"}


def test_the_vocabulary_has_each_word_once_and_every_noun() -> None:
    known = words()
    assert len(known) == len(set(known))
    assert {*NOUNS, *(PLURALS.get(noun, f"{noun}s") for noun in NOUNS)} <= set(known)
    assert all(other in NOUNS for others in LOOK_ALIKES.values() for other in others)
    assert set(LOOK_ALIKES) == set(NOUNS)


# --- Losses


@pytest.mark.filterwarnings(r"ignore:torch\.meshgrid:UserWarning")  # by the package, once in a process
def test_anchors_are_those_that_the_package_begins_with() -> None:
    from groundingdino.models.GroundingDINO.utils import gen_encoder_output_proposals  # type: ignore[import-untyped]

    for height, width in ((96, 160), (90, 160), (96, 128)):
        shapes = torch.tensor([[-(-height // stride), -(-width // stride)] for stride in (8, 16, 32)])
        count = int(shapes.prod(1).sum())
        unpadded = torch.zeros(1, count, dtype=torch.bool)
        _, proposals = gen_encoder_output_proposals(torch.zeros(1, count, 4), unpadded, shapes)
        assert torch.allclose(anchors(height, width).logit(), proposals[0], atol=1e-5)


def targets(boxes: list[list[float]], nouns: list[int], length: int = 6) -> Targets:
    tokens = torch.zeros(1, len(nouns), length, dtype=torch.bool)
    for row, noun in enumerate(nouns):
        tokens[0, row, noun] = True
    return Targets(
        boxes=torch.tensor([boxes]),
        tokens=tokens,
        real=torch.ones(1, len(nouns), dtype=torch.bool),
        asked=torch.ones(1, length, dtype=torch.bool),
    )


TWO_DOGS_AND_A_BALL = targets([[0.2, 0.3, 0.2, 0.2], [0.7, 0.3, 0.2, 0.3], [0.5, 0.8, 0.02, 0.03]], [1, 1, 4])


def test_a_perfect_answer_costs_nothing_in_any_order() -> None:
    goal = TWO_DOGS_AND_A_BALL
    for order in torch.cartesian_prod(*[torch.arange(5)] * 3):
        if len(order.unique()) < 3:
            continue
        boxes, logits = torch.full((1, 5, 4), 0.1), torch.full((1, 5, 6), -20.0)
        boxes[0, order] = goal.boxes[0]
        logits[0, order] = torch.where(goal.tokens[0], 20.0, -20.0)
        assert all(loss < 1e-4 for loss in matched_losses(Boxes(logits, boxes), goal).values())


def test_every_object_is_answered_for_however_small() -> None:
    goal, start = TWO_DOGS_AND_A_BALL, anchors(96, 160)
    logits = torch.zeros(1, len(start), 6, requires_grad=True)
    steps = torch.zeros(1, len(start), 4, requires_grad=True)
    losses = dense_losses(Boxes(logits, (start.logit() + steps).sigmoid()), goal, start)
    sum(losses.values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert steps.grad is not None
    rising = logits.grad[0] < 0
    assert [bool(rising[:, token].any()) for token in range(6)] == [False, True, False, False, True, False]
    learning = steps.grad[0].abs().sum(1) > 0
    assert torch.equal(learning, rising.any(1))
    near = [((start[learning, :2] - box[:2]).abs() < 0.2).all(1).any() for box in goal.boxes[0]]
    assert all(near)


def test_padding_and_what_is_not_asked_for_change_no_loss() -> None:
    goal, start = TWO_DOGS_AND_A_BALL, anchors(96, 160)
    padded = Targets(
        boxes=torch.cat([goal.boxes, torch.full((1, 1, 4), 0.5)], 1),
        tokens=torch.nn.functional.pad(goal.tokens, (0, 2, 0, 1)),
        real=torch.nn.functional.pad(goal.real, (0, 1)),
        asked=torch.nn.functional.pad(goal.asked, (0, 2)),
    )
    logits = torch.randn(1, len(start), 6)
    beyond = torch.nn.functional.pad(logits, (0, 2), value=float("-inf"))
    boxes = start[None].expand(1, -1, -1)
    for loss in (matched_losses, lambda answer, goal: dense_losses(answer, goal, start)):
        plain, more = loss(Boxes(logits, boxes), goal), loss(Boxes(beyond, boxes), padded)
        assert {name: value.item() for name, value in more.items()} == pytest.approx(
            {name: value.item() for name, value in plain.items()}, rel=1e-5
        )


def test_an_image_with_nothing_to_find_still_teaches_what_is_not_there() -> None:
    nothing = Targets(
        boxes=torch.full((1, 1, 4), 0.5),
        tokens=torch.zeros(1, 1, 3, dtype=torch.bool),
        real=torch.zeros(1, 1, dtype=torch.bool),
        asked=torch.tensor([[False, True, False]]),
    )
    answer = Boxes(torch.zeros(1, 4, 3), torch.full((1, 4, 4), 0.3))
    losses = matched_losses(answer, nothing)
    assert losses["focal"] > 0
    assert losses["l1"] == losses["giou"] == 0


# --- Deformable attention's sampling


@pytest.fixture(scope="module")
def package_sum() -> Callable[..., Tensor]:
    """The package's own function, from a copy of its module that nothing was replaced in."""
    spec = importlib.util.find_spec("groundingdino.models.GroundingDINO.ms_deform_attn")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    own: Callable[..., Tensor] = module.multi_scale_deformable_attn_pytorch
    return own


@settings(deadline=None, max_examples=20)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=3),
    queries=st.integers(1, 7),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_fast_sampling_is_the_packages(
    package_sum: Callable[..., Tensor], shapes: list[tuple[int, int]], queries: int, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    sizes = torch.tensor(shapes)
    value = torch.randn(2, int(sizes.prod(1).sum()), 3, 4, generator=random, requires_grad=True)
    # A part of the locations lies beyond the map, where there are zeros.
    at = (torch.rand(2, queries, 3, len(shapes), 2, 2, generator=random) * 1.6 - 0.3).requires_grad_()
    weights = torch.rand(2, queries, 3, len(shapes), 2, generator=random, requires_grad=True)
    theirs, ours = (function(value, sizes, at, weights) for function in (package_sum, sampled_sum))
    assert torch.allclose(theirs, ours, atol=1e-5)
    one, other = (torch.autograd.grad(output.square().sum(), (value, at, weights)) for output in (theirs, ours))
    for expected, found in zip(one, other, strict=True):
        assert torch.allclose(expected, found, atol=1e-4, rtol=1e-3)
    rough = sampled_sum(value.bfloat16(), sizes, at, weights)  # by a matrix instead of row by row
    assert torch.allclose(rough.float(), theirs, atol=0.1, rtol=0.05)
