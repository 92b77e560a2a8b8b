"""95 % confidence intervals of what a benchmark measured: Wilson's for shares, the bootstrap's for means."""

import math
from collections.abc import Sequence

from training.evaluation.intervals import Estimate, mean

__all__ = ["Estimate", "mean", "share", "share_of"]

NORMAL_95 = 1.959963984540054
"""Quantile of the normal distribution that leaves 2.5 % above it."""


def share(successes: int, n: int) -> Estimate:
    """Wilson's score interval of a binomial share. Raises ValueError for none of none."""
    if not 0 <= successes <= n or not n:
        raise ValueError(f"{successes} of {n} is no share: give at least one trial")
    p, z2 = successes / n, NORMAL_95**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = NORMAL_95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return Estimate(value=p, low=max(0.0, middle - half), high=min(1.0, middle + half), n=n)


def share_of(values: Sequence[float]) -> Estimate:
    """`share` of the values that are 1 among zeros and ones, or of those that are true."""
    return share(int(sum(values)), len(values))
