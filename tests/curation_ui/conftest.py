"""A small dataset with bar-coded videos and a ledger, a server over it on the loopback, and somebody who asks it."""

import hashlib
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curation_ui.desk import Desk
from curation_ui.guard import Door
from curation_ui.playing import Player
from curation_ui.server import Server, application, listen
from pipeline.stages.packer import strip
from shards import Dataset, DatasetInfo, Sample, Storage, Track, ledger, video, write_info, write_shard
from shards.ledger import Row
from tests.barcodes import draw

SIZE = (64, 96)  # height, width
NOUNS = ("dog", "cat", "dog", "boat", "dog", "cat")
RULES = {"count": {"max": 1}, "size": {}, "motion": {"sources": None}, "border": {"max": 0.5}}


@dataclass
class Client:
    """One person at one server; keeps the cookie."""

    port: int
    host: str = "127.0.0.1"
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> "Answer":
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        every = {"Host": f"{self.host}:{self.port}", **self.headers}
        every |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in every.items():
                connection.putheader(name, value)
            if body is not None and not every.keys() & {"Content-Length", "Transfer-Encoding"}:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            got = connection.getresponse()
            return Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> "Answer":
        return self.ask("GET", path, None, **headers)

    def post(self, path: str, value: Any, **headers: str) -> "Answer":
        headers.setdefault("Content_Type", "application/json")
        return self.ask("POST", path, json.dumps(value).encode(), **headers)

    def sign_in(self, who: str, token: str | None = None) -> "Answer":
        answer = self.post("/api/session", {"who": who, "token": token})
        if answer.status == 200:
            self.headers["Cookie"] = answer.headers["set-cookie"].partition(";")[0]
        return answer

    def clip(self, key: str, dataset: str = "clips") -> Any:
        return self.get(f"/api/{dataset}/clips/{key}").json

    def decide(self, key: str, action: str, value: Any = None, number: int = 0, **more: Any) -> "Answer":
        """One verdict; `number` makes its id another one."""
        text = f"{key}{action}{value}{number}{self.headers.get('Cookie')}"
        said = {"id": hashlib.sha256(text.encode()).hexdigest()[:16], "key": key, "action": action, "value": value}
        said["sha256"] = self.clip(key)["sha256"]
        return self.post("/api/clips/verdicts", {"verdicts": [{**said, **more}]})


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def detail(self) -> str:
        return str(self.json["detail"])


@dataclass(frozen=True)
class Place:
    """A served dataset."""

    path: Path
    port: int
    desk: Desk

    def client(self, who: str | None = None) -> Client:
        client = Client(self.port)
        if who is not None:
            assert client.sign_in(who).status == 200
        return client

    @property
    def keys(self) -> list[str]:
        keys: list[str] = Dataset.open(self.path).index["key"].to_pylist()
        return keys


def sample(number: int, **changes: Any) -> Sample:
    """A clip of 12 bar codes from `number` on, at uneven times, with one or two tracks."""
    frames, (height, width) = 12, SIZE
    pts = tuple(int(tick) for tick in np.cumsum([0, *([1, 3] * 6)][:frames]))
    data = video.encode([draw(number + t, width, height) for t in range(frames)], pts, Fraction(1, 30))
    masks = np.zeros((2, frames, *SIZE), bool)
    for t in range(frames):
        masks[0, t, 8:20, 4 + t : 30 + t] = True
        masks[1, t, 30:50, 10 : 20 + number] = t != 3
    noun = NOUNS[number % len(NOUNS)]
    first = Track.of_masks(masks[0], id=1, noun=noun, scores={"detector": 0.75})
    other = Track.of_masks(masks[1], id=2, noun="ball", series={"confidence": tuple([0.5] * frames)})
    fields: dict[str, Any] = {
        "key": hashlib.sha256(str(number).encode()).hexdigest()[:20],
        "video": data,
        "strip": strip(data, frames),
        "pts": pts,
        "time_base": Fraction(1, 30),
        "width": width,
        "height": height,
        "caption": f"a {noun} crosses meadow {number}",
        "subject": noun,
        "tracks": (first, other) if number % 2 else (first,),
        "scores": scores(number),
        "provenance": {
            "video": f"practice/{number}",
            "start": 0.0,
            "end": float(pts[-1] + 1) / 30,
            "caption_by": "source",
        },
    }
    return Sample(**{**fields, **changes})


def scores(number: int) -> dict[str, float]:
    share = number / 32
    return {
        "count": 1.0,
        "size.width": 0.3,
        "size.height": 0.2,
        "size.area": 0.06 + share / 4,
        "motion.iou": share,
        "motion.shift": 0.1,
        "border": share,
        "effective": 1.0,
    }


def stopped_rows() -> list[Row]:
    """Clips that the rules stopped, one that no rule can bring back, and one that only a model run could judge."""
    ends = [
        ("judge", "border", scores(20) | {"border": 0.8}),
        ("judge", "motion.iou", scores(21) | {"motion.iou": 0.9, "motion.shift": 0.01}),
        ("screener", "size.area", {"count": 1.0, "size.width": 0.3, "size.height": 0.2, "size.area": 0.01}),
        ("screener", "count.none", {"count": 0.0}),
        ("namer", "no_noun", {}),
    ]
    rows = []
    for number, (stage, why, measured) in enumerate(ends):
        value = json.dumps(measured.get(why.removesuffix(".none"), 0.0))
        at = {"shard": 0, "video": f"practice/{100 + number}", "clip": f"{number:020x}", "at": float(number)}
        rows.append(Row(**at, stage="cutter", stage_key="c", outcome="done"))  # type: ignore[arg-type]
        rows.append(
            Row(**at, stage=stage, stage_key="s", outcome="rejected", why=why, value=value, scores=measured)  # type: ignore[arg-type]
        )
    return rows


def write_dataset(path: Path, samples: list[Sample], rows: list[Row] | None = None) -> Path:
    """Two shards of `samples`, and what the ledger says of the others."""
    storage = Storage.at(path)
    with storage.lock("a test"):
        write_info(storage, DatasetInfo(name="clips", code="0", recipe={"name": "practice", "rules": RULES}))
        for number, part in enumerate((samples[::2], samples[1::2])):
            if part:
                write_shard(storage, "clips", number, part)
        kept = [
            Row(
                shard=0,
                video=str(s.provenance["video"]),
                clip=s.key,
                stage="packer",
                stage_key="p",
                outcome="kept",
                at=9,
            )
            for s in samples
        ]
        ledger.close(storage, 0, [*(rows or []), *kept])
    return path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve samples and five stopped clips; not to be written to."""
    return write_dataset(tmp_path_factory.mktemp("page") / "clips", [sample(n) for n in range(12)], stopped_rows())


@pytest.fixture
def clips(made: Path, tmp_path: Path) -> Path:
    """The same, to be judged."""
    path = tmp_path / "clips"
    for file in sorted(made.rglob("*")):
        if file.is_file():
            target = path / file.relative_to(made)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    return path


Serve = Callable[..., Place]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers that end with the test: serve(path, ..., door=None, and what `Desk` takes)."""
    with running(tmp_path / "cache") as start:
        yield start


@contextmanager
def running(cache: Path) -> Iterator[Serve]:
    servers: list[tuple[Server, threading.Thread, Desk]] = []

    def start(*paths: Path, door: Door | None = None, **options: Any) -> Place:
        listening = listen("127.0.0.1", 0)
        desk = Desk([str(path) for path in paths], Player(cache), **options)
        ready = threading.Event()
        server = Server(application(desk, door or Door.at("127.0.0.1")), ready.set)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        servers.append((server, thread, desk))
        assert ready.wait(60)
        return Place(next(iter(paths), cache), listening.getsockname()[1], desk)

    try:
        yield start
    finally:
        for server, _, desk in servers:
            server.should_exit = True
            desk.segmenting.close()
        for _, thread, _ in servers:
            thread.join()


@pytest.fixture(scope="module")
def reading(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A server that nobody writes to."""
    with running(tmp_path_factory.mktemp("cache")) as start:
        yield start(made)
