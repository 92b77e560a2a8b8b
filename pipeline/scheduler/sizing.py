"""How many workers each pool should have: as many as make the slowest pool as fast as the machines allow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Node:
    """What a machine has."""

    cpus: float
    gpus: float


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What one worker of a pool takes, and how much work comes to the pool."""

    cpus: float
    gpus: float
    load: float | None  # seconds of its work for each record that enters the line; None: not known yet
    most: int | None = None  # workers


def sizes(demands: Mapping[str, Demand], nodes: Sequence[Node]) -> dict[str, int]:
    """Workers of each pool. Every pool has one, whether there is room or not: room may come.

    Greedy: the pool that would be slowest gets the next worker that fits. Once the slowest can grow no more, the others
    only grow to `HEADROOM` above its rate, so that it never waits for them. Pools of unknown load share alike.
    """
    room = Room(nodes)
    found = {}
    for name in sorted(demands, key=lambda name: (-demands[name].gpus, -demands[name].cpus, name)):
        room.place(demands[name])
        found[name] = 1
    growing, slowest_wait = set(demands), 0.0
    while growing:
        name = max(sorted(growing), key=lambda name: (_load(demands, name) / found[name], -found[name]))
        demand, wait = demands[name], _load(demands, name) / found[name]
        if wait * HEADROOM < slowest_wait:
            break
        if (demand.most is None or found[name] < demand.most) and room.place(demand):
            found[name] += 1
        else:
            growing.remove(name)
            if demand.load is not None:
                slowest_wait = max(slowest_wait, wait)
    return found


HEADROOM = 1.25
"""How much faster than the slowest pool the others may be."""


def throughput(demands: Mapping[str, Demand], workers: Mapping[str, int]) -> float:
    """Records a second that the slowest pool lets through; infinite where no load is known."""
    rates = [workers[name] / demand.load for name, demand in demands.items() if demand.load]
    return min(rates, default=float("inf"))


def _load(demands: Mapping[str, Demand], name: str) -> float:
    load = demands[name].load
    if load is not None:
        return load
    known = [demand.load for demand in demands.values() if demand.load is not None]
    return max(known, default=1.0)


@dataclass
class _Free:
    cpus: float
    gpus: list[float] = field(default_factory=list)  # free share of each GPU


class Room:
    """What is free on the machines, worker after worker."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._free = [_Free(node.cpus, [1.0] * int(node.gpus)) for node in nodes]

    def place(self, demand: Demand) -> bool:
        """Takes a worker's share where it fits most tightly; False where it fits nowhere."""
        best: tuple[float, _Free, list[int]] | None = None
        for free in self._free:
            chips = _chips(free, demand.gpus) if free.cpus + 1e-9 >= demand.cpus else None
            if chips is not None:
                rest = sum(free.gpus[chip] for chip in chips) if chips else free.cpus
                if best is None or rest < best[0]:
                    best = (rest, free, chips)
        if best is None:
            return False
        _, free, chips = best
        free.cpus -= demand.cpus
        for chip in chips:
            free.gpus[chip] -= min(demand.gpus, 1.0)
        return True


def _chips(free: _Free, gpus: float) -> list[int] | None:
    """The GPUs of a machine on which a worker fits: whole ones, or the fullest that has its share."""
    if not gpus:
        return []
    share = min(gpus, 1.0)
    fitting = sorted((rest, chip) for chip, rest in enumerate(free.gpus) if rest + 1e-9 >= share)
    wanted = max(1, round(gpus))
    return [chip for _, chip in fitting[:wanted]] if len(fitting) >= wanted else None
