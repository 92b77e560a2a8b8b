"""Trains the captioner: FocalNet sees four frames, a small Llama reads what it saw and writes, both as LLaVA."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as typed_transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pipeline.embedded import captions
from pipeline.embedded.director import STILL, way
from pipeline.embedded.drawing import COLOURS
from pipeline.embedded.silhouettes import NOUNS
from pipeline.embedded.tasks.caption_examples import GRID, INPUT, NUM_FRAMES, PATCH, Patches, examples, resized
from pipeline.embedded.tasks.task import VALIDATION_SEED
from pipeline.embedded.world import World
from pipeline.models.captioning import Frames, sampled

transformers: Any = typed_transformers  # some of its classes are typed in part only

PAD, START, END, UNKNOWN, IMAGE = "<pad>", "<s>", "</s>", "<unk>", "<image>"
SPECIAL = (PAD, START, END, UNKNOWN, IMAGE)

TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}" + IMAGE + "{% endif %}{% endfor %}{% endfor %}" + START
)
"""Of the chat with a model that knows one question only: frames, and the caption begins."""

IMAGE_TOKENS = NUM_FRAMES * GRID[0] * GRID[1]
LONGEST = 60  # words and marks of a caption

WIDTH = 128
VISION = {
    "embed_dim": WIDTH // 4,
    "hidden_sizes": [WIDTH // 4, WIDTH // 2, WIDTH],
    "depths": [1, 1, 5],
    "focal_levels": [2, 2, 2],
    "focal_windows": [3, 3, 3],
    "use_conv_embed": True,
    "mlp_ratio": 2.0,
    "drop_path_rate": 0.0,
}
WRITER = {"hidden_size": WIDTH, "intermediate_size": 256, "num_hidden_layers": 4}
HEADS = 4

WORD_WEIGHT = 2.0
"""Of nouns and colours, against words that are a matter of taste."""


def tokenizer() -> Any:
    """Whole words: all that captions of the practice world are made of."""
    straight = " ".join(way(STILL, step) for step in ((1, 0), (-1, 0), (0, 1), (0, -1)))
    words = sorted({*captions.words(), *straight.split()})
    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *words))}
    whole = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    whole.pre_tokenizer = pre_tokenizers.Whitespace()
    whole.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=whole,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        unk_token=UNKNOWN,
        additional_special_tokens=[IMAGE],
    )


def processor() -> Any:
    images = transformers.CLIPImageProcessor(
        size={"height": INPUT[0], "width": INPUT[1]},
        resample=2,  # bilinear
        do_center_crop=False,
        image_mean=[0.5] * 3,
        image_std=[0.25] * 3,
    )
    return transformers.LlavaProcessor(
        images, tokenizer(), patch_size=PATCH, vision_feature_select_strategy="full", chat_template=TEMPLATE
    )


class Captioning(nn.Module):
    """The captioner, with the heads that are thrown away."""

    def __init__(self) -> None:
        super().__init__()
        words = tokenizer()
        vision = transformers.FocalNetConfig(image_size=list(INPUT), patch_size=4, hidden_size=WIDTH, **VISION)
        writer = transformers.LlamaConfig(
            vocab_size=len(words),
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS,
            max_position_embeddings=512,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
            **WRITER,
        )
        config = transformers.LlavaConfig(
            vision_config=vision,
            text_config=writer,
            image_token_index=words.convert_tokens_to_ids(IMAGE),
            image_seq_length=GRID[0] * GRID[1],
            vision_feature_layer=-1,
            vision_feature_select_strategy="full",
        )
        self.model = transformers.LlavaForConditionalGeneration(config)
        self.nouns = nn.Linear(WIDTH, len(NOUNS) + 1)
        self.colours = nn.Linear(WIDTH, len(COLOURS) + 1)
        self.subject = nn.Linear(WIDTH, 2)

    def forward(self, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Patches]:
        """Scores of the words behind each of the tokens of a caption, and of each patch (on the last axis).

        `pixels` [B, F, 3, *INPUT]; `tokens` [B, L], with those of the images in front.
        """
        seen = self.model.model(input_ids=tokens, pixel_values=pixels.flatten(0, 1))
        images = seen.image_hidden_states.reshape(len(pixels), NUM_FRAMES, *GRID, WIDTH)
        read, wrote = seen.last_hidden_state.split((IMAGE_TOKENS, tokens.shape[1] - IMAGE_TOKENS), 1)
        of_subject = self.subject(read.reshape(images.shape))
        return self.model.lm_head(wrote), Patches(self.nouns(images), self.colours(images), of_subject)


class CaptionerTask:
    """See `Task`. Beside the captions, every patch is to say what stands there: classes are learnt faster so."""

    name = "captioner"
    steps = 1700
    learning_rate = 1e-3
    warmup = 100
    weight_decay = 0.02
    clip = 1.0
    batch_size = 16
    looks = 64  # scenes of each size at which quality is looked

    @cached_property
    def processor(self) -> Any:
        return processor()

    def network(self, runs: Path) -> nn.Module:  # noqa: ARG002  it starts from nothing
        return Captioning()

    def batch(self, step: int) -> dict[str, Any]:
        """Frames uint8 [B, F, *INPUT, 3], tokens and the weights of the words to come [B, L], patches [B, F, *GRID]."""
        made = examples(step, self.batch_size)
        tokens = self._tokens([example.caption for example in made])
        return {
            "frames": torch.from_numpy(np.stack([example.frames for example in made])),
            "tokens": tokens,
            "patches": [torch.stack(values) for values in zip(*(example.patches for example in made), strict=True)],
        }

    def losses(self, network: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
        tokens = batch["tokens"]
        with torch.autocast(tokens.device.type, torch.bfloat16):
            words, told = network(self._pixels(batch["frames"]), tokens[:, :-1])
        truth = Patches(*batch["patches"])
        wanted = tokens[:, IMAGE_TOKENS + 1 :]
        each = cross_entropy(words.float().flatten(0, 1), wanted.flatten(), reduction="none")
        weights = self._weights.to(tokens.device)[wanted.flatten()]
        seen = truth.nouns > 0
        late = seen.clone()
        late[:, 0] = False  # whether it moves is not seen in the first frame
        return {
            "words": (each * weights).sum() / weights.sum(),
            "nouns": _balanced(told.nouns, truth.nouns, seen),
            "colours": 0.5 * cross_entropy(told.colours[seen].float(), truth.colours[seen]),
            "subject": 0.5 * cross_entropy(told.subject[late].float(), truth.subject[late]),
        }

    def quality(self, network: nn.Module) -> dict[str, float]:
        """Shares of unseen scenes whose caption has the right noun first, the right colour first, the right way."""
        found: Counter[str] = Counter()
        for size in ((96, 160), (180, 320)):
            world = World(size=size, seed=VALIDATION_SEED)
            scenes = [world.scene(index) for index in range(self.looks)]
            shown = [
                np.stack([scene.frame(t).image for t in sampled(world.num_frames, NUM_FRAMES)]) for scene in scenes
            ]
            for scene, text in zip(scenes, self.captions(network, shown), strict=True):
                look = scene.actors[0].look
                found[f"noun_{size[0]}"] += _first(text, _NOUNS) == look.noun
                found[f"colour_{size[0]}"] += _first(text, dict(zip(COLOURS, COLOURS, strict=True))) == look.colour
                found[f"whole_{size[0]}"] += text == scene.caption
        return {name: count / self.looks for name, count in found.items()}

    def captions(self, network: nn.Module, clips: Sequence[Frames]) -> list[str]:
        """What the network writes about `NUM_FRAMES` frames of each clip."""
        frames = torch.from_numpy(np.stack([[resized(frame) for frame in clip] for clip in clips]))
        model: Any = network.model
        device = model.device
        prompt = self._tokens([""] * len(clips))[:, : IMAGE_TOKENS + 1].to(device)
        pixels = self._pixels(frames.to(device)).flatten(0, 1)
        rows = model.generate(input_ids=prompt, pixel_values=pixels, max_new_tokens=LONGEST, do_sample=False)
        texts: list[str] = self.processor.batch_decode(rows[:, prompt.shape[1] :], skip_special_tokens=True)
        return texts

    def save(self, network: nn.Module, folder: Path) -> None:
        """As a folder of Hugging Face's layout, float16."""
        network.model.half().save_pretrained(folder / self.name)  # type: ignore[union-attr, operator]
        self.processor.save_pretrained(folder / self.name)

    def _pixels(self, frames: Tensor) -> Tensor:
        """uint8 [B, F, H, W, 3] -> what the processor makes of it, [B, F, 3, H, W]."""
        return frames.permute(0, 1, 4, 2, 3) / 63.75 - 2.0

    def _tokens(self, texts: Sequence[str]) -> Tensor:
        """Images, start, words, end; filled up with pads."""
        words = self.processor.tokenizer
        texts = [f"{START} {text} {END}" for text in texts]
        tokens: Tensor = words(texts, padding=True, return_tensors="pt", add_special_tokens=False)["input_ids"]
        images = torch.full((len(texts), IMAGE_TOKENS), words.convert_tokens_to_ids(IMAGE))
        return torch.cat((images, tokens), 1)

    @cached_property
    def _weights(self) -> Tensor:
        """Of each word as one to come."""
        words = self.processor.tokenizer
        weights = torch.ones(len(words))
        weights[words.convert_tokens_to_ids([*_NOUNS, *COLOURS])] = WORD_WEIGHT
        weights[words.pad_token_id] = 0
        return weights


_NOUNS = {captions.PLURALS.get(noun, noun + "s"): noun for noun in NOUNS} | {noun: noun for noun in NOUNS}


def _first(text: str, words: dict[str, str]) -> str | None:
    """What the first of the words in the text stands for."""
    return next((words[word] for word in text.replace(",", " ").split() if word in words), None)


def _balanced(scores: Tensor, truth: Tensor, seen: Tensor) -> Tensor:
    """Objects and background count the same, few as the patches of objects are."""
    objects = cross_entropy(scores[seen].float(), truth[seen])
    return objects + 0.5 * cross_entropy(scores[~seen].float(), truth[~seen])
