"""The reweighted loss (Eq. 6), and the noise whose prediction it judges."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


class Losses(NamedTuple):
    """Of a batch; all but the first are for the log."""

    loss: Tensor  # Eq. 6, to be minimised
    inside: Tensor  # mean squared error where M is 1; NaN where no clip has a box
    outside: Tensor


def reweighted_loss(
    predicted: Float[Tensor, "batch channels frames h w"],
    noise: Float[Tensor, "batch channels frames h w"],
    masks: Float[Tensor, "batch frames h w"],
    lambda_l: float,
) -> Losses:
    """mean((lambda_L M + (1 - M)) (eps - eps_theta)^2), with M at the latents' size (Eq. 6)."""
    error = (noise.float() - predicted.float()).square()
    inside = masks[:, None].expand_as(error)
    outside = 1 - inside
    return Losses(
        loss=((lambda_l * inside + outside) * error).mean(),
        inside=((inside * error).sum() / inside.sum()).detach(),
        outside=((outside * error).sum() / outside.sum()).detach(),
    )


def offset_noise(
    noise: Float[Tensor, "batch channels frames h w"], offset: Float[Tensor, "batch channels"], strength: float
) -> Float[Tensor, "batch channels frames h w"]:
    """`noise` with normal `offset` added to all of a channel alike, so that a clip's mean brightness is learnt too."""
    return noise + strength * offset[:, :, None, None, None]
