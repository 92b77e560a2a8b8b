"""Detector and segmenter in Hugging Face's layout: same interface as the others', whatever lies in the same call."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as typed_transformers
from numpy.typing import NDArray

from pipeline.models.catalog import Own
from pipeline.models.fitting import check_pretrained
from pipeline.models.grounding_dino.detector import input_size, to_box, to_image
from pipeline.models.grounding_dino.hub_detector import least_side
from pipeline.models.grounding_dino.settings import ARCHITECTURES, Detect
from pipeline.models.grounding_dino_hf import PretrainedGroundingDino
from pipeline.models.sam2_segmenter import Sam2Segmenter
from pipeline.models.segment_anything import SegmentFrames
from pipeline.recipe import load_recipe
from pipeline.records import Detection, Segment
from pipeline.stages.locate import Grounder, Segmenter
from shards import rle
from tests.pipeline import tiny_models

transformers: Any = typed_transformers  # some of its classes are typed in part only

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = (48, 80)
FRAME: NDArray[np.uint8] = np.random.default_rng(1).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
OTHER = FRAME[::-1, :60].copy()
BOXES = ((3, 4, 30, 30), (10, 10, 70, 40), (0, 0, 80, 48))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    tiny_models.save_grounding_dino(folder / "dino")
    tiny_models.save_sam2(folder / "sam2")
    return folder


@pytest.fixture(scope="module")
def detector(folder: Path) -> PretrainedGroundingDino:
    return PretrainedGroundingDino(
        model=str(folder / "dino"), device="cpu", box_threshold=0, text_threshold=0, short_side=64, long_side=96
    )


@pytest.fixture(scope="module")
def detect(detector: PretrainedGroundingDino) -> Detect:
    return detector.open()


@pytest.fixture(scope="module")
def segment(folder: Path) -> SegmentFrames:
    return Sam2Segmenter(model=str(folder / "sam2"), device="cpu").open()


def detections(*boxes: tuple[int, int, int, int]) -> tuple[Detection, ...]:
    return tuple(Detection(noun="dog", frame=0, box=box, score=0.5) for box in boxes)


def near(a: Sequence[Detection], b: Sequence[Detection]) -> bool:
    """Of the same nouns, at the same edges but for rounding, with the same scores but for their last digit."""
    return len(a) == len(b) and all(
        x.noun == y.noun
        and np.abs(np.subtract(x.box, y.box)).max() <= 1
        and x.score == pytest.approx(y.score, abs=2e-4)
        and x.text_score == pytest.approx(y.text_score, abs=2e-4)
        for x, y in zip(a, b, strict=True)
    )


def test_frames_of_a_call_do_not_change_each_others_boxes(detect: Detect) -> None:
    """Nor do prompts of other lengths, with which a frame's own is padded."""
    batch = [(FRAME, ("dog", "cat", "bird")), (FRAME[:, ::-1].copy(), ("fish",)), (OTHER, ("dog",)), (FRAME, ())]
    together = detect(batch)
    assert together[3] == ()
    for question, answer in zip(batch, together, strict=True):
        assert near(answer, detect([question])[0])


def test_a_nouns_score_is_that_of_its_own_tokens(detect: Detect, folder: Path) -> None:
    """Against transformers' class, asked for the same prompt."""
    (found,) = detect([(FRAME, ("dog", "in house"))])
    network = transformers.GroundingDinoForObjectDetection.from_pretrained(folder / "dino")
    ids = torch.tensor([[101, *(2000 + tiny_models.WORDS.index(word) for word in ("dog",)), 1012]])
    ids = torch.cat(
        [ids, torch.tensor([[2000 + tiny_models.WORDS.index(w) for w in ("in", "house")] + [1012, 102]])], 1
    )
    with torch.inference_mode():
        image = to_image(FRAME, input_size(SIZE, 64, 96, 1))[None]
        answer = network(pixel_values=image, input_ids=ids, attention_mask=torch.ones_like(ids))
    probabilities = answer.logits[0].sigmoid()
    tokens = {"dog": [1], "in house": [3, 4]}
    for noun, own in tokens.items():
        scores = probabilities[:, own].amax(1)
        (best, *_) = (detection for detection in found if detection.noun == noun)
        query = int(scores.argmax())
        x, y, w, h = answer.pred_boxes[0, query].tolist()
        edges = [(x - w / 2) * SIZE[1], (y - h / 2) * SIZE[0], (x + w / 2) * SIZE[1], (y + h / 2) * SIZE[0]]
        assert best.score == pytest.approx(scores[query].item(), abs=2e-4)
        assert best.text_score == pytest.approx(probabilities[query, own].mean().item(), abs=2e-4)
        assert np.abs(np.subtract(best.box, to_box(edges, SIZE))).max() <= 1


def test_thresholds_and_unknown_nouns(detector: PretrainedGroundingDino, detect: Detect) -> None:
    assert detect([(FRAME, ("qwrtzx",))]) == [()]
    (every,) = detect([(FRAME, ("dog",))])
    limit = sorted(detection.score or 0 for detection in every)[len(every) // 2]
    (some,) = detector.model_copy(update={"box_threshold": limit}).open()([(FRAME, ("dog",))])
    assert 0 < len(some) < len(every)
    assert all((detection.score or 0) >= limit for detection in some)
    with pytest.raises(ValueError, match="short_side 900 is above long_side 600: swap them"):
        PretrainedGroundingDino(model="a/b", short_side=900, long_side=600)


def test_the_published_number_of_queries_needs_the_published_square() -> None:
    assert least_side(900) == ARCHITECTURES["swin_t"].least_side


def test_masks_are_those_of_transformers_own_walk(segment: SegmentFrames, folder: Path) -> None:
    (found,) = segment([(FRAME, detections(*BOXES))])
    network = transformers.Sam2Model.from_pretrained(folder / "sam2")
    processor = transformers.Sam2Processor.from_pretrained(folder / "sam2")
    boxes = [[[float(edge) for edge in box] for box in BOXES]]
    inputs = processor(images=FRAME, input_boxes=boxes, return_tensors="pt")
    with torch.inference_mode():
        answer = network(**{k: inputs[k] for k in ("pixel_values", "input_boxes")}, multimask_output=False)
    (masks,) = processor.post_process_masks(answer.pred_masks, inputs["original_sizes"])
    assert len(found) == len(BOXES)
    for k, one in enumerate(found):
        assert rle.iou(one.mask, rle.encode(masks[k, 0].numpy()), SIZE) > 0.99
        assert one.predicted_iou == pytest.approx(answer.iou_scores[0, k, 0].item(), abs=2e-4)
        assert 0 < (one.stability or 0) <= 1
        assert one.detection.box == BOXES[k]


def test_frames_of_a_call_do_not_change_each_others_masks(segment: SegmentFrames) -> None:
    batch = [(FRAME, detections(*BOXES)), (FRAME, ()), (OTHER, detections(BOXES[0]))]
    together = segment(batch)
    assert together[1] == ()
    for question, answer in zip(batch, together, strict=True):
        (alone,) = segment([question])
        assert len(alone) == len(answer)
        assert all(same(a, b, question[0].shape[:2]) for a, b in zip(answer, alone, strict=True))


def same(a: Segment, b: Segment, size: tuple[int, ...]) -> bool:
    return rle.iou(a.mask, b.mask, (size[0], size[1])) > 0.99 and a.predicted_iou == pytest.approx(
        b.predicted_iou, abs=1e-3
    )


def test_a_recipe_tells_them_by_their_keys(folder: Path) -> None:
    recipe = load_recipe("modern", [f"grounder.model.model={folder}/dino", f"segmenter.model.model={folder}/sam2"])
    assert isinstance(recipe.grounder, Grounder)
    assert isinstance(recipe.segmenter, Segmenter)
    assert isinstance(recipe.grounder.model, PretrainedGroundingDino)
    assert isinstance(recipe.segmenter.model, Sam2Segmenter)
    assert recipe.grounder.model.size == f"{folder}/dino"
    assert isinstance(recipe.segmenter.model.weights()[0], Own)
    with pytest.raises(ValueError, match="no embedded model of this kind"):
        load_recipe("modern", ["segmenter.model.model=embedded"])
    with pytest.raises(ValueError, match=r"unknown setting grounder\.model\.box_treshold; did you mean"):
        load_recipe("modern", ["grounder.model.box_treshold=0.2"])


def test_a_folder_is_checked_against_its_class(folder: Path, tmp_path: Path) -> None:
    check_pretrained(folder / "dino", transformers.GroundingDinoForObjectDetection)
    check_pretrained(folder / "sam2", transformers.Sam2Model)
    (tmp_path / "config.json").write_bytes((folder / "sam2" / "config.json").read_bytes())
    whole = (folder / "sam2" / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=r"model\.safetensors: no file of weights \(.+\); fetch it again"):
        check_pretrained(tmp_path, transformers.Sam2Model)
    (tmp_path / "model.safetensors").write_bytes((folder / "dino" / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"weights of another network: \d+ tensors missing"):
        check_pretrained(tmp_path, transformers.Sam2Model)
