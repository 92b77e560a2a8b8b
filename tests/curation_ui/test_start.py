"""How the verb starts: without what is heavy, on a free port, with one line for what is wrong."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

import dreamreel


def test_the_server_comes_without_what_is_heavy() -> None:
    code = "import sys, dreamreel, curation_ui.server, curation_ui.desk"
    heavy = "('torch', 'ray', 'transformers', 'cv2', 'pandas', 'av', 'PIL')"
    told = subprocess.run(
        [sys.executable, "-c", f"{code}; print([name for name in {heavy} if name in sys.modules])"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert told.stdout == "[]\n"


def test_help_fits_a_screen(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        dreamreel.main(["review", "--help"])
    assert len(capsys.readouterr().out.splitlines()) <= 40


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "check the path"),
        (["--study", "ours=nowhere"], "at least two"),
        (["DATASET", "--study", "ours"], "NAME=FOLDER"),
    ],
)
def test_what_is_wrong_is_one_line(
    made: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    words = [str(made) if word == "DATASET" else word for word in arguments]
    assert dreamreel.main(["review", *words, "--port", "0"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_port_that_is_taken_is_told(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert dreamreel.main(["review", str(made), "--port", str(taken.getsockname()[1])]) == 2
    assert "choose another with --port" in capsys.readouterr().err
