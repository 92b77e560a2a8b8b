"""Deformable attention's sampling as a product with a matrix or as sums of rows: on a CPU both beat grid_sample."""

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

FEW = 512
"""Positions up to which the matrix is the faster one in bfloat16, which trainings use; backwards above all."""


def sampled_sum(value: Tensor, shapes: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    """What `multi_scale_deformable_attn_pytorch` of Grounding DINO's package gives, in the precision of `value`.

    `value` [B, S, heads, D] are the features of all levels, whose heights and widths are `shapes` [levels, 2];
    `locations` [B, Q, heads, levels, points, 2] are x, y in 0-1 of a level, zeros beyond it; `weights` are the
    points'. Returns [B, Q, heads * D].
    """
    # Heads before queries: what a head of an image reads lies together.
    places, shares = _corners(shapes, locations.float().transpose(1, 2), weights.transpose(1, 2))
    value, shares = value.transpose(1, 2), shares.to(value.dtype)
    gather = _by_matrix if value.dtype == torch.bfloat16 and value.shape[2] <= FEW else _by_rows
    return gather(value, places, shares).transpose(1, 2).flatten(2)


def _by_matrix(value: Tensor, places: Tensor, shares: Tensor) -> Tensor:
    """[B, heads, S, D], [B, heads, Q, K] -> [B, heads, Q, D]."""
    matrix = shares.new_zeros(*places.shape[:3], value.shape[2])
    return matrix.scatter_add(3, places.long(), shares) @ value


def _by_rows(value: Tensor, places: Tensor, shares: Tensor) -> Tensor:
    batch, heads, positions, width = value.shape
    first = torch.arange(batch * heads, dtype=torch.int32, device=value.device) * positions
    rows = places + first.view(batch, heads, 1, 1)
    table = value.reshape(-1, width)
    summed = embedding_bag(rows.flatten(0, 2), table, per_sample_weights=shares.flatten(0, 2), mode="sum")
    return summed.view(batch, heads, -1, width)


def _corners(shapes: Tensor, locations: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The four positions around each location and their bilinear shares of its weight, [B, heads, Q, K]."""
    places, shares, first = [], [], 0
    for level, (height, width) in enumerate(shapes.tolist()):
        x, y = locations[..., level, :, :].unbind(-1)
        columns = _between(x, width)
        for row, high in _between(y, height):
            places += [row * width + column + first for column, _ in columns]
            shares += [high * wide * weights[..., level, :] for _, wide in columns]
        first += height * width
    return torch.cat(places, -1), torch.cat(shares, -1)


def _between(at: Tensor, length: int) -> list[tuple[Tensor, Tensor]]:
    """The whole numbers below and above, and their shares: nothing for those beyond 0 to `length` - 1."""
    at = at * length - 0.5
    low = at.floor()
    above, number = at - low, low.int()
    held = [(end.clamp(0, length - 1), end) for end in (number, number + 1)]
    return [(inside, share * (inside == end)) for (inside, end), share in zip(held, (1 - above, above), strict=True)]
