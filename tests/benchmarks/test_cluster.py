"""The arithmetic of the benchmark of runs, on traces whose numbers are known; what its played stages promise."""

import json
from pathlib import Path

import pytest

from benchmarks.cluster.played import Part, played, write_source
from benchmarks.cluster.report import line, table, write
from benchmarks.cluster.traced import Look, Trace
from pipeline.recipe import load_recipe
from pipeline.run import build
from pipeline.runners.local import local
from pipeline.scheduler.state import PoolState
from pipeline.stage import Needs
from shards import Storage
from shards.verify import verify


def pool(*, up: int, busy: float, seconds: float) -> PoolState:
    return PoolState(
        name="tracker", stages=("tracker",), wanted=2, starting=0, up=up, busy_seconds=busy, up_seconds=seconds
    )


def test_a_trace_says_how_busy_and_how_fast_the_middle_was() -> None:
    states = [pool(up=0, busy=0, seconds=0), pool(up=2, busy=1, seconds=4), pool(up=2, busy=7, seconds=12)]
    looks = [Look(at=at, cpu=0.0, pools={"tracker": state}) for at, state in zip((0.0, 2.0, 6.0), states, strict=True)]
    trace = Trace(looks=looks, answers={"tracker": [float(n) for n in range(1, 101)]})
    assert trace.since_up("tracker", 2) == 2.0
    assert trace.busy("tracker", 1.0, 6.0) == 6 / 8
    assert trace.middle("tracker") == (16.0, 86.0)
    assert trace.rate("tracker") == 1.0


@pytest.mark.parametrize(
    ("values", "goal", "met"),
    [([0.9, 0.97, 0.99], ">= 0.95", True), (2.5, "<= 2", False), (0.0, "== 0", True), (1.0, "", None)],
)
def test_a_goal_is_asked_of_the_median(values: list[float] | float, goal: str, met: bool | None) -> None:
    assert line("what", values, goal=goal).met is met


def test_a_part_that_is_measured_again_leaves_the_others(tmp_path: Path) -> None:
    write(tmp_path, "one", "python one", [line("clips", 3.0)])
    write(tmp_path, "two", "python two", [line("share", [0.5, 0.7], "x", ">= 0.6")])
    write(tmp_path, "one", "python one", [line("clips", 4.0)])
    parts = json.loads((tmp_path / "cluster.json").read_text())["parts"]
    assert [part["lines"][0]["value"] for part in parts.values()] == [4.0, 0.6]
    page = (tmp_path / "cluster.md").read_text()
    assert "| share | 0.6 x | 0.5 to 0.7 | 2 | >= 0.6 met |" in page
    assert table([line("clips", 4.0)]) in page


def test_a_played_recipe_is_the_real_one_to_the_ledger(tmp_path: Path) -> None:
    """Its stages' digests are the real stages', so that a build with the real recipe finds nothing to do."""
    source, out = write_source(tmp_path / "source.parquet", 6), tmp_path / "clips"
    recipe = played({"cutter": Part(clips=2)}, {"tracker": Needs(batch=2)})
    summary = build(source, str(out), recipe, local)
    assert summary.clips == 12
    assert verify(Storage.at(out)).violations == ()
    assert build(source, str(out), load_recipe("embedded"), local) == summary
