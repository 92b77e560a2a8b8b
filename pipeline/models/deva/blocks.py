"""The blocks that DEVA's encoders and decoder share: residual blocks, attention, fusion, the sensory update."""

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck  # type: ignore[import-untyped]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, each after a ReLU, added to the input, which a 1x1 convolution brings to width."""

    def __init__(self, width: int, out_width: int) -> None:
        super().__init__()
        self.downsample = nn.Identity() if width == out_width else nn.Conv2d(width, out_width, 1)
        self.conv1 = nn.Conv2d(width, out_width, 3, padding=1)
        self.conv2 = nn.Conv2d(out_width, out_width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.downsample(x) + self.conv2(torch.relu(self.conv1(torch.relu(x))))
        return out


class ChannelGate(nn.Module):
    """Scales each channel by what its mean and its maximum over the positions say (CBAM)."""

    def __init__(self, width: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, width // reduction)
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.sigmoid(self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3))))
        return x * scale[:, :, None, None]


class SpatialGate(nn.Module):
    """Scales each position by what the maximum and the mean over its channels say (CBAM)."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = nn.ModuleDict({"conv": nn.Conv2d(2, 1, 7, padding=3)})

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.stack([x.amax(1), x.mean(1)], dim=1)
        return x * torch.sigmoid(self.spatial["conv"](pooled))


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.ChannelGate = ChannelGate(width)  # capitals: the published parameters' names
        self.SpatialGate = SpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        gated: Tensor = self.SpatialGate(self.ChannelGate(x))
        return gated


class FusionBlock(nn.Module):
    """Joins the image's feature [1, C, h, w] with that of every object [K, G, h, w] to [K, D, h, w]."""

    def __init__(self, image_width: int, object_width: int, out_width: int) -> None:
        super().__init__()
        self.block1 = ResidualBlock(image_width + object_width, out_width)
        self.attention = Attention(out_width)
        self.block2 = ResidualBlock(out_width, out_width)

    def forward(self, image: Tensor, objects: Tensor) -> Tensor:
        joined = torch.cat([image.expand(len(objects), -1, -1, -1), objects], dim=1)
        fused = self.block1(joined)
        out: Tensor = self.block2(fused + self.attention(fused))
        return out


class SensoryUpdate(nn.Module):
    """Takes a feature into the sensory memory: s' = F s (1 - U) + U V with forget F, update U, candidate V."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.transform = nn.Conv2d(2 * width, 3 * width, 3, padding=1)

    def forward(self, feature: Tensor, sensory: Tensor) -> Tensor:
        forget, update, candidate = self.transform(torch.cat([feature, sensory], dim=1)).chunk(3, dim=1)
        update = torch.sigmoid(update)
        return torch.sigmoid(forget) * sensory * (1 - update) + update * torch.tanh(candidate)


def bottleneck_stage(width: int, inner: int, blocks: int, stride: int) -> nn.Sequential:
    """A stage of ResNet-50: `blocks` bottlenecks from `width` to 4 * `inner` channels."""
    return _stage(Bottleneck, width, inner, 4 * inner, blocks, stride)


def basic_stage(width: int, out_width: int, blocks: int, stride: int) -> nn.Sequential:
    """A stage of ResNet-18: `blocks` blocks of two 3x3 convolutions from `width` to `out_width` channels."""
    return _stage(BasicBlock, width, out_width, out_width, blocks, stride)


def _stage(
    block: type[BasicBlock] | type[Bottleneck], width: int, inner: int, out_width: int, blocks: int, stride: int
) -> nn.Sequential:
    shortcut = None
    if stride != 1 or width != out_width:
        shortcut = nn.Sequential(nn.Conv2d(width, out_width, 1, stride, bias=False), nn.BatchNorm2d(out_width))
    rest = [block(out_width, inner) for _ in range(blocks - 1)]
    return nn.Sequential(block(width, inner, stride, shortcut), *rest)
