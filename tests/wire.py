"""S3 on loopback behind a relay that counts the bytes it brings."""

import secrets
import socket
import socketserver
import threading
from collections.abc import Iterator

import fsspec
import pytest
from moto.server import ThreadedMotoServer


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
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
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
