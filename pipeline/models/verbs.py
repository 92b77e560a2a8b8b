"""The verb `models`: lists the weights of recipes, fetches them, and looks whether they fit."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.models.catalog import Weights
    from pipeline.models.fetch import Advance
    from pipeline.recipe import Recipe


def add_verbs(verbs: Any) -> None:
    """Register the verb on argparse's subparsers."""
    models = verbs.add_parser("models", help="weights of recipes: list, fetch, check")
    parts = models.add_subparsers(title="verbs", metavar="VERB", required=True)

    ls = parts.add_parser("ls", help="what each recipe loads, from where, how large, under which licence")
    ls.add_argument("recipes", nargs="*", metavar="RECIPE", help="recipes or YAML files (default: every recipe)")
    ls.add_argument("--json", action="store_true")
    ls.set_defaults(run=_ls)

    fetch = parts.add_parser("fetch", help="download what is missing; run again, it goes on where it stopped")
    fetch.add_argument("names", nargs="+", metavar="RECIPE|NAME", help="recipes, or names that `ls` lists")
    fetch.add_argument("--mirror", metavar="URL", help="an address or folder that stands for the makers' places")
    fetch.add_argument("--to", type=Path, metavar="FOLDER", help="the models folder (default: $DREAMREEL_MODELS)")
    fetch.set_defaults(run=_fetch)

    check = parts.add_parser("check", help="digests, and names and shapes of tensors against the networks")
    check.add_argument("recipes", nargs="*", metavar="RECIPE", help="recipes or YAML files (default: every recipe)")
    check.set_defaults(run=_check)


def _ls(args: argparse.Namespace) -> int:
    from pipeline.models.listing import rows
    from shards.verbs import aligned

    found = [row for name in _recipes(args.recipes) for row in rows(_recipe(name))]
    if args.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        print(aligned([list(found[0]), *([_short(key, cell) for key, cell in row.items()] for row in found)]))
    return 0


def _short(key: str, cell: Any) -> str:
    if key == "bytes":
        return "?" if cell is None else f"{cell / 1e6:,.1f} MB"
    if key == "pin":
        return "unpinned" if cell is None else str(cell)[:12]
    if key == "here":
        return "no" if cell is None else "yes"
    return str(cell)


def _fetch(args: argparse.Namespace) -> int:
    from pipeline.models import store
    from pipeline.models.fetch import fetch

    folder = args.to or store.models_folder()
    for weights in _wanted(args.names):
        with _progress(weights.name) as advance:
            path = fetch(weights, folder, args.mirror, advance)
        if path is not None:
            terms = f"{weights.licence}, not for commercial use" if weights.non_commercial else weights.licence
            print(f"{weights.name} ({terms}): {path}", flush=True)
    return 0


def _check(args: argparse.Namespace) -> int:
    from pipeline.models.listing import faults
    from pipeline.needs import models

    found = 0
    for name in _recipes(args.recipes):
        for setting, model in models(_recipe(name)):
            wrong = faults(model)
            found += len(wrong)
            print(
                "\n".join([f"{name} {setting}: {fault}" for fault in wrong] or [f"{name} {setting}: fits"]), flush=True
            )
    return 1 if found else 0


def _recipe(name: str) -> "Recipe":
    from pipeline.recipe import load_recipe

    return load_recipe(name)


def _recipes(names: Sequence[str]) -> Sequence[str]:
    from pipeline.recipe import recipe_names

    return names or recipe_names()


def _wanted(names: Sequence[str]) -> list["Weights"]:
    """What the recipes of these names load, and the weights of these names, each once."""
    from pipeline.models.catalog import CATALOG
    from pipeline.models.store import repository
    from pipeline.needs import needs
    from pipeline.recipe import recipe_names

    found: dict[str, Weights] = {}
    for name in names:
        if name in CATALOG:
            found[name] = CATALOG[name]
        elif name in recipe_names() or Path(name).is_file():
            found |= {need.weights.name: need.weights for need in needs(_recipe(name))}
        elif name.count("/") == 1:
            found[name] = repository(name)
        else:
            known = ", ".join([*recipe_names(), *sorted(CATALOG)])
            raise ValueError(f"nothing to fetch is called {name!r}; give a model's name on the hub, or one of {known}")
    return list(found.values())


@contextmanager
def _progress(what: str) -> "Iterator[Advance]":
    """A function for the bytes that are here and those of the whole; on a terminal it moves a bar."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
