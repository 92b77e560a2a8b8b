"""What a recipe loads, as rows for people and machines; and what is wrong with what is here."""

from pathlib import Path
from typing import Any

from pipeline.models import store
from pipeline.models.catalog import Installed, Packaged, PublishedFile, Repository, Weights
from pipeline.models.sums import check_sums, read_sums
from pipeline.models.weights import sha256
from pipeline.needs import Model, check_digest, here, needs
from pipeline.recipe import Recipe


def rows(recipe: Recipe) -> list[dict[str, Any]]:
    """A row for all weights that a recipe loads; `pin` is the sha256, or of a repository the commit."""
    return [
        {
            "recipe": recipe.name,
            "setting": need.setting,
            "weights": need.weights.name,
            "of": need.weights.model,
            "bytes": _bytes(need.weights),
            "licence": need.weights.licence,
            "pin": _pin(need.weights),
            "here": _shown(need.weights),
            "from": _source(need.weights),
        }
        for need in needs(recipe)
    ]


def faults(model: Model) -> list[str]:
    """What is missing of a model's weights, is not what was published, or does not fit its network."""
    absent = [f"{weights.name} is not on this machine" for weights in model.weights() if not here(weights)]
    if absent:
        return absent
    try:
        for weights in model.weights():
            check_digest(weights)
            if isinstance(weights, Packaged):
                check_sums(weights)
        if hasattr(model, "check"):
            model.check()
    except ValueError as error:
        return [str(error)]
    return []


def _bytes(weights: Weights) -> int | None:
    if weights.num_bytes is not None:
        return weights.num_bytes
    path = store.place(weights)
    return None if path is None else store.size(path)


def _pin(weights: Weights) -> str | None:
    match weights:
        case PublishedFile(sha256=digest):
            return digest
        case Repository(revision=revision):
            return revision
        case Packaged(name=name):
            sums = read_sums()
            return sums.get(name) or sums.get(f"{name}/model.safetensors")
        case Installed():
            return "its package"
    path = store.place(weights)
    return None if path is None or path.is_dir() else sha256(path)


def _shown(weights: Weights) -> str | None:
    """Where they are on this machine."""
    if isinstance(weights, Installed):
        return weights.name
    path: Path | None = store.place(weights)
    return None if path is None else str(path)


def _source(weights: Weights) -> str:
    match weights:
        case PublishedFile(url=url):
            return url
        case Repository(name=name):
            return f"https://huggingface.co/{name}"
        case Packaged():
            return "this package"
        case Installed(name=name):
            return f"package {name}"
    return "the user"
