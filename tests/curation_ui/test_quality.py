"""Samples for review and agreement: against published figures, and as laws of the drawing."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curation_ui.intervals import alpha, interval, kappa
from curation_ui.quality import systematic
from shards.select import rank
from tests.curation_ui.conftest import Place, Serve


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [(10, 400, 0.0136, 0.0454), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilsons_interval_has_the_published_ends(count: int, of: int, low: float, high: float) -> None:
    found = interval(count, of)
    assert [found.low, found.high] == pytest.approx([low, high], abs=1e-4)
    assert found.share == count / of


def test_none_of_none_says_nothing() -> None:
    assert interval(0, 0).model_dump() == {"count": 0, "of": 0, "share": None, "low": None, "high": None}


def test_kappa_is_cohens() -> None:
    assert kappa((20, 5, 10, 15)) == pytest.approx(0.4)  # a textbook's 50 grant proposals
    assert kappa((45, 15, 25, 15)) == pytest.approx(0.1304, abs=1e-4)
    assert kappa((3, 0, 0, 4)) == 1
    assert kappa((5, 0, 0, 0)) is None
    assert kappa((0, 0, 0, 0)) is None


def test_alpha_is_krippendorffs() -> None:
    # Three coders, missing values: the nominal example of his "Computing Krippendorff's Alpha-Reliability".
    a = [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None]
    b = [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3]
    c = [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None]
    d = [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None]
    units = [[value for value in unit if value is not None] for unit in zip(a, b, c, d, strict=True)]
    assert alpha(units) == pytest.approx(0.743, abs=5e-4)
    assert alpha([["yes", "yes"], ["yes", "yes"]]) is None
    assert alpha([]) is None


@pytest.mark.parametrize("size", [1, 7, 40, 1000])
def test_a_sample_gives_every_stratum_its_share_rounded(size: int) -> None:
    generator = np.random.default_rng(size)
    rows = [(rank(size, str(n)), f"class {generator.integers(12) ** 2 // 12}") for n in range(300)]
    chosen = systematic(rows, size, 0.37)
    assert len(set(chosen)) == min(size, len(rows))
    clips, drawn = Counter(name for _, name in rows), Counter(rows[number][1] for number in chosen)
    for name, count in clips.items():
        share = count * min(size, len(rows)) / len(rows)
        assert share - 1 < drawn[name] < share + 1


def test_every_clip_has_the_same_chance() -> None:
    rows = [(rank(0, str(n)), "ab"[n % 3 == 0]) for n in range(30)]
    starts = (np.arange(1000) + 0.5) / 1000
    times = Counter(number for start in starts for number in systematic(rows, 7, float(start)))
    assert set(times) == set(range(30))
    assert max(times.values()) - min(times.values()) <= 4  # of about 233


def sample(place: Place, who: str | None = None, **asked: Any) -> Any:
    answer = place.client(who).post("/api/clips/sample", asked)
    assert answer.status == 200, answer.body
    return answer.json


def test_a_sample_stays_the_same_while_it_is_reviewed(clips: Path, serve: Serve) -> None:
    place = serve(clips)
    ann, asked = place.client("ann"), dict[str, Any](size=6, seed=3)
    before = sample(place, **asked)
    assert before["rejected"]["of"] == 0
    rejected, renamed, accepted = before["keys"][:3]
    ann.decide(rejected, "reject")
    ann.decide(renamed, "rename_subject", "zebra")
    ann.decide(renamed, "accept")
    ann.decide(accepted, "accept")
    ann.decide(next(key for key in place.keys if key not in before["keys"]), "reject")
    after = sample(place, "ann", **asked)
    assert after["keys"] == before["keys"]
    assert after["decided"] == [True, True, True, False, False, False]
    assert (after["rejected"]["count"], after["rejected"]["of"]) == (1, 3)
    assert after["corrected"]["count"] == 2
    assert after["rejected"] == interval(1, 3).model_dump()
    assert sample(place, "bob", **asked)["decided"] == [False] * 6
    assert sample(serve(clips), **asked)["keys"] == before["keys"]
    assert sample(place, **{**asked, "seed": 4})["keys"] != before["keys"]


def test_a_sample_of_all_weighs_strata_by_their_clips(clips: Path, serve: Serve) -> None:
    place = serve(clips)
    ann = place.client("ann")
    whole = sample(place, size=12)
    for key in whole["keys"]:
        ann.decide(key, "reject" if ann.clip(key)["subject"] == "cat" else "accept")
    done = sample(place, size=12)
    by_name = {stratum["name"]: (stratum["clips"], stratum["rejected"]["count"]) for stratum in done["strata"]}
    assert by_name == {"boat": (2, 0), "cat": (4, 4), "dog": (6, 0)}
    assert done["weighted"] == pytest.approx(4 / 12)
    few = sample(place, size=5, by="motion.iou", filter={"choices": [{"column": "subject", "values": ["dog"]}]})
    assert {stratum["name"] for stratum in few["strata"]} <= {f"quarter {n}" for n in range(1, 5)}
    assert sum(stratum["clips"] for stratum in few["strata"]) == sum(s["sampled"] for s in few["strata"]) + 1 == 6


def test_two_reviewers_are_compared_where_both_decided_and_differences_are_settled(clips: Path, serve: Serve) -> None:
    place = serve(clips, blind=True)
    ann, bob, cid = (place.client(who) for who in ("ann", "bob", "cid"))
    plan = [
        ("accept", "accept"),
        ("accept", "reject"),
        ("reject", "reject"),
        ("reject", "accept"),
        ("accept", "accept"),
    ]
    for key, (one, other) in zip(place.keys, plan, strict=False):
        ann.decide(key, one)
        bob.decide(key, other)
    ann.decide(place.keys[5], "accept")
    found = ann.get("/api/clips/agreement").json
    (pair,) = found["pairs"]
    assert (pair["a"], pair["b"], pair["clips"], pair["agree"], pair["table"]) == ("ann", "bob", 5, 3, [2, 1, 1, 1])
    assert pair["kappa"] == kappa((2, 1, 1, 1))
    assert found["alpha"] == alpha(plan)
    assert [one["key"] for one in found["queue"]] == sorted([place.keys[1], place.keys[3]])
    assert (found["open"], found["twice"]) == (2, 5)
    assert [(r["who"], r["decided"], r["rejected"]) for r in found["reviewers"]] == [("ann", 6, 2), ("bob", 5, 2)]
    cid.decide(place.keys[1], "reject")
    settled = ann.get("/api/clips/agreement").json
    assert (settled["open"], settled["alpha"], settled["pairs"]) == (1, found["alpha"], found["pairs"])
    last = settled["queue"][-1]
    assert (last["key"], last["settled_by"], last["settled_as"]) == (place.keys[1], "cid", "rejected")
    assert last["decided"] == {"ann": "accepted", "bob": "rejected"}
