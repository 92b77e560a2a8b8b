"""A build that begins with another dataset's answers works out what its settings change, to the same bytes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.cluster.played import Part, played, write_source
from pipeline.build import Watch
from pipeline.recipe import Recipe
from pipeline.run import build, refilter, summarise
from pipeline.runners.local import local
from shards import Dataset, Storage
from shards.ledger import Row
from shards.verify import verify
from tests.pipeline.test_build import digests

STAGES = ("cutter", "encoder", "captioner", "namer", "grounder", "segmenter", "tracker", "measurer")
OTHER_TRACKER = ("tracker.model.propagation.mem_every=5",)


@pytest.fixture
def source(tmp_path: Path) -> str:
    return write_source(tmp_path / "source.parquet", 14)


def recipe(calls: Path, settings: Sequence[str] = (), troubles: Mapping[str, str] | None = None) -> Recipe:
    """Every stage counts its calls in a file of `calls`; troubles are the captioner's."""
    calls.mkdir(exist_ok=True)
    parts = {stage: Part(calls=str(calls / stage)) for stage in STAGES}
    parts["captioner"] = replace(parts["captioner"], troubles=troubles or {})
    return played(parts, {}, ["shards.videos=4", *settings])


def called(calls: Path) -> dict[str, int]:
    return {path.name: len(path.read_text().split()) for path in calls.iterdir()}


@pytest.fixture
def old(source: str, tmp_path: Path) -> Path:
    """Built with the first tracker's settings."""
    out = tmp_path / "old" / "clips"
    build(source, str(out), recipe(tmp_path / "old-calls"), local)
    return out


@pytest.fixture
def fresh(source: str, tmp_path: Path) -> Path:
    """Built with the other tracker's settings, from nothing."""
    out = tmp_path / "fresh" / "clips"
    build(source, str(out), recipe(tmp_path / "fresh-calls", OTHER_TRACKER), local)
    return out


def test_another_trackers_setting_asks_the_tracker_again_and_nobody_before_it(
    source: str, old: Path, fresh: Path, tmp_path: Path
) -> None:
    out, calls = tmp_path / "new" / "clips", tmp_path / "calls"
    summary = build(source, str(out), recipe(calls, OTHER_TRACKER), local, donor=str(old))
    assert digests(out) == digests(fresh)
    assert summary == summarise(Storage.at(fresh))
    # The encoder brings files back: from the old shards, or by encoding what was rejected there.
    assert called(calls) == {"tracker": 14, "measurer": 14, "encoder": 14}
    assert verify(Storage.at(out)).violations == ()


def test_the_same_settings_ask_nobody_anything(source: str, old: Path, tmp_path: Path) -> None:
    out, calls = tmp_path / "new" / "clips", tmp_path / "calls"
    build(source, str(out), recipe(calls), local, donor=str(old))
    assert digests(out) == digests(old)
    assert called(calls).keys() <= {"encoder"}


def test_it_goes_on_with_its_donor_without_being_told_again_and_from_one_that_is_unfinished(
    source: str, fresh: Path, tmp_path: Path
) -> None:
    old, out, calls = tmp_path / "old" / "clips", tmp_path / "new" / "clips", tmp_path / "calls"
    first, rows = list[Row](), list[Row]()
    build(source, str(old), recipe(tmp_path / "first"), local, watch=stopped_after(60, first))
    build(source, str(out), recipe(calls, OTHER_TRACKER), local, donor=str(old), watch=stopped_after(90, rows))
    assert build(source, str(out), recipe(calls, OTHER_TRACKER), local).finished
    assert digests(out) == digests(fresh)
    answered = Counter(row.stage for row in first)
    counts = called(calls)
    assert [counts[stage] + answered[stage] for stage in ("cutter", "captioner", "segmenter")] == [14] * 3
    assert counts["tracker"] == 14


def stopped_after(count: int, rows: list[Row]) -> Watch:
    return Watch(answered=rows.append, stopping=lambda: len(rows) > count)


def test_a_source_that_grew_meanwhile_adds_shards(source: str, old: Path, tmp_path: Path) -> None:
    out, calls = tmp_path / "new" / "clips", tmp_path / "calls"
    write_source(tmp_path / "source.parquet", 20)
    summary = build(source, str(out), recipe(calls), local, donor=str(old))
    assert summary.clips == 20
    assert called(calls)["captioner"] == 6
    assert digests(old).items() <= digests(out).items()


def test_what_was_tried_again_in_the_old_dataset_stands_once_in_the_new_one(
    source: str, fresh: Path, tmp_path: Path
) -> None:
    old, out, calls = tmp_path / "old" / "clips", tmp_path / "new" / "clips", tmp_path / "calls"
    bad = {"parquet/000003": "error", "parquet/000007": "error"}
    assert build(source, str(old), recipe(tmp_path / "first", troubles=bad), local).failed
    assert not build(source, str(old), recipe(tmp_path / "again"), local, retry=["failed"]).failed
    build(source, str(out), recipe(calls, OTHER_TRACKER), local, donor=str(old))
    assert digests(out) == digests(fresh)
    assert len(Dataset.open(out)) == len({sample.key for sample in Dataset.open(out)})
    assert "captioner" not in called(calls)


def test_what_a_refiltered_dataset_did_not_ask_is_asked(source: str, fresh: Path, tmp_path: Path) -> None:
    """A threshold stopped every clip before segmenting; loosened by `refilter`, which may ask no model."""
    old, loose, out = tmp_path / "old" / "clips", tmp_path / "loose" / "clips", tmp_path / "new" / "clips"
    build(source, str(old), recipe(tmp_path / "first", ["rules.size.area=[0.8,0.9]"]), local)
    assert refilter(str(old), str(loose), ["rules.size.area=[0.04,0.9]"], local).rejected == {
        "segmenter: needs a model run": 14
    }
    calls = tmp_path / "calls"
    build(source, str(out), recipe(calls, OTHER_TRACKER), local, donor=str(loose))
    assert digests(out) == digests(fresh)
    assert "grounder" not in called(calls)
    assert called(calls)["segmenter"] == 14


def test_a_donor_that_does_not_fit_is_refused_in_one_line(source: str, old: Path, tmp_path: Path) -> None:
    out, calls = str(tmp_path / "new"), tmp_path / "calls"
    with pytest.raises(ValueError, match=r"set shards\.videos=4"):
        build(source, out, recipe(calls, ["shards.videos=5"]), local, donor=str(old))
    with pytest.raises(ValueError, match="was not begun from"):
        build(source, str(old), recipe(calls), local, donor=str(old))
    with pytest.raises(ValueError, match="no dataset"):
        build(source, out, recipe(calls), local, donor=str(tmp_path / "nothing"))
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "other.mp4").touch()
    with pytest.raises(ValueError, match="was built from none of these videos"):
        build(str(videos), out, recipe(calls), local, donor=str(old))
