"""What recipes need: told before a build, found by name or by path, refused where it is another file."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

import dreamreel
from pipeline.models import catalog, store
from pipeline.models.catalog import CATALOG, FILES, REPOSITORIES, Own, Packaged, PublishedFile, Repository
from pipeline.models.deva_tracker import DevaTracker
from pipeline.models.listing import faults, rows
from pipeline.models.segment_anything import SegmentAnything
from pipeline.needs import needs, require, restricted
from pipeline.recipe import load_recipe, recipe_names
from pipeline.run import build
from pipeline.runners.local import local

BARE = ["cutter.shots=null", "namer.model=null"]


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty models folder."""
    monkeypatch.setenv("DREAMREEL_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def publish(monkeypatch: pytest.MonkeyPatch, name: str, content: bytes) -> None:
    """Lets the catalog's file be `content`."""
    entry = replace(next(file for file in FILES if file.name == name), sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(CATALOG, name, entry)
    monkeypatch.setattr(catalog, "FILES", [entry])


def test_every_entry_says_where_it_comes_from_and_under_which_licence() -> None:
    for file in FILES:
        assert file.url.startswith("https://")
        assert file.url.endswith(file.name)
        assert file.sha256 is None or len(file.sha256) == 64
    for repository in REPOSITORIES:
        assert repository.revision is None or len(repository.revision) == 40
    assert all(entry.licence for entry in CATALOG.values())
    forbidden = {entry.name for entry in CATALOG.values() if entry.non_commercial}
    assert forbidden == {"DEVA-propagation.pth", "Qwen/Qwen2.5-VL-3B-Instruct"}


def test_recipes_load_what_the_catalog_knows_and_only_the_papers_is_restricted() -> None:
    for name in recipe_names():
        assert all(need.weights.name in CATALOG for need in needs(load_recipe(name)))
    assert {name for name in recipe_names() if restricted(load_recipe(name))} == {"paper"}
    assert restricted(load_recipe("paper")) == {"tracker.model": "CC BY-NC-SA 4.0"}


@pytest.mark.usefixtures("models")
def test_a_build_without_its_weights_stops_before_it_starts(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"recipe paper needs Qwen/.* and DEVA-propagation\.pth, not on this"
    ) as caught:
        build(str(tmp_path / "videos"), str(tmp_path / "out"), load_recipe("paper"), local)
    assert str(caught.value).endswith("run `dreamreel models fetch paper`")
    assert not (tmp_path / "out").exists()
    changed = load_recipe("embedded", [*BARE, "segmenter.model={size: vit_b}"])
    with pytest.raises(ValueError, match=r"run `dreamreel models fetch sam_vit_b_01ec64\.pth`"):
        require(changed)


def test_another_file_under_a_published_name_is_refused(models: Path) -> None:
    (models / "sam_vit_b_01ec64.pth").write_bytes(b"another")
    recipe = load_recipe("embedded", [*BARE, "segmenter.model={size: vit_b}"])
    with pytest.raises(ValueError, match=r"sam_vit_b_01ec64\.pth: sha256 is .* as published; remove it and run"):
        require(recipe)


def test_weights_are_the_same_by_name_and_by_path(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, "DEVA-propagation.pth", b"deva")
    for path in (models / "DEVA-propagation.pth", tmp_path / "renamed.pth"):
        path.write_bytes(b"deva")
    by_name, by_path = DevaTracker(), DevaTracker(checkpoint=str(tmp_path / "renamed.pth"))
    assert by_name.fingerprint() == by_path.fingerprint()
    assert by_name.weights() == by_path.weights()
    tracker = f"tracker.model={{checkpoint: {tmp_path / 'renamed.pth'}}}"
    assert restricted(load_recipe("embedded", [*BARE, tracker])) == {"tracker.model": "CC BY-NC-SA 4.0"}
    (tmp_path / "renamed.pth").write_bytes(b"trained by the user")
    assert isinstance(by_path.weights()[0], Own)
    assert by_name.fingerprint() != by_path.fingerprint()


def test_restricted_weights_are_told_and_recorded(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], world_folder: Path
) -> None:
    publish(monkeypatch, "DEVA-propagation.pth", b"deva")
    (models / "DEVA-propagation.pth").write_bytes(b"deva")
    sets = [f"--set={each}" for each in ("cutter.shots=null", "captioner.model=null", "grounder.model=null")]
    sets += [f"--set={each}" for each in ("segmenter.model=null", "namer.model=null", "tracker.model={}")]
    assert dreamreel.main(["build", str(world_folder), str(tmp_path / "out"), "--limit", "1", *sets]) == 0
    assert "the weights of tracker.model are CC BY-NC-SA 4.0: not for commercial use" in capfd.readouterr().err
    recorded = json.loads((tmp_path / "out" / "dataset.json").read_text())["models"]
    assert recorded["not for commercial use"] == {"tracker.model": "CC BY-NC-SA 4.0"}
    assert recorded["tracker"] == hashlib.sha256(b"deva").hexdigest()


def test_packaged_weights_are_those_whose_digests_were_written_down() -> None:
    here = [entry for entry in CATALOG.values() if isinstance(entry, Packaged) and entry.path.exists()]
    for name in recipe_names():
        for need in needs(load_recipe(name)):
            assert not isinstance(need.weights, Packaged) or need.weights in here
    from pipeline.models.sums import check_sums

    for entry in here:
        check_sums(entry)


def test_a_check_names_what_is_missing_torn_or_of_another_network(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = SegmentAnything(size="vit_b")
    assert faults(model) == ["sam_vit_b_01ec64.pth is not on this machine"]
    publish(monkeypatch, "sam_vit_b_01ec64.pth", b"torn")
    (models / "sam_vit_b_01ec64.pth").write_bytes(b"torn")
    (fault,) = faults(model)
    assert "no file of weights" in fault
    (models / "sam_vit_b_01ec64.pth").write_bytes(b"other")
    (fault,) = faults(model)
    assert "as published" in fault


@pytest.mark.usefixtures("models")
def test_the_verb_lists_fetches_and_checks(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert dreamreel.main(["models", "ls", "paper", "--json"]) == 0
    listed = json.loads(capfd.readouterr().out)
    assert listed == rows(load_recipe("paper"))
    by_name = {row["weights"]: row for row in listed}
    assert by_name["DEVA-propagation.pth"]["here"] is None
    assert by_name["sam_vit_h_4b8939.pth"]["bytes"] == 2_564_550_879
    assert dreamreel.main(["models", "ls"]) == 0
    assert "CC BY-NC-SA 4.0" in capfd.readouterr().out
    assert dreamreel.main(["models", "check", "paper"]) == 1
    assert "paper tracker.model: DEVA-propagation.pth is not on this machine" in capfd.readouterr().out
    assert dreamreel.main(["models", "fetch", "nonesuch"]) == 2
    assert "nothing to fetch is called 'nonesuch'" in capfd.readouterr().err
    assert dreamreel.main(["models", "fetch", "DEVA-propagation.pth", "--mirror", str(tmp_path / "none")]) == 2
    assert "DEVA-propagation.pth: no such file; give a mirror that holds it" in capfd.readouterr().err


def test_the_notice_names_every_licence_of_the_catalog() -> None:
    notice = (Path(dreamreel.__file__).parent / "NOTICE").read_text()
    for entry in CATALOG.values():
        if isinstance(entry, PublishedFile | Repository):
            assert any(entry.name in line and entry.licence in line for line in notice.splitlines()), entry.name


def test_the_documents_tell_of_every_recipe_and_of_all_packaged_weights() -> None:
    readme = (Path(dreamreel.__file__).parent / "README.md").read_text().splitlines()
    for name in recipe_names():
        (row,) = (line for line in readme if line.startswith(f"| `{name}`"))
        assert ("**not for commercial use**" in row) == bool(restricted(load_recipe(name)))
        assert all(licence in row for licence in restricted(load_recipe(name)).values())
    card = (catalog.PACKAGED / "README.md").read_text()
    for entry in catalog.EMBEDDED:
        assert f"| `{entry.name.split('/')[0]}" in card


def test_a_model_of_the_hub_that_the_catalog_lacks_is_taken_by_its_name() -> None:
    assert store.repository("facebook/sam2.1-hiera-large").revision is not None
    assert store.repository("some/model").revision is None
    other = store.repository("Qwen/Qwen2.5-VL-3B-Instruct", "main")
    assert (other.revision, other.non_commercial) == ("main", True)
