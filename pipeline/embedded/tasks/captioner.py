"""Trains the captioner: FocalNet sees four frames, a small Llama reads what it saw and writes, both as LLaVA."""

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

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
from pipeline.embedded.tasks.caption_examples import (
    GRID,
    INPUT,
    NUM_FRAMES,
    PATCH,
    Patches,
    examples,
    frames_alone,
    resized,
    stacked,
)
from pipeline.embedded.tasks.sight import WIDTH, SightTask, normalised, patch_losses, vision_config
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


class Scores(NamedTuple):
    """What the network holds likely, on the last axis."""

    words: Tensor  # behind each token of a caption, [B, L, vocabulary]
    nouns: Tensor  # of each patch, [B * F + N, *GRID, nouns + 1]
    colours: Tensor  # [B * F + N, *GRID, colours + 1]
    subject: Tensor  # [B * F, *GRID, 2]


class Captioning(nn.Module):
    """The captioner, with the heads that are thrown away."""

    def __init__(self) -> None:
        super().__init__()
        words = tokenizer()
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
            vision_config=vision_config(),
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

    def forward(self, frames: Tensor, tokens: Tensor) -> Scores:
        """`frames` [B * F + N, 3, *INPUT], those of the clips first; `tokens` [B, L], with the images' in front."""
        features = torch.stack(self.model.model.get_image_features(pixel_values=frames).pooler_output)
        of_clips = features[: len(tokens) * NUM_FRAMES].flatten(0, 1)
        words = self.model.get_input_embeddings()(tokens)
        inputs = torch.cat((of_clips.view(len(tokens), IMAGE_TOKENS, WIDTH), words[:, IMAGE_TOKENS:]), 1)
        states = self.model.model.language_model(inputs_embeds=inputs).last_hidden_state
        read, wrote = states.split((IMAGE_TOKENS, tokens.shape[1] - IMAGE_TOKENS), 1)
        patches = features.unflatten(1, GRID)  # type: ignore[no-untyped-call]
        return Scores(
            words=self.model.lm_head(wrote),
            nouns=self.nouns(patches),
            colours=self.colours(patches),
            subject=self.subject(read.reshape(-1, *GRID, WIDTH)),
        )


class CaptionerTask:
    """See `Task`. Beside the captions, every patch goes on to say what stands there, and whether it is the subject."""

    name = "captioner"
    steps = 900
    learning_rate = 1e-3
    warmup = 100
    weight_decay = 0.02
    clip = 1.0
    batch_size = 24
    lone_frames = 16
    looks = 64  # scenes of each size on which quality is looked at

    @cached_property
    def processor(self) -> Any:
        return processor()

    def network(self, runs: Path) -> nn.Module:
        network = Captioning()
        network.model.model.vision_tower.load_state_dict(_sight(runs / SightTask.name / "last.pt"))
        return network

    def trained(self, weights: Path) -> nn.Module:
        """With fresh heads, which are thrown away."""
        network = Captioning()
        kept = transformers.LlavaForConditionalGeneration.from_pretrained(weights / self.name, dtype=torch.float32)
        network.model.load_state_dict(kept.state_dict())
        return network

    def batch(self, step: int) -> dict[str, Any]:
        """Tokens of images and captions [B, L]; frames uint8 [B * F + N, *INPUT, 3] and patches [B * F + N, *GRID]."""
        made = examples(step, self.batch_size)
        tokens = self._tokens([example.caption for example in made])
        # Sight goes on with frames of its own, other than those it began with.
        return {"tokens": tokens} | stacked([*made, *frames_alone(2**40 + step, self.lone_frames)])

    def losses(self, network: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
        tokens, truth = batch["tokens"], Patches(*batch["patches"])
        with torch.autocast(tokens.device.type, torch.bfloat16):
            told = network(normalised(batch["frames"]), tokens[:, :-1])
        seen = truth.nouns[: len(told.subject)] > 0
        seen[::NUM_FRAMES] = False  # whether it moves is not seen in the first frame
        return {
            "words": self._word_loss(told.words.float(), tokens[:, IMAGE_TOKENS + 1 :]),
            "subject": 0.5 * cross_entropy(told.subject[seen].float(), truth.subject[: len(seen)][seen]),
            **patch_losses(told.nouns.float(), told.colours.float(), truth),
        }

    def _word_loss(self, scores: Tensor, wanted: Tensor) -> Tensor:
        weights = self._weights.to(scores.device)
        return cross_entropy(scores.flatten(0, 1), wanted.flatten(), weights)

    def quality(self, network: nn.Module) -> dict[str, float]:
        """Shares of unseen scenes whose caption has the right noun first, the right colour first, every word right."""
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
        pixels = normalised(frames.to(device)).flatten(0, 1)
        rows = model.generate(input_ids=prompt, pixel_values=pixels, max_new_tokens=LONGEST, do_sample=False)
        texts: list[str] = self.processor.batch_decode(rows[:, prompt.shape[1] :], skip_special_tokens=True)
        return texts

    def save(self, network: nn.Module, folder: Path) -> None:
        """As a folder of Hugging Face's layout, float16."""
        model: Any = deepcopy(network.model)
        model.half().save_pretrained(folder / self.name)
        self.processor.save_pretrained(folder / self.name)

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


def _sight(run: Path) -> dict[str, Tensor]:
    """The averaged weights of the vision that was trained by itself."""
    if not run.exists():
        raise ValueError(f"{run}: no such run; train {SightTask.name} before the captioner")
    average = torch.load(run, map_location="cpu", weights_only=True)["average"]
    prefix = "module.vision."
    return {name.removeprefix(prefix): value for name, value in average.items() if name.startswith(prefix)}
