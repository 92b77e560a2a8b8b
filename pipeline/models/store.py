"""Where weights lie on this machine: in the package, in the models folder, in the hub's cache, or where a user says."""

import json
import os
from pathlib import Path

from pipeline.models import catalog
from pipeline.models.catalog import CATALOG, Own, Packaged, PublishedFile, Repository, Weights
from pipeline.models.weights import sha256

FOLDER_VARIABLE = "DREAMREEL_MODELS"
"""Environment variable that names the models folder."""


def models_folder() -> Path:
    """Where `dreamreel models fetch` puts what it downloads: `$DREAMREEL_MODELS`, or a part of the user's cache."""
    from platformdirs import user_cache_path

    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else user_cache_path("dreamreel") / "models"


def hub_folder(folder: Path | None = None) -> Path:
    """The part of the models folder that is laid out as the hub's own cache."""
    return (folder or models_folder()) / "hub"


def weights_of(checkpoint: str | None, published: str) -> Weights:
    """What a model's setting `checkpoint` names: the catalog's entry `published`, or a file of the user's own.

    A path to a published file is that file, by its digest.
    """
    if checkpoint is None:
        return CATALOG[published]
    path = Path(checkpoint)
    known = catalog.of_digest(sha256(path)) if path.is_file() else None
    return known or Own(name=checkpoint, model="a file of the user's own", licence="the user's own", path=path)


def checkpoint_path(checkpoint: str | None, published: str) -> Path:
    """Where the file lies that `checkpoint` names. Raises `ValueError` for one of the catalog that is not here."""
    if checkpoint is not None:
        return Path(checkpoint)
    path = place(CATALOG[published])
    if path is None:
        raise ValueError(
            f"no weights: {published} is not in {models_folder()}; run `dreamreel models fetch {published}`"
        )
    return path


def place(weights: Weights) -> Path | None:
    """The file or folder, whole; None for one that is not on this machine, and for what an installed package holds."""
    match weights:
        case Own(path=path) | Packaged(path=path):
            return path if path.exists() else None
        case PublishedFile(name=name):
            path = models_folder() / name
            return path if path.is_file() else None
        case Repository():
            return next((found for cache in _caches() if (found := _snapshot(weights, cache))), None)
    return None


def hub_cache(weights: Repository) -> Path | None:
    """The cache that holds the repository; None for the hub's own, where it lies or would be put."""
    folder = hub_folder()
    return folder if _snapshot(weights, folder) else None


def repository(name: str, revision: str | None = None, *, tensors: bool = True) -> Repository:
    """A model on the hub: the catalog's, at its commit unless `revision` is another, or one that it does not know."""
    known = CATALOG.get(name)
    if isinstance(known, Repository) and revision in (None, known.revision):
        return known
    licence = known.licence if known else f"see https://huggingface.co/{name}"
    return Repository(
        name=name,
        model="a model of the hub",
        licence=licence,
        non_commercial=known is not None and known.non_commercial,
        revision=revision,
        tensors=tensors,
    )


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def _caches() -> tuple[Path, Path]:
    from huggingface_hub.constants import HF_HUB_CACHE

    return hub_folder(), Path(HF_HUB_CACHE)


def _snapshot(weights: Repository, cache: Path) -> Path | None:
    """The repository's folder in a cache of the hub, if all that is needed of it is there."""
    from huggingface_hub import try_to_load_from_cache

    settings = try_to_load_from_cache(weights.name, "config.json", cache_dir=cache, revision=weights.revision)
    if not isinstance(settings, str):
        return None
    folder = Path(settings).parent
    return folder if _has_tensors(folder) or not weights.tensors else None


def _has_tensors(folder: Path) -> bool:
    """Whether every file of tensors is there, one or as many as the index names."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return (folder / "model.safetensors").is_file()
    return all((folder / name).is_file() for name in json.loads(index.read_text())["weight_map"].values())
