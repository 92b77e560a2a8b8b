"""Grounding DINO: its boxes against the network asked by hand, nouns and tokens, and the weights it takes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.ops import box_iou, nms  # type: ignore[import-untyped]
from torchvision.transforms import functional as pictures  # type: ignore[import-untyped]
from transformers import AutoTokenizer, BertModel

from pipeline.models.grounding_dino import GroundingDino
from pipeline.models.grounding_dino.detector import Detector, input_size, to_box
from pipeline.models.grounding_dino.network import attention_bias, build
from pipeline.models.grounding_dino.prompt import MAX_TOKENS, prompts
from pipeline.models.grounding_dino.settings import ARCHITECTURES, Detect, Size
from pipeline.records import Detection
from tests.pipeline.grounding_dino_small import WORDS, seeded_network, write_text_encoder, write_weights

TOLERANCE = 2e-4  # of a score: it is rounded, and sums differ in the last bits with the size of a batch


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("grounding_dino")


@pytest.fixture(scope="module")
def text_encoder(folder: Path) -> Path:
    return write_text_encoder(folder / "text")


@pytest.fixture(scope="module")
def network(text_encoder: Path) -> Any:
    return seeded_network(text_encoder)


@pytest.fixture(scope="module")
def settings(folder: Path, text_encoder: Path, network: Any) -> GroundingDino:
    weights = write_weights(network, folder / "weights.pth")
    return GroundingDino(checkpoint=str(weights), size="embedded", text_encoder=str(text_encoder), device="cpu")


@pytest.fixture(scope="module")
def detect(settings: GroundingDino) -> Detect:
    return settings.open()


@pytest.fixture(scope="module")
def tokenizer(text_encoder: Path) -> Any:
    return AutoTokenizer.from_pretrained(str(text_encoder))


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """A few rectangles, so that places of it differ."""
    random = np.random.default_rng(seed)
    frame = np.zeros((height, width, 3), np.uint8)
    for _ in range(12):
        y, x = random.integers(height), random.integers(width)
        frame[y : y + height // 2 + 1, x : x + width // 3 + 1] = random.integers(0, 256, 3)
    return frame


def same(one: tuple[Detection, ...], other: tuple[Detection, ...]) -> bool:
    return [(d.noun, d.box) for d in one] == [(d.noun, d.box) for d in other] and all(
        abs((a.score or 0) - (b.score or 0)) + abs((a.text_score or 0) - (b.text_score or 0)) < TOLERANCE
        for a, b in zip(one, other, strict=True)
    )


# --- Against the network


def by_hand(network: Any, frame: NDArray[np.uint8], noun: str, prompt: str, tokens: list[int]) -> list[Detection]:
    """One frame, one noun: the published preparation, one forward pass, and the thresholds."""
    image = pictures.to_tensor(pictures.resize(pictures.to_pil_image(frame), [96]))
    image = pictures.normalize(image, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad(), pytest.warns(FutureWarning, match="autocast"):
        answer = network(image[None], captions=[prompt])
    scores = answer["pred_logits"][0].sigmoid()[:, tokens]
    keep = (scores.max(1).values > 0.35) & (scores.mean(1) > 0.25)
    x, y, w, h = (answer["pred_boxes"][0][keep] * torch.tensor(frame.shape[:2]).flip(0).repeat(2)).unbind(1)
    boxes, scores = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1), scores[keep]
    found = []
    for i in nms(boxes, scores.max(1).values, 0.8).tolist():
        x0, y0, x1, y1 = (round(value) for value in boxes[i].tolist())
        box = (max(x0, 0), max(y0, 0), min(x1, frame.shape[1]), min(y1, frame.shape[0]))
        score, text = scores[i].max().item(), scores[i].mean().item()
        found.append(Detection(noun=noun, frame=0, box=box, score=score, text_score=text))
    return found


def test_detections_are_those_of_the_network_asked_by_hand(detect: Detect, network: Any) -> None:
    frame = picture(120, 200)
    (found,) = detect([(frame, ("golden retriever", "cat"))])
    prompt = "golden retriever . cat ."
    expected = by_hand(network, frame, "golden retriever", prompt, [1, 2])
    expected += by_hand(network, frame, "cat", prompt, [4])
    assert len({d.noun for d in expected}) == 2
    assert len(expected) >= 8
    assert same(found, tuple(expected))


def test_a_batch_answers_as_its_frames_one_by_one(detect: Detect) -> None:
    batch = [
        (picture(96, 160, 1), ("dog",)),
        (picture(96, 160, 2), ("golden retriever", "cat", "trebuchet")),
        (picture(200, 90, 3), ("cat",)),
        (picture(96, 160, 4), ()),
        (picture(192, 320, 5), ("teddy bear", "dog")),
    ]
    together, alone = detect(batch), [detect([item])[0] for item in batch]
    assert [bool(found) for found in alone] == [True, True, True, False, True]
    assert all(same(one, other) for one, other in zip(together, alone, strict=True))
    assert detect([]) == []


def test_scores_and_order_are_as_promised(settings: GroundingDino, network: Any) -> None:
    detect = Detector(
        settings.model_copy(update={"box_threshold": 0.0, "text_threshold": 0.0, "nms_iou": 1.0}), network
    )
    (found,) = detect([(picture(96, 160), ("cat", "golden retriever"))])
    nouns = [d.noun for d in found]
    assert nouns == sorted(nouns) == ["cat"] * 24 + ["golden retriever"] * 24
    for noun in ("cat", "golden retriever"):
        scores = [d.score or 0 for d in found if d.noun == noun]
        assert scores == sorted(scores, reverse=True)
    assert all(d.text_score == d.score for d in found if d.noun == "cat")
    assert all((d.text_score or 0) < (d.score or 0) for d in found if d.noun == "golden retriever")


@pytest.mark.parametrize("threshold", ["box_threshold", "text_threshold"])
def test_thresholds_keep_what_lies_above(settings: GroundingDino, network: Any, threshold: str) -> None:
    everything = settings.model_copy(update={"box_threshold": 0.0, "text_threshold": 0.0, "nms_iou": 1.0})
    item = (picture(96, 160), ("golden retriever",))
    (every,) = Detector(everything, network)([item])
    (some,) = Detector(everything.model_copy(update={threshold: 0.5}), network)([item])
    kept = [d for d in every if ((d.score if threshold == "box_threshold" else d.text_score) or 0) > 0.5]
    assert 0 < len(kept) < len(every)
    assert same(some, tuple(kept))


def test_boxes_of_a_noun_do_not_overlap_beyond_nms(settings: GroundingDino, network: Any) -> None:
    item = (picture(96, 160), ("dog", "cat"))
    low = {"box_threshold": 0.0, "text_threshold": 0.0}
    (every,) = Detector(settings.model_copy(update=low | {"nms_iou": 1.0}), network)([item])
    (some,) = Detector(settings.model_copy(update=low | {"nms_iou": 0.3}), network)([item])
    assert len(some) < len(every) == 48
    for noun in ("dog", "cat"):
        boxes = torch.tensor([d.box for d in some if d.noun == noun]).float()
        assert boxes[0].tolist() == list(next(d.box for d in every if d.noun == noun))  # the best one stays
        assert box_iou(boxes, boxes).fill_diagonal_(0).max() < 0.35  # of whole pixels; 0.3 before rounding


@pytest.mark.parametrize("size", [(2, 2), (1, 700), (700, 1), (33, 47), (96, 160), (31, 500)])
def test_boxes_lie_in_frames_of_any_size(settings: GroundingDino, network: Any, size: tuple[int, int]) -> None:
    detect = Detector(settings.model_copy(update={"box_threshold": 0.0, "text_threshold": 0.0}), network)
    (found,) = detect([(picture(*size), ("dog",))])
    assert found
    for detection in found:
        x0, y0, x1, y1 = detection.box
        assert 0 <= x0 < x1 <= size[1]
        assert 0 <= y0 < y1 <= size[0]
        assert all(type(edge) is int for edge in detection.box)


# --- Pixels

EDGES = st.floats(-1e4, 1e4)


@given(st.tuples(EDGES, EDGES, EDGES, EDGES), st.tuples(st.integers(1, 4000), st.integers(1, 4000)))
def test_a_box_has_an_inside_in_its_frame(edges: tuple[float, float, float, float], size: tuple[int, int]) -> None:
    xyxy = [*np.minimum(edges[:2], edges[2:]), *np.maximum(edges[:2], edges[2:])]
    x0, y0, x1, y1 = to_box(xyxy, size)
    assert 0 <= x0 < x1 <= size[1]
    assert 0 <= y0 < y1 <= size[0]


@pytest.mark.parametrize(
    ("edges", "box"),
    [
        ((1.4, 2.6, 7.4, 8.6), (1, 3, 7, 9)),
        ((-3.0, -0.2, 10.4, 25.0), (0, 0, 10, 20)),
        ((4.1, 5.1, 4.2, 5.2), (4, 5, 5, 6)),
        ((9.9, 19.9, 12.0, 30.0), (9, 19, 10, 20)),
    ],
)
def test_edges_go_to_the_nearest_pixels(edges: tuple[float, ...], box: tuple[int, ...]) -> None:
    assert to_box(edges, (20, 10)) == box


@pytest.mark.parametrize(
    ("frame", "network_input"),
    [
        ((480, 480), (800, 800)),
        ((360, 640), (750, 1333)),
        ((640, 360), (1333, 750)),
        ((1080, 1920), (750, 1333)),
        ((480, 640), (800, 1066)),
        ((2, 4000), (224, 1333)),
    ],
)
def test_input_is_the_published_one(frame: tuple[int, int], network_input: tuple[int, int]) -> None:
    assert input_size(frame, 800, 1333, 224) == network_input


@pytest.mark.parametrize("size", ["swin_t", "embedded"])
@given(st.integers(1, 5000), st.integers(1, 5000))
def test_every_input_has_room_for_all_queries(size: Size, height: int, width: int) -> None:
    a = ARCHITECTURES[size]
    h, w = input_size((height, width), a.short_side, a.long_side, a.least_side)
    positions = sum(-(-h // stride) * -(-w // stride) for stride in (8, 16, 32, 64)[: a.num_feature_levels])
    assert positions >= a.num_queries


# --- Prompts


def words(prompt: Any, noun: str, tokenizer: Any) -> list[str]:
    ids = tokenizer(prompt.text)["input_ids"]
    return list(tokenizer.convert_ids_to_tokens([ids[i] for i in prompt.tokens[noun]]))


def test_nouns_have_their_own_tokens(tokenizer: Any) -> None:
    nouns = ("dog", "hotdog", "hot dog", "dog cat", "trebuchet", "T-shirt", "golden retriever")
    (prompt,) = prompts(nouns, tokenizer)
    assert prompt.text == "dog . hotdog . hot dog . dog cat . trebuchet . t-shirt . golden retriever ."
    assert {noun: words(prompt, noun, tokenizer) for noun in nouns} == {
        "dog": ["dog"],
        "hotdog": ["hotdog"],
        "hot dog": ["hot", "dog"],
        "dog cat": ["dog", "cat"],
        "trebuchet": ["tre", "##bu", "##chet"],
        "T-shirt": ["t", "-", "shirt"],
        "golden retriever": ["golden", "retriever"],
    }
    positions = [i for tokens in prompt.tokens.values() for i in tokens]
    assert len(positions) == len(set(positions))
    assert prompt.tokens["dog"] == [1]  # after [CLS]


def test_a_noun_that_the_text_encoder_does_not_know_finds_nothing(tokenizer: Any, detect: Detect) -> None:
    (prompt,) = prompts(("golden cup", "dog", "", " . ", "zebra", "dog"), tokenizer)
    assert prompt.text == "dog ."
    assert prompts(("zebra", ""), tokenizer) == []
    assert detect([(picture(96, 160), ("zebra",))]) == [()]


def test_stops_within_a_noun_do_not_part_it(tokenizer: Any) -> None:
    (prompt,) = prompts(("t. bear?",), tokenizer)
    assert prompt.text == "t bear ."
    assert words(prompt, "t. bear?", tokenizer) == ["t", "bear"]


@given(st.lists(st.lists(st.sampled_from([w for w in WORDS if w.isalpha()]), min_size=1, max_size=9).map(" ".join)))
def test_many_nouns_fill_several_prompts(tokenizer: Any, nouns: list[str]) -> None:
    asked = prompts(nouns, tokenizer)
    assert [noun for prompt in asked for noun in prompt.tokens] == list(dict.fromkeys(nouns))
    for prompt in asked:
        assert len(tokenizer(prompt.text)["input_ids"]) <= MAX_TOKENS
        assert all(words(prompt, noun, tokenizer) == noun.split() for noun in prompt.tokens)


def test_nouns_beyond_one_prompt_are_detected_too(settings: GroundingDino, network: Any, tokenizer: Any) -> None:
    nouns = tuple(f"{a} {b} {c}" for a in WORDS[:6] for b in WORDS[:6] for c in WORDS[:2])
    assert len(prompts(nouns, tokenizer)) == 2
    everything = settings.model_copy(update={"box_threshold": 0.0, "text_threshold": 0.0})
    (found,) = Detector(everything, network)([(picture(96, 160), nouns)])
    assert tuple(dict.fromkeys(d.noun for d in found)) == nouns


# --- Text encoder


def test_the_bias_is_attention_over_the_allowed_alone() -> None:
    mask = torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(0)) > 0.5
    mask |= torch.eye(5, dtype=torch.bool)
    logits = torch.randn(3, 2, 5, 5, generator=torch.Generator().manual_seed(1))
    allowed = logits.exp() * mask[:, None]
    expected = allowed / allowed.sum(-1, keepdim=True)
    torch.testing.assert_close((logits + attention_bias(mask, torch.float32)).softmax(-1), expected)


def bert_by_hand(bert: Any, hidden: Tensor, mask: Tensor) -> Tensor:
    """BERT's layers from the formulas: [L, C] and bool [L, L] -> [L, C]."""
    for layer in bert.encoder.layer:
        attend, heads = layer.attention.self, bert.config.num_attention_heads
        q, k, v = (
            project(hidden).unflatten(-1, (heads, -1)).transpose(0, 1)
            for project in (attend.query, attend.key, attend.value)
        )
        logits = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).masked_fill(~mask, float("-inf"))
        mixed = (logits.softmax(-1) @ v).transpose(0, 1).flatten(1)
        hidden = layer.attention.output.LayerNorm(layer.attention.output.dense(mixed) + hidden)
        inner = nn.functional.gelu(layer.intermediate.dense(hidden))
        hidden = layer.output.LayerNorm(layer.output.dense(inner) + hidden)
    return hidden


def test_tokens_see_what_the_mask_says_and_nothing_else(network: Any) -> None:
    bert = network.bert
    ids = torch.tensor([[2, 7, 5, 11, 12, 5, 3], [2, 8, 5, 3, 0, 0, 0]])
    positions = torch.tensor([[0, 0, 1, 0, 1, 2, 0], [0, 0, 1, 0, 0, 0, 0]])
    mask = torch.eye(7, dtype=torch.bool).repeat(2, 1, 1)
    mask[0, 1:3, 1:3] = mask[0, 3:6, 3:6] = mask[1, 1:3, 1:3] = True
    with torch.no_grad():
        hidden = bert(input_ids=ids, attention_mask=mask, position_ids=positions)["last_hidden_state"]
        for row in (0, 1):
            embedded = bert.embeddings(input_ids=ids[row : row + 1], position_ids=positions[row : row + 1])[0]
            torch.testing.assert_close(hidden[row], bert_by_hand(bert, embedded, mask[row]))


def test_a_phrase_reads_as_if_it_stood_alone_in_bert(network: Any) -> None:
    bert = BertModel(network.bert.config).eval()  # type: ignore[no-untyped-call]
    bert.load_state_dict(network.bert.state_dict())
    seen: list[Tensor] = []
    hook = network.bert.register_forward_hook(lambda module, args, out: seen.append(out["last_hidden_state"]))
    with torch.no_grad(), pytest.warns(FutureWarning, match="autocast"):
        network(torch.zeros(2, 3, 96, 160), captions=["dog . golden retriever .", "cat ."])
    hook.remove()
    with torch.no_grad():
        alone = bert(
            input_ids=network.tokenizer("golden retriever .", add_special_tokens=False, return_tensors="pt").input_ids
        )
    torch.testing.assert_close(seen[0][0, 3:6], alone.last_hidden_state[0])


# --- Weights and settings


@pytest.mark.parametrize(("size", "width"), [("swin_t", 96), ("swin_b", 128)])
def test_published_sizes_have_the_published_layout(tmp_path: Path, size: Size, width: int) -> None:
    folder = write_text_encoder(tmp_path / "text")
    bert_base = '{"model_type": "bert", "vocab_size": 30522}'  # the other numbers are BERT-base's by default
    (folder / "config.json").write_text(bert_base)
    shapes = {
        name: tuple(tensor.shape) for name, tensor in build(ARCHITECTURES[size], str(folder)).state_dict().items()
    }
    published = {
        "backbone.0.patch_embed.proj.weight": (width, 3, 4, 4),
        "backbone.0.layers.2.blocks.3.norm2.weight": (4 * width,),
        "backbone.0.norm3.weight": (8 * width,),
        "bert.embeddings.token_type_embeddings.weight": (2, 768),
        "bert.encoder.layer.11.attention.self.query.weight": (768, 768),
        "bert.pooler.dense.weight": (768, 768),
        "feat_map.weight": (256, 768),
        "input_proj.3.0.weight": (256, 8 * width, 3, 3),
        "transformer.level_embed": (4, 256),
        "transformer.tgt_embed.weight": (900, 256),
        "transformer.encoder.fusion_layers.5.gamma_v": (256,),
        "transformer.encoder.text_layers.5.linear1.weight": (1024, 256),
        "transformer.decoder.layers.5.ca_text.in_proj_weight": (768, 256),
        "transformer.decoder.layers.5.cross_attn.sampling_offsets.weight": (8 * 4 * 4 * 2, 256),
        "transformer.decoder.bbox_embed.5.layers.2.weight": (4, 256),
        "transformer.enc_out_bbox_embed.layers.2.bias": (4,),
        "bbox_embed.0.layers.0.weight": (256, 256),
    }
    assert {name: shapes.get(name) for name in published} == published
    assert "bert.embeddings.position_ids" not in shapes


def changed(settings: GroundingDino, **values: Any) -> GroundingDino:
    return GroundingDino(**(settings.model_dump() | values))


def failure(settings: GroundingDino) -> str:
    with pytest.raises(ValueError, match=r"; |no weights") as caught:
        settings.open()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_foreign_weights_are_refused_in_one_line(settings: GroundingDino, network: Any, tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    wrong = changed(settings, checkpoint=str(path))
    assert "no such file" in failure(wrong)
    path.write_bytes(b"<html>")
    assert "no file of weights" in failure(wrong)
    torch.save([1, 2], path)
    assert "no tensors by name" in failure(wrong)
    weights = network.state_dict()
    torch.save({"model": {name: value for name, value in weights.items() if name != "feat_map.bias"}}, path)
    assert "1 tensors missing ['feat_map.bias'], 0 foreign []" in failure(wrong)
    torch.save(weights | {"extra": torch.zeros(1)}, path)
    assert "0 tensors missing [], 1 foreign ['extra']" in failure(wrong)
    torch.save(weights | {"feat_map.bias": torch.zeros(7)}, path)
    message = failure(wrong)
    assert "feat_map.bias is (7,), not (256,)" in message
    mend = "size embedded takes grounding_dino/model.safetensors with the text encoder of its training"
    assert message.endswith(mend)


def test_weights_in_half_precision_and_bare_are_taken(settings: GroundingDino, network: Any, tmp_path: Path) -> None:
    half = {name: value.half() if value.is_floating_point() else value for name, value in network.state_dict().items()}
    torch.save(half, tmp_path / "half.pth")
    loaded: Any = changed(settings, checkpoint=str(tmp_path / "half.pth")).open()
    assert loaded.network.feat_map.weight.dtype == torch.float32
    assert torch.equal(loaded.network.feat_map.weight, half["feat_map.weight"].float())
    assert not loaded.network.training


def test_missing_weights_and_text_encoders_are_named(
    settings: GroundingDino, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DREAMREEL_MODELS", str(tmp_path / "models"))
    assert "run `dreamreel models fetch groundingdino_swint_ogc.pth`" in failure(GroundingDino())
    (tmp_path / "empty").mkdir()
    message = failure(changed(settings, text_encoder=str(tmp_path / "empty")))
    assert "lacks config.json and tokenizer.json" in message
    assert "lacks config.json" in failure(changed(settings, text_encoder=str(tmp_path / "none")))
    assert "run `dreamreel models fetch some/words`" in failure(changed(settings, text_encoder="some/words"))
    unseparated = write_text_encoder(tmp_path / "unseparated", separators=(".",))
    assert "no token for ?" in failure(changed(settings, text_encoder=str(unseparated)))


def test_a_size_brings_its_input() -> None:
    assert (GroundingDino().short_side, GroundingDino().long_side) == (800, 1333)
    embedded = GroundingDino(size="embedded")
    assert (embedded.short_side, embedded.long_side) == (96, 160)
    assert GroundingDino(size="embedded", short_side=64).short_side == 64
    for short, long in ((40, 160), (200, 160)):
        with pytest.raises(ValueError, match=f"short_side {short} must lie between 48"):
            GroundingDino(size="embedded", short_side=short, long_side=long)
    with pytest.raises(ValueError, match="size"):
        GroundingDino.model_validate({"size": "swin_x"})


def test_the_fingerprint_follows_the_files(settings: GroundingDino, network: Any, tmp_path: Path) -> None:
    path = write_weights(network, tmp_path / "weights.pth")
    moved = changed(settings, checkpoint=str(path))
    before = moved.fingerprint()
    assert "groundingdino-py 0." in before
    assert before == moved.fingerprint()
    torch.save({"a": torch.zeros(1)}, path)
    assert moved.fingerprint() != before
    with pytest.raises(ValueError, match="no such file"):
        changed(settings, checkpoint=str(tmp_path / "none.pth")).fingerprint()
