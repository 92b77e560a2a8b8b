"""Builds DEVA's network at the published or any other size, and loads its weights.

The code is this project's own (Apache-2.0). The published weights, `DEVA-propagation.pth`, are CC BY-NC-SA 4.0: users
fetch them under that licence.
"""

from pathlib import Path

import torch

from pipeline.models.deva.network import Deva, KeyProjection, MaskDecoder, MaskEncoder, PixelEncoder
from pipeline.models.deva.settings import PUBLISHED, Widths
from pipeline.models.weights import check_weights, load_weights

MEND = "load it with the widths it was trained with, or take DEVA-propagation.pth"


def build(widths: Widths = PUBLISHED) -> Deva:
    """A network with fresh weights, in training mode as any fresh module."""
    w = widths
    return Deva(
        pixel_encoder=PixelEncoder(w.stem, w.pixel, w.image_blocks),
        mask_encoder=MaskEncoder(w.stem, w.pixel, w.value, w.mask_blocks),
        key_proj=KeyProjection(w.pixel, w.key),
        mask_decoder=MaskDecoder(w.stem, w.pixel, w.value, w.hidden),
        value_dim=w.value,
    )


def load(path: str | Path, widths: Widths = PUBLISHED, device: str | torch.device = "cpu") -> Deva:
    """The network with the weights in `path`, ready for tracking.

    Raises `ValueError` where the file holds no weights or those of other widths.
    """
    network = build(widths)
    load_weights(network, path, mend=MEND)
    return network.eval().to(device)


def check(path: str | Path, widths: Widths) -> None:
    """Holds names and shapes of the weights against the network. Raises `ValueError` where they do not fit."""
    check_weights(build(widths), path, mend=MEND)
