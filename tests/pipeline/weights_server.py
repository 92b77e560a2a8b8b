"""A server on the loopback interface that gives files as makers' places and the hub do, and fails when told to."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Place:
    """What is served, and what was asked for."""

    files: dict[str, bytes]  # path -> content
    ranges: bool = True  # whether parts are given
    breaks_after: int | None = None  # bytes of an answer, after which the connection ends
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path, Range
    url: str = ""


@contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[Place]:
    place = Place(files=dict(files))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, place)

        def do_HEAD(self) -> None:
            _answer(self, place)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    place.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield place
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def repository(name: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """A model's files, and what the hub says of it."""
    served = {f"/{name}/resolve/{COMMIT}/{file}": content for file, content in files.items()}
    siblings = [{"rfilename": file, "size": len(content)} for file, content in files.items()]
    tree = [
        {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
        for file, content in files.items()
    ]
    info = {"id": name, "sha": COMMIT, "siblings": siblings, "private": False, "downloads": 0, "tags": []}
    about = {f"/api/models/{name}/revision/{COMMIT}": info, f"/api/models/{name}/tree/{COMMIT}": tree}
    return served | {path: json.dumps(content).encode() for path, content in about.items()}


def _answer(handler: BaseHTTPRequestHandler, place: Place) -> None:
    path = handler.path.partition("?")[0]
    asked = handler.headers.get("Range")
    place.asked.append((path, asked))
    if path not in place.files:
        handler.send_error(404)
        return
    content = place.files[path]
    start = int(asked.removeprefix("bytes=").split("-")[0]) if asked and place.ranges else 0
    if start >= len(content) > 0:
        handler.send_error(416)
        return
    handler.send_response(206 if asked and place.ranges else 200)
    handler.send_header("Content-Length", str(len(content) - start))
    handler.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
    handler.send_header("X-Repo-Commit", COMMIT)
    handler.end_headers()
    if handler.command == "GET":
        end = None if place.breaks_after is None else start + place.breaks_after
        handler.wfile.write(content[start:end])
