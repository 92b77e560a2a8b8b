"""Downloads of weights against a server on the loopback interface: whole, gone on with, wrong, missing, broken off."""

import hashlib
import random
from pathlib import Path

import huggingface_hub.constants
import pytest

from pipeline.models import store
from pipeline.models.catalog import PublishedFile, Repository
from pipeline.models.fetch import fetch
from tests.pipeline.weights_server import COMMIT, repository, serving

CONTENT = random.Random(1).randbytes(3 << 20)


def published(url: str, content: bytes = CONTENT) -> PublishedFile:
    digest = hashlib.sha256(content).hexdigest()
    return PublishedFile(name="net.pth", model="a net", licence="MIT", url=f"{url}/far/net.pth", sha256=digest)


def test_a_file_comes_whole_and_is_asked_for_once(tmp_path: Path) -> None:
    with serving({"/far/net.pth": CONTENT}) as place:
        seen: list[tuple[int, int | None]] = []
        path = fetch(published(place.url), tmp_path, advance=lambda done, total: seen.append((done, total)))
        assert path == tmp_path / "net.pth"
        assert path.read_bytes() == CONTENT
        assert seen[-1] == (len(CONTENT), len(CONTENT))
        assert fetch(published(place.url), tmp_path) == path
        assert place.asked == [("/far/net.pth", None)]
    assert [file.name for file in tmp_path.iterdir()] == ["net.pth"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_goes_on_where_it_stopped(tmp_path: Path, ranges: bool) -> None:
    """Or begins anew at a server that gives no parts."""
    with serving({"/far/net.pth": CONTENT}) as place:
        place.breaks_after, place.ranges = 1_000_000, ranges
        with pytest.raises(ValueError, match=r"1000000 bytes are here, run the same command again"):
            fetch(published(place.url), tmp_path)
        assert not (tmp_path / "net.pth").exists()
        place.breaks_after = None
        path = fetch(published(place.url), tmp_path)
        assert path is not None
        assert path.read_bytes() == CONTENT
        assert place.asked[-1] == ("/far/net.pth", "bytes=1000000-")


def test_a_whole_part_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "net.pth.part").write_bytes(CONTENT)
    with serving({"/far/net.pth": CONTENT}) as place:
        path = fetch(published(place.url), tmp_path)
    assert path is not None
    assert path.read_bytes() == CONTENT


def test_another_file_than_the_published_one_is_refused_and_not_kept(tmp_path: Path) -> None:
    with serving({"/far/net.pth": CONTENT[::-1]}) as place:
        with pytest.raises(ValueError, match=r"/far/net\.pth: sha256 is \w{64}, not \w{64} as published; nothing was"):
            fetch(published(place.url), tmp_path)
        assert list(tmp_path.iterdir()) == []
        (tmp_path / "net.pth").write_bytes(b"older")
        with pytest.raises(ValueError, match=r"net\.pth: sha256 is .*; remove it and run `dreamreel models fetch"):
            fetch(published(place.url), tmp_path)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with serving({}) as place, pytest.raises(ValueError, match=r"/far/net\.pth: HTTP 404 .*--mirror$"):
        fetch(published(place.url), tmp_path)
    with pytest.raises(ValueError, match=r"refused.*; 0 bytes are here, run the same command again to go on"):
        fetch(published(place.url), tmp_path)
    with pytest.raises(ValueError, match=r"net\.pth: no such file; give a mirror that holds it"):
        fetch(published(place.url), tmp_path, mirror=str(tmp_path / "none"))


def test_a_mirror_is_an_address_or_a_folder(tmp_path: Path) -> None:
    with serving({"/near/net.pth": CONTENT}) as place:
        first = fetch(published(place.url), tmp_path / "first", mirror=f"{place.url}/near/")
        second = fetch(published(place.url), tmp_path / "second", mirror=str(tmp_path / "first"))
    assert first is not None
    assert second is not None
    assert first.read_bytes() == second.read_bytes() == CONTENT


FILES = {"config.json": b"{}", "model.safetensors": b"tensors", "model.bin": b"the same again", "README.md": b"#"}


def test_a_repository_comes_from_the_hub_with_what_is_needed_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "nobody"))
    wanted = Repository(name="some/model", model="a model", licence="MIT", revision=COMMIT)
    other = Repository(name="some/other", model="a model", licence="MIT", revision=COMMIT)
    monkeypatch.setenv("DREAMREEL_MODELS", str(tmp_path / "models"))
    assert store.place(wanted) is None
    with serving(repository("some/model", FILES)) as place:
        path = fetch(wanted, tmp_path / "models", mirror=place.url)
        assert path is not None
        assert {file.name for file in path.iterdir()} == {"config.json", "model.safetensors"}
        copied = fetch(wanted, tmp_path / "copy", mirror=str(tmp_path / "models"))
        assert copied is not None
        with pytest.raises(ValueError, match=r"some/other: not fetched from the hub \(.+\); run it again to go on"):
            fetch(other, tmp_path / "models", mirror=place.url)
    assert store.place(wanted) == path
    assert store.hub_cache(wanted) == tmp_path / "models" / "hub"
    monkeypatch.setenv("DREAMREEL_MODELS", str(tmp_path / "copy"))
    found = store.place(wanted)
    assert found is not None
    assert (found / "model.safetensors").read_bytes() == b"tensors"


def test_a_repository_without_all_of_its_tensors_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMREEL_MODELS", str(tmp_path))
    folder = tmp_path / "hub" / "models--some--model" / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    wanted = Repository(name="some/model", model="a model", licence="MIT", revision=COMMIT)
    (folder / "config.json").write_text("{}")
    assert store.place(wanted) is None
    (folder / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}'
    )
    (folder / "one.safetensors").write_bytes(b"")
    assert store.place(wanted) is None
    (folder / "two.safetensors").write_bytes(b"")
    assert store.place(wanted) == folder
