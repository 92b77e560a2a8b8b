"""The grid against the sidecars read by hand: filters, facets, orders, search, and decisions laid over."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curation_ui.search import matches
from curation_ui.table import EVERYBODY, Decided, Table, UnknownColumn
from curation_ui.wire import FacetsRequest, Filter, Query
from shards import Dataset, select
from tests.curation_ui.conftest import Place, Serve

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def rows(reading: Place) -> Rows:
    """What a condition can speak of, row by row."""
    return list(select.columns(Dataset.open(reading.path).index).to_pylist())


def ask(place: Place, **query: Any) -> Any:
    answer = place.client().post("/api/clips/clips", query)
    assert answer.status == 200, answer.body
    return answer.json


def keys(place: Place, **query: Any) -> list[str]:
    return [card["key"] for card in ask(place, **query)["cards"]]


def test_the_first_page_is_the_order_of_the_shards(reading: Place, rows: Rows) -> None:
    assert keys(reading, limit=5) == [row["key"] for row in rows[:5]]
    assert keys(reading, limit=5, offset=10) == [row["key"] for row in rows[10:]]
    page = ask(reading, limit=1)
    assert page["total"] == len(rows)
    card = page["cards"][0]
    for name in ("subject", "caption", "duration", "num_frames", "width", "height", "num_tracks"):
        assert card[name] == rows[0][name]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("column", ["motion.iou", "duration", "caption", "subject.area"])
def test_any_column_sorts(reading: Place, column: str, descending: bool) -> None:
    values = [card["value"] for card in ask(reading, sort=column, descending=descending)["cards"]]
    assert values == sorted(values, reverse=descending)
    assert len(values) == 12


def test_a_seed_gives_the_order_that_repack_would_shuffle_to(reading: Place) -> None:
    order = select.shuffled(reading.keys, 7)
    assert keys(reading, seed=7) == [reading.keys[number] for number in order]
    assert keys(reading, seed=8) != keys(reading, seed=7)


def test_filters_are_met_by_all_and_only_those(reading: Place, rows: Rows) -> None:
    filter_ = {
        "ranges": [{"column": "motion.iou", "low": 0.1, "high": 0.3}],
        "choices": [{"column": "subject", "values": ["dog", "cat"]}],
    }
    wanted = [row["key"] for row in rows if 0.1 <= row["motion.iou"] <= 0.3 and row["subject"] in ("dog", "cat")]
    assert keys(reading, filter=filter_) == wanted
    assert 0 < len(wanted) < 12


def test_facets_are_linked_each_under_all_filters_but_its_own(reading: Place, rows: Rows) -> None:
    filter_ = {
        "ranges": [{"column": "motion.iou", "low": 0.2}],
        "choices": [{"column": "subject", "values": ["dog"]}],
    }
    asked = {"filter": filter_, "columns": ["subject", "motion.iou", "num_tracks"], "bins": 4}
    answer = reading.client().post("/api/clips/facets", asked).json
    subjects, iou, tracks = answer["facets"]
    assert answer["total"] == sum(row["subject"] == "dog" and row["motion.iou"] >= 0.2 for row in rows)
    by_hand = {w: sum(row["subject"] == w and row["motion.iou"] >= 0.2 for row in rows) for w in ("dog", "cat", "boat")}
    assert {word["word"]: word["count"] for word in subjects["words"]} == by_hand
    values = [row["motion.iou"] for row in rows]
    counts = np.histogram([row["motion.iou"] for row in rows if row["subject"] == "dog"], iou["edges"])[0]
    assert (iou["edges"][0], iou["edges"][-1]) == (min(values), max(values))
    assert iou["counts"] == counts.tolist()
    assert sum(tracks["counts"]) == answer["total"]
    assert tracks["edges"] == [0.5, 1.5, 2.5]


def test_a_value_that_is_missing_is_counted_apart_and_sorted_last() -> None:
    table = Table(
        pa.table({"key": ["a", "b", "c"], "subject": ["", "", ""], "caption": ["", "", ""], "x": [2.0, None, 1.0]})
    )
    facet = table.facet("x", FacetsRequest(columns=["x"], bins=2), EVERYBODY, None)
    assert facet.model_dump()["missing"] == 1
    assert table.rows(Query(sort="x"), EVERYBODY, None) == [2, 0, 1]
    assert table.rows(Query(sort="x", descending=True), EVERYBODY, None) == [0, 2, 1]
    assert table.count(Filter.model_validate({"ranges": [{"column": "x"}]}), EVERYBODY, None) == 2


def test_each_viewer_has_a_view_of_their_own() -> None:
    table = Table(pa.table({"key": ["a", "b"], "subject": ["dog", "dog"], "caption": ["", ""]}))
    one = Decided(row=0, state="rejected", flagged="flagged", edited="edited", subject="cat", caption=None)
    table.decide("ann", [one])
    cats = Filter.model_validate({"choices": [{"column": "subject", "values": ["cat"]}]})
    assert [table.count(cats, who, None) for who in ("ann", "bob")] == [1, 0]
    open_ = Filter.model_validate({"choices": [{"column": "state", "values": ["open"]}]})
    assert [table.count(open_, who, None) for who in ("ann", "bob")] == [1, 2]
    table.decide("ann", [Decided(row=0, state="open", flagged="", edited="", subject=None, caption=None)])
    assert table.count(cats, "ann", None) == 0


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("meadow 3", ["3"]),
        ("MEAD cat", ["1", "5", "7", "11"]),
        ("practice/11", ["11"]),
        ('dog OR cat" NEAR(', []),
        ("*", None),
    ],
)
def test_a_search_takes_words_by_their_beginnings_and_no_operators(
    reading: Place, rows: Rows, text: str, wanted: list[str] | None
) -> None:
    got = keys(reading, filter={"text": text})
    numbers = {row["key"]: row["caption"].rpartition(" ")[2] for row in rows}
    assert sorted(numbers[key] for key in got) == sorted(list(numbers.values()) if wanted is None else wanted)
    assert all(matches(text, row["caption"], row["video"]) == (row["key"] in got) for row in rows)


def test_what_people_wrote_is_found_and_counted(clips: Path, serve: Serve) -> None:
    place = serve(clips)
    client, key = place.client("ann"), place.keys[0]
    assert client.decide(key, "rename_subject", "Zebra").status == 200
    assert client.decide(key, "edit_caption", "stripes in the grass").status == 200
    assert keys(place, filter={"text": "strip zeb"}) == [key]
    assert keys(place, filter={"choices": [{"column": "subject", "values": ["zebra"]}]}) == [key]
    words = client.get("/api/clips/words?text=ze").json["words"]
    assert words == [{"word": "zebra", "count": 1}]
    assert [word["word"] for word in client.get("/api/clips/words?text=b").json["words"]] == ["boat", "ball", "zebra"]


def test_clips_that_stopped_are_browsed_by_rule_and_value(reading: Place) -> None:
    page = ask(reading, filter={"kind": "stopped"}, sort="measured")
    assert [(card["why"], card["measured"]) for card in page["cards"]][:2] == [("count.none", "0"), ("no_noun", "0")]
    border = {"kind": "stopped", "choices": [{"column": "why", "values": ["border"]}]}
    (key,) = keys(reading, filter=border)
    clip = reading.client().get(f"/api/clips/clips/{key}?kind=stopped").json
    assert (clip["stage"], clip["measured"], clip["broken"]) == ("judge", "0.8", ["border"])
    (score,) = [score for score in clip["scores"] if score["name"] == "border"]
    assert (score["value"], score["rule"], score["high"]) == (0.8, "rules.border.max", 0.5)
    listed = reading.client().get("/api/clips/columns?kind=stopped").json
    assert {"why", "measured", "stage", "border"} <= {column["name"] for column in listed}


@pytest.mark.parametrize("column", ["nothing", 'x" OR 1=1 --', "row; DROP TABLE clips"])
def test_a_column_that_there_is_not_is_told(reading: Place, column: str) -> None:
    for query in ({"sort": column}, {"filter": {"ranges": [{"column": column, "low": 0}]}}):
        answer = reading.client().post("/api/clips/clips", query)
        assert (answer.status, "there is no column" in answer.detail) == (400, True)
    with pytest.raises(UnknownColumn):
        reading.desk["clips"].samples.column(column)


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 501}, {"unknown": 1}, {"filter": {"text": "x" * 501}}, []])
def test_a_query_that_asks_too_much_is_refused(reading: Place, query: Any) -> None:
    assert reading.client().post("/api/clips/clips", query).status == 422
