"""DEVA's propagation network: image encoder, key projection, mask encoder, mask decoder.

Cheng et al., "Tracking Anything with Decoupled Video Segmentation", ICCV 2023. Shapes: `H x W` is the image's size,
multiples of 16; h = H/16, w = W/16; K objects, each run on its own with shared weights. Attribute names are the
published parameters' names, so that published weights load unchanged.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.deva.blocks import (
    FusionBlock,
    ResidualBlock,
    SensoryUpdate,
    basic_stage,
    bottleneck_stage,
)

STRIDE = 16  # pixels of the image a position of its coarsest features


class ImageFeatures(NamedTuple):
    f16: Tensor  # [1, pixel, h, w]
    f8: Tensor  # [1, 8 stem, H/8, W/8]
    f4: Tensor  # [1, 4 stem, H/4, W/4]


class Key(NamedTuple):
    key: Tensor  # [1, key, h, w]
    shrinkage: Tensor  # [1, 1, h, w], >= 1: how sharply a position answers once it is memory
    selection: Tensor  # [1, key, h, w], 0-1: which channels count when the position asks


class PixelEncoder(nn.Module):
    """ResNet-50 up to stride 16, with one projection for the decoder and one for the keys."""

    def __init__(self, stem: int, pixel: int, blocks: tuple[int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.res2 = bottleneck_stage(stem, stem, blocks[0], stride=1)
        self.layer2 = bottleneck_stage(4 * stem, 2 * stem, blocks[1], stride=2)
        self.layer3 = bottleneck_stage(8 * stem, 4 * stem, blocks[2], stride=2)
        self.proj1 = nn.Conv2d(16 * stem, pixel, 1)
        self.proj2 = nn.Conv2d(16 * stem, pixel, 1)

    def forward(self, image: Tensor) -> tuple[ImageFeatures, Tensor]:
        x = functional.max_pool2d(torch.relu(self.bn1(self.conv1(image))), 3, stride=2, padding=1)
        f4 = self.res2(x)
        f8 = self.layer2(f4)
        f16 = self.layer3(f8)
        return ImageFeatures(self.proj1(f16), f8, f4), self.proj2(f16)


class KeyProjection(nn.Module):
    def __init__(self, pixel: int, key: int) -> None:
        super().__init__()
        self.key_proj = nn.Conv2d(pixel, key, 3, padding=1)
        self.d_proj = nn.Conv2d(pixel, 1, 3, padding=1)
        self.e_proj = nn.Conv2d(pixel, key, 3, padding=1)

    def forward(self, x: Tensor) -> Key:
        return Key(self.key_proj(x), self.d_proj(x).square() + 1, torch.sigmoid(self.e_proj(x)))


class MaskEncoder(nn.Module):
    """ResNet-18 up to stride 16 over the image and one object's mask; gives the value to remember."""

    def __init__(self, stem: int, pixel: int, value: int, blocks: tuple[int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, stem, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.layer1 = basic_stage(stem, stem, blocks[0], stride=1)
        self.layer2 = basic_stage(stem, 2 * stem, blocks[1], stride=2)
        self.layer3 = basic_stage(2 * stem, 4 * stem, blocks[2], stride=2)
        self.fuser = FusionBlock(pixel, 4 * stem, value)
        self.sensory_update = SensoryUpdate(value)

    def forward(self, image: Tensor, f16: Tensor, masks: Tensor, sensory: Tensor) -> tuple[Tensor, Tensor]:
        """Value and sensory memory [K, value, h, w] of objects with masks [K, H, W], 0-1; image [1, 3, H, W]."""
        x = torch.cat([image.expand(len(masks), -1, -1, -1), masks[:, None].to(image.dtype)], dim=1)
        x = functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        value = self.fuser(f16, self.layer3(self.layer2(self.layer1(x))))
        return value, self.sensory_update(value, sensory)


class UpBlock(nn.Module):
    """Doubles the resolution, adds the image's skip feature, and brings the sum to width."""

    def __init__(self, width: int, out_width: int) -> None:
        super().__init__()
        self.out_conv = ResidualBlock(width, out_width)

    def forward(self, skip: Tensor, x: Tensor) -> Tensor:
        out: Tensor = self.out_conv(skip + _enlarged(x, 2))
        return out


class DecoderSensoryUpdate(SensoryUpdate):
    """The sensory update from the decoder's three resolutions, each brought to stride 16."""

    def __init__(self, value: int, hidden: int) -> None:
        super().__init__(value)
        self.g16_conv = nn.Conv2d(value, value, 1)
        self.g8_conv = nn.Conv2d(hidden, value, 1)
        self.g4_conv = nn.Conv2d(hidden + 1, value, 1)

    def gather(self, p16: Tensor, p8: Tensor, p4: Tensor, logits: Tensor) -> Tensor:
        p4 = torch.cat([p4, logits], dim=1)
        out: Tensor = (
            self.g16_conv(p16) + self.g8_conv(functional.avg_pool2d(p8, 2)) + self.g4_conv(functional.avg_pool2d(p4, 4))
        )
        return out


class MaskDecoder(nn.Module):
    def __init__(self, stem: int, pixel: int, value: int, hidden: int) -> None:
        super().__init__()
        self.sensory_compress = nn.Conv2d(value + 1, value, 1)
        self.fuser = FusionBlock(pixel, value, value)
        self.sensory_update = DecoderSensoryUpdate(value, hidden)
        skips = [nn.Conv2d(8 * stem, value, 1), nn.Conv2d(4 * stem, hidden, 1)]
        self.decoder_feat_proc = nn.ModuleDict({"transforms": nn.ModuleList(skips)})
        self.up_16_8 = UpBlock(value, hidden)
        self.up_8_4 = UpBlock(hidden, hidden)
        self.pred = nn.Conv2d(hidden, 1, 3, padding=1)
        # Serves training only; here so that published weights find their place.
        self.sensory_linear_pred = nn.ModuleDict({"projection": nn.Conv2d(value, value + 1, 1)})

    def forward(
        self, features: ImageFeatures, readout: Tensor, sensory: Tensor, last_masks: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Sensory memory [K, value, h, w] and logits [K, H/4, W/4] from the memory's readout [K, value, h, w].

        `last_masks` [K, H, W] are the probabilities of the frame before.
        """
        to_skip8, to_skip4 = self._skips
        coarse = functional.avg_pool2d(last_masks[:, None].to(readout.dtype), STRIDE)
        p16 = readout + self.sensory_compress(torch.cat([sensory, coarse], dim=1))
        p16 = self.fuser(features.f16, p16)
        p8 = self.up_16_8(to_skip8(features.f8), p16)
        p4 = self.up_8_4(to_skip4(features.f4), p8)
        logits = self.pred(torch.relu(p4))
        feature = self.sensory_update.gather(p16, p8, p4, logits)
        return self.sensory_update(feature, sensory), logits[:, 0]

    @property
    def _skips(self) -> nn.ModuleList:
        return cast(nn.ModuleList, self.decoder_feat_proc["transforms"])


class Deva(nn.Module):
    """The whole network; `pipeline.models.deva.build` says its numbers."""

    def __init__(
        self,
        *,
        pixel_encoder: PixelEncoder,
        mask_encoder: MaskEncoder,
        key_proj: KeyProjection,
        mask_decoder: MaskDecoder,
        value_dim: int,
    ) -> None:
        super().__init__()
        self.pixel_encoder = pixel_encoder
        self.mask_encoder = mask_encoder
        self.key_proj = key_proj
        self.mask_decoder = mask_decoder
        self.value_dim = value_dim  # channels of a value and of the sensory memory

    @property
    def device(self) -> torch.device:
        return self.key_proj.d_proj.weight.device

    def check_eval(self) -> None:
        """Raises `ValueError` in training mode, where normalisation would follow the clip."""
        if self.training:
            raise ValueError("the network is in training mode: call its eval() first")

    def encode_image(self, image: Tensor) -> tuple[ImageFeatures, Key]:
        """Features and keys of a normalised image [1, 3, H, W]."""
        features, key_feature = self.pixel_encoder(image)
        return features, self.key_proj(key_feature)


def probabilities(logits: Tensor) -> Tensor:
    """Objects' logits [K, ..., H/4, W/4] as probabilities [K + 1, ..., H, W] that sum to 1, background first."""
    odds = aggregate(torch.sigmoid(logits.float()))
    enlarged = _enlarged(odds.reshape(1, -1, *odds.shape[-2:]), 4)
    return torch.softmax(enlarged.reshape(*odds.shape[:-2], *enlarged.shape[-2:]), dim=0)


def aggregate(masks: Tensor) -> Tensor:
    """Soft aggregation: objects' own probabilities [K, ...] as log-odds [K + 1, ...], background first."""
    masks = masks.float()
    background = torch.prod(1 - masks, dim=0, keepdim=True)
    odds = torch.cat([background, masks]).clamp(1e-7, 1 - 1e-7)
    return torch.log(odds / (1 - odds))


def _enlarged(x: Tensor, factor: int) -> Tensor:
    return functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
