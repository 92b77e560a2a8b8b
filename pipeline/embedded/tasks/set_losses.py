"""Losses of a detector: which of its boxes answers for which object, and how far it is from it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import box_convert  # type: ignore[import-untyped]

STRIDES = (8, 16, 32)
"""Of the feature levels; each position of each gives one box."""

LEAST_ANCHOR = 0.05
"""Both sides of the first level's anchors, in shares of the image; each level doubles them."""

ALPHA, GAMMA = 0.25, 2.0  # of the focal loss
WEIGHTS = {"focal": 2.0, "l1": 5.0, "giou": 2.0}
PER_OBJECT = 8
"""Positions that answer for one object in the dense loss."""

_NEVER = 1e4  # cost of a position that may not answer


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What is to be found in each image, padded to the most that one has."""

    boxes: Tensor  # [B, G, 4], cxcywh in 0-1
    tokens: Tensor  # bool [B, G, L], those that name the object
    real: Tensor  # bool [B, G], False for the padding
    asked: Tensor  # bool [B, L], tokens that name anything at all


class Boxes(NamedTuple):
    """A detector's answer."""

    logits: Tensor  # [B, N, L], of each token
    boxes: Tensor  # [B, N, 4], cxcywh in 0-1


def anchors(height: int, width: int) -> Tensor:
    """The boxes [S, 4] that the positions of an image begin with: those of the package's encoder."""
    levels = []
    for level, stride in enumerate(STRIDES):
        rows, columns = (-(-side // stride) for side in (height, width))
        y, x = ((torch.arange(count) + 0.5) / count for count in (rows, columns))
        side = torch.full((rows * columns,), LEAST_ANCHOR * 2**level)
        levels.append(torch.stack([x.repeat(rows), y.repeat_interleave(columns), side, side], 1))
    return torch.cat(levels)


def matched_losses(answer: Boxes, targets: Targets) -> dict[str, Tensor]:
    """One box for one object, by the Hungarian method; "focal", "l1" and "giou" by their weights."""
    costs = _costs(answer, targets).cpu().numpy()
    chosen = np.zeros(costs.shape, np.bool_)
    for number, real in enumerate(targets.real.cpu().numpy()):
        rows, columns = linear_sum_assignment(costs[number][:, real])
        chosen[number, rows, np.flatnonzero(real)[columns]] = True
    return _losses(answer, targets, torch.from_numpy(chosen).to(targets.real.device))


def dense_losses(answer: Boxes, targets: Targets, start: Tensor) -> dict[str, Tensor]:
    """Several positions for one object, those that fit it best of those that lie in it; `start` is their `anchors`."""
    costs = _costs(answer, targets) + _NEVER * ~_inside(start, targets.boxes)
    costs = costs.masked_fill(~targets.real[:, None], 2 * _NEVER)
    best = costs.topk(PER_OBJECT, dim=1, largest=False).indices
    chosen = torch.zeros_like(costs, dtype=torch.bool).scatter_(1, best, True) & (costs < _NEVER)
    # A position answers for one object only: that which it fits best.
    costs = costs.masked_fill(~chosen, 2 * _NEVER)
    chosen &= torch.zeros_like(chosen).scatter_(2, costs.argmin(2, keepdim=True), True)
    return _losses(answer, targets, chosen)


def _inside(start: Tensor, boxes: Tensor) -> Tensor:
    """Whether a position [S] lies in a box, or close by where the box is small: bool [B, S, G]."""
    off = (start[None, :, None, :2] - boxes[:, None, :, :2]).abs()
    # Three quarters of the way to the next position: an object of any size has some.
    reach = torch.maximum(boxes[:, None, :, 2:] / 2, 0.75 * _spacing(start)[None, :, None])
    return (off <= reach).all(-1)


def _spacing(start: Tensor) -> Tensor:
    """Distance of neighbouring positions of the same level, [S, 2]."""
    spacing = torch.empty(len(start), 2, device=start.device)
    for number in range(len(STRIDES)):
        level = (start[:, 2] - LEAST_ANCHOR * 2**number).abs() < LEAST_ANCHOR / 2
        spacing[level] = 2 * start[level, :2].amin(0)  # the first lies half of it from the edge
    return spacing


@torch.no_grad()
def _costs(answer: Boxes, targets: Targets) -> Tensor:
    """[B, N, G]; finite for the padding too."""
    logits = answer.logits.masked_fill(~targets.asked[:, None], 0)
    probabilities = logits.sigmoid()
    hit = -ALPHA * (1 - probabilities) ** GAMMA * (probabilities + 1e-8).log()
    false = -(1 - ALPHA) * probabilities**GAMMA * (1 - probabilities + 1e-8).log()
    share = targets.tokens / targets.tokens.sum(-1, keepdim=True).clamp(min=1)
    one, other = answer.boxes[:, :, None], targets.boxes[:, None]
    return (
        WEIGHTS["focal"] * (hit - false) @ share.transpose(1, 2)
        + WEIGHTS["l1"] * (one - other).abs().sum(-1)
        - WEIGHTS["giou"] * _giou(one, other)
    )


def _losses(answer: Boxes, targets: Targets, chosen: Tensor) -> dict[str, Tensor]:
    """By which object each box was chosen for, bool [B, N, G], at most one for a box; of a mean chosen box."""
    count = chosen.sum().clamp(min=1)
    goal = (chosen.float() @ targets.tokens.float()).clamp(max=1)
    image, box, target = chosen.nonzero(as_tuple=True)
    found, truth = answer.boxes[image, box], targets.boxes[image, target]
    return {
        "focal": WEIGHTS["focal"] * _focal(answer.logits, goal, targets.asked) / count,
        "l1": WEIGHTS["l1"] * (found - truth).abs().sum() / count,
        "giou": WEIGHTS["giou"] * (1 - _giou(found, truth)).sum() / count,
    }


def _focal(logits: Tensor, goal: Tensor, asked: Tensor) -> Tensor:
    """Summed over the tokens that are asked for; padding may be -inf."""
    each = asked[:, None].expand_as(logits)
    logits, goal = logits[each], goal[each]
    entropy = binary_cross_entropy_with_logits(logits, goal, reduction="none")
    sure = torch.exp(-entropy)  # probability given to the truth
    return ((1 - ALPHA + (2 * ALPHA - 1) * goal) * (1 - sure) ** GAMMA * entropy).sum()


def _giou(one: Tensor, other: Tensor) -> Tensor:
    """Generalised IoU (Rezatofighi et al., 2019) of cxcywh boxes, broadcast."""
    a, b = box_convert(one, "cxcywh", "xyxy"), box_convert(other, "cxcywh", "xyxy")
    common = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    union = one[..., 2:].prod(-1) + other[..., 2:].prod(-1) - common
    return common / (union + 1e-9) - (hull - union) / (hull + 1e-9)
