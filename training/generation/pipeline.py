"""DreamVideo-2 as a pipeline of diffusers: subject images, boxes and prompts to clips."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers import DiffusionPipeline
from einops import rearrange, repeat
from jaxtyping import Float, UInt8
from torch import Tensor

from training.generation.ddim import ddim, guided
from training.model.base import VideoBase
from training.model.dreamvideo2 import Conditions, DreamVideo2
from training.model.masks import box_masks
from training.model.motion_module import MotionModule
from training.model.reference_attention import ReferenceAttention
from training.model.settings import ModelSettings

GUIDANCE_SCALE = 9.0
NUM_INFERENCE_STEPS = 50


class DreamVideo2Pipeline(DiffusionPipeline):  # type: ignore[misc]
    """`from_pretrained` and `save_pretrained` of diffusers, base and trained parts together, safetensors."""

    _optional_components = ["reference_attention", "motion_module"]  # noqa: RUF012 - as diffusers has it

    def __init__(
        self,
        unet: Any,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        scheduler: Any,
        reference_attention: ReferenceAttention | None,
        motion_module: MotionModule | None,
        settings: dict[str, Any] | None = None,  # with a default, for diffusers takes what has none for a component
    ) -> None:
        """`settings` are those of `ModelSettings`; None: the paper's."""
        super().__init__()
        self.register_modules(
            unet=unet,
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            scheduler=scheduler,
            reference_attention=reference_attention,
            motion_module=motion_module,
        )
        self.register_to_config(settings=settings)
        chosen = ModelSettings.model_validate(settings or {})
        self._model = DreamVideo2(unet, reference_attention, motion_module, chosen).eval()
        self._base = VideoBase(unet=unet, vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, scheduler=scheduler)

    @classmethod
    def of(cls, base: VideoBase, model: DreamVideo2) -> "DreamVideo2Pipeline":
        return cls(
            unet=base.unet,
            vae=base.vae,
            text_encoder=base.text_encoder,
            tokenizer=base.tokenizer,
            scheduler=base.scheduler,
            reference_attention=model.reference_attention,
            motion_module=model.motion_module,
            settings=model.settings.model_dump(mode="json"),
        )

    @torch.no_grad()
    def __call__(
        self,
        prompts: Sequence[str],
        subjects: UInt8[Tensor, "batch height width 3"],
        boxes: Float[Tensor, "batch frames 4"],
        *,
        seeds: Sequence[int],
        num_inference_steps: int = NUM_INFERENCE_STEPS,
        guidance_scale: float = GUIDANCE_SCALE,
        callback_on_step_end: Callable[[int, Tensor], None] | None = None,
    ) -> UInt8[Tensor, "batch frames height width 3"]:
        """Clips of as many frames as there are boxes, of the size of the subject images.

        `subjects` are on a blank background; `boxes` in pixels, NaN where the subject is not to be. A clip's noise is
        its own seed's, whatever else is in the batch. Guidance is over the text alone, on which the paper is silent.
        """
        device = self._base.unet.device
        conditions = self._conditions(prompts, subjects.to(device), boxes.to(device))
        features = self._model.look(conditions, torch.zeros(len(prompts), dtype=torch.long, device=device))
        if guidance_scale != 1:
            features = {name: (_twice(own), _twice(cross)) for name, (own, cross) in features.items()}
            silent = self._base.read([""] * len(prompts))
            conditions = Conditions(*map(_twice, conditions))._replace(text=torch.cat([conditions.text, silent]))

        def predict(latents: Tensor, timesteps: Tensor) -> Tensor:
            if guidance_scale == 1:
                return self._model.denoise(latents, timesteps, conditions, features)
            with_text, without = self._model.denoise(_twice(latents), _twice(timesteps), conditions, features).chunk(2)
            return guided(with_text, without, guidance_scale)

        latents = self._noise(subjects, boxes.shape[1], seeds).to(device)
        for number, latents in enumerate(ddim(predict, latents, self._base.scheduler, num_inference_steps)):  # noqa: B020
            if callback_on_step_end is not None:
                callback_on_step_end(number, latents)
        return self._base.decode(rearrange(latents, "b c f h w -> b f c h w"))

    def _conditions(self, prompts: Sequence[str], subjects: Tensor, boxes: Tensor) -> Conditions:
        reference = self._model.settings.reference
        text = self._base.read(prompts)
        silent = reference is not None and reference.subject_text == "empty"
        return Conditions(
            text=text,
            masks=box_masks(boxes.float(), (subjects.shape[1], subjects.shape[2])),
            subject=self._base.encode(subjects),
            subject_text=self._base.read([""] * len(prompts)) if silent else text,
        )

    def _noise(self, subjects: Tensor, frames: int, seeds: Sequence[int]) -> Tensor:
        """Drawn on the CPU, so that a seed means the same everywhere."""
        height, width = (side // self._base.stride for side in subjects.shape[1:3])
        shape = self._base.unet.config.in_channels, frames, height, width
        return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def _twice(tensor: Tensor) -> Tensor:
    """With text, and without."""
    return repeat(tensor, "b ... -> (two b) ...", two=2)
