"""The verbs `build` and `refilter`."""

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shards.ledger import GIVEN_UP

SOURCES = "a folder of videos, or webvid:CSV, ucf101:DIR, davis:DIR, got10k:DIR, videobooth:DIR, parquet:FILE"


def add_verbs(verbs: Any) -> None:
    """Register the verbs on argparse's subparsers."""
    build = verbs.add_parser("build", help="videos -> annotated, verified shards")
    build.add_argument("source", metavar="SOURCE", nargs="?", help=SOURCES)
    build.add_argument(
        "dataset", metavar="DATASET", nargs="?", help="folder or URL to build; one that is half-built goes on"
    )
    build.add_argument("--status", metavar="DATASET", help="say how the build of a dataset stands, and end")
    build.add_argument("--recipe", default="embedded", help="a recipe's name or YAML file (default: %(default)s)")
    build.add_argument("--limit", type=int, metavar="N", help="plan N videos only, spread over the source")
    build.add_argument(
        "--retry", action="append", default=[], choices=GIVEN_UP, help="try such clips again (may be given twice)"
    )
    build.add_argument(
        "--from",
        dest="donor",
        metavar="OLD",
        help="a dataset whose answers are taken over where these settings leave them valid: the rest is worked out",
    )
    build.add_argument("--price", type=float, metavar="P", help="of a GPU for an hour, for the report")
    build.add_argument("--report", metavar="FILE", help="with --status: write the report of the build as it stands")
    build.add_argument("--metrics", metavar="[HOST:]PORT", help="serve Prometheus metrics meanwhile")
    add_run_options(build)
    build.set_defaults(run=_build)

    refilter = verbs.add_parser("refilter", help="other thresholds over what was measured; no model runs")
    refilter.add_argument("dataset", metavar="DATASET")
    refilter.add_argument("out", metavar="OUT", help="folder or URL of the new version")
    add_run_options(refilter)
    refilter.set_defaults(run=_refilter)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """What every verb that runs stages takes."""
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="a setting, laid over the recipe")
    parser.add_argument("--ray", metavar="ADDRESS", help="run on Ray: a cluster's address, `auto`, or `local`")
    parser.add_argument("--workers", type=int, metavar="N", help="Ray workers without a GPU (default: one a core)")
    parser.add_argument("--gpu-workers", type=int, metavar="N", help="of each GPU stage (default: by measured rates)")
    parser.add_argument("--schedule", action="append", default=[], metavar="A=B", help="how work is spread: strikes=3")
    parser.add_argument("--json", action="store_true", help="the summary as JSON")


def _build(args: argparse.Namespace) -> int:
    from pipeline.needs import restricted
    from pipeline.progress import shown
    from pipeline.recipe import load_recipe
    from pipeline.run import build

    if args.status is not None:
        return _status(args)
    if args.report is not None:
        raise ValueError("--report goes with --status DATASET; a build writes DATASET/report.html by itself")
    if args.source is None or args.dataset is None:
        raise ValueError("build needs SOURCE and DATASET; see `dreamreel build --help`")
    recipe = load_recipe(args.recipe, args.set)
    for setting, licence in restricted(recipe).items():
        print(f"dreamreel: the weights of {setting} are {licence}: not for commercial use", file=sys.stderr)
    with terminable() as stopping, shown(stopping, sys.stderr) as watch:
        summary = build(
            args.source,
            args.dataset,
            recipe,
            runner_of(args),
            limit=args.limit,
            retry=args.retry,
            donor=args.donor,
            metrics=args.metrics,
            watch=watch,
        )
    _write_report(args)
    return _told(summary, args)


def _status(args: argparse.Namespace) -> int:
    from pipeline.report import render
    from pipeline.status import status

    print(status(args.status))
    if args.report is not None:
        Path(args.report).write_text(render(args.status, args.price), encoding="utf-8")
    return 0


def _write_report(args: argparse.Namespace) -> None:
    """A report that cannot be written harms nobody: the dataset is whole without it."""
    from pipeline.report import write
    from shards.storage import StorageError

    try:
        place = write(args.dataset, args.price)
    except StorageError as error:
        print(f"dreamreel: no report was written: {error}", file=sys.stderr)
    else:
        if place is not None:
            print(f"report: {place}", file=sys.stderr)


def _refilter(args: argparse.Namespace) -> int:
    from pipeline.progress import shown
    from pipeline.run import refilter

    with terminable() as stopping, shown(stopping, sys.stderr) as watch:
        summary = refilter(args.dataset, args.out, args.set, runner_of(args), watch=watch)
    return _told(summary, args)


def runner_of(args: argparse.Namespace) -> Any:
    """The runner that the options ask for."""
    from pipeline.runners.local import local

    if args.ray is None:
        return local
    from pipeline.runners.actors import ray_runner
    from pipeline.scheduler.settings import scheduling

    counts = {"workers": args.workers, "gpu_workers": args.gpu_workers}
    return ray_runner(None if args.ray == "local" else args.ray, scheduling(args.schedule, **counts))


def _told(summary: Any, args: argparse.Namespace) -> int:
    from pipeline.run import as_json, as_text

    print(as_json(summary) if args.json else as_text(summary))
    if summary.finished:
        return 0
    print("dreamreel: stopped before the end; run the same command again to go on", file=sys.stderr)
    return 130


@contextmanager
def terminable() -> Iterator[Callable[[], bool]]:
    """SIGTERM and the first Ctrl-C ask the build to finish what is under way; a second Ctrl-C ends it at once."""
    asked = False

    def ask(number: int, frame: object) -> None:  # noqa: ARG001  a signal handler's form
        nonlocal asked
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
