"""Digests of the weights that come with this package, in one generated file: `python -m pipeline.models.sums`."""

from pathlib import Path

from pipeline.models.catalog import PACKAGED, SUMS, Packaged
from pipeline.models.weights import sha256

UNSIGNED = frozenset({SUMS, "README.md"})


def write_sums(folder: Path = PACKAGED) -> None:
    """Writes the file anew: a line for every other file below `folder`, as `sha256sum --check` reads it."""
    lines = [f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in _files(folder)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SUMS).write_text("".join(lines))


def read_sums(folder: Path = PACKAGED) -> dict[str, str]:
    """Path below `folder` -> digest; empty where there is no such file."""
    if not (folder / SUMS).is_file():
        return {}
    pairs = (line.split("  ", 1) for line in (folder / SUMS).read_text().splitlines())
    return {name: digest for digest, name in pairs}


def check_sums(weights: Packaged) -> None:
    """Raises `ValueError` where a file of packaged weights is another than the one whose digest was written down."""
    sums = read_sums()
    for path in [weights.path] if weights.path.is_file() else _files(weights.path):
        name = path.relative_to(PACKAGED).as_posix()
        if sums.get(name) != sha256(path):
            mend = "install the package anew, or run `python -m pipeline.models.sums` for weights of your own"
            raise ValueError(f"{path}: sha256 is {sha256(path)}, not {sums.get(name, 'written down')}; {mend}")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in UNSIGNED)


if __name__ == "__main__":
    write_sums()
