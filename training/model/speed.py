"""What makes a step fast or small and changes no result: precision, layout, compiled layers, recomputing."""

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

import torch
from diffusers.models.resnet import ResnetBlock2D, TemporalConvLayer
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import nn
from torch.utils.checkpoint import checkpoint

from pipeline.stage import Settings
from training.model.dreamvideo2 import DreamVideo2
from training.model.motion_module import SpatiotemporalEncoder

COMPILED = (ResnetBlock2D, TemporalConvLayer, Transformer2DModel, TransformerTemporalModel, SpatiotemporalEncoder)
"""Layers that are compiled, each whole. A graph serves every layer of the same shapes, so that there are some forty of
them instead of one for each block; what stands between is a few copies."""


class SpeedSettings(Settings):
    """How the model runs. The defaults are safe everywhere; a GPU recipe turns the rest on."""

    precision: Literal["bfloat16", "float32"] = "float32"
    """Of the frozen parts, and of what passes through. What is trained stays in float32. The paper is silent."""

    channels_last: bool = False
    """Channels innermost in memory, for every convolution; pays together with `compile`."""

    compile: bool = False

    compile_backend: str = "inductor"
    """Of `torch.compile`."""

    checkpointing: bool = False
    """Whether blocks forget what they computed, and compute it again on the way back: slower by a third, smaller."""

    @property
    def dtype(self) -> torch.dtype:
        return {"bfloat16": torch.bfloat16, "float32": torch.float32}[self.precision]


def sped_up(model: DreamVideo2, settings: SpeedSettings) -> DreamVideo2:
    """The same model, which now runs as the settings say."""
    if model.unet.dtype != settings.dtype:
        model.unet.to(settings.dtype)
    if settings.channels_last:
        _lay_channels_last(model)
    if settings.compile:
        for layer in _layers(model):
            # The layer's function and not the layer, so that its hooks run before the graph and are no part of it.
            layer.forward = torch.compile(
                layer.forward, fullgraph=True, dynamic=False, backend=settings.compile_backend
            )
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
    if settings.checkpointing:
        for block in blocks(model):
            block.forward = _forgetting(block.forward)
    return model


def blocks(model: DreamVideo2) -> Iterator[nn.Module]:
    """Of the UNet and of the ControlNet, from end to end."""
    yield from (*model.unet.down_blocks, model.unet.mid_block, *model.unet.up_blocks)
    if model.motion_module is not None:
        controlnet = model.motion_module.controlnet
        yield from (block for block in (*controlnet.down_blocks, controlnet.mid_block) if block is not None)


def _layers(model: DreamVideo2) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, COMPILED)]


def _forgetting(forward: Any) -> Any:
    # Nothing in a block is random: dropout is off in the UNet and absent in the ControlNet.
    return partial(checkpoint, forward, use_reentrant=False, preserve_rng_state=False)


def _lay_channels_last(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)
        elif isinstance(module, nn.Conv3d):
            module.to(memory_format=torch.channels_last_3d)
