"""Bootstrap intervals of means over videos, which are the independent things here; a video's frames are not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 4000


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A share or mean, and the interval in which it lies at 95 % confidence."""

    value: float
    low: float
    high: float
    n: int  # independent values behind it


def mean(values: Sequence[float], resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """The percentile bootstrap's interval of a mean of independent values. Raises ValueError for none."""
    if not len(values):
        raise ValueError("no values: a mean needs at least one")
    drawn = np.asarray(values, dtype=np.float64)
    rows = np.random.default_rng(seed).integers(len(drawn), size=(resamples, len(drawn)))
    low, high = np.quantile(drawn[rows].mean(1), (0.025, 0.975))
    return Estimate(value=float(drawn.mean()), low=float(low), high=float(high), n=len(drawn))
