"""The estimate: what its arithmetic promises, and that a probe of everything tells what the build then gives."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dreamreel
from pipeline.build import Watch
from pipeline.estimate.classes import expected, unseen
from pipeline.estimate.estimate import Estimate, estimate, told
from pipeline.estimate.glances import glances
from pipeline.estimate.probe import Probe, ProbedClip, read, scratch
from pipeline.estimate.strata import Stratum, Unit, draw
from pipeline.estimate.text import as_text
from pipeline.estimate.wall import Cluster, Job, wall_seconds
from pipeline.estimate.weights import Weighting
from pipeline.estimate.words import said_subjects
from pipeline.recipe import Recipe, load_recipe
from pipeline.records import FrameBoxes, Video
from pipeline.run import build, summarise
from pipeline.runners.local import local
from pipeline.scheduler.settings import Scheduling
from pipeline.scheduler.sizing import Node
from pipeline.sources import parse_source
from pipeline.stage import Needs
from pipeline.stages.annotate import Namer
from pipeline.stages.locate import Tracker
from pipeline.stages.measurer import Measurer
from shards import Dataset, Storage, ledger
from shards.ledger import Row
from tests.pipeline.recipes import SOURCE_ALONE

STAGES = (Tracker(needs=Needs(gpus=0.5, cpus=2)), Measurer())


def units(count: int, seed: int = 0, kinds: tuple[str, ...] = ("bare",)) -> list[Unit]:
    """Videos whose lengths are heavy-tailed."""
    random = np.random.default_rng(seed)
    lengths = np.ceil(random.lognormal(5, 1.2, count)).tolist()
    return [
        Unit(id=f"{n:06d}", kind=kinds[n % len(kinds)], num_frames=length, megapixels=length * random.uniform(0.1, 2))
        for n, length in enumerate(lengths)
    ]


def drawn(strata: list[Stratum]) -> list[Unit]:
    return [unit for stratum in strata for unit in stratum.drawn]


# --- what is drawn


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 300), probes=st.integers(2, 80), kinds=st.integers(1, 3), seed=st.integers(0, 5))
def test_strata_part_the_source_and_only_members_are_drawn(count: int, probes: int, kinds: int, seed: int) -> None:
    all_units = units(count, seed, ("bare", "captioned", "missing")[:kinds])
    strata = draw(all_units, probes, seed)
    members = [unit.id for stratum in strata for unit in stratum.units]
    assert sorted(members) == sorted(unit.id for unit in all_units)
    for stratum in strata:
        assert stratum.drawn
        assert set(stratum.drawn) <= set(stratum.units)
        assert {unit.kind for unit in stratum.units} == {stratum.kind}
    assert min(count, probes) <= len(drawn(strata)) <= min(count, probes + 2 * kinds)


def test_a_draw_is_the_same_whatever_the_order_of_the_source() -> None:
    some = units(200)
    assert draw(some, 20, seed=3) == draw(some[::-1], 20, seed=3)
    assert drawn(draw(some, 20, seed=3)) != drawn(draw(some, 20, seed=4))


def test_the_longest_videos_are_drawn_far_more_often_than_their_number_says() -> None:
    some = units(2000)
    longest = set(sorted(some, key=lambda unit: unit.num_frames)[-100:])
    assert sum(unit in longest for unit in drawn(draw(some, 100))) > 15


def test_a_probe_of_one_tells_no_spread() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        draw(units(5), 1)


# --- from the sample to the whole


def weighting(population: list[Unit], probes: int, seed: int = 0) -> tuple[Weighting, list[Unit]]:
    strata = draw(population, probes, seed)
    return Weighting(strata, drawn(strata), len(population)), drawn(strata)


@pytest.mark.parametrize("seed", range(4))
def test_what_goes_with_number_length_or_size_is_told_exactly_whichever_videos_were_drawn(seed: int) -> None:
    population = units(1500, kinds=("bare", "captioned"))
    weights, probed = weighting(population, 40, seed)
    value = np.array([3 + 0.5 * unit.num_frames + 7 * unit.megapixels for unit in probed])
    truth = sum(3 + 0.5 * unit.num_frames + 7 * unit.megapixels for unit in population)
    found = weights.total(value)
    assert found.value == pytest.approx(truth, rel=1e-6)
    assert [found.low, found.high] == pytest.approx([truth, truth], rel=1e-6)


def test_a_probe_of_everything_leaves_no_doubt() -> None:
    population = units(60)
    weights, probed = weighting(population, 60)
    value = np.random.default_rng(0).lognormal(0, 2, len(probed))
    found = weights.total(value)
    assert found.value == pytest.approx(value.sum())
    assert [found.low, found.high] == pytest.approx([value.sum(), value.sum()])


def test_estimates_of_heavy_tailed_times_lie_around_the_truth_and_their_intervals_hold() -> None:
    population = units(3000)
    random = np.random.default_rng(1)
    took = {unit.id: (2 + 0.05 * unit.num_frames) * random.lognormal(0, 0.7) for unit in population}
    truth = sum(took.values())
    errors, held = [], 0
    for seed in range(40):
        weights, probed = weighting(population, 96, seed)
        found = weights.total(np.array([took[unit.id] for unit in probed]))
        errors.append(found.value / truth - 1)
        held += found.low <= truth <= found.high
    assert abs(np.mean(errors)) < 0.03
    assert np.quantile(np.abs(errors), 0.9) < 0.15
    assert held >= 34


def test_what_was_not_looked_at_widens_the_interval() -> None:
    """The total length is told exactly of a source that was looked at whole, and only about of one that was not."""
    population = units(4000)
    truth = sum(unit.num_frames for unit in population)
    held = 0
    for seed in range(20):
        some = [population[n] for n in np.random.default_rng(seed).choice(4000, 400, replace=False)]
        strata = draw(some, 50)
        lengths = np.array([unit.num_frames for unit in drawn(strata)])
        found = Weighting(strata, drawn(strata), len(population)).total(lengths)
        assert found.low < 0.97 * found.value
        held += found.low <= truth <= found.high
    assert held >= 17


# --- classes


def test_chaos_estimator_as_published() -> None:
    """Three classes seen once, two seen twice, among twelve samples: 11 / 12 * 3 ** 2 / (2 * 2) are unseen."""
    assert unseen([1, 1, 1, 2, 2, 5]) == pytest.approx(2.0625)
    assert unseen([2, 2, 5]) == 0
    assert unseen([1, 1]) == pytest.approx(1 / 2)  # without doubles: (n - 1) / n * f1 * (f1 - 1) / 2


@given(st.lists(st.integers(1, 6), min_size=1, max_size=20), st.floats(1, 1e5))
def test_a_larger_sample_has_more_classes_and_never_more_than_there_are(counts: list[int], size: float) -> None:
    assert expected(counts, sum(counts)) == len(counts)
    smaller, larger = expected(counts, size), expected(counts, 2 * size)
    assert len(counts) <= smaller <= larger <= len(counts) + unseen(counts) + 1e-9


def test_the_sources_own_words_name_its_classes() -> None:
    boxes = FrameBoxes(noun="dog", boxes=(None,))
    named = [Video(id="a", uri="a", nouns=("cat", "tree")), Video(id="b", uri="b", annotation=boxes)]
    captioned = Video(id="c", uri="c", caption="A small bird flies over a lake.")
    bare = Video(id="d", uri="d")
    reader = load_recipe("embedded").namer
    assert said_subjects(named, Namer()) == ["cat", "dog"]
    assert said_subjects([*named, captioned], reader) == ["cat", "dog", "bird"]
    assert said_subjects([*named, captioned], Namer()) is None
    assert said_subjects([*named, bare], reader) is None


# --- wall time


def test_one_worker_takes_the_sum_and_a_longer_run_goes_on_as_it_began() -> None:
    one = Cluster(nodes=(Node(cpus=1, gpus=0),), scheduling=Scheduling(workers=1))
    stages = (Measurer(), Measurer())
    jobs = [Job(seconds=(1.0, 2.0)), Job(seconds=(4.0,))]
    assert wall_seconds(stages, jobs, [1, 0], 100, one, {}) == pytest.approx(300)
    assert wall_seconds(stages, jobs, [0, 1], 100, one, {}) == pytest.approx(400)
    assert wall_seconds(stages, jobs, [1, 0], 50_000, one, {}) == pytest.approx(150_000, rel=1e-3)


def test_twice_the_machines_take_half_the_time_and_cost_the_same() -> None:
    population = units(400)
    strata = draw(population, 40)
    found = fake_probe(drawn(strata), lambda unit: 1.0)
    few, many = (
        told(
            strata,
            found,
            STAGES,
            4000,
            cluster=Cluster(nodes=(Node(cpus=16, gpus=2),) * nodes, scheduling=Scheduling()),
            price=2.0,
        )
        for nodes in (1, 2)
    )
    assert many.wall_hours.value == pytest.approx(few.wall_hours.value / 2, rel=0.05)
    assert few.cost is not None
    assert many.cost is not None
    assert many.cost.value == pytest.approx(few.cost.value, rel=0.05)
    assert few.cost.value == pytest.approx(2.0 * few.wall_hours.value * 2)
    assert few.gpu_hours.value <= few.paid_gpu_hours.value


def fake_probe(probed: list[Unit], seconds: Callable[[Unit], float]) -> Probe:
    """Every video one clip, which is kept."""
    clip: dict[str, tuple[ProbedClip, ...]] = {
        unit.id: (
            ProbedClip(seconds={"tracker": seconds(unit), "measurer": 0.1}, ending="kept", subject="dog", bytes=9),
        )
        for unit in probed
    }
    return Probe(clips=clip, start_seconds=0, load_seconds={}, pack_seconds=0, overhead=0, ledger_bytes=1)


def test_work_is_the_stages_seconds_times_what_they_need() -> None:
    population = units(100)
    strata = draw(population, 100)
    found = told(strata, fake_probe(drawn(strata), lambda unit: unit.num_frames), STAGES, 100)
    hours = sum(unit.num_frames for unit in population) / 3600
    assert found.gpu_hours.value == pytest.approx(0.5 * hours)
    assert found.core_hours.value == pytest.approx(2 * hours + 100 * 0.1 / 3600)
    assert found.disk_bytes.value == pytest.approx(100 * (9 + 1))
    assert found.nodes == ()
    assert found.wall_hours.value == pytest.approx(hours + 100 * 0.1 / 3600)


def test_a_cluster_without_room_is_told_by_its_stage() -> None:
    small = Cluster(nodes=(Node(cpus=8, gpus=0),), scheduling=Scheduling())
    recipe = load_recipe("embedded", ["tracker.needs.gpus=0.5"])
    with pytest.raises(ValueError, match=r"1 nodes have no room for a worker of tracker, which takes 0\.5 GPUs"):
        estimate("nowhere", recipe, local, probes=4, cluster=small)


# --- the probe


def row(stage: str, clip: str, at: float, seconds: float) -> Row:
    return Row(shard=0, video=clip, clip=clip, stage=stage, stage_key="", outcome="done", seconds=seconds, at=at)


def test_a_stages_first_job_loads_its_model_and_is_no_measure(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    rows = [row("tracker", "a", 100.0, 60.0), row("tracker", "b", 102.5, 2.0), row("tracker", "c", 104.75, 2.0)]
    ends = [
        Row(shard=0, video=c, clip=c, stage="judge", stage_key="", outcome="rejected", why="motion.iou", at=110.0)
        for c in "abc"
    ]
    ledger.close(storage, 0, [*rows, *ends])
    storage.write(
        "dataset.json", b'{"name": "x", "recipe": {}, "models": {}, "code": "0", "schema": 1, "source": null}'
    )
    found = read(storage)
    assert [clip.seconds["tracker"] for clips in found.clips.values() for clip in clips] == [2.0, 2.0, 2.0]
    assert found.load_seconds["tracker"] == 58.0


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe("embedded", ["cutter.shots=null", "shards.videos=8", "rules.duplicate=null", *SOURCE_ALONE])


@pytest.fixture(scope="module")
def of_all(world_folder: Path, recipe: Recipe) -> Estimate:
    """Every video of the source is probed."""
    found = estimate(str(world_folder), recipe, local, probes=20)
    assert found is not None
    return found


def test_a_probe_of_all_videos_tells_what_the_build_gives(
    of_all: Estimate, world_folder: Path, recipe: Recipe, tmp_path: Path
) -> None:
    build(str(world_folder), str(tmp_path / "out"), recipe, local)
    summary, dataset = summarise(Storage.at(tmp_path / "out")), Dataset.open(tmp_path / "out")
    assert of_all.probed == of_all.videos == 20
    assert of_all.clips.value == pytest.approx(summary.clips)
    assert of_all.samples.value == pytest.approx(summary.samples)
    assert of_all.kept_share.value == pytest.approx(summary.samples / summary.clips)
    assert {why: round(figure.value) for why, figure in of_all.endings.items()} == summary.rejected
    assert of_all.classes.low <= len(set(dataset.index["subject"].to_pylist())) <= of_all.classes.high
    size = sum(path.stat().st_size for part in ("shards", "ledger") for path in (tmp_path / "out" / part).iterdir())
    plan = sum(path.stat().st_size for path in (tmp_path / "out" / "ledger").glob("plan-*"))
    assert of_all.disk_bytes.value == pytest.approx(size, rel=0.05, abs=plan)


def test_an_estimate_says_it_all_in_words(of_all: Estimate) -> None:
    text = as_text(of_all)
    for word in (
        "20 videos",
        "clips",
        "kept share",
        "classes",
        "disk",
        "GPU-hours",
        "wall time",
        "tracker",
        "screener",
    ):
        assert word in text


def test_headers_say_length_and_size_and_broken_files_are_a_kind(world_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "good.mp4").write_bytes((world_folder / "000000.mp4").read_bytes())
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    found = {unit.id: unit for unit in glances(list(parse_source(str(tmp_path)).videos()))}  # type: ignore[arg-type]
    assert found["folder/good.mp4"].num_frames == 16
    assert found["folder/good.mp4"].megapixels == pytest.approx(16 * 96 * 160 / 1e6)
    assert found["folder/broken.mp4"] == Unit(id="folder/broken.mp4", kind="not_a_video")


def test_a_probes_place_is_gone_afterwards_whatever_happens(world_folder: Path, recipe: Recipe, tmp_path: Path) -> None:
    place = tmp_path / "probe"
    stopped = estimate(str(world_folder), recipe, local, probes=4, place=str(place), watch=Watch(stopping=lambda: True))
    assert stopped is None
    assert not place.exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    with pytest.raises(ValueError, match="is not empty"), scratch(str(tmp_path / "full")):
        pass
    assert (tmp_path / "full" / "mine.txt").exists()


def test_the_verb_gives_json_for_machines(world_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [text for name in ("cutter.shots=null", *SOURCE_ALONE) for text in ("--set", name)]
    command = ["estimate", str(world_folder), "--probe", "4", "--nodes", "2", "--price", "1.5", "--json", *options]
    assert dreamreel.main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["videos"] == 20
    assert found["cost"]["value"] == pytest.approx(1.5 * found["wall_hours"]["value"] * 8)
    assert found["samples"]["low"] <= found["samples"]["value"] <= found["samples"]["high"]
