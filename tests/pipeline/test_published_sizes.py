"""Networks at their full published sizes, of random weights: what they are made of, and that a batch is its frames."""

import runpy
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline.models.grounding_dino.detector import Detector, Question, to_image
from pipeline.models.grounding_dino.network import _arguments
from pipeline.models.grounding_dino.network import build as build_dino
from pipeline.models.grounding_dino.prompt import prompts
from pipeline.models.grounding_dino.settings import ARCHITECTURES, GroundingDino
from pipeline.models.segment_anything import Segmenter, decode
from pipeline.models.segment_anything import build as build_sam
from pipeline.records import Detection
from shards import rle
from tests.pipeline.grounding_dino_small import write_text_encoder

pytestmark = pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning")  # in the package, told once a process

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

DinoSize = Literal["swin_t", "swin_b"]
SamSize = Literal["vit_b", "vit_l", "vit_h"]
OWN_CONFIGS = {"swin_t": "GroundingDINO_SwinT_OGC.py", "swin_b": "GroundingDINO_SwinB_cfg.py"}
TRAINING_ONLY = {"batch_size", "dn_label_coef", "dn_bbox_coef", "fusion_droppath"}
ELSEWHERE = {"text_encoder_type", "use_checkpoint", "use_transformer_ckpt"}  # replaced; memory for time in training


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def pictures(count: int, height: int, width: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, height // 8, width // 8, 3), np.uint8)
    return list(coarse.repeat(8, axis=1).repeat(8, axis=2))


# --- Grounding DINO


@pytest.mark.parametrize("size", ["swin_t", "swin_b"])
def test_groundingdinos_own_configuration_is_ours(size: DinoSize) -> None:
    own = runpy.run_path(str(files("groundingdino.config") / OWN_CONFIGS[size]))
    own = {name: value for name, value in own.items() if not name.startswith("_")}
    ours = vars(_arguments(ARCHITECTURES[size]))
    assert own.keys() - ours.keys() <= TRAINING_ONLY
    compared = own.keys() - TRAINING_ONLY - ELSEWHERE
    assert {name: ours[name] for name in compared} == {name: own[name] for name in compared}


def full_text_encoder(folder: Path) -> Path:
    """BERT-base, but for its few words."""
    write_text_encoder(folder)
    (folder / "config.json").write_text('{"model_type": "bert", "vocab_size": 30522}')
    return folder


@pytest.mark.parametrize(("size", "millions"), [("swin_t", 173), ("swin_b", 233)])
def test_groundingdino_answers_a_batch_as_its_frames(tmp_path: Path, size: DinoSize, millions: int) -> None:
    text_encoder = full_text_encoder(tmp_path / "text")
    network = build_dino(ARCHITECTURES[size], str(text_encoder)).eval()
    assert round(sum(parameter.numel() for parameter in network.parameters()) / 1e6) == millions
    settings = GroundingDino(size=size, text_encoder=str(text_encoder), device="cpu", short_side=224, long_side=320)
    detector = Detector(settings, network)
    (prompt,) = prompts(("dog", "golden retriever"), network.tokenizer)
    questions = [
        Question(number=n, size=(224, 320), image=to_image(frame, (224, 320)), prompt=prompt)
        for n, frame in enumerate(pictures(2, 224, 320))
    ]
    together, alone = detector._answer(questions), detector._answer(questions[1:])
    assert together[0].shape == (2, 900, 256)
    assert together[1].shape == (2, 900, 4)
    # The 900 positions that become queries are chosen by their scores, so equal ones may change places.
    for both, one in zip(together, alone, strict=True):
        torch.testing.assert_close(both[1].sum(0), one[0].sum(0), rtol=1e-3, atol=1e-2)
    assert not torch.equal(together[1][0], together[1][1])


# --- Segment Anything


@pytest.mark.parametrize(
    ("size", "parameters"), [("vit_b", 93_735_472), ("vit_l", 312_342_832), ("vit_h", 641_090_608)]
)
def test_segment_anything_has_the_published_numbers(size: SamSize, parameters: int) -> None:
    with torch.device("meta"):
        network = build_sam(size)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize(
    "size", ["vit_b", *(pytest.param(large, marks=pytest.mark.gpu) for large in ("vit_l", "vit_h"))]
)
def test_segment_anything_at_its_own_size_draws_boxes_together_as_alone(size: SamSize) -> None:
    """One picture only: at 1024 pixels a side it takes seconds, and minutes of the larger ones where no GPU is."""
    network = build_sam(size).eval().to(DEVICE)
    boxes = tuple(Detection(noun="dog", frame=0, box=box, score=0.5) for box in ((10, 20, 90, 80), (0, 0, 160, 96)))
    pictured: list[torch.Tensor] = []
    hook = network.image_encoder.register_forward_hook(lambda _module, _images, seen: pictured.append(seen))
    (together,) = Segmenter(network, 1.0)([(pictures(1, 96, 160)[0], boxes)])
    hook.remove()
    assert pictured[0].shape == (1, 256, 64, 64)
    assert [found.detection for found in together] == list(boxes)
    with torch.inference_mode():
        asked = torch.tensor([box.box for box in boxes], device=DEVICE) * (1024 / 160)
        for n, found in enumerate(together):
            _, iou = decode(network, pictured[0], asked[n : n + 1])
            assert found.predicted_iou == pytest.approx(iou.item(), abs=2e-4)
            assert rle.decode(found.mask, (96, 160)).shape == (96, 160)
