"""From a stratified sample to the whole: calibrated weights, and the bootstrap that says how far they may be off.

Weights are those of the generalised regression estimator (Deville and Särndal, JASA 87, 1992): near those of the
drawing, but such that the sample has the source's own number of videos, of frames and of pixels. What goes with length
or size is then estimated almost exactly, whichever videos were drawn. The bootstrap is Rao and Wu's for strata drawn
without replacement (JASA 83, 1988).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.estimate.strata import Stratum, Unit

Floats = NDArray[np.float64]

REPLICATES = 1000
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """An estimate, and the interval in which it lies at 95 % confidence."""

    value: float
    low: float
    high: float

    def __add__(self, known: float) -> "Figure":
        return Figure(value=self.value + known, low=self.low + known, high=self.high + known)

    def __mul__(self, factor: float) -> "Figure":
        return Figure(value=self.value * factor, low=self.low * factor, high=self.high * factor)


class Weighting:
    """Weights of the videos that were probed, in the order of `probed`, for a source of `population` videos.

    Videos of the strata may be a sample of the source's themselves; what is not known of the rest widens the intervals.
    Strata of which no video was probed are left out: their videos count with the others.
    """

    def __init__(self, strata: Sequence[Stratum], probed: Sequence[Unit], population: int, seed: int = 0) -> None:
        self._stratum = np.array([_place(strata, unit) for unit in probed], dtype=np.intp)
        self._counts = np.bincount(self._stratum, minlength=len(strata)).astype(float)  # [H] probed
        self._sizes = np.array([len(stratum.units) for stratum in strata], dtype=float)  # [H]
        looked_at = [unit for stratum in strata for unit in stratum.units]
        known = np.array([_row(unit) for unit in looked_at])  # [M, 3]
        self._scale = np.maximum(known.mean(0), 1e-12)
        known = known / self._scale
        self._x = np.array([_row(unit) for unit in probed]) / self._scale  # [n, 3]
        self._totals = known.mean(0) * population
        spread = np.cov(known.T) / len(known) if len(known) > 1 else np.zeros((3, 3))
        self._totals_cov = spread * max(0.0, 1 - len(known) / population) * population**2
        self._drawn = population / len(known) * self._sizes[self._stratum] / self._counts[self._stratum]
        self.values = self._calibrated(self._drawn[None], self._totals[None])[0]  # [n]
        random = np.random.default_rng(seed)
        totals = random.multivariate_normal(self._totals, self._totals_cov, REPLICATES, method="svd")
        self.replicates = self._calibrated(self._drawn * self._drawn_again(random), totals)  # [R, n]

    def total(self, values: Floats) -> Figure:
        """Of the whole source, of a value that each probed video has, [n]."""
        return figure(float(self.values @ values), self.replicates @ values)

    def ratio(self, values: Floats, to: Floats) -> Figure:
        """Of two totals."""
        return figure(
            float(self.values @ values) / max(float(self.values @ to), 1e-12),
            (self.replicates @ values) / np.maximum(self.replicates @ to, 1e-12),
        )

    def _drawn_again(self, random: np.random.Generator) -> Floats:
        """How much each video would count in other samples that might have been drawn, [R, n]."""
        again = np.ones((REPLICATES, len(self._x)))
        for number, count in enumerate(self._counts.astype(int)):
            if count > 1:
                times = random.multinomial(count - 1, np.full(count, 1 / count), REPLICATES)
                left = np.sqrt(1 - count / self._sizes[number])
                again[:, self._stratum == number] = 1 - left + left * count / (count - 1) * times
        return again

    def _calibrated(self, weights: Floats, totals: Floats) -> Floats:
        """Weights [R, n], changed as little as gives the totals [R, 3]."""
        missing = totals - weights @ self._x
        squares = np.einsum("rn,ni,nj->rij", weights, self._x, self._x)
        change = np.einsum("rij,rj->ri", np.linalg.pinv(squares, rcond=1e-9, hermitian=True), missing)
        adjusted: Floats = weights * (1 + change @ self._x.T)
        return adjusted


def figure(value: float, replicates: Floats) -> Figure:
    low, high = np.quantile(replicates, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Figure(value=value, low=min(float(low), value), high=max(float(high), value))


def _row(unit: Unit) -> tuple[float, float, float]:
    return 1.0, unit.num_frames, unit.megapixels


def _place(strata: Sequence[Stratum], unit: Unit) -> int:
    return next(number for number, stratum in enumerate(strata) if unit in stratum.drawn)
