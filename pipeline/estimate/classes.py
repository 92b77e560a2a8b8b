"""How many classes a larger sample would hold: what is not seen yet, by how much was seen only once or twice.

Chao's estimator of richness (Scandinavian Journal of Statistics 11, 1984), and the expected number of classes in a
larger sample with the bootstrap of Chao et al. (Ecological Monographs 84, 2014). Both are lower bounds, and good up to
two or three times the sample: a long tail of rare classes shows only in a long probe.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.estimate.weights import Figure, figure

REPLICATES = 200


def unseen(counts: Sequence[int]) -> float:
    """Classes that no sample showed, from how often each other was seen (Chao1; bias-corrected without doubles)."""
    n, once, twice = sum(counts), sum(c == 1 for c in counts), sum(c == 2 for c in counts)
    if n < 2:
        return 0.0
    pairs = once**2 / (2 * twice) if twice else once * (once - 1) / 2
    return (n - 1) / n * pairs


def expected(counts: Sequence[int], size: float) -> float:
    """Classes in a sample of `size`, of which those of `counts` are the first; none is lost below that."""
    n, once, hidden = sum(counts), sum(c == 1 for c in counts), unseen(counts)
    if not hidden or size <= n:
        return float(len(counts))
    new: float = hidden * (1 - (1 - once / (n * hidden + once)) ** (size - n))
    return len(counts) + new


def classes(counts: Sequence[int], sizes: NDArray[np.float64], size: float, seed: int = 0) -> Figure:
    """Classes in a sample of `size`; `sizes` are those that it may have as well, for the interval."""
    if not counts:
        return Figure(value=0.0, low=0.0, high=0.0)
    random = np.random.default_rng(seed)
    shares, n = _community(counts), sum(counts)
    drawn = random.multinomial(n, shares, REPLICATES)
    found = [expected([int(c) for c in again if c], max(n, float(random.choice(sizes)))) for again in drawn]
    value = expected(counts, size)
    # A resampled community is seen less fully than the real one was: its figures are moved onto the estimate.
    return figure(value, np.array(found) - np.mean(found) + value)


def _community(counts: Sequence[int]) -> NDArray[np.float64]:
    """Shares of the classes, seen and unseen, that the sample speaks for."""
    n, once, twice = sum(counts), sum(c == 1 for c in counts), sum(c == 2 for c in counts)
    hidden = int(np.ceil(unseen(counts)))
    missing = once / n * (n - 1) * once / ((n - 1) * once + 2 * max(twice, 1)) if hidden else 0.0
    seen = np.array(counts) / n
    faint = seen * (1 - seen) ** n
    seen = seen - (missing * faint / faint.sum() if faint.sum() else 0.0)
    shares = np.concatenate([seen, np.full(hidden, missing / hidden if hidden else 0.0)])
    kept: NDArray[np.float64] = np.clip(shares, 0, None)
    kept /= kept.sum()
    return kept
