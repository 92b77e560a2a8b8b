"""How a frame's positions read a memory: similarity, top-k affinity, weighted sum of values.

Tokens are rows: memory keys [M, C], shrinkage [M], values [M, D]; query keys and selections [N, C].
"""

from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

MAX_SIMILARITIES = 2**25
"""Similarities held at a time (128 MiB): a large frame asks a large memory in several rounds."""


class Query(NamedTuple):
    key: Tensor  # [N, C] float32
    selection: Tensor  # [N, C] float32


class Affinity(NamedTuple):
    token: Tensor  # [N, k] int64: the memory tokens that a query token reads
    weight: Tensor  # [N, k] float32: rows sum to 1

    def read(self, values: Tensor) -> Tensor:
        """Weighted sums of values [M, D] as [N, D]."""
        return functional.embedding_bag(self.token, values, per_sample_weights=self.weight.to(values.dtype), mode="sum")

    def usage(self, num_tokens: int) -> Tensor:
        """How much each memory token was read, [M]."""
        return self.weight.new_zeros(num_tokens).index_add_(0, self.token.flatten(), self.weight.flatten())


def similarity(keys: Tensor, shrinkage: Tensor, query: Query) -> Tensor:
    """S [..., N, M] = -s_i / sqrt(C) * sum_c e_jc (k_ic - q_jc)^2, in its expanded form.

    All have the same leading dimensions, or none: each is a memory and its query of their own.
    """
    asked = query.key * query.selection
    own = (asked * query.key).sum(dim=-1, keepdim=True)
    # Two products, not one of joined rows: the sum's order is that of the published numbers.
    distance = query.selection @ keys.square().mT - 2 * (asked @ keys.mT) + own
    return distance * (-shrinkage[..., None, :] / sqrt(keys.shape[-1]))


def top_k_affinity(keys: Tensor, shrinkage: Tensor, query: Query, top_k: int) -> Affinity:
    """Softmax over each query token's `top_k` most similar memory tokens, or all where there are fewer."""
    rows = max(1, MAX_SIMILARITIES // len(keys))
    parts = [
        similarity(keys, shrinkage, Query(*part)).topk(min(top_k, len(keys)), dim=1)
        for part in zip(torch.split(query.key, rows), torch.split(query.selection, rows), strict=True)
    ]
    values = torch.cat([part.values for part in parts])
    return Affinity(torch.cat([part.indices for part in parts]), torch.softmax(values, dim=1))


def tokens(feature: Tensor) -> Tensor:
    """A feature map [..., C, h, w] as rows, [h * w, ..., C]."""
    return feature.flatten(-2).movedim(-1, 0)


def feature_map(rows: Tensor, size: tuple[int, int]) -> Tensor:
    """The inverse of `tokens`: rows [h * w, ..., C] as [..., C, h, w]."""
    return rows.movedim(0, -1).reshape(*rows.shape[1:], *size)
