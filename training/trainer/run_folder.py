"""A run's folder: what it says it is, and whether a start may go on with it."""

import json
from importlib.metadata import version
from typing import Any

from pipeline.recipe import differences
from shards import Storage
from shards.entry import canonical_json
from training.trainer import checkpoints
from training.trainer.log import LOG, moments
from training.trainer.recipe import GOES_ON_WITH, TrainRecipe

INFO = "run.json"


def step_of_run(storage: Storage, dataset: str, recipe: TrainRecipe, resume: bool) -> int:
    """The step at which the run in `storage` stands, 0 for a new one or for one that ended before its first step.

    Raises ValueError where there is a run that was not asked to go on, or one of another recipe or dataset.
    """
    if not storage.exists(INFO) or not (checkpoints.steps(storage) or _has_learnt(storage)):
        return 0
    changed = differences(_identity(run_info(storage)), _identity(_described(dataset, recipe)))
    if changed:
        raise ValueError(
            f"{storage.url} holds a run with other settings ({'; '.join(changed[:3])}): set them back, or name a new "
            "folder"
        )
    step = max(checkpoints.steps(storage), default=0)
    if not resume:
        raise ValueError(f"{storage.url} holds a run at step {step}; go on with --resume, or name a new folder")
    return step


def describe_run(storage: Storage, dataset: str, recipe: TrainRecipe) -> None:
    """Say in `storage` what the run in it is."""
    storage.write(INFO, canonical_json(_described(dataset, recipe)))


def run_info(storage: Storage) -> dict[str, Any]:
    """What run.json says. Raises ValueError where there is no run."""
    if not storage.exists(INFO):
        raise ValueError(f"{storage.url} is not a run: it has no {INFO}; check the path")
    try:
        said: dict[str, Any] = json.loads(storage.read(INFO))
        return {"dataset": said["dataset"], "recipe": said["recipe"], "code": said["code"]}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{storage.url}/{INFO} is damaged ({error!r}); name a new folder") from None


def _has_learnt(storage: Storage) -> bool:
    return storage.exists(LOG) and bool(moments(storage))


def _described(dataset: str, recipe: TrainRecipe) -> dict[str, Any]:
    return {"dataset": dataset, "recipe": recipe.settings(), "code": version("dreamreel")}


def _identity(said: dict[str, Any]) -> dict[str, Any]:
    """The settings that make it this run and no other."""
    recipe = {name: value for name, value in said["recipe"].items() if name not in GOES_ON_WITH}
    return {"dataset": said["dataset"], **recipe}
