"""What a user provokes gets one line that says what, where and the mend; nothing that was there is lost."""

import os
import shutil
from pathlib import Path

import pytest

from dreamreel import main
from shards import Storage
from shards.verify import verify

QUICK = ["--set", "cutter.shots=null"]


@pytest.fixture(scope="module")
def dataset(world_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("errors") / "dataset"
    assert main(["build", str(world_folder), str(out), *QUICK]) == 0
    return out


def line_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a wrong use prints."""
    capsys.readouterr()
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.strip().splitlines()
    assert len(lines) == 1, said.err
    assert lines[0].startswith("dreamreel: ")
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["build", "nowhere", "out"], "nowhere"),
        (["build", "WORLD", "out", "--recipe", "papper"], "no recipe 'papper': give a YAML file, or one of"),
        (["build", "WORLD", "out", "--set", "rules.count.maxi=2"], "did you mean rules.count.max?"),
        (["build", "WORLD", "out", "--set", "rules.count.max=two"], "rules.count.max='two'"),
        (["build", "WORLD", "DATASET", "--set", "cutter.min_frames=9"], "cutter.min_frames: 8 -> 9"),
        (["refilter", "DATASET", "out", "--set", "encoder.crf=20"], "changes rules only"),
        (["refilter", "WORLD", "out"], "is not a dataset"),
        (["shards", "ls", "nowhere"], "is not a dataset"),
        (["shards", "show", "DATASET", "ffffffffffffffff"], "ffffffffffffffff"),
        (["shards", "show", "DATASET", "999"], "999"),
        (["shards", "repack", "DATASET", "out", "--where", "colour > 3"], "colour"),
        (["shards", "diff", "DATASET", "nowhere"], "nowhere"),
        (["build", "WORLD", "nos3://bucket/x"], "nos3"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str],
    says: str,
    world_folder: Path,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"WORLD": str(world_folder), "DATASET": str(dataset)}
    assert says in line_of([places.get(word, word) for word in arguments], capsys)
    assert list(tmp_path.rglob("*.tar")) == []
    assert verify(Storage.at(dataset)).violations == ()


def test_a_file_is_no_dataset_folder(world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    assert "file" in line_of(["build", str(world_folder), str(tmp_path / "file"), *QUICK], capsys)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.usefixtures("dataset")  # a build has loaded all that it needs: another user may not read it
def test_a_read_only_folder(world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can act as another user, and only another user is stopped by a folder's mode")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    for folder in [locked, *locked.parents, world_folder, *world_folder.parents]:
        if "pytest" in str(folder):
            folder.chmod(folder.stat().st_mode | 0o055)
    os.seteuid(65534)
    try:
        said = line_of(["build", str(world_folder), str(locked / "out"), *QUICK], capsys)
    finally:
        os.seteuid(0)
    assert "permission denied" in said
    assert str(locked) in said


def test_verify_names_a_truncated_tar_and_a_sidecar_that_disagrees(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "dataset"
    shutil.copytree(dataset, broken)
    (tar,) = broken.glob("shards/*.tar")
    tar.write_bytes(tar.read_bytes()[:-20_000])
    assert main(["shards", "verify", str(broken)]) == 1
    said = capsys.readouterr().out
    assert "tar: is cut in member" in said
    shutil.rmtree(broken)
    shutil.copytree(dataset, broken)
    data = bytearray(tar.read_bytes())
    place = data.index(b'"caption":"') + len(b'"caption":"')
    data[place : place + 1] = b"X"
    tar.write_bytes(data)
    assert main(["shards", "verify", str(broken)]) == 1
    assert "caption" in capsys.readouterr().out


def test_help_of_every_verb_fits_a_screen(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    verbs = [[], ["demo"], ["build"], ["refilter"], ["shards"]]
    verbs += [["shards", name] for name in ("ls", "show", "stats", "verify", "repack", "diff")]
    for verb in verbs:
        with pytest.raises(SystemExit):
            main([*verb, "--help"])
        assert len(capsys.readouterr().out.splitlines()) <= 40, verb
