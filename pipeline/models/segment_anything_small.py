"""Segment Anything for small pictures: the package's network with a convolutional start, and no work on padding."""

import torch
from pydantic import PositiveInt
from segment_anything.modeling import (  # type: ignore[import-untyped]
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch import Tensor, nn
from torch.nn import functional

from pipeline.stage import Settings


class SmallSize(Settings):
    """Numbers of the embedded network."""

    image_size: PositiveInt = 192  # pixels of the longest side
    stem_dims: tuple[int, int] = (32, 64)  # channels at a half and a quarter of the picture
    embed_dim: PositiveInt = 128
    depth: PositiveInt = 4
    num_heads: PositiveInt = 4
    window_size: PositiveInt = 8  # patches
    global_attn_indexes: tuple[int, ...] = (2,)  # blocks that see the whole picture
    prompt_embed_dim: PositiveInt = 64
    decoder_depth: PositiveInt = 2
    decoder_mlp_dim: PositiveInt = 128
    decoder_num_heads: PositiveInt = 4


PATCH = 8
"""Pixels of a patch's side: the stem halves the picture three times."""


def build_small(size: SmallSize | None = None) -> Sam:
    """A `Sam` with fresh weights."""
    size = size or SmallSize()
    patches = size.image_size // PATCH
    return Sam(
        image_encoder=SmallEncoder(size),
        prompt_encoder=PromptEncoder(
            embed_dim=size.prompt_embed_dim,
            image_embedding_size=(patches, patches),
            input_image_size=(size.image_size, size.image_size),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer_dim=size.prompt_embed_dim,
            transformer=TwoWayTransformer(
                depth=size.decoder_depth,
                embedding_dim=size.prompt_embed_dim,
                num_heads=size.decoder_num_heads,
                mlp_dim=size.decoder_mlp_dim,
            ),
            iou_head_depth=3,
            iou_head_hidden_dim=size.prompt_embed_dim,
        ),
    )


class SmallEncoder(ImageEncoderViT):  # type: ignore[misc]
    """The package's encoder that takes and gives squares, and computes only the patches that hold picture.

    [B, 3, S, S] normalised, zeros right of and below each picture -> [B, C, S / 8, S / 8], zeros there as well. What
    comes out for a picture does not depend on the others.
    """

    def __init__(self, size: SmallSize) -> None:
        super().__init__(
            img_size=size.image_size,
            patch_size=PATCH,
            embed_dim=size.embed_dim,
            depth=size.depth,
            num_heads=size.num_heads,
            window_size=size.window_size,
            global_attn_indexes=size.global_attn_indexes,
            out_chans=size.prompt_embed_dim,
        )
        self.patch_embed = Stem(size.stem_dims, size.embed_dim)
        nn.init.normal_(self.pos_embed, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        members: dict[tuple[int, int], list[int]] = {}
        for number, extent in enumerate(_extents(x)):
            members.setdefault(extent, []).append(number)
        found: dict[int, Tensor] = {}
        for extent, numbers in members.items():
            alike = x if len(numbers) == len(x) else x[numbers]
            features = functional.pad(self._features(alike, *extent), _padding(extent, self.pos_embed.shape[1]))
            found.update(zip(numbers, features, strict=True))
        return torch.stack([found[number] for number in range(len(x))])

    def _features(self, x: Tensor, rows: int, columns: int) -> Tensor:
        """[B, C, rows, columns] of the pictures' upper left."""
        x = self.patch_embed(x[:, :, : rows * PATCH, : columns * PATCH])
        x = x + self.pos_embed[:, :rows, :columns]
        for block in self.blocks:
            x = block(x)
        return self.neck(x.permute(0, 3, 1, 2))  # type: ignore[no-any-return]


class Stem(nn.Module):
    """Convolutions in the patches' place: [B, 3, H, W] -> [B, H / 8, W / 8, C]."""

    def __init__(self, dims: tuple[int, int], embed_dim: int) -> None:
        super().__init__()
        half, quarter = dims
        self.layers = nn.Sequential(
            nn.Conv2d(3, half, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(half, quarter, 3, stride=2, padding=1),
            Residual(quarter),
            nn.Conv2d(quarter, embed_dim, 3, stride=2, padding=1),
            Residual(embed_dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.contiguous(memory_format=torch.channels_last)).permute(0, 2, 3, 1)  # type: ignore[no-any-return]


class Residual(nn.Module):
    """Adds what two convolutions make of the normalised input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x + self.second(functional.gelu(self.first(y)))  # type: ignore[no-any-return]


def _extents(x: Tensor) -> list[tuple[int, int]]:
    """Rows and columns of patches that hold picture. No pixel of a picture is 0: the mean lies between two shades."""
    held = (x != 0).any(1)  # [B, S, S]
    rows, columns = held.any(2).sum(1), held.any(1).sum(1)
    return [(-(-r // PATCH), -(-c // PATCH)) for r, c in zip(rows.tolist(), columns.tolist(), strict=True)]


def _padding(extent: tuple[int, int], patches: int) -> tuple[int, int, int, int]:
    return 0, patches - extent[1], 0, patches - extent[0]
