"""Who is measured: the model as its speed settings say, or the straightforward script's; and one pass of either."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.train.naive import NaiveModel, naive_loss
from benchmarks.train.shapes import Shape, batch
from training.model.dreamvideo2 import DreamVideo2
from training.model.loss import reweighted_loss
from training.model.masks import resized
from training.model.settings import ModelSettings, MotionSettings
from training.model.speed import SpeedSettings, sped_up

Pass = Callable[[], Tensor]
"""Forward, to the loss."""


def contestant(shape: Shape, speed: SpeedSettings | None, device: torch.device) -> nn.Module:
    """With random weights, ready to train; `speed` None for the straightforward script."""
    torch.manual_seed(0)
    with device:
        unet = shape.network()
        if speed is None:
            model: nn.Module = NaiveModel(unet, shape.channels)
        else:
            motion = MotionSettings(encoder_channels=shape.channels)
            model = sped_up(DreamVideo2.beside(unet, ModelSettings(motion=motion)), _here(speed, device))
    model.train()
    unet.eval()
    return model


def pass_of(model: nn.Module, shape: Shape, clips: int, device: torch.device) -> Pass:
    latents, noise, timesteps, conditions = batch(shape, clips, device)
    masks = resized(conditions.masks, (latents.shape[-2], latents.shape[-1]), "area")

    def loss() -> Tensor:
        if isinstance(model, NaiveModel):
            return naive_loss(model, latents, noise, timesteps, conditions)
        return reweighted_loss(model(latents, timesteps, conditions), noise, masks, 2.0).loss

    return loss


def _here(speed: SpeedSettings, device: torch.device) -> SpeedSettings:
    """A CPU without bfloat16 units stays at float32."""
    return speed if device.type == "cuda" else speed.model_copy(update={"precision": "float32"})
