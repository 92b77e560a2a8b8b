"""Prompts: nouns as the text that the network reads, and which tokens of it each noun is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MAX_TOKENS = 256  # of a prompt; the network cuts what is beyond

Tokenizer = Any  # a fast tokenizer of transformers


@dataclass(frozen=True, kw_only=True)
class Prompt:
    text: str  # "dog . golden retriever ."
    tokens: dict[str, list[int]]  # noun -> its tokens' positions in the text, [CLS] being 0


def prompts(nouns: Sequence[str], tokenizer: Tokenizer) -> list[Prompt]:
    """The prompts that ask for `nouns`, each noun once: one, or as many as their tokens fill.

    Nouns with a word that the tokenizer does not know, or without one, are not asked for.
    """
    packs: list[list[str]] = [[]]
    room = MAX_TOKENS - 2  # [CLS], [SEP]
    for noun in dict.fromkeys(nouns):
        ids = tokenizer(_phrase(noun), add_special_tokens=False)["input_ids"]
        if not ids or tokenizer.unk_token_id in ids:
            continue
        if len(ids) + 1 > room and packs[-1]:
            packs.append([])
            room = MAX_TOKENS - 2
        packs[-1].append(noun)
        room -= len(ids) + 1  # its full stop
    return [_prompt(pack, tokenizer) for pack in packs if pack]


def _prompt(nouns: Sequence[str], tokenizer: Tokenizer) -> Prompt:
    text, spans = "", []
    for noun in nouns:
        phrase = _phrase(noun)
        spans.append((len(text), len(text) + len(phrase)))
        text += f"{phrase} . "
    offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"][:MAX_TOKENS]
    tokens = {noun: _positions(span, offsets) for noun, span in zip(nouns, spans, strict=True)}
    return Prompt(text=text.rstrip(), tokens=tokens)


def _positions(span: tuple[int, int], offsets: Sequence[tuple[int, int]]) -> list[int]:
    """The tokens within `span`, in characters; [CLS] and [SEP] are empty and lie in none."""
    return [i for i, (start, end) in enumerate(offsets) if span[0] <= start < end <= span[1]]


def _phrase(noun: str) -> str:
    """The noun as it may stand in a prompt, where "." and "?" part phrases."""
    return " ".join(noun.lower().replace(".", " ").replace("?", " ").split())
