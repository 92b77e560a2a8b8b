"""Verdicts are durable when `append` returns, never lost to another writer, and bind only what was judged."""

import itertools
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.storage import Storage, StorageError
from shards.verdicts import (
    Decision,
    Verdict,
    Verdicts,
    decisions,
    from_jsonl,
    from_parquet,
    to_jsonl,
    to_parquet,
    verdict,
)

INDEX = pa.table({"key": ["aa", "bb"], "sha256": ["1", "2"]})
_ids = itertools.count()


def _event(action: Any, value: int | str | None = None, **changes: Any) -> Verdict:
    number = next(_ids)
    fields = {"id": f"{number:08d}", "who": "ann", "when": float(number), "key": "aa", "sha256": "1"}
    return Verdict(**{**fields, "action": action, "value": value, **changes})


EVENTS = st.builds(
    Verdict,
    id=st.text("0123456789abcdef", min_size=8, max_size=8),
    who=st.text(st.characters(exclude_categories=["Cs"])),
    when=st.floats(0, 4e9),
    key=st.sampled_from(["aa", "bb", "cc"]),
    sha256=st.sampled_from(["1", "2"]),
    action=st.sampled_from(["accept", "reject", "flag", "skip"]),
)


def test_what_was_appended_is_there(place: str) -> None:
    storage = Storage.at(place)
    mine, yours = Verdicts(storage), Verdicts(storage)
    one, two, three, four = (_event(action) for action in ("accept", "reject", "flag", "skip"))
    mine.append(one)
    yours.append(two)
    mine.append(three, four)
    assert mine.events() == yours.events() == [one, two, three, four]


def test_each_writer_has_a_file_of_its_own(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    for number in range(3):
        writer = Verdicts(storage, now=lambda: 86_400.5, new_id=lambda n=number: f"id{n}")  # type: ignore[misc]
        writer.append(_event("accept"))
        writer.append(_event("reject"))
    assert storage.list("verdicts") == [f"verdicts/19700102T000000.500000Z-id{n}.jsonl" for n in range(3)]


def test_reading_writes_nothing(tmp_path: Path) -> None:
    assert Verdicts(Storage.at(tmp_path / "x")).events() == []
    assert not (tmp_path / "x").exists()


def test_an_object_store_gets_an_object_a_call(s3: str) -> None:
    storage = Storage.at(s3)
    verdicts = Verdicts(storage)
    events = [_event("accept"), _event("reject"), _event("flag")]
    verdicts.append(*events[:2])
    verdicts.append(events[2])
    assert len(storage.list("verdicts")) == 2
    assert verdicts.events() == events


@given(st.integers(0, 400))
def test_a_torn_last_line_is_left_out(cut: int) -> None:
    events = [_event("accept", key="ää"), _event("rename_subject", "dog")]
    data = to_jsonl(events)
    whole = data[: cut % len(data)].count(b"\n")
    assert from_jsonl(data[: cut % len(data)]) == events[:whole]


@pytest.mark.parametrize("line", [b"{}\n", b"no json\n", b'{"id":"x"}\n', b'{"id":"x","action":"dance"}\n', b"7\n"])
def test_a_line_that_is_no_verdict_is_named(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"v\.jsonl, line 2 is not a verdict: "):
        from_jsonl(to_jsonl([_event("accept")]) + line, "v.jsonl")


@pytest.mark.parametrize(
    ("action", "value", "undoes", "told"),
    [
        ("dance", None, None, "no action 'dance'; there are accept, reject"),
        ("accept", 1, None, "accept takes no value, not 1"),
        ("drop_track", "1", None, "drop_track takes a value of type int, not '1'"),
        ("drop_track", True, None, "drop_track takes a value of type int, not True"),
        ("rename_subject", None, None, "rename_subject takes a value of type str, not None"),
        ("undo", None, None, "`undoes` names the event"),
        ("accept", None, "x", "`undoes` names the event"),
    ],
)
def test_what_is_no_verdict_is_told(action: str, value: Any, undoes: str | None, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        _event(action, value, undoes=undoes)


def test_the_last_verdict_holds_whoever_gave_it() -> None:
    events = [_event("accept"), _event("reject", who="bob"), _event("edit_caption", "a"), _event("edit_caption", "b")]
    assert decisions(events, INDEX) == {"aa": Decision(accepted=False, caption="b")}
    assert decisions(events[::-1], INDEX) == decisions(events, INDEX)  # by their time, not their place


def test_decisions_about_different_things_add_up() -> None:
    events = [_event("rename_subject", "wolf"), _event("drop_track", 2), _event("accept"), _event("drop_track", 3)]
    assert decisions(events, INDEX)["aa"] == Decision(accepted=True, subject="wolf", dropped_tracks=frozenset({2, 3}))


def test_a_rename_remembers_what_was_dropped_when_it_was_made() -> None:
    rename, drop, again = _event("rename_subject", "wolf"), _event("drop_track", 1), _event("rename_subject", "orb")
    dropped = frozenset({1})
    assert decisions([rename, drop], INDEX)["aa"] == Decision(subject="wolf", dropped_tracks=dropped)
    last = Decision(subject="orb", dropped_tracks=dropped, dropped_before=dropped)
    assert decisions([rename, drop, again], INDEX)["aa"] == last
    undone = [rename, drop, again, _event("undo", undoes=drop.id)]
    assert decisions(undone, INDEX)["aa"] == Decision(subject="orb", dropped_before=dropped)
    elsewhere = [_event("drop_track", 2, key="bb", sha256="2"), _event("drop_track", 2, sha256="2")]
    assert decisions([*elsewhere, _event("rename_subject", "wolf")], INDEX)["aa"] == Decision(subject="wolf")


def test_flags_and_skips_decide_nothing() -> None:
    assert decisions([_event("accept"), _event("flag"), _event("skip")], INDEX)["aa"].accepted is True
    assert decisions([_event("skip")], INDEX)["aa"] == Decision()


def test_a_verdict_about_other_content_is_void() -> None:
    assert decisions([_event("accept", sha256="2"), _event("reject", key="nowhere")], INDEX) == {}
    assert decisions([_event("accept", key="bb", sha256="2")], INDEX) == {"bb": Decision(accepted=True)}


def test_an_undo_takes_back_one_verdict() -> None:
    accept, reject = _event("accept"), _event("reject")
    undo = _event("undo", undoes=reject.id)
    assert decisions([accept, reject, undo], INDEX)["aa"].accepted is True
    assert decisions([accept, reject, undo, _event("undo", undoes=accept.id)], INDEX) == {}
    assert decisions([accept, reject, undo, _event("undo", undoes=undo.id)], INDEX)["aa"].accepted is False
    assert decisions([accept, _event("undo", undoes="nothing")], INDEX)["aa"].accepted is True


@given(st.lists(EVENTS, unique_by=lambda v: v.id))
def test_events_survive_jsonl_and_parquet(events: list[Verdict]) -> None:
    assert from_jsonl(to_jsonl(events)) == events
    assert from_parquet(to_parquet(events)) == events


def test_values_and_undos_survive_parquet() -> None:
    events = [_event("drop_track", 3), _event("edit_caption", "3"), _event("undo", undoes="x")]
    assert from_parquet(to_parquet(events)) == events
    assert from_jsonl(to_jsonl(events)) == events


def test_what_is_no_export_is_told() -> None:
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(INDEX, sink)
    for data in (b"", sink.getvalue().to_pybytes()):
        with pytest.raises(ValueError, match=r"v\.parquet does not hold verdicts"):
            from_parquet(data, "v.parquet")


def test_an_import_may_be_repeated(tmp_path: Path) -> None:
    verdicts = Verdicts(Storage.at(tmp_path))
    events = [_event("accept"), _event("reject")]
    verdicts.append(events[0])
    assert [verdicts.add(events), verdicts.add(events)] == [1, 0]
    assert verdicts.events() == events


def test_a_verdict_is_made_now() -> None:
    made = verdict("ann", "aa", "1", "drop_track", 2, now=lambda: 5.0, new_id=lambda: "x")
    assert made == Verdict(id="x", who="ann", when=5.0, key="aa", sha256="1", action="drop_track", value=2)
    assert verdict("ann", "aa", "1", "skip").id != verdict("ann", "aa", "1", "skip").id


_MANY = """
import sys
from shards.storage import Storage
from shards.verdicts import Verdicts, verdict
verdicts = Verdicts(Storage.at(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for _ in range(40):
    verdicts.append(verdict(sys.argv[2], "aa", "1", "flag"))
"""


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    commands = [[sys.executable, "-c", _MANY, str(tmp_path), f"p{n}"] for n in range(3)]
    people: list[Any] = [subprocess.Popen(command, **pipes) for command in commands]
    assert [person.stdout.readline() for person in people] == ["ready\n"] * 3
    for person in people:
        person.stdin.write("go\n")
        person.stdin.flush()
    for person in people:
        person.communicate(timeout=60)
    events = Verdicts(Storage.at(tmp_path)).events()
    assert {who: sum(e.who == who for e in events) for who in ("p0", "p1", "p2")} == {"p0": 40, "p1": 40, "p2": 40}


_APPENDER = """
import sys
from shards.storage import Storage
from shards.verdicts import Verdicts, verdict
verdicts = Verdicts(Storage.at(sys.argv[1]))
while True:
    made = verdict("ann", "aa", "1", "accept")
    verdicts.append(made)
    print(made.id, flush=True)
"""


def test_what_append_returned_for_survives_a_kill(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _APPENDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        returned = [writer.stdout.readline().strip() for _ in range(20)]
        writer.send_signal(signal.SIGKILL)
        returned += writer.stdout.read().split("\n")[:-1]
    ids = [event.id for event in Verdicts(Storage.at(tmp_path)).events()]
    assert ids[: len(returned)] == returned
    assert len(ids) - len(returned) in (0, 1)


def test_a_full_disk_tears_no_later_verdict(tmp_path: Path) -> None:
    verdicts = Verdicts(Storage.at(tmp_path))
    first, second, third = _event("accept"), _event("reject"), _event("flag")
    verdicts.append(first)
    size = next((tmp_path / "verdicts").iterdir()).stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
    try:
        with pytest.raises(StorageError, match=r"cannot write .*limit for one file"):
            verdicts.append(second)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    verdicts.append(third)
    assert verdicts.events() == [first, third]
