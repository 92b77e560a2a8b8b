"""Settings of DreamVideo-2: every ablation of the paper, and every point on which it is silent, by name."""

from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from pipeline.stage import Settings


class ReferenceSettings(Settings):
    """Masked reference attention (Sec. 4.1, Eq. 3-5)."""

    lambda_m: float = Field(default=0.75, ge=0, le=1)
    """Weight of the subject outside its box, Eq. 4 and Tab. 5: 1 is no mask, 0 a binary one."""

    mask_resize: Literal["area", "nearest"] = "area"
    """How box masks come to the size of a feature map, and to the latents' in Eq. 6. The paper is silent: by area a
    token on a box's edge counts for the share of it that lies inside."""

    subject_text: Literal["caption", "empty"] = "caption"
    """What the UNet reads beside the subject image. The paper is silent: the caption names the subject."""

    subject_timestep: Literal["zero", "video"] = "zero"
    """The timestep that the UNet is told beside the subject's clean latents. The paper is silent: the image has no
    noise, and at zero one pass serves all steps of sampling."""


class MotionSettings(Settings):
    """The mask-guided motion module (Sec. 4.2)."""

    encoder: Literal["spatiotemporal", "spatial"] = "spatiotemporal"
    """Without temporal attention, "spatial", it is Tab. 5's "without motion encoder". The paper is silent on what
    stands in its place: here the same convolutions, which are ControlNet's own embedding of its input."""

    encoder_channels: tuple[PositiveInt, ...] = Field(default=(16, 32, 96, 256), min_length=2)
    """Each after the first halves the size once, to that of the latents. The paper is silent: ControlNet's own."""

    temporal_layers: PositiveInt = 2
    """Temporal attention layers of the encoder; two in the paper."""

    temporal_heads: PositiveInt = 8
    """Heads of those layers, on which the paper is silent."""

    start: Literal["unet", "random"] = "unet"
    """What the ControlNet's encoder starts from. The paper is silent: the UNet's spatial layers, as ControlNet does."""

    mid_residual: bool = True
    """Whether the ControlNet also adds to the UNet's middle. The paper is silent: as ControlNet does."""


class LossSettings(Settings):
    """The reweighted loss (Sec. 4.3, Eq. 6), and the noise that it asks for."""

    lambda_l: float = Field(default=2.0, gt=0)
    """Weight inside the boxes, Eq. 6 and Tab. 6: 1 is the plain loss."""

    offset_noise: NonNegativeFloat = 0.1
    """Noise added alike to all pixels and frames of a channel, as a share. The paper is silent: usual in tuning."""


class ModelSettings(Settings):
    """DreamVideo-2 as in the paper. Without `motion` it is the model of Tab. 3 (with `lambda_m` 1), without `reference`
    that of Tab. 4."""

    reference: ReferenceSettings | None = ReferenceSettings()
    motion: MotionSettings | None = MotionSettings()
    loss: LossSettings = LossSettings()

    @model_validator(mode="after")
    def _trains_something(self) -> Self:
        if self.reference is None and self.motion is None:
            raise ValueError("neither reference nor motion: nothing is left to train; set at least one of them")
        return self
