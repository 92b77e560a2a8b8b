"""Builds DEVA's network at the published or any other size, and loads its weights.

The code is this project's own (Apache-2.0). The published weights, `DEVA-propagation.pth`, are CC BY-NC-SA 4.0: users
fetch them under that licence.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from pipeline.models.deva.network import Deva, KeyProjection, MaskDecoder, MaskEncoder, PixelEncoder
from pipeline.models.deva.settings import PUBLISHED, Widths


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
    """The network with the weights in `path`, a `state_dict` as `torch.save` writes it, ready for tracking.

    Raises `ValueError` where the file is no such thing or its tensors are not those of `widths`.
    """
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise ValueError(f"{path}: no file of weights ({_first_line(error)}); fetch it again") from error
    network = build(widths)
    _check(path, weights, network.state_dict())
    network.load_state_dict(weights)
    return network.eval().to(device)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _check(path: str | Path, weights: object, expected: Mapping[str, Tensor]) -> None:
    if not isinstance(weights, Mapping):
        raise ValueError(f"{path}: holds a {type(weights).__name__}, not a dict of tensors by name")
    missing, foreign = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    if missing or foreign:
        raise ValueError(
            f"{path}: not DEVA's propagation network: {len(missing)} tensors missing {missing[:2]}, "
            f"{len(foreign)} foreign {foreign[:2]}; take DEVA-propagation.pth"
        )
    for name, tensor in expected.items():
        if weights[name].shape != tensor.shape:
            raise ValueError(
                f"{path}: {name} is {tuple(weights[name].shape)}, these widths need {tuple(tensor.shape)}; "
                "load it with the widths it was trained with"
            )
