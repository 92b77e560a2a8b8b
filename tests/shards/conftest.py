"""Samples with exact masks, and places to put them: a folder, an object store in memory, S3 on loopback."""

import hashlib
import secrets
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from shards import Sample, Track

MakeSample = Callable[..., Sample]


def _make_sample(number: int = 0, *, frames: int = 4, size: tuple[int, int] = (24, 32), **changes: Any) -> Sample:
    """A sample about two overlapping rectangles, the second absent in frame 1; its media are just bytes."""
    height, width = size
    noise = np.random.default_rng(number)
    masks = np.zeros((2, frames, height, width), bool)
    for t in range(frames):
        masks[0, t, 2 : 12 + t, 3 : 20 + number % 5] = True
        masks[1, t, 8:20, 10 + t : 30] = t != 1
    series = tuple(None if t == 1 else t / 8 for t in range(frames))
    dog = Track.of_masks(masks[0], id=1, noun="dog", scores={"detector": 0.75})
    cat = Track.of_masks(masks[1], id=7, noun="cat", series={"confidence": series})
    fields: dict[str, Any] = {
        "key": hashlib.sha256(str(number).encode()).hexdigest()[:20],
        "video": noise.bytes(3000 + number),
        "strip": noise.bytes(200),
        "pts": tuple(range(0, 2 * frames, 2)),
        "time_base": Fraction(1, 48),
        "width": width,
        "height": height,
        "caption": f"a dög and cat nr {number}",
        "subject": "dog",
        "tracks": (dog, cat),
        "scores": {"area": 0.25, "motion.iou": number / 7},
        "provenance": {
            "video": f"practice/{number}",
            "start": 1.5,
            "end": 1.5 + frames / 24,
            "caption_by": "source",
            "source_sha256": "00" * 32,
            "recipe": "embedded",
            "models": {"tracker": "exact"},
        },
    }
    return Sample(**{**fields, **changes})


@pytest.fixture(scope="session")
def make_sample() -> MakeSample:
    return _make_sample


@pytest.fixture(params=["folder", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A local folder, and an object store, that do not exist yet."""
    if request.param == "folder":
        yield str(tmp_path / "place")
        return
    url = f"memory://{secrets.token_hex(4)}/place"
    yield url
    memory = fsspec.filesystem("memory")
    if memory.exists(url):
        memory.rm(url, recursive=True)


class Wire(socketserver.ThreadingTCPServer):
    """A TCP relay to a server on this machine that counts the bytes which come back."""

    daemon_threads = True
    received = 0

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        super().__init__(("127.0.0.1", 0), _Relay)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Relay(socketserver.BaseRequestHandler):
    server: Wire

    def handle(self) -> None:
        with socket.create_connection(self.server.target) as upstream:
            answers = threading.Thread(target=self._pump, args=(upstream, self.request, True), daemon=True)
            answers.start()
            self._pump(self.request, upstream, False)
            answers.join()

    def _pump(self, source: socket.socket, sink: socket.socket, count: bool) -> None:
        try:
            while data := source.recv(1 << 16):
                self.server.received += len(data) if count else 0
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:  # the other side hung up first
            return


@pytest.fixture(scope="session")
def wire() -> Iterator[Wire]:
    """An S3 server on loopback behind a relay; fsspec's `s3://` goes there, bucket "bucket" exists."""
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    relay = Wire(server.get_host_and_port())
    threading.Thread(target=relay.serve_forever, daemon=True).start()
    settings = {
        "AWS_ENDPOINT_URL": relay.url,
        "AWS_ACCESS_KEY_ID": "practice",
        "AWS_SECRET_ACCESS_KEY": "practice",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        fsspec.filesystem("s3").mkdir("bucket")
        yield relay
    relay.shutdown()
    relay.server_close()
    server.stop()


@pytest.fixture
def s3(wire: Wire) -> str:  # noqa: ARG001  the server must be up
    """A folder in S3."""
    return f"s3://bucket/{secrets.token_hex(4)}"
