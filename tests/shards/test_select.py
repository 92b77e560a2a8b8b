"""Choosing samples: SQL conditions, decisions laid over the index and over samples, class balance, order."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards import InvalidSample, select
from shards.dataset import Dataset
from shards.verdicts import Action, Decision, Verdict, decisions
from tests.shards.filmed import filmed, key, write_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Samples 0-8 in two shards; dog, cat, boat in turn; motion.shift = number / 100."""
    folder = tmp_path_factory.mktemp("select")
    odd = filmed(8, scores={"motion.shift": 0.08, "Sharp": 2.0})
    return Dataset.open(write_dataset(folder, [filmed(n) for n in range(5)], [*map(filmed, range(5, 8)), odd]).url)


def chosen(dataset: Dataset, rows: list[int]) -> set[str]:
    return {dataset.key_of(row) for row in rows}


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ('"motion.shift" > 0.05', {6, 7, 8}),
        ("subject = 'cat'", {1, 4, 7}),
        ("subject = 'cat' and caption like '%nr 4 %'", {4}),
        ("num_frames = 6 and duration < 0.26 and num_tracks = 2", set(range(9))),
        ("list_contains(nouns, 'boat')", {2, 5, 8}),
        ('width = 64 and "scores.width" between 0.2 and 0.4', set(range(8))),  # 8 has no such score: null
        ("sharp > 1", {8}),
        ("shard = 'practice-000001'", {5, 6, 7, 8}),
        ("false", set()),
        ("key in (select key from (values ('x')) as t(key))", set()),
    ],
)
def test_a_condition_takes_the_rows_it_is_true_for(dataset: Dataset, where: str, numbers: set[int]) -> None:
    rows = select.select(dataset.index, where)
    assert chosen(dataset, rows) == {key(n) for n in numbers}
    assert rows == sorted(rows)


@pytest.mark.parametrize(
    "where",
    [
        "nonesuch > 1",
        "subject >",
        "",
        "true) union (select 1",
        "true; drop table x",
        "count(*) > 1",
        "motion.shift > 1",
    ],
)
def test_a_wrong_condition_is_one_line_that_names_the_columns(dataset: Dataset, where: str) -> None:
    with pytest.raises(select.BadExpression) as told:
        select.select(dataset.index, where)
    assert "\n" not in str(told.value)
    assert repr(where) in str(told.value)
    assert all(name in str(told.value) for name in ("subject", '"motion.shift"', '"scores.width"', "num_tracks"))


def test_an_index_of_chosen_columns_has_those(dataset: Dataset) -> None:
    narrow = Dataset.open(dataset.storage.url, columns=["subject", "tracks"]).index
    where = "subject = 'cat' and num_tracks = 2"
    assert select.select(narrow, where, max_per_class=2) == select.select(dataset.index, where, max_per_class=2)
    bare = Dataset.open(dataset.storage.url, columns=["num_frames"]).index
    assert select.select(bare, "num_frames = 6") == list(range(9))
    with pytest.raises(select.BadExpression, match=r"num_frames, shard$"):
        select.select(bare, "subject = 'cat'")


def test_a_condition_reaches_no_file_and_no_setting(dataset: Dataset, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\ndog\n")
    for where in (f"subject in (select a from '{secret}')", f"subject in (select a from read_csv('{secret}'))"):
        with pytest.raises(select.BadExpression, match=r"disabled|does not exist"):
            select.select(dataset.index, where)


def test_decisions_come_before_the_condition(dataset: Dataset) -> None:
    decisions = {
        key(0): Decision(accepted=False),
        key(1): Decision(subject=" Wolf "),
        key(2): Decision(dropped_tracks=frozenset({1})),
        key(3): Decision(dropped_tracks=frozenset({1, 2})),
        key(4): Decision(accepted=True, caption="a caption by hand"),
    }
    assert chosen(dataset, select.select(dataset.index, decisions=decisions)) == set(map(key, (1, 2, 4, 5, 6, 7, 8)))
    assert chosen(dataset, select.select(dataset.index, "subject = 'wolf'", decisions=decisions)) == {key(1)}
    ball = select.select(dataset.index, "subject = 'ball' and num_tracks = 1", decisions=decisions)
    assert chosen(dataset, ball) == {key(2)}
    by_hand = select.select(dataset.index, "caption = 'a caption by hand'", decisions=decisions)
    assert chosen(dataset, by_hand) == {key(4)}


def test_the_overlay_says_of_the_index_what_it_says_of_the_samples(dataset: Dataset) -> None:
    decisions = {
        key(0): Decision(accepted=False),
        key(1): Decision(subject="wolf", caption="a wolf"),
        key(2): Decision(dropped_tracks=frozenset({1})),
        key(3): Decision(dropped_tracks=frozenset({1}), subject="wolf"),
        key(4): Decision(dropped_before=frozenset({1}), subject="Ball of Fire"),
        key(5): Decision(dropped_tracks=frozenset({1}), dropped_before=frozenset({1}), subject="Ball of Fire"),
        key(6): Decision(dropped_tracks=frozenset({1, 2})),
        key(7): Decision(accepted=True),
    }
    table = select.overlay(dataset.index, decisions)
    samples = [select.decided(sample, decisions.get(sample.key)) for sample in dataset]
    kept = [sample for sample in samples if sample is not None]
    assert table["key"].to_pylist() == [sample.key for sample in kept]
    assert table["subject"].to_pylist() == [sample.subject for sample in kept]
    assert table["caption"].to_pylist() == [sample.caption for sample in kept]
    assert table["caption_by"].to_pylist() == [sample.provenance["caption_by"] for sample in kept]
    nouns = [[track["noun"] for track in row] for row in table["tracks"].to_pylist()]
    assert nouns == [[track.noun for track in sample.tracks] for sample in kept]
    assert table.schema == dataset.index.schema


@pytest.mark.parametrize(
    ("actions", "subject"),
    [
        ([("rename_subject", "wolf"), ("drop_track", 2)], "wolf"),
        ([("rename_subject", "wolf"), ("drop_track", 1)], "ball"),
        ([("drop_track", 1), ("rename_subject", "orb")], "orb"),
        ([("drop_track", 2), ("rename_subject", "wolf")], "wolf"),
        ([("rename_subject", "wolf"), ("drop_track", 1), ("rename_subject", "orb")], "orb"),
        ([("rename_subject", "wolf"), ("drop_track", 1), ("undo", 1)], "wolf"),
        ([("drop_track", 1), ("rename_subject", "orb"), ("undo", 0)], "dog"),
        ([("drop_track", 1), ("rename_subject", "orb"), ("undo", 0), ("undo", 2)], "orb"),
    ],
)
def test_a_rename_names_the_track_that_was_the_subject_then(
    dataset: Dataset, actions: list[tuple[Action, str | int]], subject: str
) -> None:
    (row,) = [number for number in range(len(dataset)) if dataset.key_of(number) == key(0)]
    digest = dataset.index["sha256"][row].as_py()
    events = [_event(number, digest, *action) for number, action in enumerate(actions)]
    decision = decisions(events, dataset.index)[key(0)]
    sample = select.decided(dataset[row], decision)
    assert sample is not None
    assert sample.subject == sample.tracks[0].noun == subject
    assert select.overlay(dataset.index, {key(0): decision})["subject"][row].as_py() == subject


def _event(number: int, digest: str, action: Action, value: str | int) -> Verdict:
    """Event `number`; the value of an undo is the number of the event that it takes back."""
    about: dict[str, Any] = {"undoes": str(value)} if action == "undo" else {"value": value}
    return Verdict(id=str(number), who="ann", when=number, key=key(0), sha256=digest, action=action, **about)


def test_a_decided_sample_remembers_what_it_was() -> None:
    sample = filmed(0)
    decision = Decision(caption="by hand", dropped_tracks=frozenset({1}))
    changed = select.decided(sample, decision)
    assert changed is not None
    assert (changed.subject, changed.caption, [track.id for track in changed.tracks]) == ("ball", "by hand", [2])
    assert changed.provenance["caption_by"] == "review"
    assert changed.provenance["before_review"] == {
        "subject": "dog",
        "caption": sample.caption,
        "caption_by": "source",
        "dropped_tracks": [{"id": 1, "noun": "dog"}],
    }
    assert changed.video == sample.video
    assert select.decided(sample, Decision(accepted=True, subject="dog")) is sample
    with pytest.raises(InvalidSample):  # nothing but the new noun may be wrong with it
        replace(changed, subject="dog")


@pytest.mark.parametrize("most", [1, 2, 3])
def test_class_balance_keeps_at_most_so_many_of_each(dataset: Dataset, most: int) -> None:
    rows = select.select(dataset.index, max_per_class=most, seed=5)
    assert Counter(dataset.index["subject"].take(rows).to_pylist()) == {"dog": most, "cat": most, "boat": most}
    assert rows == select.select(dataset.index, max_per_class=most, seed=5)


def test_class_balance_depends_on_the_seed_and_not_on_the_order(dataset: Dataset) -> None:
    choices = [frozenset(chosen(dataset, select.select(dataset.index, max_per_class=1, seed=n))) for n in range(12)]
    assert len(set(choices)) > 1
    backwards = dataset.index.take(list(range(len(dataset)))[::-1])
    taken = select.select(backwards, max_per_class=1, seed=0)
    assert frozenset(backwards["key"].take(taken).to_pylist()) == choices[0]


def test_no_class_can_keep_less_than_one(dataset: Dataset) -> None:
    with pytest.raises(ValueError, match="give 1 or more"):
        select.select(dataset.index, max_per_class=0)


@given(st.lists(st.text("0123456789abcdef", min_size=1), unique=True), st.integers(0, 9))
def test_a_shuffle_is_an_order_that_keys_and_seed_decide(keys: list[str], seed: int) -> None:
    order = select.shuffled(keys, seed)
    assert sorted(order) == list(range(len(keys)))
    turned = keys[::-1]
    assert [keys[n] for n in order] == [turned[n] for n in select.shuffled(turned, seed)]


def test_scores_keep_their_rows_when_the_table_is_cut(dataset: Dataset) -> None:
    part = select.columns(pa.concat_tables([dataset.index.slice(5), dataset.index.slice(0, 2)]))
    assert part["motion.shift"].to_pylist() == [
        dict(scores)["motion.shift"]
        for scores in [*dataset.index["scores"].to_pylist()[5:], *dataset.index["scores"].to_pylist()[:2]]
    ]


def test_an_empty_dataset_has_nothing_to_choose(dataset: Dataset) -> None:
    assert select.select(dataset.index.slice(0, 0), "width > 3", max_per_class=1) == []
