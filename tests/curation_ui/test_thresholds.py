"""Thresholds: the sliders are those of the pipeline's rules, and what they would keep is what the rules keep."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import BaseModel

from curation_ui.thresholds import SETTINGS, changed, settings_of
from pipeline.settings_file import assigned
from pipeline.stages.rules import Rules, rejudge
from shards import Dataset
from tests.curation_ui.conftest import RULES, Place, Serve, sample, stopped_rows, write_dataset


def numbers_of(rule: str, kind: type[BaseModel]) -> set[str]:
    """Every number of a rule, each end of a range apart."""
    found = set()
    for name in kind.model_fields:
        value = getattr(kind(), name)
        if isinstance(value, tuple):
            found |= {f"{rule}.{name}.{end}" for end in range(len(value))}
        elif isinstance(value, int | float):
            found.add(f"{rule}.{name}")
    return found


def test_every_number_of_every_rule_about_one_clip_has_a_slider() -> None:
    wanted = set[str]()
    for name, info in Rules.model_fields.items():
        (kind,) = [kind for kind in get_args(info.annotation) if kind is not type(None)]
        if name != "duplicate":
            wanted |= numbers_of(name, kind)
    assert {setting.name for setting in SETTINGS} == wanted


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: str(setting.name))
def test_a_slider_stops_what_lies_on_its_side(setting: Any) -> None:
    rule = setting.name.partition(".")[0]
    rules = Rules.model_validate({rule: {}})
    (said,) = [one for one in settings_of(rules, {setting.score}) if one.name == setting.name]
    assert (said.on, said.column) == (True, setting.score)
    assert said.lowest <= said.value <= said.highest
    good = {one.score: 0.5 for one in SETTINGS} | {
        "count": 1.0,
        "effective": 1.0,
        "motion.iou": 1.0,
        "motion.shift": 0.0,
    }
    calm = {"lost.spans": 0.0, "lost.longest": 0.0, "area.jump": 1.0, "border": 0.0, "black.share": 0.0}
    still = {"frozen.share": 0.0, "bars.share": 0.0, "text.share": 0.0, "nsfw": 0.0, "static.share": 0.0}
    outside = said.value + (-0.01 if said.side == "low" else 0.01)
    inside = said.value + (0.01 if said.side == "low" else -0.01)
    scores = good | calm | still
    assert rejudge(scores | {setting.score: outside}, rules, "any"), "what lies beyond it is stopped"
    assert not rejudge(scores | {setting.score: inside}, rules, "any"), "what lies before it passes"


def ask(place: Place, **settings: float | None) -> Any:
    named = {name.replace("__", "."): value for name, value in settings.items()}
    answer = place.client().post("/api/clips/thresholds", {"settings": named})
    assert answer.status == 200, answer.body
    return answer.json


def test_the_datasets_own_thresholds_keep_its_samples(reading: Place) -> None:
    found = ask(reading)
    assert (found["kept"], found["was_kept"], found["gained"], found["lost"]) == (12, 12, 0, 0)
    assert found["rejected"] == 5
    reasons = {word["word"]: word["count"] for word in found["reasons"]}
    assert reasons == {"border": 1, "motion": 1, "size": 1, "nothing found": 1, "namer: no_noun": 1}


def test_other_thresholds_keep_what_the_rules_keep_clip_by_clip(reading: Place) -> None:
    dataset, generator = Dataset.open(reading.path), np.random.default_rng(0)
    samples = {key: dict(scores) for key, scores in zip(reading.keys, dataset.index["scores"].to_pylist(), strict=True)}
    stopped = {row.clip: row.scores for row in stopped_rows() if row.stage in ("judge", "screener")}
    for _ in range(20):
        settings = {
            "border.max": float(generator.random()),
            "motion.max_iou": float(generator.random()),
            "size.area.0": float(generator.random() / 8),
        }
        rules = changed(Rules.model_validate(RULES), settings)
        kept, unknown = set(), set()
        for key, scores in (samples | stopped).items():
            try:
                kept |= set() if rejudge(scores, rules, "practice") else {key}
            except KeyError:
                unknown.add(key)
        found = ask(reading, **settings)
        broken = {key for key in unknown if stopped[key]["size.area"] < settings["size.area.0"]} if unknown else set()
        assert (found["kept"], found["unknown"]) == (len(kept), len(unknown - broken))
        assert set(found["gained_keys"]) == kept - set(samples)
        assert set(found["lost_keys"]) == set(samples) - kept


def test_a_score_that_nobody_measured_has_no_histogram(reading: Place) -> None:
    said = {one["name"]: one["column"] for one in reading.client().get("/api/clips/rules").json["settings"]}
    assert (said["border.max"], said["text.max"]) == ("border", None)


def test_a_rule_that_is_off_stops_nothing(reading: Place) -> None:
    assert ask(reading, border__max=None)["gained"] == 1
    assert ask(reading, border__max=0.0)["kept"] == 1


def test_the_command_does_what_was_seen(reading: Place) -> None:
    found = ask(reading, size__area__0=0.02, border__max=0.25, motion__max_iou=None)
    words = found["command"].replace("'", "").split()
    assert words[:4] == ["dreamreel", "refilter", str(reading.path), "OUT"]
    said = [word for word in words[4:] if word != "--set"]
    laid = Rules.model_validate(assigned({"rules": Rules.model_validate(RULES).model_dump()}, said)["rules"])
    wanted = {"size.area.0": 0.02, "border.max": 0.25, "motion.max_iou": None}
    assert laid == changed(Rules.model_validate(RULES), wanted)


@pytest.mark.parametrize("settings", [{"size.depth": 1.0}, {"border.max": 2.0}, {"size.area.0": 0.95}])
def test_a_threshold_that_cannot_be_is_told(reading: Place, settings: dict[str, float]) -> None:
    answer = reading.client().post("/api/clips/thresholds", {"settings": settings})
    assert answer.status in (400, 422)
    assert "\n" not in answer.detail


def test_a_dataset_without_a_ledger_has_nothing_stopped(tmp_path: Path, serve: Serve) -> None:
    place = serve(write_dataset(tmp_path / "clips", [sample(0), sample(1)]))
    assert ask(place)["kept"] == 2
    assert place.client().post("/api/clips/clips", {"filter": {"kind": "stopped"}}).json["total"] == 0
