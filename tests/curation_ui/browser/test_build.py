"""The page that is in the tree is what its source builds to, and its types are those of the wire."""

import filecmp
import shutil
import subprocess
from pathlib import Path

from curation_ui.typescript import FILE, typescript

ROOM = FILE.parents[2]


def test_types_are_those_of_the_wire() -> None:
    assert FILE.read_text() == typescript(), "make page writes them anew"


def test_built_page_is_fresh(node_modules: Path, tmp_path: Path) -> None:
    web = tmp_path / "web"
    shutil.copytree(ROOM / "web", web, ignore=shutil.ignore_patterns("node_modules"))
    (web / "node_modules").symlink_to(node_modules)
    built = subprocess.run(["npm", "run", "build"], cwd=web, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stdout + built.stderr
    assert _files(tmp_path / "static") == _files(ROOM / "static"), "make page builds it anew"
    for name in _files(ROOM / "static"):
        assert filecmp.cmp(tmp_path / "static" / name, ROOM / "static" / name, shallow=False), name


def test_first_screen_is_small() -> None:
    """Everything that the grid needs, unpacked: half of what React alone and its renderer weigh."""
    index = (ROOM / "static" / "index.html").read_text()
    first = [path for path in _files(ROOM / "static") if path.endswith(".js") and path in index]
    assert 0 < sum((ROOM / "static" / path).stat().st_size for path in first) < 70_000


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
