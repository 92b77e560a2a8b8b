"""The benchmarks of simulated clusters and of estimates: their clips end as they should, their arithmetic is right."""

import numpy as np
import pytest

from benchmarks.estimate.populations import COSTS, STAGES, Population
from benchmarks.estimate.simulated import Trial, spread
from benchmarks.simulate.check import CLIPS, Sleeper, _simulated
from benchmarks.simulate.curve import points
from benchmarks.simulate.times import POISON, Measured, clip_of, mood
from pipeline.estimate.weights import Figure
from pipeline.recipe import load_recipe
from pipeline.stages.packer import Packer

LINE = (*load_recipe("modern").stages(""), Packer())
MEASURED = Measured(
    stages=LINE,
    clips=(
        tuple(1.0 + position for position in range(len(LINE))),
        tuple(2.0 for _ in LINE),
        (0.5, 0.5, 3.0, 0.1, 0.2, 0.1),  # the screener stops it
    ),
    load_seconds={"tracker": 20.0},
)


def test_every_clip_ends_once_whatever_troubles_the_cluster() -> None:
    runs = list(points(MEASURED, 60, machines=(1, 3)))
    assert [(run.machines, run.troubled) for run in runs] == [(1, False), (1, True), (3, False), (3, True)]
    for run in runs:
        count = 60 * run.machines
        stopped = sum(len(clip_of(MEASURED, record)) < len(LINE) for record in range(count))
        whole = (record for record in range(count) if len(clip_of(MEASURED, record)) == len(LINE))
        poisoned = sum(mood("poison", record) < POISON for record in whole) if run.troubled else 0
        assert run.ended.get("stopped") == stopped
        assert run.ended.get("quarantined", 0) == poisoned
        assert run.ended["passed"] == count - stopped - poisoned
        assert 0 < run.busy <= 1
    assert runs[0].efficiency == 1.0
    assert runs[3].efficiency < runs[2].efficiency


def test_sleeping_stages_take_the_same_time_on_ray_and_simulated() -> None:
    """The simulated stage's job takes what the real one's function would sleep."""
    track = Sleeper(label="track", mean=0.4)
    outputs = _simulated(1)
    assert len(outputs) == CLIPS
    assert outputs[-1] >= sum(track.seconds(str(n)) for n in range(CLIPS))


def test_a_populations_probe_takes_what_the_population_does() -> None:
    population = Population("pareto", 50, seed=1)
    units = population.units(50, np.random.default_rng(0))
    probe = population.probe(units)
    clips = [clip for some in probe.clips.values() for clip in some]
    assert len(clips) == len(population.video)
    assert sum(sum(clip.seconds.values()) for clip in clips) == pytest.approx(float(population.seconds.sum()))
    assert sum(clip.ending == "kept" for clip in clips) == population.kept.sum()
    assert [stage.name for stage in STAGES] == list(COSTS)


def test_the_spread_of_errors() -> None:
    trials = [Trial("x", "y", Figure(value=v, low=0.9 * v, high=1.1 * v), 100.0) for v in (90.0, 100.0, 120.0)]
    found = spread(trials)
    assert found["trials"] == 3
    assert found["mean error"] == pytest.approx(0.1 / 3)
    assert found["median |error|"] == pytest.approx(0.1)
    assert found["within 15 %"] == pytest.approx(2 / 3)
    assert found["covered"] == pytest.approx(1 / 3)
