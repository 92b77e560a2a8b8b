"""The verb `train`."""

import argparse
import json
import os
import sys
from typing import Any


def add_verbs(verbs: Any) -> None:
    """Register the verb on argparse's subparsers."""
    parser = verbs.add_parser("train", help="shards -> a trained DreamVideo-2")
    parser.description = (
        "Train on DATASET, as it streams, into the folder RUN. One process; several under torchrun, on one machine or "
        "many (torchrun --nproc-per-node 8 -m dreamreel train ...), also as the entry point of a Ray job."
    )
    parser.add_argument("dataset", metavar="DATASET", help="folder or fsspec URL")
    parser.add_argument("run_folder", metavar="RUN", help="folder or fsspec URL of checkpoints, log and previews")
    parser.add_argument("--recipe", default="embedded", help="a recipe's name or YAML file (default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="a setting, laid over the recipe")
    parser.add_argument("--resume", action="store_true", help="go on with the run in RUN, if there is one")
    parser.add_argument("--json", action="store_true", help="the summary as JSON")
    parser.set_defaults(run=_train)


def _train(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from pipeline.verbs import terminable
    from training.trainer.recipe import load_train_recipe
    from training.trainer.run import train

    recipe = load_train_recipe(args.recipe, args.set)
    with terminable() as stopping:
        summary = train(args.dataset, args.run_folder, recipe, resume=args.resume, stopping=stopping)
    if int(os.environ.get("RANK", "0")) == 0:
        loss = "" if summary.loss is None else f", loss {summary.loss:.4f}"
        rate = "" if summary.clips_per_second is None else f", {summary.clips_per_second:.2f} clips/s"
        print(json.dumps(asdict(summary)) if args.json else f"{summary.steps} of {recipe.steps} steps{loss}{rate}")
    if summary.finished:
        return 0
    print("dreamreel: stopped before the end; run the same command with --resume to go on", file=sys.stderr)
    return 130
