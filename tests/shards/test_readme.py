"""The room's README tells the truth: its dumps are the golden dataset's bytes, and its code runs."""

import contextlib
import io
import json
import re
import textwrap
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shards import Dataset
from shards.tar import BLOCK, scan

ROOT = Path(__file__).parents[2]
README = (ROOT / "shards/README.md").read_text()
GOLDEN = ROOT / "tests/golden/dataset"
KEY = "a19794809d43327665d9"
SERVED = "http://127.0.0.1:8000/dataset"


def _listing(golden: Dataset) -> str:
    members = scan(golden.storage.local_path(golden.shards[0].tar) or "")
    return "\n".join(f"{m.offset:6d} {m.size:5d}  {m.name}" for m in members)


def _header(golden: Dataset) -> str:
    return _hex(golden, _place(golden, "json")[0] - BLOCK, BLOCK)


def _description(golden: Dataset) -> str:
    text = golden.raw(golden.row_of(KEY))["json"].decode()
    return "\n".join(textwrap.wrap(text.replace(",", ", "), 100)).replace(", ", ",").replace(" \n", "\n")


def _masks(golden: Dataset) -> str:
    return _hex(golden, _place(golden, "masks")[0], 32)


def _inflated(golden: Dataset) -> str:
    return zlib.decompress(golden.raw(golden.row_of(KEY))["masks"]).decode().replace('","', '",\n"')


def _runs(golden: Dataset) -> str:
    """The first mask's string, spelt out: characters, what they say, the run it gives."""
    counts = json.loads(zlib.decompress(golden.raw(golden.row_of(KEY))["masks"]))["tracks"][0]["counts"][0]
    runs: list[int] = []
    lines = []
    for characters in re.findall(r"[P-o]*[0-O]", counts):
        said = sum((ord(c) - 48 & 31) << 5 * n for n, c in enumerate(characters))
        if ord(characters[-1]) - 48 & 16:
            said -= 32 ** len(characters)
        runs.append(said + (runs[-2] if len(runs) > 2 else 0))
        lines.append(f"{characters:4s} {said:5d} {runs[-1]:5d}  {'subject' if len(runs) % 2 == 0 else 'background'}")
    assert sum(runs) == 48 * 64
    return "\n".join(lines[:8])


def _row(golden: Dataset) -> str:
    row = golden.index.slice(golden.row_of(KEY), 1).to_pylist()[0]
    return "\n".join(f"{name:14s} {value}" for name, value in row.items())


def _verdict(golden: Dataset) -> str:
    (line,) = [line for line in _lines_of_verdicts(golden) if '"event2"' in line]
    return "\n".join(textwrap.wrap(line, 110))


def _lines_of_verdicts(golden: Dataset) -> list[str]:
    return [
        line for path in golden.storage.list("verdicts") for line in golden.storage.read(path).decode().splitlines()
    ]


def _place(golden: Dataset, member: str) -> tuple[int, int]:
    row = golden.index.slice(golden.row_of(KEY), 1).to_pylist()[0]
    return row[f"{member}_offset"], row[f"{member}_size"]


def _hex(golden: Dataset, offset: int, size: int) -> str:
    """16 bytes a line; lines of zeros are left out."""
    data = golden.storage.read_range(golden.shards[0].tar, offset, offset + size)
    lines = []
    for start in range(0, size, 16):
        part = data[start : start + 16]
        text = "".join(chr(b) if 32 <= b < 127 else "." for b in part)
        if any(part):
            lines.append(f"{offset + start:06x}  {part.hex(' ')}  {text}")
    return "\n".join(lines)


DUMPS = {
    "listing": _listing,
    "header": _header,
    "description": _description,
    "masks": _masks,
    "inflated": _inflated,
    "runs": _runs,
    "row": _row,
    "verdict": _verdict,
}


@pytest.mark.parametrize("name", DUMPS)
def test_a_dump_is_what_lies_in_the_golden_dataset(name: str) -> None:
    block = re.search(rf"<!-- golden: {name} -->\n```text\n(.*?)\n```", README, re.DOTALL)
    assert block is not None, f"README has no block {name}"
    assert block[1] == DUMPS[name](Dataset.open(GOLDEN))


def test_the_description_is_shown_whole() -> None:
    golden = Dataset.open(GOLDEN)
    assert _description(golden).replace("\n", "") == golden.raw(golden.row_of(KEY))["json"].decode()


class _RangeServer(BaseHTTPRequestHandler):
    """Files of the golden dataset, whole or by byte range."""

    def do_GET(self) -> None:
        data = (GOLDEN / self.path.removeprefix("/dataset/")).read_bytes()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        part = data[int(wanted[1]) : int(wanted[2]) + 1] if wanted else data
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def served() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _RangeServer)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/dataset"
    server.shutdown()
    server.server_close()


CODE = re.findall(r"```python\n(.*?)```\n+prints\n+```text\n(.*?)```", README, re.DOTALL)


def test_every_code_block_says_what_it_prints() -> None:
    assert len(CODE) == README.count("```python") >= 4


# webdataset leaves its stream to the garbage collector
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize(("code", "printed"), CODE)
def test_a_code_block_prints_what_is_said(
    code: str, printed: str, served: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "dataset").symlink_to(GOLDEN)
    monkeypatch.chdir(tmp_path)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code.replace(SERVED, served), "README", "exec"), {})
    assert out.getvalue() == printed
