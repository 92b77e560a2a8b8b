"""Masked reference attention (Sec. 4.1): a video's tokens look at the subject's, at the same place of the UNet."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from diffusers import ConfigMixin, ModelMixin, UNet3DConditionModel
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention_processor import Attention
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Pair = tuple[Tensor, Tensor]
"""Of one spatial transformer: behind its self-attention, and behind its cross-attention."""

Features = Mapping[str, Pair]
"""Z'_s of every spatial transformer by its name in the UNet."""


class Place(NamedTuple):
    """A spatial transformer of a UNet."""

    width: int  # channels of its tokens
    heads: int
    level: int  # 0 where the feature map has the latents' size, 1 where it has half of that


class MaskedReferenceAttention(nn.Module):
    """Z'' = Z' + M^ * Attention(Z' W_Q, Z'_s W_K, Z'_s W_V) W_O (Eq. 3 and 5)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(width, width, bias=False)
        self.to_v = nn.Linear(width, width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.to_out.weight)

    def forward(
        self,
        video: Float[Tensor, "batch_frames tokens width"],
        subject: Float[Tensor, "batch tokens width"],
        weight: Float[Tensor, "batch_frames tokens 1"],
    ) -> Float[Tensor, "batch_frames tokens width"]:
        batch = len(subject)
        # All frames of a video are one row of queries, so that its subject's keys are read once.
        q = rearrange(_linear(video, self.to_q), "(b f) n (h d) -> b h (f n) d", b=batch, h=self.heads)
        k, v = (
            rearrange(_linear(subject, layer), "b n (h d) -> b h n d", h=self.heads) for layer in (self.to_k, self.to_v)
        )
        seen = functional.scaled_dot_product_attention(q, k, v)
        seen = rearrange(seen, "b h (f n) d -> (b f) n (h d)", n=video.shape[1])
        return video + weight.to(video.dtype) * _linear(seen, self.to_out)


class ReferenceAttention(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Two masked reference attentions for every spatial transformer of a UNet: 32 at ModelScope's size."""

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, places: Mapping[str, Sequence[int]]) -> None:
        """`places` are `Place`s by the transformers' names; see `spatial_transformers`.

        Heads are those of the layer beside it, on which the paper is silent.
        """
        super().__init__()
        self.places = {name: Place(*place) for name, place in places.items()}
        self.layers = nn.ModuleDict(
            {
                _key(name): nn.ModuleList(MaskedReferenceAttention(place.width, place.heads) for _ in range(2))
                for name, place in self.places.items()
            }
        )

    @classmethod
    def beside(cls, unet: UNet3DConditionModel) -> "ReferenceAttention":
        found: ReferenceAttention = cls(spatial_transformers(unet))
        return found

    def of(self, name: str) -> nn.ModuleList:
        """The two of the spatial transformer of that name."""
        layers: nn.ModuleList = self.layers[_key(name)]  # type: ignore[assignment]
        return layers


def spatial_transformers(unet: UNet3DConditionModel) -> dict[str, Place]:
    places = {}
    for name, module in unet.named_modules():
        if name.split(".")[-2:-1] == ["attentions"]:
            attention = module.transformer_blocks[0].attn1
            places[name] = Place(attention.to_out[0].out_features, attention.heads, _level(unet, name))
    return places


def attach(unet: UNet3DConditionModel, attention: ReferenceAttention | None) -> None:
    """Lets the spatial transformers of `unet` record what they see, and look at a subject through `attention`.

    Both happen in a pass whose `cross_attention_kwargs` are those of `recording` or `looking_at`; without them the UNet
    does what it always did. Temporal attentions are never given these.
    """
    for name, module in unet.named_modules():
        if isinstance(module, Attention):
            module.set_processor(_Processor(0, None))  # plain; those of spatial transformers follow
        if name.split(".")[-2:-1] == ["temp_attentions"] or name == "transformer_in":
            module.register_forward_pre_hook(_without, with_kwargs=True)
    for name, place in spatial_transformers(unet).items():
        transformer = unet.get_submodule(name)
        layers = [None, None] if attention is None else attention.of(name)
        for number, which in enumerate(("attn1", "attn2")):
            transformer.transformer_blocks[0].get_submodule(which).set_processor(_Processor(number, layers[number]))
        transformer.register_forward_pre_hook(_Narrowed(name, place.level), with_kwargs=True)


def recording(features: dict[str, list[Tensor]]) -> dict[str, Any]:
    """Of a pass that leaves in `features` what stands behind every attention."""
    return {"record": features}


def looking_at(features: Features, weights: Sequence[Tensor]) -> dict[str, Any]:
    """Of a pass in which the video looks at the subject's `features`; `weights` are M^ of each level's tokens."""
    return {"subject": features, "weights": weights}


class _Processor:
    """One attention of the UNet. A class with `__call__`, for diffusers reads its signature."""

    def __init__(self, number: int, reference: nn.Module | None) -> None:
        self.number = number  # 0 for self-attention, 1 for cross-attention
        self.reference = reference

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,  # noqa: ARG002 - the UNet has none
        record: list[Tensor] | None = None,
        subject: Pair | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        heads = (
            (layer(x), attn.heads)
            for layer, x in ((attn.to_q, hidden_states), (attn.to_k, context), (attn.to_v, context))
        )
        q, k, v = (rearrange(x, "b n (h d) -> b h n d", h=count) for x, count in heads)
        seen = functional.scaled_dot_product_attention(q, k, v)
        output: Tensor = attn.to_out[0](rearrange(seen, "b h n d -> b n (h d)"))
        if record is not None:
            record.append(output)
        if subject is not None and self.reference is not None:
            output = self.reference(output, subject[self.number], weight)
        return output


class _Narrowed:
    """Before a spatial transformer: of all transformers' features its own, so that one compiled graph serves many."""

    def __init__(self, name: str, level: int) -> None:
        self.name = name
        self.level = level

    def __call__(self, _module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        given = kwargs.get("cross_attention_kwargs") or {}
        if any(isinstance(given.get(name), list | tuple) for name in ("record", "subject")):
            return args, kwargs  # its own already: the UNet was attached to before
        own: dict[str, Any] | None = None
        if "record" in given:
            own = {"record": given["record"].setdefault(self.name, [])}
        elif "subject" in given:
            own = {"subject": given["subject"][self.name], "weight": given["weights"][self.level]}
        return args, kwargs | {"cross_attention_kwargs": own}


def _without(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return args, kwargs | {"cross_attention_kwargs": None}


def _level(unet: UNet3DConditionModel, name: str) -> int:
    """How many times the feature map of a block's attentions was halved."""
    side, number, *_ = name.split(".")
    deepest = len(unet.down_blocks) - 1
    return {"down_blocks": lambda: int(number), "up_blocks": lambda: deepest - int(number)}.get(side, lambda: deepest)()


def _linear(x: Tensor, layer: nn.Linear) -> Tensor:
    """In the precision of what passes through, whatever that of the weights."""
    return functional.linear(x, layer.weight.to(x.dtype))


def _key(name: str) -> str:
    return name.replace(".", "-")  # a name of a module holds no dots
