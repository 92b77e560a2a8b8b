"""Which weights a recipe needs, whether they are on this machine and unharmed, and under which terms they come."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pipeline.models import store
from pipeline.models.catalog import Installed, Own, Packaged, PublishedFile, Weights
from pipeline.models.weights import sha256
from pipeline.recipe import Recipe, load_recipe, recipe_names
from pipeline.stage import Settings


@runtime_checkable
class Model(Protocol):
    """Settings of a model."""

    def weights(self) -> tuple[Weights, ...]: ...


@dataclass(frozen=True, kw_only=True)
class Need:
    """Weights, and the setting whose model loads them."""

    setting: str  # "tracker.model"
    model: Model
    weights: Weights


def needs(recipe: Recipe) -> list[Need]:
    """What the recipe's models load, in the order of its stages."""
    return [
        Need(setting=setting, model=model, weights=weights)
        for setting, model in models(recipe)
        for weights in model.weights()
    ]


def models(recipe: Recipe) -> list[tuple[str, Model]]:
    """Every model of the recipe, with the setting that it stands in."""
    return list(_models(recipe, ()))


def require(recipe: Recipe) -> None:
    """Raises `ValueError` where weights are missing, with the command that fetches them, or are not those published."""
    missing = [need for need in needs(recipe) if not here(need.weights)]
    for need in missing:
        if isinstance(need.weights, Own):
            raise ValueError(
                f"{need.setting}: {need.weights.path}: no such file of weights; set the path to where it lies"
            )
        if isinstance(need.weights, Packaged):
            mend = "install the whole package, or train it with `python -m pipeline.embedded.train`"
            raise ValueError(f"{need.setting}: {need.weights.path} is missing from the package; {mend}")
    if missing:
        names = " and ".join(dict.fromkeys(need.weights.name for need in missing))
        raise ValueError(f"recipe {recipe.name} needs {names}, not on this machine; run `{_fetching(recipe, missing)}`")
    for need in needs(recipe):
        check_digest(need.weights)


def here(weights: Weights) -> bool:
    """Whether they are on this machine, whole. What comes in an installed package is."""
    return isinstance(weights, Installed) or store.place(weights) is not None


def check_digest(weights: Weights) -> None:
    """Raises `ValueError` where a published file that is here is another than its makers'."""
    path = store.place(weights)
    if path is None or not isinstance(weights, PublishedFile) or weights.sha256 is None:
        return
    found = sha256(path)
    if found != weights.sha256:
        mend = f"remove it and run `dreamreel models fetch {weights.name}`, or name your own file by `checkpoint`"
        raise ValueError(f"{path}: sha256 is {found}, not {weights.sha256} as published; {mend}")


def restricted(recipe: Recipe) -> dict[str, str]:
    """Settings whose weights forbid commercial use -> their licence."""
    return {need.setting: need.weights.licence for need in needs(recipe) if need.weights.non_commercial}


def _models(settings: Settings, parents: tuple[str, ...]) -> Iterator[tuple[str, Model]]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Settings) and isinstance(value, Model):
            yield ".".join((*parents, name)), value
        elif isinstance(value, Settings):
            yield from _models(value, (*parents, name))


def _fetching(recipe: Recipe, missing: Sequence[Need]) -> str:
    """The command for what is missing: by the recipe's name where that names them all."""
    wanted = {need.weights.name for need in missing}
    if recipe.name in recipe_names() and wanted <= {need.weights.name for need in needs(load_recipe(recipe.name))}:
        return f"dreamreel models fetch {recipe.name}"
    return f"dreamreel models fetch {' '.join(sorted(wanted))}"
