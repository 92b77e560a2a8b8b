"""SIGKILL for driver, worker and machine at seeded moments of small builds on several Ray machines: nobody's loss."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.cluster.kills import Ordeal, ordeal
from benchmarks.cluster.machines import Machines, machines

KILLS = [  # twenty in all; benchmarks/cluster draws two hundred
    ["driver", "worker", "worker", "driver", "worker"],
    ["worker", "machine", "worker", "driver", "worker"],
    ["worker", "driver", "worker", "worker", "driver"],
    ["worker", "worker", "driver", "machine", "worker"],
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Machines]:
    with machines(2) as these:
        yield these


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kills")


def check(found: Ordeal, folder: Path) -> None:
    """Nothing lost, nothing twice, the bytes of a build that nobody disturbed."""
    assert not found.hung, (folder / str(found.seed) / "driver.log").read_text()
    assert (found.missing, found.twice, found.violations) == (0, 0, 0)
    assert found.same


@pytest.mark.timeout(1200)
def test_twenty_kills_change_nothing(cluster: Machines, folder: Path) -> None:
    """A build may be through before the last of its kills: those are made up for by further builds."""
    left, seed = sum(map(len, KILLS)), 0
    while left > 0:
        found = ordeal(folder, cluster, KILLS[seed % len(KILLS)][:left], seed)
        check(found, folder)
        left, seed = left - len(found.kills), seed + 1


def test_a_machine_that_is_lost_for_good_in_the_middle_costs_no_clip(cluster: Machines, folder: Path) -> None:
    cluster.add()
    found = ordeal(folder, cluster, ["machine"], seed=100, replace=False)
    check(found, folder)
    assert Counter(found.kills) == {"machine": 1}
