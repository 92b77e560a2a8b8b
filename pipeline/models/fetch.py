"""Downloads of weights: a file goes on where it stopped, and is there only once its digest is the published one."""

import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from pipeline.models.catalog import PublishedFile, Repository, Weights
from pipeline.models.store import hub_folder
from pipeline.models.weights import sha256

BLOCK = 1 << 20  # bytes

Advance = Callable[[int, int | None], None]
"""Called with the bytes of a file that are here and those of the whole, None where the server does not say."""


def fetch(
    weights: Weights, folder: Path, mirror: str | None = None, advance: Advance = lambda done, total: None
) -> Path | None:
    """Brings published weights into the models folder `folder`; None for those that need no fetching.

    `mirror` stands for the makers' places: an address under which the files lie by their names and which speaks for
    the hub, or a folder laid out as a models folder. Raises `ValueError` where it cannot be had or is not what was
    published; what came before a connection broke stays, and the next call goes on from there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(weights, PublishedFile):
        return _file(weights, folder, mirror, advance)
    if isinstance(weights, Repository):
        return _repository(weights, folder, mirror)
    return None


def _file(weights: PublishedFile, folder: Path, mirror: str | None, advance: Advance) -> Path:
    path = folder / weights.name
    if path.is_file():
        _check(path, weights, path, f"remove it and run `dreamreel models fetch {weights.name}`")
        return path
    part = folder / f"{weights.name}.part"
    source = weights.url if mirror is None else f"{mirror.rstrip('/')}/{weights.name}"
    if mirror is not None and not _is_address(mirror):
        _copy(source, part)
    else:
        _download(source, part, advance)
    try:
        _check(part, weights, source, "nothing was kept; try another mirror")
    except ValueError:
        part.unlink()
        raise
    return part.replace(path)


def _check(path: Path, weights: PublishedFile, shown: str | Path, mend: str) -> None:
    found = sha256(path)
    if weights.sha256 not in (None, found):
        raise ValueError(f"{shown}: sha256 is {found}, not {weights.sha256} as published; {mend}")


def _is_address(mirror: str) -> bool:
    return mirror.startswith(("http://", "https://"))


def _copy(source: str, part: Path) -> None:
    if not Path(source).is_file():
        raise ValueError(f"{source}: no such file; give a mirror that holds it")
    shutil.copyfile(source, part)


def _download(url: str, part: Path, advance: Advance) -> None:
    """The whole of `url` into `part`, from the byte on that `part` ends with."""
    done = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            if answer.status != 206:
                done = 0  # the server gives the whole
            _receive(answer, part, done, advance)
    except urllib.error.HTTPError as error:
        if error.code == 416 and done:
            return  # nothing is left to come; the digest says whether it is right
        raise ValueError(f"{url}: HTTP {error.code} {error.reason}; give another place with --mirror") from error
    except (urllib.error.URLError, HTTPException, OSError) as error:
        here = part.stat().st_size if part.is_file() else 0
        raise ValueError(f"{url}: {error}; {here} bytes are here, run the same command again to go on") from error


def _receive(answer: Any, part: Path, done: int, advance: Advance) -> None:
    length = answer.headers.get("Content-Length")
    total = None if length is None else done + int(length)
    with part.open("ab" if done else "wb") as stream:
        while block := answer.read(BLOCK):
            stream.write(block)
            done += len(block)
            advance(done, total)
    if total is not None and done < total:
        raise HTTPException(f"the connection broke after {done} of {total} bytes")


def _repository(weights: Repository, folder: Path, mirror: str | None) -> Path:
    cache = hub_folder(folder)
    if mirror is not None and not _is_address(mirror):
        name = f"models--{weights.name.replace('/', '--')}"
        if not (hub_folder(Path(mirror)) / name).is_dir():
            raise ValueError(f"{hub_folder(Path(mirror)) / name}: no such folder; give a mirror that holds it")
        shutil.copytree(hub_folder(Path(mirror)) / name, cache / name, symlinks=True, dirs_exist_ok=True)
        return cache / name
    return _snapshot(weights, cache, mirror)


def _snapshot(weights: Repository, cache: Path, endpoint: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        found = snapshot_download(
            weights.name,
            revision=weights.revision,
            cache_dir=cache,
            allow_patterns=list(weights.files),
            endpoint=endpoint,
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{weights.name}: not fetched from the hub ({reason}); run it again to go on") from error
    return Path(found)
