"""Ablations train, make and measure their rows once; verdicts follow the intervals; speed is told side by side."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import evaluate
from benchmarks.ablations.__main__ import FREE, TRUTH, main
from benchmarks.ablations.variants import DEFAULT, VARIANTS
from benchmarks.ablations.verdicts import differences, row_verdict
from tests.training.tiny_base import write_tiny_base
from training.evaluation.paper import ABLATION_METRICS
from training.trainer.recipe import load_train_recipe

TINY = (
    "batch=2",
    "at_once=2",
    "loader.height=16",
    "loader.width=24",
    "loader.window.num_frames=8",
    "loader.workers=0",
    "model.motion.encoder_channels=[4,8]",
    "model.motion.temporal_heads=2",
)


def rows(shift: float, spread: float) -> tuple[dict[str, dict[str, float | None]], dict[str, dict[str, float | None]]]:
    """A row whose mIoU lies `shift` beside the other's, by `spread` more or less from item to item."""
    default: dict[str, dict[str, float | None]] = {f"{n}": {"mIoU": 0.5 + 0.01 * n} for n in range(20)}
    row = {item: {"mIoU": (said["mIoU"] or 0) + shift + spread * (-1) ** int(item)} for item, said in default.items()}
    return dict(row), default


@pytest.mark.parametrize(
    ("shift", "spread", "verdict"),
    [(-0.1, 0.05, "reproduced"), (0.1, 0.05, "not reproduced"), (-0.01, 0.3, "undecided")],
)
def test_a_row_is_judged_by_its_interval_and_the_papers_sign(shift: float, spread: float, verdict: str) -> None:
    row, default = rows(shift, spread)
    (found,) = differences("lambda_M = 1", row, default, DEFAULT)  # in the paper mIoU falls from .670 to .601
    assert found.paper == pytest.approx(-0.069)
    assert found.found.value == pytest.approx(shift)
    assert found.verdict == verdict == row_verdict([found])


def test_what_was_not_measured_is_undecided() -> None:
    row, default = rows(0.1, 0.0)
    assert differences("lambda_M = 1", {item: {"mIoU": None} for item in row}, default, DEFAULT) == []
    assert row_verdict([]) == "undecided"


@pytest.mark.parametrize("name", list(VARIANTS))
def test_every_row_is_a_training_of_its_own(name: str) -> None:
    settings = [load_train_recipe("embedded", VARIANTS[other]).settings() for other in VARIANTS]
    assert settings.count(load_train_recipe("embedded", VARIANTS[name]).settings()) == 1


def test_the_ablations_go_on_where_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    base = write_tiny_base(tmp_path / "base")
    given = ["--base", str(base), "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--steps", "2"]
    given += ["--clips", "8", "--items", "2", "--seeds", "1", "--sampling-steps", "2", "--threads", "1"]
    given += [word for change in TINY for word in ("--set", change)]
    assert main([*given, "--rows", "without motion encoder"]) == 0
    said = json.loads((tmp_path / "out" / "ablations.json").read_text())
    assert set(said["rows"]) == {DEFAULT, "without motion encoder", TRUTH, FREE}
    assert said["steps"] == 2
    assert all(set(row) == {"0000", "0001"} for row in said["rows"].values())
    assert all(set(figures) >= set(ABLATION_METRICS) for row in said["rows"].values() for figures in row.values())
    assert str(tmp_path) not in (tmp_path / "out" / "ablations.md").read_text()
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.mp4")}

    def no_steps(*_given: object) -> None:
        raise AssertionError("a finished row was trained again")

    monkeypatch.setattr("training.trainer.run._Run._step", no_steps)
    assert main([*given, "--rows", "without motion encoder"]) == 0
    assert {path: path.stat().st_mtime_ns for path in made} == made
    again = json.loads((tmp_path / "out" / "ablations.json").read_text())
    assert again["rows"] == said["rows"]
    with pytest.raises(ValueError, match="name another --runs"):
        main([*given[:7], "3", *given[8:]])


def test_speed_is_measured_side_by_side(tmp_path: Path) -> None:
    assert evaluate.main(["--videos", "2", "--rounds", "1", "--only", "speed", "--out", str(tmp_path)]) == 0
    found = {row["what"]: row["value"] for row in json.loads((tmp_path / "evaluate.json").read_text())["rows"]}
    ratio = found["eight videos at once: times as fast as frame by frame"]
    assert ratio == pytest.approx(found["videos/s, eight videos at once"] / found["videos/s, frame by frame"])
