"""The embedded base's reading: whole words of the practice world's captions, and a small CLIP's text encoder."""

from typing import Any

import transformers as typed_transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from pipeline.embedded import captions
from pipeline.embedded.director import STILL, way

transformers: Any = typed_transformers  # some of its classes are typed in part only

PAD, START, END, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"
LONGEST = 32  # words and marks of a prompt, with both ends
WIDTH = 128


def tokenizer() -> Any:
    """An unknown word is read as one that says nothing."""
    straight = " ".join(way(STILL, step) for step in ((1, 0), (-1, 0), (0, 1), (0, -1)))
    words = sorted({*captions.words(), *straight.split()})
    vocabulary = {word: number for number, word in enumerate((PAD, START, END, UNKNOWN, *words))}
    whole = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    whole.normalizer = normalizers.Lowercase()
    whole.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(end, vocabulary[end]) for end in (START, END)]
    whole.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=ends)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=whole,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        unk_token=UNKNOWN,
        model_max_length=LONGEST,
    )


def text_encoder() -> Any:
    words = tokenizer()
    config = transformers.CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=LONGEST,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    return transformers.CLIPTextModel(config)
