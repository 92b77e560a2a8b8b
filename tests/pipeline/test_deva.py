"""DEVA's network and propagation by figures of the published code, and the loading of its weights.

`deva_state.tsv` lists the published tensors, name and shape. `deva_figures.json` is a digest of what the published code
gives with the seeded weights; test_deva_reference.py compares whole arrays where they are at hand.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.models.deva.build import build, load
from pipeline.models.deva.core import Core
from pipeline.models.deva.matching import feature_map
from pipeline.models.deva.network import Deva
from pipeline.models.deva.objects import Segmentation, Votes
from pipeline.models.deva.semi_online import aligned
from pipeline.models.deva.settings import SMALL, Propagation
from tests.pipeline.deva_seeded import normalised, seeded_frames, seeded_masks, seeded_network

BESIDE = Path(__file__).parent
FIGURES: dict[str, Any] = json.loads((BESIDE / "deva_figures.json").read_text())

WHOLE_SIZE = Propagation(short_side=None, mem_every=2, max_mid_term_frames=100)
TIGHT = Propagation(
    mem_every=1, max_mid_term_frames=4, min_mid_term_frames=2, num_prototypes=16, max_long_term_elements=56
)


def matches(found: Tensor, name: str) -> None:
    """The published code's figures of an array, within 1e-4."""
    figures, values = FIGURES[name], found.double().flatten()
    assert list(found.shape) == figures["shape"]
    assert float(values.mean()) == pytest.approx(figures["mean"], abs=1e-5)
    assert float(values.square().mean()) == pytest.approx(figures["mean_square"], abs=1e-5)
    for position, value in figures["at"].items():
        assert float(values[int(position)]) == pytest.approx(value, abs=1e-4)


@pytest.fixture(scope="module")
def published() -> Deva:
    return seeded_network()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return normalised(seeded_frames(14))


def test_tensors_are_the_published_ones(published: Deva) -> None:
    rows = [line.split("\t") for line in (BESIDE / "deva_state.tsv").read_text().splitlines()]
    table = {name: () if shape == "()" else tuple(map(int, shape.split(","))) for name, shape in rows}
    assert {name: tuple(tensor.shape) for name, tensor in published.state_dict().items()} == table
    assert len(table) == 420


def test_network_by_its_figures(published: Deva, images: Tensor) -> None:
    core = Core(published, WHOLE_SIZE)
    first = core.encode(images[0])
    for part in (first.features, first.key):
        for name, tensor in part._asdict().items():
            matches(tensor[0], name)
    core.step(first, torch.from_numpy(seeded_masks()))
    matches(core.sensory, "sensory_0")
    value = core.memory.buckets[0].tokens.value
    matches(feature_map(value, first.grid), "value_0")

    second = core.encode(images[1])
    readout = feature_map(core.memory.read(second.query), second.grid)
    matches(readout, "seg1_readout")
    with torch.inference_mode():
        sensory, logits = published.mask_decoder(second.features, readout, core.sensory, core.last_masks)
    matches(logits, "seg1_logits")
    matches(sensory, "seg1_sensory")


def test_propagation_by_its_figures(published: Deva, images: Tensor) -> None:
    sizes = []
    core = Core(published, TIGHT)
    for t in range(14):
        maps = core.step(core.encode(images[t]), torch.from_numpy(seeded_masks()) if t == 0 else None)
        sizes.append([core.memory.buckets[0].num_working, core.memory.buckets[0].num_long_term])
    matches(maps, "long_term_frame_13")
    assert sizes == FIGURES["long_term_sizes"]

    core, joining = Core(published, WHOLE_SIZE), torch.zeros(1, 96, 128)
    joining[:, 48:80, 8:40] = 1
    new = {0: torch.from_numpy(seeded_masks()), 2: joining}
    for t in range(5):
        maps = core.step(core.encode(images[t]), new.get(t))
    matches(maps, "joined_frame_4")
    assert [len(bucket.tokens) for bucket in core.memory.buckets] == FIGURES["joined_sizes"]

    core = Core(published, WHOLE_SIZE)
    for t in range(3):
        masks = torch.from_numpy(seeded_masks()[:, :-6, :-7]) if t == 0 else None
        maps = core.step(core.encode(images[t, :, :-6, :-7]), masks)
    matches(maps, "padded_frame_2")


def test_alignment_of_a_detection_by_its_figures(published: Deva, images: Tensor) -> None:
    core = Core(published, WHOLE_SIZE)
    labels = np.zeros((96, 128), np.int64)
    labels[59:91, 72:117], labels[11:49, 16:61] = 1, 2
    detected = Segmentation(labels=labels, votes=(Votes(categories=(1,), scores=(0.6,)),) * 2)
    first, second = core.encode(images[0]), core.encode(images[1])
    areas = np.bincount(aligned(core, second, detected, first).labels.ravel())
    assert areas.tolist() == pytest.approx(FIGURES["aligned_areas"], abs=5)
    assert aligned(core, first, detected, first) is detected


def test_weights_come_back(tmp_path: Path) -> None:
    weights = seeded_network(SMALL).state_dict()
    torch.save(weights, tmp_path / "small.pth")
    loaded = load(tmp_path / "small.pth", SMALL)
    assert not loaded.training
    assert all(torch.equal(tensor, weights[name]) for name, tensor in loaded.state_dict().items())


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ([1, 2], "holds no tensors"),
        ({"network": {}}, "holds no tensors"),
        (build(SMALL.model_copy(update={"hidden": 16})).state_dict(), "is .*, not .*; load it with the widths"),
    ],
)
def test_other_weights_are_refused(content: object, why: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=why):
        load(tmp_path / "other.pth", SMALL)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04 cut off"])
def test_what_is_no_file_of_weights_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "page.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"page\.pth: no file of weights"):
        load(tmp_path / "page.pth", SMALL)


def test_a_network_in_training_is_refused() -> None:
    with pytest.raises(ValueError, match=r"call its eval\(\)"):
        build(SMALL).check_eval()
