"""Which videos are probed: strata by what is cheaply known, and so many of each that long videos count enough.

A stage's time goes with a video's length, of which a few long ones may make up most. So a stratum is worth what it
holds, half by its videos, half by their frames: strata of equal worth are cut, and as many videos are drawn from each.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

DRAWN = 4
"""Videos that are drawn from a stratum: enough to know its spread, and few, so that strata are many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """What is cheaply known of a video."""

    id: str
    kind: str  # what its source brings, or why it cannot be read
    num_frames: float = 0.0
    megapixels: float = 0.0  # of all its frames


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """Videos of one kind and of about one length, and those of them that are probed."""

    kind: str
    units: tuple[Unit, ...]
    drawn: tuple[Unit, ...]


def draw(units: Iterable[Unit], probes: int, seed: int = 0) -> list[Stratum]:
    """Cut strata and draw about `probes` videos from them: at least two of each kind, and never more than there are.

    Raises ValueError for fewer probes than two.
    """
    if probes < 2:
        raise ValueError(f"a probe of {probes} videos tells no spread; give at least 2")
    units = sorted(units, key=lambda unit: unit.id)
    frames = sum(unit.num_frames for unit in units)
    random = Random(seed)
    kinds: dict[str, list[Unit]] = {}
    for unit in units:
        kinds.setdefault(unit.kind, []).append(unit)
    worth = {kind: sum(_worth(unit, len(units), frames) for unit in kinds[kind]) for kind in sorted(kinds)}
    found, left, worth_left = [], probes, 1.0
    for kind in sorted(worth, key=lambda kind: len(kinds[kind]) / worth[kind]):  # the rest take what a kind lacks
        strata = _of_kind(kinds[kind], max(2, round(left * worth[kind] / worth_left)), random)
        left -= sum(len(stratum.drawn) for stratum in strata)
        worth_left = max(worth_left - worth[kind], 1e-12)
        found += strata
    return found


def _of_kind(units: Sequence[Unit], probes: int, random: Random) -> list[Stratum]:
    groups = _cut(units, max(1, probes // DRAWN))
    wanted = [min(len(group), probes // len(groups)) for group in groups]
    left = min(probes, len(units)) - sum(wanted)
    while left > 0:  # what small strata could not give, and the division's rest
        for number in sorted(range(len(groups)), key=lambda n: wanted[n] - len(groups[n]))[:left]:
            step = min(1, len(groups[number]) - wanted[number])
            wanted[number] += step
            left -= step
    return [
        Stratum(kind=group[0].kind, units=tuple(group), drawn=tuple(random.sample(group, count)))
        for group, count in zip(groups, wanted, strict=True)
    ]


def _cut(units: Sequence[Unit], most: int) -> list[list[Unit]]:
    """At most so many groups of equal worth, the shortest videos first; one video that is worth more is a group."""
    frames = sum(unit.num_frames for unit in units)
    groups: dict[int, list[Unit]] = {}
    passed = 0.0
    for unit in sorted(units, key=lambda unit: (unit.num_frames, unit.id)):
        worth = _worth(unit, len(units), frames)
        groups.setdefault(min(most - 1, int((passed + worth / 2) * most)), []).append(unit)
        passed += worth
    return [groups[number] for number in sorted(groups)]


def _worth(unit: Unit, count: int, frames: float) -> float:
    """A video's share of a whole of so many videos and frames."""
    return (1 / count + (unit.num_frames / frames if frames else 1 / count)) / 2
