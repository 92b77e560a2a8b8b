"""Motion control without training, by attention masks on the frozen base: Peekaboo's idea (Jain et al., CVPR 2024).

In the first steps of sampling the inside of the boxes and the outside are two pictures that do not see each other: in
space a token looks at tokens of its own side alone, over time at frames in which its place is on the same side, and of
the prompt the inside sees the subject's words and the outside all others. Later steps are the base's own, and join the
two. What is notable: nothing is added to the base, so this is what its own knowledge of the prompt gives.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from einops import rearrange, repeat
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional

from shards.rle import Size
from training.evaluation.making import Conditions
from training.generation.ddim import ddim, guided
from training.model.base import VideoBase
from training.model.masks import box_masks, feature_sizes, resized
from training.model.reference_attention import spatial_transformers

MASKED_STEPS = 2
"""Of sampling, the first; Peekaboo's own number."""

DETERMINERS = frozenset({"a", "an", "the", "one", "two", "his", "her", "its"})
"""Words at which the subject's words begin, going back from its noun."""


@dataclass
class Guide:
    """What the processors of a UNet read; without `sides` they do what they always did."""

    sides: list[Bool[Tensor, "batch frames h w"]] | None = None  # whether a token is inside, at each level
    subject_words: Bool[Tensor, "batch words"] | None = None
    free_words: Bool[Tensor, "batch words"] | None = None  # marks and fill, which both sides see


class MaskedAttentionMaker:
    """Makes clips from prompts and boxes with the base alone; subject images are not looked at."""

    def __init__(
        self,
        base: VideoBase,
        described: dict[str, object],
        size: Size,
        num_frames: int,
        fps: float,
        *,
        steps: int = 50,
        guidance_scale: float = 9.0,
        masked_steps: int = MASKED_STEPS,
    ) -> None:
        self.size, self.num_frames, self.fps = size, num_frames, fps
        self._base, self._described = base, described
        self._steps, self._guidance_scale, self._masked_steps = steps, guidance_scale, masked_steps
        self._guide = Guide()
        attach(base.unet, self._guide)

    def described(self) -> dict[str, object]:
        options = {
            "steps": self._steps,
            "guidance_scale": self._guidance_scale,
            "masked_steps": self._masked_steps,
            "size": list(self.size),
            "num_frames": self.num_frames,
        }
        return {**self._described, **options}

    @torch.no_grad()
    def make(self, conditions: Conditions) -> UInt8[Tensor, "batch frames height width 3"]:
        base, count = self._base, len(conditions.prompts)
        device, dtype = base.unet.device, base.unet.dtype
        text = torch.cat([base.read(conditions.prompts), base.read([""] * count)])
        height, width = (side // base.stride for side in self.size)
        shape = base.unet.config.in_channels, self.num_frames, height, width
        seeds = (torch.Generator().manual_seed(seed) for seed in conditions.seeds)
        latents = torch.stack([torch.randn(shape, generator=generator) for generator in seeds]).to(device)
        self._aim(conditions, (height, width))

        def predict(noisy: Tensor, timesteps: Tensor) -> Tensor:
            both = base.unet(
                repeat(noisy, "b ... -> (two b) ...", two=2).to(dtype),
                repeat(timesteps, "b -> (two b)", two=2),
                text,
                return_dict=False,
            )[0]
            with_text, without = both.float().chunk(2)
            return guided(with_text, without, self._guidance_scale)

        try:
            for number, latents in enumerate(ddim(predict, latents, base.scheduler, self._steps), start=1):  # noqa: B007, B020
                if number == self._masked_steps:
                    self._guide.sides = None
        finally:
            self._guide.sides = None
        return base.decode(rearrange(latents, "b c f h w -> b f c h w"))

    def _aim(self, conditions: Conditions, latents: Size) -> None:
        """Both halves of guidance get the same sides; the one without text has no words to share out."""
        device = self._base.unet.device
        masks = box_masks(conditions.boxes.float().to(device), self.size)
        sizes = feature_sizes(latents, len(self._base.unet.down_blocks))
        if self._masked_steps:
            self._guide.sides = [sides(masks, size).repeat(2, 1, 1, 1) for size in sizes]
        subject, free = words_of(self._base.tokenizer, conditions.prompts, conditions.nouns, self._base)
        nothing = torch.zeros_like(subject)
        self._guide.subject_words = torch.cat([subject, nothing]).to(device)
        self._guide.free_words = torch.cat([free, ~nothing]).to(device)


def sides(masks: Float[Tensor, "batch frames height width"], size: Size) -> Bool[Tensor, "batch frames h w"]:
    """Inside: a token half of which lies in the box, or the one that most of a smaller box lies in."""
    area = resized(masks, size, "area")
    most = area.amax((2, 3), keepdim=True)
    return (area >= 0.5) | ((area == most) & (most > 0))


def words_of(
    tokenizer: Any, prompts: Sequence[str], nouns: Sequence[str], base: VideoBase
) -> tuple[Bool[Tensor, "batch words"], Bool[Tensor, "batch words"]]:
    """Which tokens are the subject's: its noun and what stands between it and its article; and which are no words.

    A noun that is not in the prompt leaves all words to both sides.
    """
    length = base.text_encoder.config.max_position_embeddings
    ids = tokenizer(
        list(prompts), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
    ).input_ids
    subject = torch.zeros(ids.shape, dtype=torch.bool)
    free = torch.ones(ids.shape, dtype=torch.bool)
    for row, (prompt, noun) in enumerate(zip(prompts, nouns, strict=True)):
        span = _phrase(prompt, noun)
        if span is None:
            continue
        before, phrase = span
        first, end, last = (_count(tokenizer, part) for part in (before, f"{before} {phrase}".strip(), prompt))
        subject[row, 1 + first : 1 + end] = True
        free[row, 1 : 1 + last] = False  # behind the mark that opens, before the one that ends
    return subject, free


def attach(unet: Any, guide: Guide) -> None:
    """Gives every attention of `unet` a processor that reads `guide`."""
    levels = {name: place.level for name, place in spatial_transformers(unet).items()}
    for name, module in unet.named_modules():
        if not isinstance(module, Attention):
            continue
        transformer = name.split(".transformer_blocks")[0]
        temporal = "temp_attentions" in name or name.startswith("transformer_in")
        level = levels.get(transformer.replace("temp_attentions", "attentions"), 0)
        module.set_processor(_Masked(guide, level, temporal, name.endswith("attn2")))


class _Masked:
    """One attention. A class with `__call__`, for diffusers reads its signature."""

    def __init__(self, guide: Guide, level: int, temporal: bool, cross: bool) -> None:
        self.guide, self.level, self.temporal, self.cross = guide, level, temporal, cross

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,  # noqa: ARG002 - the UNet has none
    ) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = (
            rearrange(layer(x), "b n (h d) -> b h n d", h=attn.heads)
            for layer, x in ((attn.to_q, hidden_states), (attn.to_k, context), (attn.to_v, context))
        )
        seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=self._mask())
        output: Tensor = attn.to_out[0](rearrange(seen, "b h n d -> b n (h d)"))
        return output

    def _mask(self) -> Bool[Tensor, "rows 1 queries keys"] | None:
        """Which keys a query sees; every query sees at least itself, or the prompt's marks."""
        if self.guide.sides is None:
            return None
        inside = self.guide.sides[self.level]
        if self.temporal:
            over_time = rearrange(inside, "b f h w -> (b h w) f")
            return _alike(over_time, over_time)[:, None]
        tokens = rearrange(inside, "b f h w -> (b f) (h w)")
        if not self.cross:
            return _alike(tokens, tokens)[:, None]
        assert self.guide.subject_words is not None
        assert self.guide.free_words is not None
        subject, free = (
            repeat(words, "b n -> (b f) n", f=inside.shape[1])
            for words in (self.guide.subject_words, self.guide.free_words)
        )
        return (_alike(tokens, subject) | free[:, None])[:, None]


def _alike(queries: Bool[Tensor, "rows queries"], keys: Bool[Tensor, "rows keys"]) -> Bool[Tensor, "rows queries keys"]:
    return queries[:, :, None] == keys[:, None]


def _phrase(prompt: str, noun: str) -> tuple[str, str] | None:
    """What stands before the subject's words, and they; None where the prompt has no such noun."""
    words = prompt.split()
    bare = [word.strip(".,;:!?").lower() for word in words]
    wanted = noun.lower().split()
    for at in range(len(words) - len(wanted) + 1):
        if bare[at : at + len(wanted)] == wanted:
            first = next((n + 1 for n in range(at - 1, -1, -1) if bare[n] in DETERMINERS), at)
            return " ".join(words[:first]), " ".join(words[first : at + len(wanted)])
    return None


def _count(tokenizer: Any, text: str) -> int:
    """Tokens of a text, without the marks around it."""
    return len(tokenizer(text, add_special_tokens=False).input_ids) if text else 0
