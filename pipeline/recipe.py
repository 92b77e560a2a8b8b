"""Recipes: every setting of a build in one typed object, from a YAML file and `--set a.b=c`."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from pipeline.stage import PLACES, AnyStage, Settings
from pipeline.stages.annotate import Captioner, Namer
from pipeline.stages.cutter import Cutter
from pipeline.stages.encoder import Encoder
from pipeline.stages.judge import Judge, Screener
from pipeline.stages.locate import Grounder, Segmenter, Tracker
from pipeline.stages.measurer import Measurer
from pipeline.stages.rules import MEASUREMENTS, Rules

FOLDER = Path(__file__).parent / "recipes"


class Shards(Settings):
    """How clips are laid into shards."""

    videos: int = Field(default=64, ge=1)  # videos a shard; a shard is written when their last clip is decided


class Recipe(Settings):
    """A build from first to last setting; the stages stand in the order in which a clip passes them."""

    name: str
    cutter: Cutter = Cutter()
    encoder: Encoder = Encoder()
    captioner: Captioner = Captioner()
    namer: Namer = Namer()
    grounder: Grounder = Grounder()
    segmenter: Segmenter = Segmenter()
    tracker: Tracker = Tracker()
    measurer: Measurer = Measurer()
    rules: Rules = Rules()
    shards: Shards = Shards()

    @model_validator(mode="after")
    def _measures_what_it_judges(self) -> Self:
        for rule, measurement in MEASUREMENTS.items():
            if getattr(self.rules, rule) is not None and getattr(self.measurer, measurement) is None:
                raise ValueError(
                    f"rules.{rule} judges by what measurer.{measurement} measures, which is off: "
                    f"set measurer.{measurement}={{}} or rules.{rule}=null"
                )
        return self

    def stages(self, dataset: str, donors: tuple[str, ...] = ()) -> list[AnyStage]:
        """The stages in order, for a dataset at URL `dataset`; `donors` may hold clips that are needed again."""
        return [
            self.cutter,
            self.encoder.model_copy(update={"dataset": dataset, "donors": donors}),
            self.captioner,
            self.namer,
            self.grounder,
            Screener(rules=self.rules),
            self.segmenter,
            self.tracker.asking(self.grounder.model, self.segmenter.model),
            self.measurer,
            Judge(rules=self.rules),
        ]

    def settings(self) -> dict[str, Any]:
        """Every setting as plain JSON, for `dataset.json`."""
        return self.model_dump(mode="json")


def load_recipe(name: str, assignments: Iterable[str] = ()) -> Recipe:
    """The recipe called `name` (see `recipe_names`), or in the YAML file `name`, with `a.b=c` assignments laid over.

    Raises ValueError in one line: no such recipe, an unknown key (with the nearest known one), a value that does
    not fit.
    """
    values = _read(name)
    for assignment in assignments:
        _assign(values, assignment)
    return recipe_of(values)


def recipe_of(values: Mapping[str, Any]) -> Recipe:
    """A recipe from plain values, as `Recipe.settings` gives them."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise ValueError("; ".join(_explain(fault) for fault in error.errors()[:3])) from None


def override(recipe: Recipe, assignments: Iterable[str]) -> Recipe:
    """`recipe` with `a.b=c` assignments laid over."""
    values = recipe.settings()
    for assignment in assignments:
        _assign(values, assignment)
    return recipe_of(values)


def recipe_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The settings in which two recipes differ, each as "a.b: old -> new"; where it runs is none of them."""
    found = []
    for key in sorted({*old, *new} - {"needs", *PLACES}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(f"{prefix}{key}: {before} -> {after}")
    return found


def _read(name: str) -> dict[str, Any]:
    path = FOLDER / f"{name}.yaml"
    if not path.exists():
        path = Path(name)
    if not path.is_file():
        raise ValueError(f"no recipe {name!r}: give a YAML file, or one of {', '.join(recipe_names())}")
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: a recipe is a mapping of stages to settings, not a {type(values).__name__}")
    return {"name": path.stem, **values}


def _assign(values: dict[str, Any], assignment: str) -> None:
    path, sign, text = assignment.partition("=")
    if not sign or not path.strip():
        raise ValueError(f"--set {assignment}: write it as stage.setting=value")
    *parents, leaf = path.strip().split(".")
    place = values
    for parent in parents:
        inner = place.get(parent)
        place[parent] = place = dict(inner) if isinstance(inner, Mapping) else {}
    try:
        place[leaf] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError(f"--set {assignment}: {text!r} is not a YAML value; quote it or close its brackets") from None


def _explain(fault: Any) -> str:
    """One line for one of pydantic's errors."""
    path = _path(fault["loc"])
    if not path:  # settings that do not go together
        return str(fault["ctx"]["error"])
    if fault["type"] != "extra_forbidden":
        return f"{path}={fault['input']!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}"
    *parents, leaf = fault["loc"]
    known = _keys_at(parents)
    near = difflib.get_close_matches(str(leaf), known, n=1, cutoff=0.4)
    hint = f"did you mean {_path([*parents, near[0]])}?" if near else f"known: {', '.join(known)}"
    return f"unknown setting {path}; {hint}"


def _path(location: Iterable[Any]) -> str:
    """As a recipe has it: without the names of classes, with which pydantic tells apart what a setting may be."""
    return ".".join(str(part) for part in location if not str(part)[:1].isupper())


def _keys_at(parents: Iterable[Any]) -> list[str]:
    models: list[type[BaseModel]] = [Recipe]
    for parent in parents:
        chosen = [model for model in models if model.__name__ == parent]
        fields = [model.model_fields[parent] for model in models if parent in model.model_fields]
        models = chosen or [inner for field in fields for inner in _models_in(field.annotation)]
    return list(dict.fromkeys(name for model in models for name in model.model_fields))


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
