"""Verdicts: on the disk before they are answered, once each, undone, seen by others, and honoured by every room."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from curation_ui.log import LOOK_EVERY, Log, Refused, independent
from curation_ui.wire import VerdictRequest
from shards import Dataset, Storage, Verdict, Verdicts, stats, verdict
from shards.verdicts import from_jsonl, from_parquet
from tests.curation_ui.conftest import Client, Serve


def request(number: int, key: str = "a", action: str = "accept", **more: Any) -> VerdictRequest:
    said = {"id": f"{number:016x}", "key": key, "sha256": "0" * 64, "action": action, **more}
    return VerdictRequest.model_validate(said)


def log_at(path: Path, *, blind: bool = False) -> Log:
    return Log(Storage.at(path), {"a": "0" * 64, "b": "0" * 64}, blind=blind)


def test_what_is_decided_is_laid_over_the_shards(clips: Path, serve: Serve) -> None:
    place = serve(clips)
    client, key = place.client("ann"), place.keys[-1]
    stored = client.clip(key)["subject"]
    assert len(client.clip(key)["tracks"]) == 2
    steps = [("drop_track", 1), ("edit_caption", "a ball alone"), ("flag", None), ("accept", None)]
    for action, value in steps:
        answer = client.decide(key, action, value)
        assert answer.status == 200, answer.body
    decided = answer.json["decisions"][key]
    assert (decided["state"], decided["flagged"], decided["dropped_tracks"]) == ("accepted", False, [1])
    clip = client.clip(key)
    assert (clip["subject"], clip["caption"]) == ("ball", "a ball alone")  # the next track's noun
    assert (clip["stored_subject"], [track["dropped"] for track in clip["tracks"]]) == (stored, [True, False])
    assert [event["action"] for event in clip["history"]] == [action for action, _ in steps]
    client.decide(place.keys[0], "reject")
    dataset = Dataset.open(clips)
    decision = dataset.decisions()[key]
    assert (decision.accepted, decision.caption, set(decision.dropped_tracks)) == (True, "a ball alone", {1})
    measured = stats.measure("clips", dataset.index, dataset.decisions())
    assert (measured.left_out, measured.classes["ball"]) == (1, 1)


def test_undo_takes_back_the_last_that_stands_and_can_be_undone(clips: Path, serve: Serve) -> None:
    place = serve(clips)
    client, key = place.client("ann"), place.keys[0]
    first = client.decide(key, "rename_subject", "hound").json
    second = client.decide(key, "reject").json
    assert second["undoable"] == second["events"][0]["id"]
    undo = client.decide(key, "undo", number=1, undoes=second["undoable"]).json
    assert (undo["decisions"][key]["state"], undo["undoable"]) == ("open", first["events"][0]["id"])
    assert client.get("/api/clips/undoable").json["value"] == "hound"
    again = client.decide(key, "undo", number=2, undoes=undo["events"][0]["id"]).json
    assert again["decisions"][key]["state"] == "rejected"
    assert place.client("bob").get("/api/clips/undoable").json is None
    foreign = client.decide(place.keys[1], "undo", number=3, undoes=second["undoable"])
    assert (foreign.status, "to undo" in foreign.detail) == (409, True)


def test_asked_twice_it_is_one_verdict(clips: Path, serve: Serve) -> None:
    place = serve(clips)
    client, key = place.client("ann"), place.keys[0]
    one, same = client.decide(key, "accept"), client.decide(key, "accept")
    assert one.json["events"] == same.json["events"]
    assert len(Verdicts(Storage.at(clips)).events()) == 1
    taken = place.client("bob").decide(key, "accept", id=one.json["events"][0]["id"])
    assert (taken.status, len(Verdicts(Storage.at(clips)).events())) == (409, 1)


def test_a_verdict_about_what_is_not_there_is_refused_whole(clips: Path, serve: Serve) -> None:
    place = serve(clips)
    client, key = place.client("ann"), place.keys[0]
    sha256 = client.clip(key)["sha256"]
    good = {"id": "1" * 16, "key": key, "sha256": sha256, "action": "accept"}
    for bad, status in (
        ({**good, "id": "2" * 16, "sha256": "0" * 64}, 409),
        ({**good, "id": "2" * 16, "key": "0" * 20}, 409),
        ({**good, "id": "2" * 16, "action": "drop_track", "value": "one"}, 400),
        ({**good, "id": "2" * 16, "action": "accept", "value": 1}, 400),
        ({**good, "id": "2" * 16, "action": "delete"}, 422),
        ({**good, "id": "../../../etc"}, 422),
        ({**good, "id": "2" * 16, "action": "edit_caption", "value": "x" * 4001}, 422),
    ):
        assert client.post("/api/clips/verdicts", {"verdicts": [good, bad]}).status == status
    assert not Verdicts(Storage.at(clips)).events()


def test_text_stays_text(clips: Path, serve: Serve) -> None:
    place = serve(clips)
    client, key = place.client("<b>ann"), place.keys[0]
    script = "<script>alert(1)</script>\x00\u2028'"
    client.decide(key, "edit_caption", script)
    answer = client.get(f"/api/clips/clips/{key}")
    assert (answer.json["caption"], answer.headers["content-type"]) == (script.strip(), "application/json")


def test_what_others_write_is_seen(clips: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    place = serve(clips)
    client, key = place.client("ann"), place.keys[0]
    assert client.post("/api/clips/clips", {"limit": 1}).json["cards"][0]["state"] == "open"
    dataset = Dataset.open(clips)
    dataset.verdicts().append(verdict("bob", key, dataset.index["sha256"][0].as_py(), "reject"))
    monkeypatch.setattr("curation_ui.log.LOOK_EVERY", -LOOK_EVERY)  # the next look is due
    assert client.post("/api/clips/clips", {"limit": 1}).json["cards"][0]["state"] == "rejected"
    assert client.clip(key)["history"][0]["who"] == "bob"


def test_export_and_import_are_inverse_and_may_be_repeated(clips: Path, serve: Serve) -> None:
    place = serve(clips)
    client = place.client("ann")
    for key in place.keys[:3]:
        client.decide(key, "reject")
        client.decide(key, "rename_subject", "hound")
    files = {kind: client.get(f"/api/clips/verdicts.{kind}").body for kind in ("jsonl", "parquet")}
    events = Verdicts(Storage.at(clips)).events()
    assert from_jsonl(files["jsonl"]) == from_parquet(files["parquet"]) == events
    for file in clips.glob("verdicts/*"):
        file.unlink()
    other = serve(clips)
    bob = other.client("bob")
    for kind, added in (("jsonl", 6), ("parquet", 0), ("jsonl", 0)):
        answer = bob.ask("POST", f"/api/clips/verdicts.{kind}", files[kind], Content_Type="application/octet-stream")
        assert answer.json == {"added": added, "of": 6}
    assert Verdicts(Storage.at(clips)).events() == events
    assert bob.post("/api/clips/clips", {"limit": 1}).json["cards"][0]["state"] == "rejected"
    bad = bob.ask("POST", "/api/clips/verdicts.jsonl", b"nonsense\n", Content_Type="application/octet-stream")
    assert (bad.status, "line 1" in bad.detail) == (400, True)
    assert (
        other.client().ask("POST", "/api/clips/verdicts.jsonl", b"", Content_Type="application/octet-stream").status
        == 401
    )


def test_many_write_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    log = log_at(tmp_path)

    def write(worker: int) -> None:
        for number in range(20):
            log.add(f"worker {worker}", [request(100 * worker + number, "ab"[number % 2])])

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = Verdicts(Storage.at(tmp_path)).events()
    assert len(events) == 80
    assert events == log.events()
    assert len({event.when for event in events}) == 80  # an order that everybody has


def test_a_later_verdict_stands_later_whatever_the_clock_says(tmp_path: Path) -> None:
    ahead = verdict("bob", "a", "0" * 64, "reject", now=lambda: 4e9)
    Verdicts(Storage.at(tmp_path)).append(ahead)
    log = log_at(tmp_path)
    log.add("ann", [request(1)])
    assert log.seen(["a"], None)["a"].decision.accepted is True


def test_blind_review_hides_others_until_two_have_decided(tmp_path: Path) -> None:
    log = log_at(tmp_path, blind=True)
    log.add("ann", [request(1, action="reject"), request(2, action="rename_subject", value="cat")])
    seen = log.seen(["a"], "bob")["a"]
    assert (seen.decision.accepted, seen.decision.subject, seen.by, seen.hidden) == (None, None, (), 2)
    assert log.seen(["a"], "ann")["a"].decision.accepted is False
    assert log.seen(["a"], None)["a"].hidden == 2
    assert [log.shown("a", "bob"), log.visible("bob")] == [[], []]
    log.add("bob", [request(3, action="flag")])
    assert log.seen(["a"], "bob")["a"].hidden == 2  # a flag decides nothing
    log.add("bob", [request(4)])
    for who in ("ann", "bob", None):
        assert log.seen(["a"], who)["a"].hidden == 0
        assert len(log.shown("a", who)) == 4


def test_blind_review_holds_on_every_route(clips: Path, serve: Serve) -> None:
    place = serve(clips, blind=True)
    ann, bob, key = place.client("ann"), place.client("bob"), place.keys[0]
    for client in (ann, bob):
        client.post("/api/clips/clips", {})
    ann.decide(key, "reject")
    ann.decide(key, "edit_caption", "a secret of mine")

    def told(client: Client) -> list[bytes]:
        rejected = {"choices": [{"column": "state", "values": ["rejected"]}]}
        return [
            client.get(f"/api/clips/clips/{key}").body,
            client.post("/api/clips/clips", {"filter": {"text": "secret"}}).body,
            client.post("/api/clips/clips", {"filter": rejected}).body,
            client.get("/api/clips/log").body,
            client.get("/api/clips/verdicts.jsonl").body,
            client.post("/api/clips/sample", {"size": 12}).body,
        ]

    for client in (bob, place.client()):
        assert not [body for body in told(client) if b"secret" in body or b'"ann"' in body]
        counts = client.post("/api/clips/facets", {"columns": ["state"]}).json["facets"][0]["words"]
        assert counts == [{"word": "open", "count": 12}]
    assert all(key.encode() in body for body in told(ann))
    bob.decide(key, "accept")
    assert all(b"secret" in body for body in told(bob)[:2])


def test_independent_decisions_are_those_before_the_second_came() -> None:
    def at(when: int, who: str, action: Any, undoes: str | None = None) -> Verdict:
        value = "cat" if action == "rename_subject" else None
        return verdict(who, "a", "0" * 64, action, value, undoes=undoes, now=lambda: when, new_id=lambda: str(when))

    mind = [at(1, "ann", "accept"), at(2, "ann", "reject"), at(3, "bob", "rename_subject")]
    assert independent(mind) == ({"ann": False}, 3)
    undone = [*mind, at(4, "ann", "undo", undoes="2")]
    assert independent(undone) == ({"ann": True}, 4)
    both = [*undone, at(5, "bob", "reject")]
    assert independent(both) == ({"ann": True, "bob": False}, 5)
    settled = [*both, at(6, "ann", "reject"), at(7, "bob", "undo", undoes="5"), at(8, "cid", "accept")]
    assert independent(settled) == ({"ann": True, "bob": False}, 5)


def test_a_refused_batch_writes_nothing(tmp_path: Path) -> None:
    log = log_at(tmp_path)
    with pytest.raises(Refused, match="to undo"):
        log.add("ann", [request(1), request(2, action="undo", undoes="f" * 16)])
    assert log.events() == []
    log.add("ann", [request(1), request(2, action="undo", undoes=f"{1:016x}")])
    assert not log.seen(["a"], None)["a"].touched


def test_what_was_acknowledged_survives_kill_9(clips: Path) -> None:
    command = [sys.executable, "-m", "dreamreel", "review", str(clips), "--port", "0"]
    keys = Dataset.open(clips).index["key"].to_pylist()
    acknowledged: list[str] = []
    for life in range(2):
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert server.stdout is not None
            client = Client(int(server.stdout.readline().rstrip("/\n").rpartition(":")[2]))
            client.sign_in("ann")
            for number in range(30):
                key = keys[number % len(keys)]
                answer = client.decide(key, "reject" if number % 2 else "accept", number=100 * life + number)
                acknowledged += [event["id"] for event in answer.json["events"]]
        finally:
            os.kill(server.pid, signal.SIGKILL)
            server.wait()
            assert server.stdout is not None
            server.stdout.close()
        lines = [json.loads(line) for file in clips.glob("verdicts/*") for line in file.read_text().splitlines()]
        assert sorted(line["id"] for line in lines) == sorted(acknowledged)
        assert len(acknowledged) == 30 * (life + 1)
