"""A Grounding DINO of the embedded size with seeded weights and a text encoder of few words, in files."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import BertConfig

from pipeline.models.grounding_dino.network import build
from pipeline.models.grounding_dino.settings import ARCHITECTURES

WORDS = (
    "dog",
    "cat",
    "hot",
    "hotdog",
    "golden",
    "retriever",
    "tre",
    "##bu",
    "##chet",
    "teddy",
    "bear",
    "-",
    "shirt",
    "t",
)


def write_text_encoder(folder: Path, separators: tuple[str, ...] = (".", "?")) -> Path:
    vocabulary = {word: i for i, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *separators, *WORDS))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    small = BertConfig(
        vocab_size=len(vocabulary), hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128
    )
    small.save_pretrained(folder)
    return folder


def seeded_network(text_encoder: Path, seed: int = 1) -> Any:
    """Fresh weights, but boxes that vary and probabilities that are spread over 0-1 instead of lying at its ends."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network: Any = build(ARCHITECTURES["embedded"], str(text_encoder)).eval()
        decoder = network.transformer.decoder
        nn.init.normal_(decoder.norm.weight, mean=0.0, std=0.1)
        for layer in (*decoder.bbox_embed[0].layers[-1:], *network.transformer.enc_out_bbox_embed.layers[-1:]):
            nn.init.normal_(layer.weight, std=0.1)
    return network


def write_weights(network: nn.Module, path: Path) -> Path:
    """As the published files are laid out, with what they hold beyond the network."""
    weights = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    weights |= {"module.label_enc.weight": torch.zeros(3, 2), "module.bert.embeddings.position_ids": torch.arange(4)}
    torch.save({"model": weights}, path)
    return path
