"""The user study: anonymous, in an order of each person's own, every vote once and durable, tallied with intervals."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import dreamreel
from curation_ui.intervals import interval
from curation_ui.study import QUESTIONS, Study, parse_methods
from tests.curation_ui.conftest import Client, Place, Serve

METHODS = ("ours", "dreamvideo", "direct-a-video")
TASKS = ("cat-on-beach", "dog-in-park")


@pytest.fixture
def methods(tmp_path: Path) -> dict[str, str]:
    """A folder for each method; the videos say whose they are."""
    for method in METHODS:
        folder = tmp_path / method
        folder.mkdir()
        for task in TASKS:
            (folder / f"{task}.mp4").write_bytes(f"{method} {task}".encode())
    (tmp_path / "ours/alone.mp4").write_bytes(b"")
    (tmp_path / "ours/dog-in-park.txt").write_text("a dog in a park\n")
    (tmp_path / "dreamvideo/dog-in-park.jpg").write_bytes(b"the dog")
    (tmp_path / "ours/dog-in-park.boxes.png").write_bytes(b"its way")
    return {method: str(tmp_path / method) for method in METHODS}


@pytest.fixture
def place(methods: dict[str, str], tmp_path: Path, serve: Serve) -> Place:
    return serve(study=Study(methods, str(tmp_path / "votes")))


def task_of(client: Client) -> Any:
    answer = client.get("/api/study")
    assert answer.status == 200, answer.body
    return answer.json


def vote(client: Client, method: str, number: int, **changes: Any) -> Any:
    """For `method` in every question of the next task."""
    task = task_of(client)
    bodies = [client.get(url).body.decode() for url in task["videos"]]
    at = next(place for place, body in enumerate(bodies) if body.startswith(method))
    said = {"id": f"{number:016x}", "task": task["task"], "answers": [at] * len(QUESTIONS), **changes}
    return client.post("/api/study", said)


def test_a_task_shows_every_method_and_names_none(place: Place) -> None:
    client = place.client("ann")
    seen = {}
    for number in range(2):
        task = task_of(client)
        seen[task["task"]] = task
        assert sorted(client.get(url).body for url in task["videos"]) == sorted(
            f"{method} {task['task']}".encode() for method in METHODS
        )
        assert not [method for method in METHODS if method in str(task)]
        assert vote(client, "ours", number).json == {"done": number + 1, "of": 2}
    assert set(seen) == set(TASKS)
    dog, cat = seen["dog-in-park"], seen["cat-on-beach"]
    assert (dog["prompt"], cat["prompt"], cat["subject"], cat["boxes"]) == ("a dog in a park", "", None, None)
    assert [client.get(dog[name]).body for name in ("subject", "boxes")] == [b"the dog", b"its way"]
    assert client.get("/api/study").status == 404


def test_the_order_is_each_persons_own_and_stays(place: Place) -> None:
    orders = Counter[tuple[str, ...]]()
    for number in range(40):
        client = place.client(f"person {number}")
        task = task_of(client)
        assert task_of(client) == task
        orders[tuple(client.get(url).body.decode().split()[0] for url in task["videos"])] += 1
    assert len(orders) == 6
    assert {order[0] for order in orders} == set(METHODS)


def test_an_address_shows_nothing_to_others(place: Place) -> None:
    url = task_of(place.client("ann"))["videos"][0]
    for client in (place.client("bob"), place.client()):
        assert client.get(url).status == 404
    for path in ("/study/cat-on-beach/../../x.mp4", "/study/alone/subject.png", "/study/cat-on-beach/ours.mp4"):
        assert place.client("ann").get(path).status == 404


def test_votes_are_tallied_and_survive(place: Place, methods: dict[str, str], tmp_path: Path) -> None:
    plan = [("ann", "ours"), ("ann", "ours"), ("bob", "dreamvideo"), ("bob", "ours")]
    clients = {who: place.client(who) for who in ("ann", "bob")}
    for number, (who, method) in enumerate(plan):
        assert vote(clients[who], method, number).status == 200
    tally = place.client().get("/api/study/tally").json
    assert (tally["voters"], tally["questions"]) == (2, list(QUESTIONS))
    shares = {one["method"]: one["votes"] for one in tally["methods"]}
    assert shares["ours"] == [interval(3, 4).model_dump()] * 4
    assert shares["direct-a-video"] == [interval(0, 4).model_dump()] * 4
    for file in (tmp_path / "votes").iterdir():
        file.write_bytes(file.read_bytes() + b'{"torn":')  # by a crash
    assert Study(methods, str(tmp_path / "votes")).tally().model_dump(mode="json") == tally


def test_a_vote_counts_once(place: Place) -> None:
    ann = place.client("ann")
    task = task_of(ann)
    said = {"id": "0" * 16, "task": task["task"], "answers": [0, 1, 2, 0]}
    assert ann.post("/api/study", said).json == ann.post("/api/study", said).json == {"done": 1, "of": 2}
    assert ann.post("/api/study", {**said, "id": "1" * 16}).status == 409
    for answers in ([0], [0, 0, 0, 3], [0, 0, 0, -1]):
        other = next(name for name in TASKS if name != task["task"])
        assert ann.post("/api/study", {"id": "2" * 16, "task": other, "answers": answers}).status == 409
    assert ann.post("/api/study", {**said, "id": "3" * 16, "task": "../votes"}).status == 409
    assert place.client().post("/api/study", said).status == 401


def test_a_study_that_cannot_be_is_told(
    methods: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="at least two"):
        Study({"ours": methods["ours"]}, str(tmp_path))
    with pytest.raises(ValueError, match="share no video"):
        Study({"ours": methods["ours"], "none": str(tmp_path)}, str(tmp_path))
    with pytest.raises(ValueError, match="NAME=FOLDER"):
        parse_methods(["a=x", "a=y"])
    assert dreamreel.main(["review"]) == 2
    assert "needs a DATASET" in capsys.readouterr().err
