"""Every rule at, just inside and just outside its thresholds, and all of them together."""

from math import nextafter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.stages.rules import (
    MEASUREMENTS,
    AreaJump,
    Bars,
    Black,
    Border,
    Broken,
    Count,
    Duplicate,
    Effective,
    Lost,
    Motion,
    OwnMotion,
    Rule,
    Rules,
    SafeForWork,
    Size,
    Static,
    Text,
    rejudge,
)

GOOD = {
    "count": 1.0,
    "size.width": 0.4,
    "size.height": 0.5,
    "size.area": 0.2,
    "motion.iou": 0.3,
    "motion.shift": 0.2,
    "motion.compensated": 0.2,
    "effective": 1.0,
    "lost.spans": 0.0,
    "lost.longest": 0.0,
    "area.jump": 1.1,
    "area.mean": 0.2,
    "border": 0.0,
    "count.tracks": 1.0,
    "black.share": 0.0,
    "static.share": 0.7,
    "frozen.share": 0.0,
    "bars.share": 0.0,
    "text.share": 0.01,
    "nsfw": 0.001,
    "duplicate.distance": 30.0,
}
ALL = Rules(
    count=Count(),
    size=Size(),
    black=Black(),
    motion=Motion(),
    own_motion=OwnMotion(),
    effective=Effective(),
    lost=Lost(),
    area_jump=AreaJump(),
    border=Border(),
    static=Static(),
    bars=Bars(),
    text=Text(),
    nsfw=SafeForWork(),
    duplicate=Duplicate(),
)

HIGHEST = [
    (Count(max=2), "count", 2.0),
    (Size(width=(0.2, 0.7)), "size.width", 0.7),
    (Size(height=(0.2, 0.7)), "size.height", 0.7),
    (Size(area=(0.1, 0.7)), "size.area", 0.7),
    (Lost(max_spans=3), "lost.spans", 3.0),
    (Lost(max_longest=0.3), "lost.longest", 0.3),
    (AreaJump(max=2.5), "area.jump", 2.5),
    (Border(max=0.4), "border", 0.4),
    (Black(max=0.3), "black.share", 0.3),
    (Static(max_share=0.6), "static.share", 0.6),
    (Static(max_frozen=0.6), "frozen.share", 0.6),
    (Bars(max=0.3), "bars.share", 0.3),
    (Text(max=0.3), "text.share", 0.3),
    (SafeForWork(max=0.3), "nsfw", 0.3),
]
LOWEST = [
    (Size(width=(0.2, 0.7)), "size.width", 0.2),
    (Size(height=(0.2, 0.7)), "size.height", 0.2),
    (Size(area=(0.1, 0.7)), "size.area", 0.1),
    (Effective(min=0.9), "effective", 0.9),
    (OwnMotion(min_shift=0.1), "motion.compensated", 0.1),
]


@pytest.mark.parametrize(("rule", "name", "highest"), HIGHEST)
def test_the_highest_value_is_kept_and_the_next_is_not(rule: Rule, name: str, highest: float) -> None:
    above = nextafter(highest, 1e9)
    assert rule.broken(GOOD | {name: nextafter(highest, 0)}) is None
    assert rule.broken(GOOD | {name: highest}) is None
    assert rule.broken(GOOD | {name: above}) == Broken(rule=name, value=above)


@pytest.mark.parametrize(("rule", "name", "lowest"), LOWEST)
def test_the_lowest_value_is_kept_and_the_next_is_not(rule: Rule, name: str, lowest: float) -> None:
    below = nextafter(lowest, 0)
    assert rule.broken(GOOD | {name: nextafter(lowest, 1)}) is None
    assert rule.broken(GOOD | {name: lowest}) is None
    assert rule.broken(GOOD | {name: below}) == Broken(rule=name, value=below)


@pytest.mark.parametrize(
    ("iou", "shift", "kept"),
    [
        (nextafter(0.8, 0), 0.0, True),
        (0.8, 0.05, False),
        (0.8, nextafter(0.05, 1), True),
        (1.0, 0.05, False),
        (1.0, 0.9, True),
        (0.0, 0.0, True),
        (nextafter(0.8, 1), 0.0, False),
    ],
)
def test_motion_needs_a_low_iou_or_a_large_shift(iou: float, shift: float, kept: bool) -> None:
    broken = Motion(max_iou=0.8, min_shift=0.05).broken({"motion.iou": iou, "motion.shift": shift})
    assert broken == (None if kept else Broken(rule="motion.iou", value=iou))


def test_a_duplicate_is_near_and_the_threshold_is_still_near() -> None:
    rule = Duplicate(max_distance=8)
    assert rule.broken({"duplicate.distance": 9.0}) is None
    assert rule.broken({"duplicate.distance": 8.0}) == Broken(rule="duplicate.distance", value=8.0)
    assert rule.broken({"duplicate.distance": 0.0}) == Broken(rule="duplicate.distance", value=0.0)


def test_defaults_keep_an_ordinary_clip() -> None:
    assert ALL.broken(GOOD, "webvid") == []


def test_no_rule_is_on_by_itself() -> None:
    assert Rules().broken({}, "webvid") == []


def test_all_broken_rules_are_named_in_fixed_order() -> None:
    bad = {
        "nsfw": 0.9,
        "text.share": 0.9,
        "bars.share": 0.9,
        "frozen.share": 0.9,
        "static.share": 0.5,
        "border": 0.9,
        "area.jump": 9.0,
        "lost.longest": 0.5,
        "lost.spans": 9.0,
        "effective": 0.1,
        "motion.compensated": 0.0,
        "motion.shift": 0.0,
        "motion.iou": 1.0,
        "black.share": 0.9,
        "size.area": 0.01,
        "size.height": 0.01,
        "size.width": 0.5,
        "count": 2.0,
    }
    rules = [broken.rule for broken in ALL.broken(bad, "webvid")]
    assert rules == [
        "count",
        "size.height",
        "black.share",
        "motion.iou",
        "motion.compensated",
        "effective",
        "lost.spans",
        "area.jump",
        "border",
        "frozen.share",
        "bars.share",
        "text.share",
        "nsfw",
    ]


@pytest.mark.parametrize("name", sorted(GOOD.keys() - {"area.mean", "count.tracks", "duplicate.distance"}))
def test_a_value_that_a_rule_needs_and_nobody_measured_is_a_bug(name: str) -> None:
    without = {other: value for other, value in GOOD.items() if other != name}
    with pytest.raises(KeyError, match=name):
        ALL.broken(without, "webvid")


def test_motion_can_be_asked_of_named_sources_only() -> None:
    still = GOOD | {"motion.iou": 1.0, "motion.shift": 0.0}
    paper = Rules(motion=Motion(sources=("webvid",)))
    assert [broken.rule for broken in paper.broken(still, "webvid")] == ["motion.iou"]
    assert paper.broken(still, "davis") == []
    assert [broken.rule for broken in Rules(motion=Motion()).broken(still, "davis")] == ["motion.iou"]
    assert Rules(motion=Motion(sources=())).broken(still, "webvid") == []


def test_before_tracking_only_count_and_size_are_asked() -> None:
    early = {name: GOOD[name] for name in ("count", "size.width", "size.height", "size.area")}
    assert ALL.on_detections().broken(early, "webvid") == []
    both = early | {"count": 2.0, "size.area": 0.01}
    assert [b.rule for b in ALL.on_detections().broken(both, "webvid")] == ["count", "size.area"]


def test_a_stored_sample_is_judged_anew_by_its_values_alone() -> None:
    assert rejudge(GOOD, ALL, "practice") == []
    stricter = Rules(size=Size(area=(0.25, 0.9)), motion=Motion(max_iou=0.3, min_shift=0.2))
    assert rejudge(GOOD, stricter, "practice") == [
        Broken(rule="size.area", value=0.2),
        Broken(rule="motion.iou", value=0.3),
    ]


def test_without_detection_or_track_nothing_else_is_asked() -> None:
    assert rejudge({"count": 0.0}, ALL, "webvid") == [Broken(rule="count.none", value=0.0)]
    nowhere = {"count": 1.0, "effective": 0.0, "count.tracks": 1.0}
    assert rejudge(nowhere, Rules(), "webvid") == [Broken(rule="track.none", value=0.0)]


def test_a_clip_that_stopped_before_tracking_cannot_be_judged_by_its_track() -> None:
    rules = Rules(count=Count(), size=Size(), motion=Motion())
    with pytest.raises(KeyError, match=r"motion\.iou"):
        rejudge({"count": 1.0, "size.width": 0.4, "size.height": 0.5, "size.area": 0.2}, rules, "webvid")


shares = st.floats(0, 1)


@given(shares, shares, shares, shares)
def test_a_wider_range_keeps_whatever_a_narrower_one_keeps(value: float, a: float, b: float, c: float) -> None:
    low, middle, high = sorted((a, b, c))
    scores = GOOD | {"size.area": value}
    if Size(area=(low, middle)).broken(scores) is None:
        assert Size(area=(low, high)).broken(scores) is None


@given(shares, shares, shares, shares)
def test_more_motion_never_turns_a_kept_clip_away(iou: float, shift: float, less: float, more: float) -> None:
    if Motion().broken({"motion.iou": iou, "motion.shift": shift}) is None:
        assert Motion().broken({"motion.iou": min(iou, less), "motion.shift": max(shift, more)}) is None


@pytest.mark.parametrize("rule", MEASUREMENTS)
def test_a_rule_about_what_is_measured_on_request_only_can_be_left_out(rule: str) -> None:
    settings = ALL.model_dump() | {rule: None}
    unmeasured = {"own_motion": "motion.compensated", "text": "text.share", "nsfw": "nsfw"}[rule]
    scores = {name: value for name, value in GOOD.items() if name != unmeasured}
    assert Rules.model_validate(settings).broken(scores, "webvid") == []


def test_rules_survive_their_own_json() -> None:
    rules = Rules(size=Size(area=(0.1, 0.5)), motion=Motion(sources=("webvid",)))
    assert Rules.model_validate_json(rules.model_dump_json()) == rules


def test_a_range_upside_down_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"size.area: the lowest, 0.9, is above the highest, 0.1: swap them"):
        Size(area=(0.9, 0.1))


@pytest.mark.parametrize(
    "settings",
    [
        {"count": {"max": 0}},
        {"size": {"width": (0.1, 1.5)}},
        {"lost": {"max_spans": -1}},
        {"area_jump": {"max": 0.5}},
        {"motion": {"max_iou": 2}},
        {"duplicate": {"max_distance": 65}},
        {"motions": {}},
        {"border": {"min": 0.5}},
    ],
)
def test_settings_without_sense_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Rules.model_validate(settings)
