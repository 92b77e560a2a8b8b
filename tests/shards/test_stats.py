"""Counting a dataset: Table 1's row, spreads, decisions honoured, rejections from the ledger, and the plots."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from shards import Track, ledger, plots, select, stats
from shards.dataset import Dataset
from shards.ledger import Outcome, Row
from shards.storage import Storage
from shards.verdicts import Decision
from tests.shards.filmed import filmed, key, write_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Samples 0-5, the last with a caption by another, one track, and the subject away in 3 of 6 frames."""
    away = filmed(5)
    masks = away.tracks[0].decode(away.size)
    masks[3:] = False
    away = replace(
        away,
        tracks=(Track.of_masks(masks, id=1, noun="boat"),),
        provenance={**away.provenance, "caption_by": "captioner"},
    )
    return Dataset.open(write_dataset(tmp_path_factory.mktemp("stats"), [*map(filmed, range(5)), away]).url)


def test_the_numbers_are_those_of_the_samples(dataset: Dataset) -> None:
    counted = stats.measure("practice", dataset.index, {})
    samples = list(dataset)
    assert (counted.videos, counted.sources, counted.left_out) == (6, 3, 0)
    assert counted.classes == {"boat": 2, "cat": 2, "dog": 2}
    assert counted.caption_by == {"source": 5, "captioner": 1}
    assert (counted.captioned, counted.frames, counted.subject_frames, counted.whole) == (6, 36, 33, 5)
    assert (counted.tracks, counted.tracks_per_sample) == (11, {1: 1, 2: 5})
    assert counted.sizes == {"64x48": 6}
    assert counted.bytes == sum(sum(map(len, dataset.raw(row).values())) for row in range(6))
    assert counted.seconds == pytest.approx(6 * 6 / 24)
    areas = [np.mean([m.mean() for m in s.tracks[0].decode(s.size) if m.any()]) for s in samples]
    assert counted.area is not None
    assert counted.area.least == pytest.approx(min(areas))
    assert counted.area.median == pytest.approx(np.median(areas))
    assert counted.area.mean == pytest.approx(np.mean(areas))
    assert counted.area.greatest == pytest.approx(max(areas))


def test_the_row_of_table_one(dataset: Dataset) -> None:
    assert stats.table_row(stats.measure("practice", dataset.index, {})) == [
        ("Dataset", "practice"),
        ("Videos", "6"),
        ("Classes", "3"),
        ("Caption", "yes (100.0%)"),
        ("Masks of all frames", "yes (83.3%)"),
        ("Boxes of all frames", "yes (83.3%)"),
    ]


def test_decisions_are_honoured(dataset: Dataset) -> None:
    decisions = {
        key(0): Decision(accepted=False),
        key(3): Decision(accepted=False),
        key(1): Decision(subject="wolf"),
        key(2): Decision(dropped_tracks=frozenset({1})),
    }
    counted = stats.measure("practice", dataset.index, decisions)
    assert (counted.videos, counted.left_out) == (4, 2)
    assert counted.classes == {"ball": 1, "boat": 1, "cat": 1, "wolf": 1}
    assert counted.subject_frames == 6 + 5 + 6 + 3  # the ball is away in one frame
    assert counted.tracks == 2 + 1 + 2 + 1


def test_an_empty_dataset_counts_nothing(dataset: Dataset) -> None:
    counted = stats.measure("empty", dataset.index.slice(0, 0), {})
    assert (counted.videos, counted.frames, counted.area) == (0, 0, None)
    assert dict(stats.table_row(counted))["Caption"] == "no"
    assert dict(stats.more(counted))["frames with subject"] == "-"
    assert plots.draw(dataset.index.slice(0, 0), {}) == {}


def row(clip: str, stage: str, outcome: Outcome, at: float, why: str | None = None) -> Row:
    return Row(shard=0, video="v", clip=clip, stage=stage, stage_key=f"{clip}{at}", outcome=outcome, why=why, at=at)


def test_a_clip_counts_by_the_last_that_was_said_of_it(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    assert stats.rejected_clips(storage) == {}
    rows = [
        row("a", "Judge", "rejected", 1, "size.area"),
        row("b", "Judge", "rejected", 1, "motion"),
        row("b", "Judge", "kept", 2),
        row("c", "Tracker", "failed", 1, "MemoryError"),
    ]
    ledger.append(storage, 0, rows, "s")
    ledger.append(storage, 1, [row("d", "Judge", "done", 1), row("d", "Judge", "rejected", 2, "size.area")], "s")
    assert stats.rejected_clips(storage) == {"Judge: size.area": 2, "Tracker: MemoryError": 1}
    ledger.close(storage, 0, rows)
    assert stats.rejected_clips(storage) == {"Judge: size.area": 2, "Tracker: MemoryError": 1}


def test_every_plot_is_a_picture(dataset: Dataset) -> None:
    many = {f"Judge: rule number {n} " + "with a long name " * 5: 60 - n for n in range(50)}
    drawn = plots.draw(dataset.index, many)
    assert set(drawn) == {"classes.png", "area.png", "durations.png", "motion.png", "rejections.png"}
    for data in drawn.values():
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == "PNG"
            assert np.asarray(image.convert("L")).std() > 5


def test_what_was_never_measured_is_not_plotted(dataset: Dataset) -> None:
    schema = dataset.index.schema
    unscored = pa.array([[]] * len(dataset), schema.field("scores").type)
    still = dataset.index.set_column(schema.get_field_index("scores"), schema.field("scores"), unscored)
    assert "motion.png" not in plots.draw(select.overlay(still, {}), {})
    assert "rejections.png" not in plots.draw(still, {})
