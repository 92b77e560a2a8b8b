"""Recipes: every setting of a build in one typed object, from a YAML file and `--set a.b=c`."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from pipeline.settings_file import assigned, load, names_in, validated
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
    return load(Recipe, FOLDER, name, assignments)


def recipe_of(values: Mapping[str, Any]) -> Recipe:
    """A recipe from plain values, as `Recipe.settings` gives them."""
    return validated(Recipe, values)


def override(recipe: Recipe, assignments: Iterable[str]) -> Recipe:
    """`recipe` with `a.b=c` assignments laid over."""
    return recipe_of(assigned(recipe.settings(), assignments))


def recipe_names() -> list[str]:
    return names_in(FOLDER)


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
