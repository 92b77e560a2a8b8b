"""Builds Grounding DINO from its package's class at any of the sizes, on transformers 5, and loads its weights."""

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, BertConfig, BertModel

from pipeline.models.grounding_dino.sampling import sampled_sum
from pipeline.models.grounding_dino.settings import ARCHITECTURES, TEXT_ENCODER_FILES, Architecture, Size
from pipeline.models.weights import check_weights, load_weights

with warnings.catch_warnings():
    # The package imports timm by an old name, and writes "\s" in a docstring's place; neither is ours to mend.
    warnings.filterwarnings("ignore", "Importing from timm.models.layers", FutureWarning)
    warnings.filterwarnings("ignore", "invalid escape sequence")
    from groundingdino.models import build_model  # type: ignore[import-untyped]
    from groundingdino.models.GroundingDINO import groundingdino as package  # type: ignore[import-untyped]
    from groundingdino.models.GroundingDINO import ms_deform_attn as deformable
    from groundingdino.models.GroundingDINO.backbone import backbone as backbones  # type: ignore[import-untyped]
    from groundingdino.util.misc import NestedTensor  # type: ignore[import-untyped]

LEFTOVERS = frozenset({"label_enc.weight", "bert.embeddings.position_ids"})
"""In the published files, but not in the network: the training's denoising, and a buffer of older transformers."""

_package_sampled_sum = deformable.multi_scale_deformable_attn_pytorch


def _sampled_sum(value: Tensor, shapes: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    sample = sampled_sum if value.device.type == "cpu" else _package_sampled_sum
    summed: Tensor = sample(value, shapes, locations, weights)
    return summed


deformable.multi_scale_deformable_attn_pytorch = _sampled_sum

SEPARATORS = ("[CLS]", "[SEP]", ".", "?")
"""Tokens at which the network parts a prompt into phrases that do not see each other."""


def load(size: Size, checkpoint: Path, text_encoder: Path) -> Any:
    """The network with its weights, ready to be asked. Raises `ValueError` where they do not fit."""
    network = build(ARCHITECTURES[size], text_encoder)
    load_weights(network, checkpoint, mend=_mend(size), leftovers=LEFTOVERS)
    return network.eval()


def check(size: Size, checkpoint: Path, text_encoder: Path) -> None:
    """Holds names and shapes of the weights against the network. Raises `ValueError` where they do not fit."""
    check_weights(build(ARCHITECTURES[size], text_encoder), checkpoint, mend=_mend(size), leftovers=LEFTOVERS)


def build(architecture: Architecture, text_encoder: str | Path) -> Any:
    """The network with fresh weights. `text_encoder` gives BERT's size and tokens, the checkpoint its weights."""
    tokenizer, config = _text_encoder(Path(text_encoder))
    bert = BertModel(config)  # type: ignore[no-untyped-call]
    with _replaced(
        (package.get_tokenlizer, "get_tokenlizer", lambda _: tokenizer),
        (package.get_tokenlizer, "get_pretrained_language_model", lambda _: bert),
        (package, "BertModelWarper", BertModelWarper),
        *([(backbones, "build_swin_transformer", ConvBackbone)] if architecture.backbone == "conv" else []),
    ):
        network = build_model(_arguments(architecture))
    for layer in network.transformer.encoder.text_layers:
        layer.register_forward_pre_hook(_mask_for_every_head, with_kwargs=True)
    return network


def ask(network: Any, images: Tensor, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """The network's answer to images [B, 3, h, w], none of them padded, each with its prompt.

    Returns the queries' logits of each token, [B, Q, 256], -inf beyond the text, and boxes [B, Q, 4], cxcywh in 0-1.
    """
    unpadded = torch.zeros(len(images), *images.shape[-2:], dtype=torch.bool, device=images.device)
    with warnings.catch_warnings():
        # The package calls torch by names and without arguments that torch has since moved on from.
        warnings.filterwarnings("ignore", r"`torch\.cuda\.amp\.autocast", FutureWarning)
        warnings.filterwarnings("ignore", r"torch\.meshgrid", UserWarning)
        answer = network(NestedTensor(images, unpadded), captions=list(texts))
    return answer["pred_logits"], answer["pred_boxes"]


class BertModelWarper(nn.Module):
    """BERT in which a token sees what a [B, L, L] mask says, under the submodule names of the published weights.

    Takes the place of the package's class of that name, which calls methods that transformers 5 no longer has.
    """

    def __init__(self, bert_model: BertModel) -> None:
        super().__init__()
        self.config = bert_model.config
        self.embeddings = bert_model.embeddings
        self.encoder = bert_model.encoder
        self.pooler = bert_model.pooler  # never asked; the published weights have it

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, token_type_ids: Tensor | None = None
    ) -> dict[str, Tensor]:
        embedded = self.embeddings(input_ids=input_ids, position_ids=position_ids, token_type_ids=token_type_ids)
        bias = attention_bias(attention_mask, embedded.dtype)
        return {"last_hidden_state": self.encoder(embedded, attention_mask=bias).last_hidden_state}


def attention_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """bool [B, L, L], True where row may see column -> [B, 1, L, L], what is added to every head's logits."""
    blocked = torch.full((), torch.finfo(dtype).min, dtype=dtype, device=mask.device)
    return torch.where(mask[:, None], torch.zeros_like(blocked), blocked)


class ConvBackbone(nn.Module):
    """A small residual network in the place of Swin; features at strides 8, 16 and 32."""

    num_features = [64, 128, 192, 256]  # noqa: RUF012  channels at strides 4 to 32; the package asks for a list

    def __init__(self, *_swin: Any, **_options: Any) -> None:
        super().__init__()
        widths = [32, *self.num_features]
        self.stem = _ConvNorm(3, widths[0], stride=2)
        self.stages = nn.ModuleList(_Residual(*pair) for pair in pairwise(widths))

    def forward(self, images: NestedTensor) -> dict[int, NestedTensor]:
        x = self.stem(images.tensors).relu()
        features = {}
        for number, stage in enumerate(self.stages):
            x = stage(x)
            mask = nn.functional.interpolate(images.mask[None].float(), size=x.shape[-2:])[0].bool()
            features[number] = NestedTensor(x, mask)
        return {number: features[number] for number in (1, 2, 3)}


class _Residual(nn.Module):
    """Two convolutions, the first at stride 2, beside a projection."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first = _ConvNorm(channels, width, stride=2)
        self.second = _ConvNorm(width, width)
        self.shortcut = _ConvNorm(channels, width, kernel=1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.first(x).relu()) + self.shortcut(x)
        return out.relu()


class _ConvNorm(nn.Sequential):
    def __init__(self, channels: int, width: int, kernel: int = 3, stride: int = 1) -> None:
        conv = nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=False)
        super().__init__(conv, nn.BatchNorm2d(width))


def _mask_for_every_head(layer: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The mask as torch's attention reads it, [B * heads, L, L] with the heads of a prompt beside each other.

    The package lays it out heads first, so that prompts that share a forward pass see by each other's masks.
    """
    return args, kwargs | {"src_mask": kwargs["src_mask"].repeat_interleave(layer.nhead, dim=0)}


def _arguments(architecture: Architecture) -> SimpleNamespace:
    """What the package's builder reads: a size's own numbers, and those that all published sizes share."""
    a = architecture
    return SimpleNamespace(
        modelname="groundingdino",
        backbone="swin_T_224_1k" if a.backbone == "conv" else a.backbone,
        return_interm_indices=[1, 2, 3],
        backbone_freeze_keywords=None,
        position_embedding="sine",
        pe_temperatureH=20,
        pe_temperatureW=20,
        hidden_dim=256,
        num_feature_levels=a.num_feature_levels,
        enc_layers=a.enc_layers,
        dec_layers=a.dec_layers,
        nheads=a.nheads,
        enc_n_points=a.num_points,
        dec_n_points=a.num_points,
        dim_feedforward=a.dim_feedforward,
        num_queries=a.num_queries,
        query_dim=4,
        num_patterns=0,
        pre_norm=False,
        transformer_activation="relu",
        two_stage_type="standard",
        two_stage_bbox_embed_share=False,
        two_stage_class_embed_share=False,
        dec_pred_bbox_embed_share=True,
        embed_init_tgt=True,
        use_text_enhancer=True,
        use_fusion_layer=True,
        use_text_cross_attention=True,
        sub_sentence_present=True,
        text_encoder_type="",  # read by the functions that are replaced
        max_text_len=256,
        dropout=0.0,
        text_dropout=0.0,
        fusion_dropout=0.0,
        fusion_droppath=a.fusion_drop_path,
        dn_box_noise_scale=1.0,
        dn_label_noise_ratio=0.5,
        dn_labelbook_size=2000,
        use_checkpoint=False,  # of activations in training
        use_transformer_ckpt=False,
    )


def _text_encoder(folder: Path) -> tuple[Any, BertConfig]:
    missing = [file for file in TEXT_ENCODER_FILES if not (folder / file).is_file()]
    if missing:
        # From a vocab.txt alone, transformers 5 makes a tokenizer that silently knows no word.
        raise ValueError(f"text encoder {folder}: lacks {' and '.join(missing)}; copy bert-base-uncased's")
    tokenizer, config = AutoTokenizer.from_pretrained(folder), BertConfig.from_pretrained(folder)
    unknown = [
        token for token in SEPARATORS if tokenizer.convert_tokens_to_ids(token) in (None, tokenizer.unk_token_id)
    ]
    if unknown:
        raise ValueError(f"text encoder {folder}: no token for {' '.join(unknown)}; it is not Grounding DINO's")
    return tokenizer, config


def _mend(size: Size) -> str:
    return f"size {size} takes {ARCHITECTURES[size].weights} with the text encoder of its training"


_building = threading.Lock()  # what is replaced is the whole process's


@contextmanager
def _replaced(*replacements: tuple[Any, str, Any]) -> Iterator[None]:
    """Attributes (owner, name, value) of the package replaced while a network is built."""
    with _building:
        kept = [(owner, name, getattr(owner, name)) for owner, name, _ in replacements]
        try:
            for owner, name, value in replacements:
                setattr(owner, name, value)
            yield
        finally:
            for owner, name, value in kept:
                setattr(owner, name, value)
