"""What is not safe for work, by a tiny seeded classifier."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from pipeline.models.nsfw import Nsfw
from pipeline.stages.measurer import Measurer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny seeded vision transformer with two labels."""
    place = tmp_path_factory.mktemp("classifier")
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
        id2label={0: "normal", 1: "nsfw"},
        label2id={"normal": 0, "nsfw": 1},
    )
    torch.manual_seed(0)
    model = transformers.ViTForImageClassification(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    model.save_pretrained(place)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(place)
    return place


def frames(*colours: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.stack([np.full((48, 64, 3), colour, np.uint8) for colour in colours])


@pytest.mark.usefixtures("one_thread")
def test_the_most_probable_frame_counts(folder: Path) -> None:
    classify = Nsfw(model=str(folder), dtype="float32").open()
    each = [classify(frames(colour))["nsfw"] for colour in (10, 120, 250)]
    assert len(set(each)) == 3
    assert all(0 <= value <= 1 for value in each)
    assert classify(frames(10, 120, 250))["nsfw"] == pytest.approx(max(each), abs=2e-4)


@pytest.mark.usefixtures("one_thread")
def test_the_label_chooses_and_probabilities_add_up(folder: Path) -> None:
    nsfw, normal = (Nsfw(model=str(folder), label=label, dtype="float32").open() for label in ("NSFW", "normal"))
    assert nsfw(frames(120))["nsfw"] + normal(frames(120))["nsfw"] == pytest.approx(1, abs=2e-4)


def test_a_label_that_the_model_does_not_know_is_named_with_those_it_knows(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"has no label 'porn': set label to one of \['normal', 'nsfw'\]"):
        Nsfw(model=str(folder), label="porn").open()


def test_the_models_weights_are_in_the_digest_and_its_device_is_not(folder: Path) -> None:
    measurer = Measurer(nsfw=Nsfw(model=str(folder)))
    assert measurer.uses_model
    assert "sha256" in measurer.fingerprint()
    assert measurer.digest() == Measurer(nsfw=Nsfw(model=str(folder), device="cpu")).digest()
    assert measurer.digest() != Measurer(nsfw=Nsfw(model=str(folder), label="normal")).digest()
