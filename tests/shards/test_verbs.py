"""The verbs over shards as they are typed: what they print, write and answer, in words and as JSON."""

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from shards import ledger, verbs, video
from shards.dataset import Dataset
from shards.storage import Storage
from shards.verdicts import verdict
from tests.shards.filmed import filmed, key, write_dataset

SUB = ("ls", "show", "stats", "verify", "repack", "diff")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Samples 0-3 in two shards."""
    write_dataset(tmp_path / "data", [filmed(0), filmed(1)], [filmed(2), filmed(3)])
    return tmp_path / "data"


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(prog="dreamreel")
    verbs.add_verbs(whole.add_subparsers(required=True))
    return whole


def run(*words: object) -> int:
    args = parser().parse_args(["shards", *map(str, words)])
    return int(args.run(args))


def said(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    capsys.readouterr()
    run(*words, "--json")
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("verb", SUB)
def test_help_fits_a_screen(verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        run(verb, "--help")
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 40
    assert max(map(len, text.splitlines())) <= 80


def test_light_verbs_load_nothing_heavy(folder: Path) -> None:
    code = (
        "import argparse, sys; from shards import verbs; p = argparse.ArgumentParser();"
        "verbs.add_verbs(p.add_subparsers()); a = p.parse_args(['shards', 'ls', sys.argv[1]]); a.run(a);"
        "print(sorted({'matplotlib', 'duckdb', 'PIL', 'scipy', 'torch', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_ls_stopped(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ls", folder, "--stopped") == 0
    assert capsys.readouterr().out == "no clip stopped: the ledger has none that is no sample\n"
    storage = Storage.at(folder)
    kept = ledger.Row(shard=0, video="v/1", clip="aa", stage="packer", stage_key="k", outcome="kept")
    gone = replace(kept, clip="bb", stage="mover", outcome="rejected", why="still", value="0.5", at=2.0)
    ledger.append(storage, 0, [kept, gone], "a")
    assert run("ls", folder, "--stopped") == 0
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split() == ["video", "clip", "outcome", "stage", "why", "value"]
    assert line.split() == ["v/1", "bb", "rejected", "mover", "still", "0.5"]
    (stopped,) = said(capsys, "ls", folder, "--stopped")
    assert (stopped["clip"], stopped["why"], stopped["at"]) == ("bb", "still", 2.0)


def test_ls(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ls", folder) == 0
    lines = capsys.readouterr().out.splitlines()
    shards = Dataset.open(folder).shards
    assert lines[0].split() == ["shard", "samples", "bytes", "sha256"]
    assert lines[1].split() == [shards[0].stem, "2", f"{shards[0].bytes:,}", shards[0].sha256[:12]]
    assert lines[3].split() == ["total", "4", f"{sum(s.bytes for s in shards):,}"]
    assert lines[-1].split() == ["practice", "recipe", "embedded", "parent", "none"]
    found = said(capsys, "ls", folder)
    assert (found["name"], found["recipe"], found["samples"], found["parent"]) == ("practice", "embedded", 4, None)
    assert [shard["sha256"] for shard in found["shards"]] == [shard.sha256 for shard in shards]


def test_show_a_sample(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run("show", folder, key(2), "--out", out, "--frames", 4) == 0
    text = capsys.readouterr().out
    assert filmed(2).caption in text
    assert str(out / f"{key(2)}.png") in text
    with Image.open(out / f"{key(2)}.png") as sheet:
        assert sheet.width > 1200
    assert video.probe(str(out / f"{key(2)}.mp4")).num_frames == 6
    found = said(capsys, "show", folder, key(2)[:6], "--out", out)
    assert (found["record"]["key"], found["decision"]) == (key(2), None)
    assert all(Path(file).exists() for file in found["files"])


def test_show_tells_what_people_decided(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = Dataset.open(folder)
    sha = dataset.index["sha256"][0].as_py()
    dataset.verdicts().append(verdict("ann", dataset.key_of(0), sha, "reject"))
    run("show", folder, 0, "--out", tmp_path)
    assert "accepted False" in capsys.readouterr().out
    assert said(capsys, "show", folder, 0, "--out", tmp_path)["decision"] == {"accepted": False}


def test_show_several(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", folder, "--samples", 3, "--out", tmp_path, "--seed", 1) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert (tmp_path / "practice-samples.png").exists()
    found = said(capsys, "show", folder, "--samples", 9, "--out", tmp_path)
    assert found["keys"] == [sample.key for sample in Dataset.open(folder)]


def test_finding_a_sample(folder: Path) -> None:
    dataset = Dataset.open(folder)
    for row in range(4):
        name = dataset.key_of(row)
        assert [verbs.find(dataset, text) for text in (name, name[:8], str(row))] == [row] * 3
    with pytest.raises(ValueError, match="no key begins with 'xyz', and there are samples 0 to 3"):
        verbs.find(dataset, "xyz")
    with pytest.raises(ValueError, match="4 keys begin"):
        verbs.find(dataset, "")


def test_an_empty_dataset_has_nothing_to_show(tmp_path: Path) -> None:
    write_dataset(tmp_path / "empty")
    with pytest.raises(ValueError, match="no samples to show"):
        run("show", tmp_path / "empty")


def test_stats(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("stats", folder, "--out", tmp_path / "plots") == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[0].split()[:3] == ["Dataset", "Videos", "Classes"]
    assert lines[1].split()[:3] == ["practice", "4", "3"]
    assert (tmp_path / "plots/classes.png").exists()
    found = said(capsys, "stats", folder)
    assert (found["videos"], found["classes"]["dog"], found["files"]) == (4, 2, [])


def test_verify(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", folder) == 0
    assert "checked 2 shards, 4 samples, 24 frames" in capsys.readouterr().out
    storage = Storage.at(folder)
    storage.remove("shards/practice-000001.parquet")
    assert run("verify", folder, "--quick") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "practice-000001 - pair: a tar without a sidecar"
    assert lines[-1].endswith("videos not decoded: 1 violations")
    assert said(capsys, "verify", folder)["violations"] == [
        {"rule": "pair", "shard": "practice-000001", "key": None, "what": "a tar without a sidecar"}
    ]


def test_repack_and_diff(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "repack",
        folder,
        tmp_path / "new",
        "--where",
        "subject = 'dog'",
        "--shard-bytes",
        "10kB",
        "--name",
        "dogs",
    )
    assert run(*words) == 0
    assert capsys.readouterr().out == f"2 of 4 samples in 2 shards: {tmp_path / 'new'}\n"
    assert said(capsys, *words)["already_there"] == 2
    assert run("ls", tmp_path / "new") == 0
    assert f"parent practice at {folder}" in capsys.readouterr().out
    assert run("diff", folder, tmp_path / "new") == 0
    assert "2 the same, 0 changed, 2 only in A, 0 only in B" in capsys.readouterr().out
    assert said(capsys, "diff", folder, tmp_path / "new")["only_in_a"] == sorted([key(1), key(2)])


@pytest.mark.parametrize(
    "verb", [("ls",), ("show",), ("stats",), ("verify",), ("diff", "elsewhere"), ("repack", "elsewhere")]
)
def test_what_is_no_dataset_is_told_in_one_line(verb: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a dataset") as told:
        run(verb[0], tmp_path / "nothing", *(tmp_path / word for word in verb[1:]))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "number"), [("10", 10), ("10B", 10), ("256MB", 256_000_000), ("1.5GiB", 1_610_612_736), ("2k", 2000)]
)
def test_sizes(text: str, number: int) -> None:
    assert verbs.parse_bytes(text) == number


@pytest.mark.parametrize("text", ["", "MB", "-1", "1 XB", "1e3", "256 M B"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no size"):
        verbs.parse_bytes(text)


@pytest.mark.parametrize("text", ["0", "-1", "", "many", "1.5"])
def test_no_counts(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="write 1 or more"):
        verbs.parse_count(text)


def test_columns_are_aligned() -> None:
    assert verbs.aligned([("name", "n"), ("x", "1,000"), ("", "20")], right=(1,)).splitlines() == [
        "name      n",
        "x     1,000",
        "         20",
    ]
