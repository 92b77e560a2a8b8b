"""Intervals against published values and against what a simulation says they promise."""

import numpy as np
import pytest

from benchmarks.intervals import mean, share, share_of


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilsons_interval_has_the_published_ends(successes: int, n: int, low: float, high: float) -> None:
    found = share(successes, n)
    assert (found.value, found.n) == (successes / n, n)
    assert [found.low, found.high] == pytest.approx([low, high], abs=5e-5)


def test_the_bootstrap_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    samples = rng.exponential(2.0, (300, 60))
    found = [mean(sample.tolist(), resamples=500) for sample in samples]
    covered = sum(one.low <= 2.0 <= one.high for one in found) / len(found)
    assert 0.88 <= covered <= 0.98


def test_a_bootstrap_is_the_same_again_and_narrows_with_the_root_of_n() -> None:
    values = np.random.default_rng(1).normal(size=1600).tolist()
    many, few = mean(values), mean(values[:100])
    assert many == mean(values)
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(4, rel=0.25)
    assert few.low < few.value < few.high


def test_of_equal_values_the_interval_is_a_point() -> None:
    assert mean([0.5] * 7) == mean([0.5] * 7, seed=3)
    assert (mean([0.5] * 7).low, mean([0.5] * 7).high) == (0.5, 0.5)


def test_a_share_of_truths_counts_them() -> None:
    assert share_of([True, False, True, True]) == share_of([1.0, 0.0, 1.0, 1.0]) == share(3, 4)


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 4)])
def test_what_is_no_share_is_refused(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        share(successes, n)
    with pytest.raises(ValueError, match="at least one"):
        mean([])
