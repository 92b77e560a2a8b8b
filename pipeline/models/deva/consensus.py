"""The vote of a few frames' detections: which of them are real, by an integer program over their agreement."""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.models.deva.objects import SAME, Segmentation, ious, painted

TIE = 1e-6
"""Two sets of detections are equally good where their support differs by less."""


class Agreement(NamedTuple):
    """Two detections of different frames that show the same object."""

    a: int
    b: int
    iou: float


def consensus(frames: Sequence[Segmentation]) -> Segmentation:
    """The detections that frames agree on. All frames' labels must already stand where the first frame's are.

    Detections are numbered through all frames; the answer keeps their order. Each has the votes of those that agree
    with it, and smaller ones cover larger ones.
    """
    votes = [vote for frame in frames for vote in frame.votes]
    agreements = _agreements(frames)
    support = np.full(len(votes), -0.5)
    partners: list[list[int]] = [[] for _ in votes]
    for a, b, iou in agreements:
        support[[a, b]] += iou
        partners[a].append(b)
        partners[b].append(a)
    chosen = choose(support, [(a, b) for a, b, _ in agreements])
    masks = [frame.labels == k + 1 for frame in frames for k in range(len(frame.votes))]
    order = sorted(range(len(chosen)), key=lambda position: -int(masks[chosen[position]].sum()))
    return Segmentation(
        labels=painted(frames[0].labels.shape, ((i + 1, masks[chosen[i]]) for i in order)),
        votes=tuple(sum((votes[partner] for partner in partners[n]), votes[n]) for n in chosen),
    )


def _agreements(frames: Sequence[Segmentation]) -> list[Agreement]:
    starts = np.cumsum([0] + [len(frame.votes) for frame in frames]).tolist()
    found = []
    for i, j in combinations(range(len(frames)), 2):
        a, b = frames[i], frames[j]
        table = ious(a.labels, len(a.votes), b.labels, len(b.votes))
        for p, q in np.argwhere(table > SAME).tolist():
            found.append(Agreement(starts[i] + p, starts[j] + q, float(table[p, q])))
    return found


def choose(support: NDArray[np.float64], pairs: Sequence[tuple[int, int]]) -> list[int]:
    """The set of greatest total support that holds no pair whole; of equally good sets the one of lowest numbers.

    Members without a pair must have negative support: they are never chosen.
    """
    num = len(support)
    a, b = np.array(pairs, np.int64).reshape(-1, 2).T
    _, group = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(num, num)), directed=False)
    chosen = []
    for g in np.unique(group[a]):
        members = np.flatnonzero(group == g)
        inside = group[a] == g
        ends = np.searchsorted(members, [a[inside], b[inside]])
        chosen += members[_best(support[members], ends)].tolist()
    return sorted(chosen)


def _best(support: NDArray[np.float64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """`choose` for one connected group, whose pairs are the columns of `ends`: fixes one member after the other."""
    num_pairs = ends.shape[1]
    rows = np.tile(np.arange(num_pairs), 2)
    at_most_one = coo_array((np.ones(2 * num_pairs), (rows, ends.ravel())), shape=(num_pairs, len(support)))
    least, most = np.zeros(len(support)), np.ones(len(support))
    best = _optimum(support, at_most_one, least, most)
    for n in range(len(support)):
        least[n] = 1
        if _optimum(support, at_most_one, least, most) < best - TIE:
            least[n] = most[n] = 0
    return np.flatnonzero(least)


def _optimum(
    support: NDArray[np.float64], at_most_one: coo_array, least: NDArray[np.float64], most: NDArray[np.float64]
) -> float:
    """Greatest total support within the bounds; minus infinity where they allow nothing."""
    answer = milp(
        -support,
        integrality=np.ones(len(support)),
        bounds=Bounds(least, most),
        constraints=LinearConstraint(at_most_one.tocsr(), ub=1),
        options={"mip_rel_gap": 0.0},
    )
    return -float(answer.fun) if answer.success else -np.inf
