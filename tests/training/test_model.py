"""DreamVideo-2: its size, its equations, what reaches what, and what does not change what it computes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet3DConditionModel
from jaxtyping import TypeCheckError, jaxtyped
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tests.shapes import checked
from training.model.dreamvideo2 import Conditions, DreamVideo2
from training.model.loss import offset_noise, reweighted_loss
from training.model.masks import blended, box_masks, control_signal, feature_sizes, resized, token_weights
from training.model.motion_module import MotionModule, SpatiotemporalEncoder
from training.model.reference_attention import MaskedReferenceAttention, spatial_transformers
from training.model.settings import ModelSettings, MotionSettings, ReferenceSettings
from training.model.speed import SpeedSettings, sped_up


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """A small network's threads wait for each other longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


SMALL: dict[str, Any] = {
    "block_out_channels": (16, 32),
    "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"),
    "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D"),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "attention_head_dim": 8,
    "cross_attention_dim": 12,
}
MOTION = MotionSettings(encoder_channels=(8, 8, 8), temporal_heads=2)
FRAMES, SIZE, STRIDE = 4, (24, 32), 4


def small_unet() -> UNet3DConditionModel:
    """Random weights, also where diffusers begins with zeros, so that nothing is hidden behind them."""
    torch.manual_seed(0)
    unet = UNet3DConditionModel(**SMALL)
    for weight in unet.parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, std=0.08)
    return unet


def small_model(settings: ModelSettings | None = None, *, stirred: bool = True) -> DreamVideo2:
    """With everything that is trained drawn anew where it is to be `stirred`: the zeros of the start hide mistakes."""
    model = DreamVideo2.beside(small_unet(), settings or ModelSettings(motion=MOTION))
    if stirred:
        for _, weight in trained(model):
            nn.init.normal_(weight, std=0.08)
    return model


def trained(model: DreamVideo2) -> list[tuple[str, nn.Parameter]]:
    return [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]


def moving_boxes(*starts: float) -> Tensor:
    """[B, F, 4] pixels: a box that moves to the right, from each of `starts`."""
    at = torch.arange(FRAMES) * 4.0
    boxes = [torch.stack([start + at, at * 0 + 4, start + at + 10, at * 0 + 18], -1) for start in starts]
    return torch.stack(boxes)


def inputs(seed: int = 1) -> tuple[Tensor, Tensor, Conditions]:
    random = torch.Generator().manual_seed(seed)
    height, width = (side // STRIDE for side in SIZE)
    text = torch.randn(2, 5, 12, generator=random)
    conditions = Conditions(
        text=text,
        masks=box_masks(moving_boxes(2, 8), SIZE),
        subject=torch.randn(2, 4, height, width, generator=random),
        subject_text=text,
    )
    latents = torch.randn(2, 4, FRAMES, height, width, generator=random)
    return latents, torch.tensor([30, 700]), conditions


def run(model: DreamVideo2, **changed: Any) -> Tensor:
    latents, timesteps, conditions = inputs()
    with torch.no_grad():
        predicted: Tensor = model(latents, timesteps, conditions._replace(**changed))
    return predicted


# --- At the published size, on no device


@pytest.fixture(scope="module")
def published() -> DreamVideo2:
    with torch.device("meta"):
        return DreamVideo2.beside(UNet3DConditionModel(sample_size=32), ModelSettings())


def test_the_published_size_is_the_papers(published: DreamVideo2) -> None:
    def millions(part: nn.Module | None) -> float:
        assert part is not None
        return sum(weight.numel() for weight in part.parameters()) / 1e6

    assert published.motion_module is not None
    assert millions(published.unet) == pytest.approx(1411, abs=0.5)
    assert millions(published.reference_attention) == pytest.approx(99.1, abs=0.05)
    assert millions(published.motion_module.controlnet) == pytest.approx(363, abs=0.5)
    assert millions(published.motion_module.encoder) == pytest.approx(4, abs=0.1)
    assert sum(weight.numel() for _, weight in trained(published)) / 1e6 == pytest.approx(466, abs=0.5)
    assert sum(isinstance(module, MaskedReferenceAttention) for module in published.modules()) == 32
    assert len(spatial_transformers(published.unet)) == 16


def test_a_step_at_the_published_size_takes_the_floating_point_operations_that_were_counted(
    published: DreamVideo2,
) -> None:
    with torch.device("meta"):
        text = torch.zeros(1, 77, 1024)
        conditions = Conditions(text, torch.zeros(1, 16, 256, 448), torch.zeros(1, 4, 32, 56), text)
        with FlopCounterMode(display=False) as counter:
            predicted = published(torch.zeros(1, 4, 16, 32, 56), torch.zeros(1, dtype=torch.long), conditions)
            forward = counter.get_total_flops()
            predicted.square().mean().backward()
    assert forward == pytest.approx(12.3e12, rel=0.02)
    assert counter.get_total_flops() == pytest.approx(26.8e12, rel=0.02)


# --- The equations, in numpy


def test_reference_attention_is_equations_3_to_5() -> None:
    torch.manual_seed(0)
    layer = MaskedReferenceAttention(6, heads=2).double()
    nn.init.normal_(layer.to_out.weight)
    masks = torch.rand(2, 3, 2, 2, dtype=torch.float64)
    video, subject = torch.randn(6, 4, 6, dtype=torch.float64), torch.randn(2, 4, 6, dtype=torch.float64)
    (weight,) = token_weights(masks, [(2, 2)], 0.75, "area")
    found = layer(video, subject, weight).detach().numpy()
    q, k, v, o = (part.weight.detach().numpy().T for part in (layer.to_q, layer.to_k, layer.to_v, layer.to_out))
    for clip in range(2):
        for frame in range(3):
            z, z_s, m = (
                video[3 * clip + frame].numpy(),
                subject[clip].numpy(),
                masks[clip, frame].numpy().reshape(-1, 1),
            )
            heads = [slice(0, 3), slice(3, 6)]
            scores = [np.exp((z @ q[:, h]) @ (z_s @ k[:, h]).T / np.sqrt(3)) for h in heads]
            seen = [s / s.sum(1, keepdims=True) @ (z_s @ v[:, h]) for s, h in zip(scores, heads, strict=True)]
            expected = z + (m + 0.75 * (1 - m)) * (np.concatenate(seen, 1) @ o)
            np.testing.assert_allclose(found[3 * clip + frame], expected, rtol=1e-10)


def test_the_loss_is_equation_6() -> None:
    rng = np.random.default_rng(0)
    noise, predicted = rng.normal(size=(2, 2, 4, 3, 5, 6))
    mask = rng.integers(2, size=(2, 3, 5, 6)).astype(float)
    said, wanted, inside = (torch.from_numpy(x).float() for x in (predicted, noise, mask))
    found = reweighted_loss(said, wanted, inside, 2.0)
    error, m = (noise - predicted) ** 2, np.broadcast_to(mask[:, None], noise.shape)
    assert found.loss.item() == pytest.approx(((2 * m + (1 - m)) * error).mean(), rel=1e-5)
    assert found.inside.item() == pytest.approx(error[m == 1].mean(), rel=1e-5)
    assert found.outside.item() == pytest.approx(error[m == 0].mean(), rel=1e-5)


def test_masks_are_the_boxes_pixels_and_the_control_signal_is_blank_inside() -> None:
    boxes = torch.tensor([[[2.0, 1, 5, 3], [0, 0, 0, 0], [torch.nan] * 4]])
    masks = box_masks(boxes, (4, 6))
    expected = np.zeros((3, 4, 6))
    expected[0, 1:3, 2:5] = 1
    np.testing.assert_array_equal(masks[0].numpy(), expected)
    np.testing.assert_array_equal(control_signal(masks)[0].numpy(), 1 - expected)
    np.testing.assert_array_equal(blended(masks, 0.0), masks)
    assert blended(masks, 1.0).eq(1).all()
    halved = resized(masks, (2, 3), "area")[0, 0]
    np.testing.assert_allclose(halved, expected[0].reshape(2, 2, 3, 2).mean((1, 3)))


def test_sizes_of_masks_are_those_of_the_feature_maps() -> None:
    """Also where a side is odd; a wrong one would not fit the tokens."""
    _, timesteps, conditions = inputs()
    odd = conditions._replace(subject=torch.randn(2, 4, 5, 7), masks=torch.ones(2, FRAMES, 20, 28))
    latents = torch.randn(2, 4, FRAMES, 5, 7)
    assert small_model()(latents, timesteps, odd).shape == latents.shape
    assert feature_sizes((5, 7), 3) == [(5, 7), (3, 4), (2, 2)]


def test_offset_noise_is_alike_in_all_pixels_of_a_channel() -> None:
    noise, offset = torch.randn(2, 4, 3, 5, 6), torch.randn(2, 4)
    added = offset_noise(noise, offset, 0.1) - noise
    assert torch.allclose(added, (0.1 * offset)[:, :, None, None, None].expand_as(noise), atol=1e-6)


def test_layers_that_are_compiled_take_and_give_the_shapes_that_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for layer in (MaskedReferenceAttention, SpatiotemporalEncoder, MotionModule):
        monkeypatch.setattr(layer, "forward", jaxtyped(layer.forward, typechecker=checked))
    model = small_model()
    run(model)
    assert model.motion_module is not None
    with pytest.raises(TypeCheckError, match="control"):
        model.motion_module.encoder(torch.zeros(2, FRAMES, 1, *SIZE))


def test_tensors_of_another_shape_are_refused_in_tests() -> None:
    with pytest.raises(TypeCheckError, match="boxes"):
        box_masks(torch.zeros(2, 5), SIZE)
    noise = torch.zeros(2, 4, FRAMES, 3, 3)
    with pytest.raises(TypeCheckError, match="masks"):
        reweighted_loss(noise, noise, torch.zeros(2, FRAMES + 1, 3, 3), 2.0)


# --- What reaches what


ABLATIONS = {
    "paper": ModelSettings(motion=MOTION),
    "table 3": ModelSettings(motion=None, reference=ReferenceSettings(lambda_m=1)),
    "table 4": ModelSettings(motion=MOTION, reference=None),
    "no motion encoder": ModelSettings(motion=MOTION.model_copy(update={"encoder": "spatial"})),
    "random start": ModelSettings(motion=MOTION.model_copy(update={"start": "random", "mid_residual": False})),
}


@pytest.mark.parametrize("settings", ABLATIONS.values(), ids=ABLATIONS)
def test_at_the_start_the_output_is_exactly_the_bases(settings: ModelSettings) -> None:
    latents, timesteps, conditions = inputs()
    with torch.no_grad():
        base = small_unet().eval()(latents, timesteps, conditions.text).sample
    assert torch.equal(run(small_model(settings, stirred=False)), base)
    assert not torch.allclose(run(small_model(settings)), base, atol=1e-3)


@pytest.mark.parametrize("settings", ABLATIONS.values(), ids=ABLATIONS)
def test_every_trained_tensor_gets_a_gradient_and_no_frozen_one(settings: ModelSettings) -> None:
    model = small_model(settings)
    latents, timesteps, conditions = inputs()
    model(latents, timesteps, conditions).square().mean().backward()
    without = [name for name, weight in trained(model) if weight.grad is None or not weight.grad.any()]
    assert without == []
    assert all(weight.grad is None for weight in model.unet.parameters())


def test_without_temporal_attention_frames_are_encoded_each_alone() -> None:
    for encoder, alone in (("spatial", True), ("spatiotemporal", False)):
        model = small_model(ModelSettings(motion=MOTION.model_copy(update={"encoder": encoder})))
        assert model.motion_module is not None
        masks = inputs()[2].masks
        with torch.no_grad():
            whole, first = (model.motion_module.encoder(control_signal(m)) for m in (masks, masks[:, :1]))
        assert torch.allclose(whole[0], first[0], atol=1e-5) == alone


def test_subject_box_and_lambda_m_change_the_output() -> None:
    model, plain = small_model(), run(small_model())
    conditions = inputs()[2]
    subject = conditions.subject.clone()
    subject[0, 0, 0, 0] += 1
    assert not torch.allclose(run(model, subject=subject)[0], plain[0], atol=1e-4)
    assert torch.equal(run(model, subject=subject)[1], plain[1])  # another clip's subject is none of its business
    moved = box_masks(moving_boxes(6, 8), SIZE)
    assert not torch.allclose(run(model, masks=moved)[0], plain[0], atol=1e-4)
    for lambda_m in (0, 0.25, 0.5, 1):
        other = small_model(ModelSettings(motion=MOTION, reference=ReferenceSettings(lambda_m=lambda_m)))
        assert not torch.allclose(run(other), plain, atol=1e-4)


def test_a_binary_mask_without_a_box_lets_nothing_of_the_subject_in() -> None:
    model = small_model(ModelSettings(motion=MOTION, reference=ReferenceSettings(lambda_m=0)))
    nowhere = torch.zeros(2, FRAMES, *SIZE)
    one = run(model, masks=nowhere)
    assert torch.equal(one, run(model, masks=nowhere, subject=torch.randn(2, 4, 6, 8)))


def test_what_knows_no_order_of_frames_permutes_with_them() -> None:
    """The motion module and reference attention do, the base's temporal convolutions make the whole not."""
    model, order = small_model(), torch.tensor([2, 0, 3, 1])
    latents, timesteps, conditions = inputs()
    assert model.motion_module is not None
    with torch.no_grad():
        straight, mixed = (
            model.motion_module(x, timesteps, conditions.text, control_signal(m))
            for x, m in ((latents, conditions.masks), (latents[:, :, order], conditions.masks[:, order]))
        )
    for one, other in zip((*straight.down, straight.mid), (*mixed.down, mixed.mid), strict=True):
        assert one is not None
        assert other is not None
        expected = one.unflatten(0, (2, FRAMES))[:, order]
        assert torch.allclose(other.unflatten(0, (2, FRAMES)), expected, atol=1e-4)
    with torch.no_grad():
        whole = model(latents[:, :, order], timesteps, conditions._replace(masks=conditions.masks[:, order]))
    assert not torch.allclose(whole, run(model)[:, :, order], atol=1e-3)


def test_the_subject_is_looked_at_once_for_all_steps_unless_it_is_told_the_videos_timestep() -> None:
    _, timesteps, conditions = inputs()
    for told, alike in (("zero", True), ("video", False)):
        model = small_model(ModelSettings(motion=MOTION, reference=ReferenceSettings(subject_timestep=told)))
        one, other = (model.look(conditions, step) for step in (timesteps, timesteps + 100))
        same = [torch.equal(a, b) for name in one for a, b in zip(one[name], other[name], strict=True)]
        assert all(same) == alike


def test_the_frozen_base_never_drops_out() -> None:
    model = small_model().train()
    assert torch.equal(run(model), run(model))
    assert not model.unet.training
    assert model.training


# --- Saved and loaded


def test_only_what_is_trained_is_saved_and_comes_back(tmp_path: Path) -> None:
    model = small_model()
    model.save_pretrained(tmp_path)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    parts = ("reference_attention", "motion_module")
    assert files == {
        "dreamvideo2.json",
        *(f"{p}/{f}" for p in parts for f in ("config.json", "diffusion_pytorch_model.safetensors")),
    }
    again = DreamVideo2.from_pretrained(tmp_path, small_unet())
    assert again.settings == model.settings
    assert torch.equal(run(again), run(model))


def test_a_model_of_another_base_is_refused(tmp_path: Path) -> None:
    small_model().save_pretrained(tmp_path)
    wider = UNet3DConditionModel(**{**SMALL, "block_out_channels": (16, 64)})
    with pytest.raises(ValueError, match="trained beside another base"):
        DreamVideo2.from_pretrained(tmp_path, wider)
    with pytest.raises(ValueError, match=r"dreamvideo2\.json is missing"):
        DreamVideo2.from_pretrained(tmp_path / "nothing", small_unet())


def test_a_model_that_trains_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing is left to train"):
        ModelSettings(reference=None, motion=None)


# --- What makes it fast changes nothing


def gradients(model: DreamVideo2) -> tuple[Tensor, dict[str, Tensor]]:
    latents, timesteps, conditions = inputs()
    predicted = model(latents, timesteps, conditions)
    predicted.square().mean().backward()
    return predicted.detach(), {name: weight.grad for name, weight in trained(model) if weight.grad is not None}


def same_gradients(one: DreamVideo2, other: DreamVideo2) -> bool:
    (predicted, expected), (again, found) = gradients(one), gradients(other)
    alike = [torch.allclose(found[name], gradient, rtol=1e-3, atol=1e-6) for name, gradient in expected.items()]
    return torch.allclose(predicted, again, atol=1e-5) and all(alike) and found.keys() == expected.keys()


def test_blocks_that_forget_give_the_same_gradients() -> None:
    speed = SpeedSettings(checkpointing=True, channels_last=True)
    assert same_gradients(small_model(), sped_up(small_model(), speed))


@pytest.mark.filterwarnings(r"ignore:The \.grad attribute of a Tensor that is not a leaf")  # of torch's own looking
def test_compiled_layers_have_no_graph_breaks_and_serve_every_layer_of_their_shapes() -> None:
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    compiled = sped_up(small_model(), SpeedSettings(compile=True, compile_backend="eager", checkpointing=True))
    assert same_gradients(small_model(), compiled)
    assert not counters["graph_break"]
    graphs = counters["stats"]["unique_graphs"]
    layers = [module for module in compiled.modules() if "forward" in vars(module)]
    assert 0 < graphs <= len(layers)
    run(compiled)
    gradients(compiled)
    assert not counters["graph_break"]


def test_half_precision_stays_near() -> None:
    whole, half = run(small_model()), run(sped_up(small_model(), SpeedSettings(precision="bfloat16")))
    assert half.dtype == torch.float32
    assert (whole - half).abs().max() < 0.05 * whole.abs().max()
    assert not torch.equal(whole, half)
