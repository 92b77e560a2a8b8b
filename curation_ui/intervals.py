"""Shares of what people judged, with Wilson's interval, and how far reviewers agree: kappa and alpha."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from itertools import permutations

from curation_ui.tool_wire import Interval

NORMAL_95 = 1.959963984540054
"""Quantile of the normal distribution that leaves 2.5 % above it."""


def interval(count: int, of: int) -> Interval:
    """Wilson's score interval of a share, at 95 %."""
    if not of:
        return Interval(count=count, of=of, share=None, low=None, high=None)
    share, z2 = count / of, NORMAL_95**2
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = NORMAL_95 / (1 + z2 / of) * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    low, high = (0.0 if not count else max(0.0, middle - half)), (1.0 if count == of else min(1.0, middle + half))
    return Interval(count=count, of=of, share=share, low=low, high=high)


def kappa(table: tuple[int, int, int, int]) -> float | None:
    """Cohen's kappa of two raters and two answers (yes-yes, yes-no, no-yes, no-no); None where chance alone agrees."""
    both, first, second, neither = table
    total = sum(table)
    if not total:
        return None
    agree = (both + neither) / total
    by_chance = ((both + first) * (both + second) + (second + neither) * (first + neither)) / total**2
    return None if by_chance == 1 else (agree - by_chance) / (1 - by_chance)


def alpha(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Krippendorff's alpha of nominal answers, one sequence a unit; None where nothing could have differed."""
    coincidences: Counter[tuple[Hashable, Hashable]] = Counter()
    for answers in units:
        if len(answers) > 1:
            for pair in permutations(answers, 2):
                coincidences[pair] += 1 / (len(answers) - 1)  # type: ignore[assignment]  # shares, not counts
    marginals: Counter[Hashable] = Counter()
    for (answer, _), share in coincidences.items():
        marginals[answer] += share
    total = sum(marginals.values())
    differing = sum(share for (one, other), share in coincidences.items() if one != other)
    expected = sum(marginals[one] * marginals[other] for one, other in permutations(marginals, 2))
    return None if not expected else 1 - (total - 1) * differing / expected
