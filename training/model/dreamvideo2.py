"""DreamVideo-2 (Fig. 2): a frozen text-to-video UNet, masked reference attention, and a mask-guided motion module."""

from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple, Self

import torch
from diffusers import UNet3DConditionModel
from jaxtyping import Float, Int
from torch import Tensor, nn

from training.model.masks import control_signal, feature_sizes, token_weights
from training.model.motion_module import MotionModule, Residuals
from training.model.reference_attention import Features, ReferenceAttention, attach, looking_at, recording
from training.model.settings import ModelSettings, ReferenceSettings

SETTINGS = "dreamvideo2.json"
"""The settings' file in a folder of `DreamVideo2.save_pretrained`."""


class Conditions(NamedTuple):
    """What a clip is to show, and where."""

    text: Float[Tensor, "batch words width"]
    masks: Float[Tensor, "batch frames height width"]
    """M: 1 inside the box, at the size of the pixels."""
    subject: Float[Tensor, "batch channels h w"]
    """Latents of the subject image: segmented, on a blank background."""
    subject_text: Float[Tensor, "batch words width"]
    """What the UNet reads beside it: see `ReferenceSettings.subject_text`."""


class DreamVideo2(nn.Module):
    """The base's UNet sees the subject image, the motion module the boxes, and the same UNet denoises the video.

    It works in the precision of the frozen UNet: trained weights stay in their own and are cast as they are used.
    """

    def __init__(
        self,
        unet: UNet3DConditionModel,
        reference_attention: ReferenceAttention | None,
        motion_module: MotionModule | None,
        settings: ModelSettings,
    ) -> None:
        super().__init__()
        self.unet = unet.requires_grad_(False).eval()
        self.reference_attention = reference_attention
        self.motion_module = motion_module
        self.settings = settings
        attach(unet, reference_attention)

    @classmethod
    def beside(cls, unet: UNet3DConditionModel, settings: ModelSettings) -> Self:
        """As training begins: its output is exactly that of `unet`."""
        reference = ReferenceAttention.beside(unet) if settings.reference else None
        motion = MotionModule.beside(unet, settings.motion) if settings.motion else None
        return cls(unet, reference, motion, settings)

    def forward(
        self,
        latents: Float[Tensor, "batch channels frames h w"],
        timesteps: Int[Tensor, " batch"],
        conditions: Conditions,
    ) -> Float[Tensor, "batch channels frames h w"]:
        """The noise in the latents."""
        features = self.look(conditions, timesteps)
        return self.denoise(latents, timesteps, conditions, features)

    @torch.no_grad()
    def look(self, conditions: Conditions, timesteps: Int[Tensor, " batch"]) -> Features:
        """Z'_s: what every spatial attention of the UNet sees in the subject image, a video of one frame."""
        if self.reference_attention is None:
            return {}
        of_video = self._reference.subject_timestep == "video"
        seen: dict[str, list[Tensor]] = {}
        # One frame costs a sixteenth of the clip: not worth as many graphs again, where layers are compiled.
        with torch.compiler.set_stance("force_eager"):
            self.unet(
                conditions.subject[:, :, None].to(self.unet.dtype),
                timesteps if of_video else torch.zeros_like(timesteps),
                conditions.subject_text.to(self.unet.dtype),
                cross_attention_kwargs=recording(seen),
            )
        return {name: (own[0], own[1]) for name, own in seen.items()}

    def denoise(
        self,
        latents: Float[Tensor, "batch channels frames h w"],
        timesteps: Int[Tensor, " batch"],
        conditions: Conditions,
        features: Features,
    ) -> Float[Tensor, "batch channels frames h w"]:
        """The noise in the latents, where the subject has been looked at."""
        latents, text = latents.to(self.unet.dtype), conditions.text.to(self.unet.dtype)
        residuals = self._guide(latents, timesteps, text, conditions.masks)
        (noise,) = self.unet(
            latents,
            timesteps,
            text,
            cross_attention_kwargs=looking_at(features, self._weights(latents, conditions.masks)) if features else None,
            down_block_additional_residuals=residuals.down if residuals else None,
            mid_block_additional_residual=residuals.mid if residuals else None,
            return_dict=False,
        )
        found: Tensor = noise.float()
        return found

    def train(self, mode: bool = True) -> Self:
        """The frozen UNet never trains: its temporal convolutions would drop out."""
        super().train(mode)
        self.unet.eval()
        return self

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes the settings and what is trained, safetensors; never the base."""
        for name, part in self._trained().items():
            part.save_pretrained(Path(folder, name))
        Path(folder, SETTINGS).write_text(self.settings.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: str | Path, unet: UNet3DConditionModel) -> Self:
        """What `save_pretrained` wrote, beside the same base. Raises `ValueError` as `load` does."""
        model = cls.beside(unet, _settings(folder))
        model.load(folder)
        return model

    def load(self, folder: str | Path) -> None:
        """Take over what `save_pretrained` wrote, as far as this model has its parts.

        Another model beside the same UNet would not do: a UNet looks through the reference attention that came last.
        Raises `ValueError` where nothing was written, or what fits another base or other settings.
        """
        _settings(folder)  # or there is nothing
        for name, part in self._trained().items():
            try:
                found = type(part).from_pretrained(Path(folder, name))
                part.load_state_dict(found.state_dict())
            except (OSError, RuntimeError) as error:
                other = f"beside another base or with other settings of model.{name.split('_')[0]}"
                raise ValueError(
                    f"{folder}: {name} was trained {other}; name those that it was trained with"
                ) from error

    def _trained(self) -> dict[str, ReferenceAttention | MotionModule]:
        parts = {"reference_attention": self.reference_attention, "motion_module": self.motion_module}
        return {name: part for name, part in parts.items() if part is not None}

    def _guide(self, latents: Tensor, timesteps: Tensor, text: Tensor, masks: Tensor) -> Residuals | None:
        if self.motion_module is None:
            return None
        control = control_signal(masks).to(latents.dtype)
        whole = latents.dtype == torch.float32
        with nullcontext() if whole else torch.autocast(latents.device.type, latents.dtype):
            residuals: Residuals = self.motion_module(latents, timesteps, text, control)
        return residuals

    def _weights(self, latents: Tensor, masks: Tensor) -> list[Tensor]:
        height, width = latents.shape[-2:]
        sizes = feature_sizes((height, width), len(self.unet.down_blocks))
        return token_weights(masks, sizes, self._reference.lambda_m, self._reference.mask_resize)

    @property
    def _reference(self) -> ReferenceSettings:
        assert self.settings.reference is not None
        return self.settings.reference


def _settings(folder: str | Path) -> ModelSettings:
    file = Path(folder, SETTINGS)
    if not file.is_file():
        raise ValueError(
            f"{folder}: no trained DreamVideo-2 here, for {SETTINGS} is missing; name a run's model folder"
        )
    return ModelSettings.model_validate_json(file.read_text(encoding="utf-8"))
