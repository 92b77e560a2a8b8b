"""Segment Anything: masks against the package's own predictor, batches, scores, and the weights it takes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from segment_anything import SamPredictor  # type: ignore[import-untyped]
from segment_anything.utils.amg import calculate_stability_score  # type: ignore[import-untyped]

from pipeline.models import segment_anything
from pipeline.models.segment_anything import SegmentAnything, Segmenter, SegmentFrames, build
from pipeline.records import Detection, Segment
from shards import rle

SIZE = (120, 200)
BOXES = ((10, 20, 90, 80), (0, 0, 200, 120), (150, 100, 151, 101), (60, 5, 130, 118))


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def network() -> Any:
    """Fresh weights, with logits large enough for the two thresholds of the stability to differ."""
    with torch.random.fork_rng():
        torch.manual_seed(9)
        network = build("embedded").eval()
        for parameter in network.mask_decoder.output_hypernetworks_mlps[0].layers[-1].parameters():
            parameter.data *= 60
    return network


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, network: Any) -> SegmentAnything:
    path = tmp_path_factory.mktemp("segment_anything") / "weights.pth"
    torch.save(network.state_dict(), path)
    return SegmentAnything(checkpoint=str(path), size="embedded", device="cpu")


@pytest.fixture(scope="module")
def segment(settings: SegmentAnything) -> SegmentFrames:
    return settings.open()


def picture(size: tuple[int, int] = SIZE, seed: int = 0) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (5, 7, 3), np.uint8)
    rows, columns = (np.arange(length) * cells // length for length, cells in zip(size, (5, 7), strict=True))
    return np.ascontiguousarray(small[rows][:, columns])


def detections(*boxes: rle.Box) -> tuple[Detection, ...]:
    return tuple(Detection(noun=f"noun {i}", frame=i, box=box, score=0.5) for i, box in enumerate(boxes))


def masks(segments: tuple[Segment, ...], size: tuple[int, int] = SIZE) -> NDArray[np.bool_]:
    return rle.decode_clip([segment.mask for segment in segments], size)


def nearly_same(one: tuple[Segment, ...], other: tuple[Segment, ...], size: tuple[int, int]) -> bool:
    """But for pixels at the very threshold: sums differ in the last bits with the size of a batch."""
    return [s.detection for s in one] == [s.detection for s in other] and all(
        np.mean(a != b) < 1e-3
        and s.predicted_iou == pytest.approx(t.predicted_iou, abs=2e-4)
        and s.stability == pytest.approx(t.stability, abs=2e-3)
        for s, t, a, b in zip(one, other, masks(one, size), masks(other, size), strict=True)
    )


def test_segments_are_those_of_the_packages_predictor(segment: SegmentFrames, network: Any) -> None:
    frame, asked = picture(), detections(*BOXES)
    (found,) = segment([(frame, asked)])
    predictor = SamPredictor(network)
    predictor.set_image(frame)
    expected = []
    for detection in asked:
        box = np.array(detection.box)
        logits, iou, _ = predictor.predict(box=box, multimask_output=False, return_logits=True)
        stability = calculate_stability_score(torch.from_numpy(logits), 0.0, 1.0).item()
        mask = rle.encode(logits[0] > 0)
        expected.append(Segment(detection=detection, mask=mask, predicted_iou=iou.item(), stability=stability))
    assert len({s.mask for s in expected}) > 1
    assert all(0.01 < masks((s,)).mean() < 0.99 for s in expected)
    assert all(0 < (s.stability or 0) < 1 for s in expected)
    assert nearly_same(found, tuple(expected), SIZE)


def test_a_batch_answers_as_its_frames_one_by_one(segment: SegmentFrames) -> None:
    sizes = [SIZE, (90, 40), SIZE, (333, 500)]
    asked = [detections(*BOXES), detections((3, 4, 30, 80)), (), detections((100, 100, 300, 300), (5, 5, 9, 9))]
    batch = [(picture(size, seed), boxes) for seed, (size, boxes) in enumerate(zip(sizes, asked, strict=True))]
    together, alone = segment(batch), [segment([item])[0] for item in batch]
    assert [len(found) for found in alone] == [4, 1, 0, 2]
    assert all(nearly_same(a, b, size) for a, b, size in zip(together, alone, sizes, strict=True))
    assert segment([]) == []
    assert segment([(picture(), ())]) == [()]


def test_boxes_of_a_frame_do_not_change_each_others_masks(segment: SegmentFrames) -> None:
    asked = detections(*BOXES)
    (together,) = segment([(picture(), asked)])
    alone = [segment([(picture(), (detection,))])[0][0] for detection in asked]
    assert nearly_same(together, tuple(alone), SIZE)


def test_a_frame_is_encoded_once_and_all_boxes_decoded_together(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, int]] = []
    hooks = [
        network.image_encoder.register_forward_hook(lambda m, args, out: calls.append(("encode", len(out)))),
        network.mask_decoder.transformer.register_forward_hook(
            lambda m, args, out: calls.append(("decode", len(out[0])))
        ),
    ]
    batch = [(picture(), detections(*BOXES)), (picture(), ()), (picture((50, 70)), detections(*BOXES[:2]))]
    together = Segmenter(network, 1.0)(batch)
    monkeypatch.setattr(segment_anything, "BOXES", 4)
    in_two = Segmenter(network, 1.0)(batch)
    for hook in hooks:
        hook.remove()
    assert calls == [("encode", 2), ("decode", 6), ("encode", 2), ("decode", 4), ("decode", 2)]
    sizes = (item[0].shape[:2] for item in batch)
    assert all(nearly_same(a, b, size) for a, b, size in zip(together, in_two, sizes, strict=True))


def test_a_picture_is_encoded_alike_whatever_lies_beside_it(network: Any) -> None:
    """Pictures of several shapes, and what padding they come with."""
    batch = torch.zeros(4, 3, 192, 192)
    for number, (height, width) in enumerate(((115, 192), (192, 30), (115, 192), (192, 192))):
        batch[number, :, :height, :width] = torch.randn(3, height, width)
    with torch.inference_mode():
        together = network.image_encoder(batch)
        alone = torch.cat([network.image_encoder(one[None]) for one in batch])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    assert not together[0, :, 15:].any()
    assert not together[1, :, :, 4:].any()
    assert together[0, :, :15].any(0).all()
    assert together[1, :, :, :4].any(0).all()


def test_an_empty_mask_is_left_out(network: Any) -> None:
    segment, asked = Segmenter(network, 1.0), detections(*BOXES)
    predictor = SamPredictor(network)
    predictor.set_image(picture())
    peaks = [predictor.predict(box=np.array(d.box), multimask_output=False, return_logits=True)[0].max() for d in asked]
    lowest, second = sorted(peaks)[:2]
    network.mask_threshold = float(lowest + second) / 2
    try:
        (found,) = segment([(picture(), asked)])
    finally:
        del network.mask_threshold
    assert [s.detection for s in found] == [d for d, peak in zip(asked, peaks, strict=True) if peak > lowest]


@pytest.mark.parametrize("size", [(2, 2), (2, 300), (97, 31), (160, 160)])
def test_masks_have_the_size_of_any_frame(segment: SegmentFrames, size: tuple[int, int]) -> None:
    (found,) = segment([(picture(size), detections((0, 0, size[1], size[0])))])
    assert masks(found, size).shape == (len(found), *size)


def failure(settings: SegmentAnything) -> str:
    with pytest.raises(ValueError, match=r"; |no weights") as caught:
        settings.open()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_foreign_weights_are_refused_in_one_line(
    settings: SegmentAnything, network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "other.pth"
    wrong = settings.model_copy(update={"checkpoint": str(path)})
    assert failure(wrong) == f"{path}: no such file of weights; size embedded takes segment_anything.safetensors"
    weights = network.state_dict()
    torch.save({name: value for name, value in weights.items() if name != "image_encoder.pos_embed"}, path)
    assert "1 tensors missing ['image_encoder.pos_embed'], 0 foreign []" in failure(wrong)
    torch.save(weights | {"image_encoder.pos_embed": torch.zeros(1, 64, 64, 128)}, path)
    assert "image_encoder.pos_embed is (1, 64, 64, 128), not (1, 24, 24, 128)" in failure(wrong)
    monkeypatch.setenv("DREAMREEL_MODELS", str(tmp_path / "models"))
    assert failure(SegmentAnything()).endswith("; run `dreamreel models fetch sam_vit_h_4b8939.pth`")


def test_vit_b_has_the_published_layout() -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in build("vit_b").state_dict().items()}
    assert shapes["image_encoder.pos_embed"] == (1, 64, 64, 768)
    assert shapes["image_encoder.blocks.11.attn.rel_pos_h"] == (127, 64)
    assert shapes["mask_decoder.iou_prediction_head.layers.2.weight"] == (4, 256)
    assert "pixel_mean" not in shapes


def test_the_fingerprint_follows_the_weights(settings: SegmentAnything, tmp_path: Path) -> None:
    assert "segment-anything 1." in settings.fingerprint()
    other = tmp_path / "other.pth"
    other.write_bytes(b"other")
    assert settings.model_copy(update={"checkpoint": str(other)}).fingerprint() != settings.fingerprint()
    with pytest.raises(ValueError, match="no such file"):
        settings.model_copy(update={"checkpoint": str(tmp_path / "none")}).fingerprint()
