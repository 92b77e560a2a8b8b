"""The documents are true: README's walk and ARCHITECTURE's clip are run as they stand and must print what they show.

`...` in a shown output stands for anything, as in doctest: digests, times, and what a walk makes up its own mind about.
"""

import contextlib
import doctest
import io
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dreamreel import main

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document: str) -> list[tuple[str, str]]:
    return BLOCK.findall((ROOT / document).read_text())


def check(shown: str, printed: str) -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    if not doctest.OutputChecker().check_output(shown, printed, flags):
        pytest.fail(f"the document shows\n{shown}\nbut it prints\n{printed}")


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Each command after a "$ " and the output shown under it."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


def printed_by(command: str) -> str:
    program, *arguments = shlex.split(command)
    if program != "dreamreel":
        return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout
    sink = io.StringIO()
    with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        main(arguments)
    return sink.getvalue()


def walk(document: str) -> int:
    """Run every block in order; Python blocks share one namespace. Returns how many outputs were compared."""
    compared, printed = 0, ""
    names: dict[str, Any] = {}
    for language, body in blocks(document):
        if language == "python":
            sink = io.StringIO()
            with contextlib.redirect_stdout(sink):
                exec(body, names)
            printed = sink.getvalue()
        elif language == "text":
            check(body, printed)
            compared += 1
        elif language == "console":
            for command, shown in commands(body):
                check(shown, printed_by(command))
                compared += 1
    return compared


def test_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Begins where `make demo` ends: the demo must go through, and leave pictures to look at."""
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    said = capfd.readouterr().out
    assert "0 violations" in said
    assert {path.name for path in Path("out/demo/looks").iterdir()} >= {"dataset-samples.png", "rejections.png"}
    assert walk("README.md") >= 6


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset leaves its stream to the collector
def test_architecture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert walk("ARCHITECTURE.md") == 4


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/gallery.md"])
def test_every_file_that_a_document_names_is_there(document: str) -> None:
    text = (ROOT / document).read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert links or document == "CONTRIBUTING.md" or document == "ARCHITECTURE.md"
    missing = [link for link in links if not ((ROOT / document).parent / link).exists()]
    assert missing == []
