"""DEVA against numbers that the authors' published code gave with seeded weights: every array of two files.

The folder that `DREAMREEL_DEVA_REFERENCE` names holds `golden_s1.npz` and `consensus_s1.npz`.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.models.deva import memory as memory_module
from pipeline.models.deva import semi_online as semi_online_module
from pipeline.models.deva.consensus import consensus
from pipeline.models.deva.core import Core, Merged
from pipeline.models.deva.memory import Tokens
from pipeline.models.deva.network import Deva, aggregate
from pipeline.models.deva.objects import Labels, ObjectTable, Segmentation, Votes
from pipeline.models.deva.semi_online import SemiOnlineFrame, SemiOnlineTracker
from pipeline.models.deva.settings import Propagation, SemiOnline
from tests.pipeline.deva_seeded import (
    as_bytes,
    normalised,
    seeded_frames,
    seeded_masks,
    seeded_network,
)

FOLDER = os.environ.get("DREAMREEL_DEVA_REFERENCE")
pytestmark = [
    pytest.mark.skipif(FOLDER is None, reason="DREAMREEL_DEVA_REFERENCE names no folder of reference numbers"),
    pytest.mark.usefixtures("one_thread"),  # two threads differ from the reference by 1.1e-5
]

Archive: TypeAlias = Mapping[str, NDArray[Any]]
Segments: TypeAlias = Sequence[tuple[int, int, float]]  # id, category, score

WITHOUT_LONG_TERM = Propagation(short_side=None, mem_every=2, max_mid_term_frames=100)
LONG_TERM = Propagation(
    short_side=None,
    mem_every=1,
    max_mid_term_frames=4,
    min_mid_term_frames=2,
    num_prototypes=16,
    max_long_term_elements=56,
)
NEARLY_EQUAL_FRAME = LONG_TERM.model_copy(update={"mem_every": 2, "max_mid_term_frames": 3})


@pytest.fixture(scope="module")
def network() -> Deva:
    return seeded_network()


@pytest.fixture(scope="module")
def frames() -> NDArray[np.float32]:
    return seeded_frames(14)


@pytest.fixture(scope="module")
def images(frames: NDArray[np.float32]) -> Tensor:
    return normalised(frames)


@pytest.fixture(scope="module")
def golden() -> Archive:
    return _archive("golden_s1.npz")


@pytest.fixture(scope="module")
def votes() -> Archive:
    return _archive("consensus_s1.npz")


@pytest.fixture(scope="module")
def facts(votes: Archive) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(str(votes["facts_json"]))
    return read


def _archive(name: str) -> Archive:
    with np.load(Path(FOLDER or "") / name) as archive:
        return {key: archive[key] for key in archive.files}


def equal(found: Any, expected: NDArray[Any]) -> None:
    """Integers exactly, floats within 1e-4: sums differ with the machine by up to 2e-5."""
    found = np.asarray(found.detach().cpu() if isinstance(found, Tensor) else found)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=0 if expected.dtype.kind == "i" else 1e-4)


def test_the_seeded_inputs_are_the_reference_ones(network: Deva, frames: NDArray[np.float32], golden: Archive) -> None:
    equal(frames[0], golden["frame_rgb_0"])
    equal(frames[13].astype(np.float64).sum((1, 2)), golden["frame_rgb_13_sum"])
    equal((seeded_masks() * np.array([1, 2])[:, None, None]).sum(0), golden["mask_0"])
    weights = network.state_dict()
    equal(torch.stack([weights[name].flatten()[0].float() for name in sorted(weights)]), golden["weight_probe"])


def test_the_network_s_features(network: Deva, images: Tensor, golden: Archive) -> None:
    with torch.inference_mode():
        features, key = network.encode_image(images[:1])
        equal(network.pixel_encoder(images[:1])[1][0], golden["key_feat"])
    for part in (features, key):
        for name, tensor in part._asdict().items():
            equal(tensor[0], golden[name])


def test_what_is_remembered_and_decoded(network: Deva, images: Tensor, golden: Archive) -> None:
    core = Core(network, WITHOUT_LONG_TERM)
    with _outputs(
        backbone=network.mask_encoder.layer3,
        encoder=network.mask_encoder,
        compress=network.mask_decoder.sensory_compress,
        p16=network.mask_decoder.fuser,
        p8=network.mask_decoder.up_16_8,
        p4=network.mask_decoder.up_8_4,
        decoder=network.mask_decoder,
    ) as seen:
        core.step(core.encode(images[0]), torch.from_numpy(seeded_masks()))
        equal(core.sensory, golden["sensory_0"])
        core.step(core.encode(images[1]))
        equal(core.sensory, golden["seg1_sensory"])
    equal(seen["backbone"][1], golden["mask_backbone_0"])
    equal(seen["encoder"][1][0], golden["value_0"])
    equal(seen["decoder"][0][1], golden["seg1_readout"])
    equal(seen["compress"][0][0][:, -1], golden["seg1_last_mask"])
    equal(seen["p16"][1], golden["seg1_p16"])
    equal(seen["p8"][1][:, :64], golden["seg1_p8"])
    equal(seen["p4"][1][:, :16], golden["seg1_p4"])
    equal(seen["decoder"][1][1], golden["seg1_logits"])


class _outputs:  # noqa: N801 - used as a statement
    """Within the block, the last (inputs, output) of each named module."""

    def __init__(self, **modules: nn.Module) -> None:
        self._modules = modules
        self._hooks: list[Any] = []

    def __enter__(self) -> dict[str, Any]:
        seen: dict[str, Any] = {}

        def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
            def keep(_module: nn.Module, inputs: Any, output: Any) -> None:
                seen[name] = (inputs, output)

            return keep

        self._hooks = [module.register_forward_hook(hook(name)) for name, module in self._modules.items()]
        return seen

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()


def _run(core: Core, images: Sequence[Tensor] | Tensor, masks: NDArray[np.bool_]) -> Iterator[Tensor]:
    for t, image in enumerate(images):
        yield core.step(core.encode(image), torch.from_numpy(masks) if t == 0 else None)


def test_propagation_by_working_memory(network: Deva, images: Tensor, golden: Archive) -> None:
    core = Core(network, WITHOUT_LONG_TERM)
    equal(torch.stack(list(_run(core, images[:6], seeded_masks()))), golden["vos_prob"])
    equal([len(bucket.tokens) for bucket in core.memory.buckets], golden["vos_work_tokens"])


def test_propagation_by_long_term_memory(
    network: Deva, images: Tensor, golden: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    consolidations: list[tuple[Tokens, Tokens]] = []
    potentiated = memory_module.potentiated

    def kept(candidates: Tokens, num_prototypes: int) -> Tokens:
        consolidations.append((candidates, potentiated(candidates, num_prototypes)))
        return consolidations[-1][1]

    monkeypatch.setattr(memory_module, "potentiated", kept)
    core = Core(network, LONG_TERM)
    maps, sizes = _run_with_sizes(core, images)
    equal(torch.stack(maps[11:]), golden["lt_prob"])
    equal(sizes, golden["lt_sizes"])
    candidates, prototypes = consolidations[0]
    equal(candidates.usage, golden["lt_first_usage"])
    equal(candidates.usage.topk(16).indices, golden["lt_first_indices"])
    equal(prototypes.key.T, golden["lt_first_key"])
    equal(prototypes.shrinkage[None], golden["lt_first_shrinkage"])
    equal(prototypes.value.permute(1, 2, 0), golden["lt_first_value"])
    bucket = core.memory.buckets[0]
    equal(bucket.tokens.usage[: bucket.num_long_term], golden["lt_final_long_usage"])


def test_consolidation_one_frame_above_the_least_number(network: Deva, images: Tensor, golden: Archive) -> None:
    maps, sizes = _run_with_sizes(Core(network, NEARLY_EQUAL_FRAME), images)
    equal(maps[13][None], golden["ltedge_prob"])
    equal(sizes, golden["ltedge_sizes"])


def _run_with_sizes(core: Core, images: Tensor) -> tuple[list[Tensor], list[tuple[int, int]]]:
    maps, sizes = [], []
    for probabilities in _run(core, images, seeded_masks()):
        maps.append(probabilities)
        sizes.append((core.memory.buckets[0].num_working, core.memory.buckets[0].num_long_term))
    return maps, sizes


def test_an_object_that_joins(network: Deva, images: Tensor, golden: Archive) -> None:
    core = Core(network, WITHOUT_LONG_TERM)
    new = {0: torch.from_numpy(seeded_masks()), 2: torch.from_numpy(golden["newobj_mask"] > 0)[None]}
    maps = [core.step(core.encode(images[t]), new.get(t)) for t in range(5)]
    equal(torch.stack([maps[2], maps[4]]), golden["newobj_prob_24"])
    equal([len(bucket.tokens) for bucket in core.memory.buckets], golden["newobj_bucket_tokens"])


def test_padding(network: Deva, images: Tensor, golden: Archive) -> None:
    core = Core(network, WITHOUT_LONG_TERM)
    maps = list(_run(core, images[:3, :, :-6, :-7], seeded_masks()[:, :-6, :-7]))
    equal(torch.stack(maps[1:]), golden["pad_prob"])


def _by_position(labels: NDArray[Any], segments: Segments) -> Segmentation:
    """A label map by ids as one by the positions of `segments`."""
    positions = sum((k * (labels == s[0]) for k, s in enumerate(segments, 1)), np.zeros(labels.shape, np.int64))
    return Segmentation(labels=positions, votes=tuple(Votes(categories=(s[1],), scores=(s[2],)) for s in segments))


@pytest.mark.parametrize(
    "case",
    [
        *(f"vote_{case}_identity" for case in ("three", "chain", "overlap", "gap", "single", "tie")),
        "vote_three_network",
    ],
)
def test_votes(case: str, network: Deva, images: Tensor, votes: Archive, facts: dict[str, Any]) -> None:
    per_frame = facts[case]["segments_per_frame"]
    frames = [_by_position(*both) for both in zip(votes[f"{case}_detections"], per_frame, strict=True)]
    if case.endswith("network"):
        core = Core(network, WITHOUT_LONG_TERM)
        encoded = [core.encode(image) for image in images[: len(frames)]]
        for t in (1, 2):
            masks = [frames[t].labels == k + 1 for k in range(len(frames[t].votes))]
            maps = core.aligned(encoded[t], torch.from_numpy(np.stack(masks)), encoded[0])
            equal(maps, votes[f"align_{t}_to_0"])
        frames = [semi_online_module.aligned(core, *both, encoded[0]) for both in zip(encoded, frames, strict=True)]
    agreed = consensus(frames)
    survivors = facts[case]["survivors"]
    names = np.array([0] + [survivor["id"] for survivor in survivors])
    assert (names[agreed.labels] != votes[f"{case}_mask"]).mean() <= (0.001 if case.endswith("network") else 0)
    assert [vote.categories for vote in agreed.votes] == [tuple(s["categories"]) for s in survivors]
    assert [vote.scores for vote in agreed.votes] == [tuple(s["scores"]) for s in survivors]
    assert [vote.category for vote in agreed.votes] == [s["vote_category"] for s in survivors]
    assert [vote.score for vote in agreed.votes] == pytest.approx([s["vote_score"] for s in survivors])


def test_merges(votes: Archive, facts: dict[str, Any]) -> None:
    table = ObjectTable(facts["merge"]["max_missed_detection_count"], None)
    names = {0: 0}  # registration number -> the reference's id
    for k, step in enumerate(facts["merge"]["steps"]):
        new = _by_position(votes[f"merge{k}_new"], step["new_segments"])
        before = table.ids
        _, masks = table.merge(votes[f"merge{k}_our_tmp"].astype(np.int64), new)
        after = step["objects_after"]
        names |= dict(zip(table.ids, (row[0] for row in after), strict=True))
        assert [
            [names[o.id], i, o.misses, o.votes.category, pytest.approx(o.votes.score)]
            for i, o in enumerate(table.objects, start=1)
        ] == after
        assert sorted(names[i] for i in before if i not in table.ids) == sorted(step["purged"])
        painted = sum((names[i] * mask for i, mask in zip(table.ids, masks, strict=True)), np.zeros(masks.shape[1:]))
        equal(painted.astype(int), votes[f"merge{k}_result_ids"])


def test_detections_merged_into_the_core(network: Deva, images: Tensor, votes: Archive, facts: dict[str, Any]) -> None:
    core, table = Core(network, WITHOUT_LONG_TERM), ObjectTable(0, None)
    forward: list[Labels] = []

    def merge(carried: Tensor) -> Merged:
        forward.append(carried.numpy())
        ids = facts["incorporate"]["detections"][str(core.time)]
        kept, masks = table.merge(forward[-1], _by_position(votes[f"inc_det{core.time}"], [(i, i, 1.0) for i in ids]))
        return Merged(kept, torch.from_numpy(masks))

    for t in range(5):
        encoded = core.encode(images[t])
        if t in (0, 3):
            core.incorporate(encoded, merge)
            equal(aggregate(core.last_masks), votes[f"inc_out{t}"])
        else:
            equal(core.step(encoded), votes[f"inc_out{t}"])
    equal(forward[1], votes["inc_argmax3_forward"])
    expected = facts["incorporate"]
    assert core.memory_time == expected["last_mem_ti"]
    assert [len(bucket.tokens) for bucket in core.memory.buckets] == list(expected["work_tokens"].values())
    assert [bucket.num_objects for bucket in core.memory.buckets] == [
        len(ids) for ids in expected["bucket_objects"].values()
    ]
    assert [o.misses for o in table.objects] == [row[2] for row in expected["objects_after_frame3"]]


@pytest.mark.parametrize("alignment", ["identity", "network"])
def test_the_whole_semi_online_mode(
    alignment: str,
    network: Deva,
    frames: NDArray[np.float32],
    votes: Archive,
    facts: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cores: list[Core] = []

    class KeptCore(Core):
        def __init__(self, network: Deva, settings: Propagation) -> None:
            super().__init__(network, settings)
            cores.append(self)

    monkeypatch.setattr(semi_online_module, "Core", KeptCore)
    if alignment == "identity":
        monkeypatch.setattr(semi_online_module, "aligned", lambda _core, _frame, detected, _first: detected)
    reading, calls = -1, []

    def read() -> Iterator[NDArray[np.uint8]]:
        nonlocal reading
        for frame in as_bytes(frames[:12]):
            reading += 1
            yield frame
        reading += 1

    def detect(_: NDArray[np.uint8]) -> Segmentation:
        calls.append(reading)
        return _by_position(votes["semi_detections"][reading], facts["semi_segments"][str(reading)])

    settings = SemiOnline(max_missed_detections=0)
    tracker = SemiOnlineTracker(network, WITHOUT_LONG_TERM, settings, detect)
    expected = facts[f"semi_{alignment}"]
    written, tables, memory_times = [], [], []
    labels = votes[f"semi_{alignment}_labels"]
    for frame in tracker.track(read()):
        written.append([frame.index, reading])
        tables.append(_rows(frame))
        memory_times.append(cores[0].memory_time)
        painted = (np.array(frame.ids)[:, None, None] * frame.masks).sum(0)
        assert (painted != labels[frame.index]).mean() <= 0.001
    assert calls == expected["detector_calls"]
    assert written == expected["written_while_reading"]
    assert tables == expected["table"]
    assert memory_times == expected["last_mem"]


def _rows(frame: SemiOnlineFrame) -> list[list[Any]]:
    return [
        [o.id, i, o.misses, o.votes.category, pytest.approx(o.votes.score)]
        for i, o in enumerate(frame.objects, start=1)
    ]
