"""The frozen text-to-video base: UNet, VAE, text encoder, tokenizer and noise schedule, from a folder of diffusers."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet3DConditionModel
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor
from transformers import AutoTokenizer, CLIPTextModel
from transformers.utils import logging

EMBEDDED = Path(__file__).parent.parent / "embedded" / "weights"
"""The small base that comes with this project, for practice videos."""

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
"""Folders of a base, as diffusers names them."""


@dataclass(frozen=True, kw_only=True)
class VideoBase:
    """ModelScopeT2V, ZeroScope, or any base of the same classes. Nothing in it is ever trained."""

    unet: UNet3DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: Any
    scheduler: DDPMScheduler

    @classmethod
    def from_pretrained(
        cls, place: str | Path, *, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu", **how: Any
    ) -> Self:
        """Loads a base from a folder or by its name on the hub; `how` goes to diffusers (`variant="fp16"`).

        Raises `ValueError` in one line where there is none, or where it predicts something else than noise.
        """
        if Path(place).is_dir():
            missing = [part for part in PARTS if not Path(place, part).is_dir()]
            if missing:
                raise ValueError(f"{place}: no base of a text-to-video model, for {', '.join(missing)} is missing")
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # it would be drawn into our own
        heavy = {"torch_dtype": dtype, **how}
        base = cls(
            unet=UNet3DConditionModel.from_pretrained(place, subfolder="unet", **heavy),
            vae=AutoencoderKL.from_pretrained(place, subfolder="vae", **heavy),
            text_encoder=CLIPTextModel.from_pretrained(place, subfolder="text_encoder", **{"dtype": dtype, **how}),
            tokenizer=AutoTokenizer.from_pretrained(place, subfolder="tokenizer"),
            scheduler=DDPMScheduler.from_pretrained(place, subfolder="scheduler"),
        )
        if base.scheduler.config.prediction_type != "epsilon":
            raise ValueError(
                f"{place}: its UNet predicts {base.scheduler.config.prediction_type}, and Eq. 6 is about noise; "
                "take a base with prediction_type epsilon"
            )
        return base.to(device)

    @classmethod
    def named(cls, name: str, *, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu") -> Self:
        """The base that a recipe calls `name`: "embedded", a folder, or a name on the hub. Raises `ValueError`."""
        place = EMBEDDED if name == "embedded" else Path(name)
        if not place.is_dir() and (name == "embedded" or name.count("/") != 1 or name.startswith((".", "/"))):
            raise ValueError(f"base={name!r}: there is no folder {place}; name one that diffusers wrote")
        try:
            return cls.from_pretrained(place if place.is_dir() else name, dtype=dtype, device=device)
        except OSError as error:  # the hub's word, too
            why = " ".join(str(error).splitlines()[0].split())
            raise ValueError(f"base={name!r} cannot be loaded ({why}); name a folder that diffusers wrote") from None

    def to(self, device: str | torch.device) -> Self:
        parts: tuple[Any, ...] = (self.unet, self.vae, self.text_encoder)
        for part in parts:
            part.to(device).requires_grad_(False).eval()
        return self

    @property
    def stride(self) -> int:
        """Pixels to a place of the UNet's, each way."""
        return self.pack * int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def pack(self) -> int:
        """Latents of the VAE, each way, to a place of the UNet's: 2 where that has four times the channels."""
        return isqrt(self.unet.config.in_channels // self.vae.config.latent_channels)

    def encoder_digest(self) -> str:
        """Names what makes latents: the VAE's configuration, weights and precision."""
        vae: Any = self.vae
        said = {name: value for name, value in vae.config.items() if not name.startswith("_")}  # those say where it lay
        digest = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode())
        for name, weight in sorted(vae.state_dict().items()):
            digest.update(f"{name} {weight.dtype}".encode())
            digest.update(weight.contiguous().cpu().view(torch.uint8).numpy())
        return digest.hexdigest()

    @torch.no_grad()
    def encode(self, frames: UInt8[Tensor, "*batch height width 3"]) -> Float[Tensor, "*batch channels h w"]:
        """Latents of frames. The paper is silent on their draw: here the distribution's mean, alike each time."""
        vae: Any = self.vae
        images = rearrange(frames.flatten(0, -4), "b h w c -> b c h w").to(vae.dtype) / 127.5 - 1
        latents = torch.cat([vae.encode(part).latent_dist.mean for part in torch.split(images, AT_ONCE)])
        packed = rearrange(latents, "b c (h p) (w q) -> b (c p q) h w", p=self.pack, q=self.pack)
        scaled: Tensor = packed.view(*frames.shape[:-3], *packed.shape[1:]) * vae.config.scaling_factor
        return scaled

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "*batch channels h w"]) -> UInt8[Tensor, "*batch height width 3"]:
        vae: Any = self.vae
        packed = latents.flatten(0, -4).to(vae.dtype) / vae.config.scaling_factor
        flat = rearrange(packed, "b (c p q) h w -> b c (h p) (w q)", p=self.pack, q=self.pack)
        images = torch.cat([vae.decode(part).sample for part in torch.split(flat, AT_ONCE)]).float()
        frames = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        pictures = rearrange(frames, "b c h w -> b h w c")
        return pictures.reshape(*latents.shape[:-3], *pictures.shape[1:])

    @torch.no_grad()
    def read(self, texts: Sequence[str]) -> Float[Tensor, "batch words width"]:
        """What the UNet reads of prompts; longer ones are cut at the text encoder's end."""
        ids = self.tokenizer(
            list(texts),
            padding="max_length",
            truncation=True,
            max_length=self.text_encoder.config.max_position_embeddings,
            return_tensors="pt",
        ).input_ids
        hidden: Tensor = self.text_encoder(ids.to(self.text_encoder.device)).last_hidden_state
        return hidden


AT_ONCE = 16
"""Frames that the VAE is given at a time."""
