"""The verb `estimate`."""

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipeline.verbs import SOURCES, add_run_options, runner_of, terminable

if TYPE_CHECKING:
    from pipeline.estimate.wall import Cluster


def add_verbs(verbs: Any) -> None:
    """Register the verb on argparse's subparsers."""
    verb = verbs.add_parser("estimate", help="hours, disk and money of a build, from a measured probe")
    verb.add_argument("source", metavar="SOURCE", help=SOURCES)
    verb.add_argument("--recipe", default="embedded", help="a recipe's name or YAML file (default: %(default)s)")
    verb.add_argument("--probe", type=int, default=128, metavar="N", help="videos to build (default: %(default)s)")
    verb.add_argument("--nodes", type=int, metavar="N", help="machines of the run (default: one process, as here)")
    verb.add_argument("--gpus-per-node", type=float, default=4.0, metavar="N", help="(default: %(default)g)")
    verb.add_argument("--cpus-per-node", type=float, default=48.0, metavar="N", help="cores (default: %(default)g)")
    verb.add_argument("--price", type=float, metavar="P", help="of a GPU for an hour, in any currency")
    verb.add_argument(
        "--scratch",
        metavar="PLACE",
        help="where the probe's dataset lies until the end: all of Ray's machines reach it",
    )
    add_run_options(verb)
    verb.set_defaults(run=_estimate)


def _estimate(args: argparse.Namespace) -> int:
    from pipeline.estimate.estimate import estimate
    from pipeline.estimate.text import as_text
    from pipeline.progress import counted, shown
    from pipeline.recipe import load_recipe

    recipe = load_recipe(args.recipe, args.set)
    looking = counted("videos looked at", sys.stderr)
    with terminable() as stopping, looking as seen, shown(stopping, sys.stderr) as watch:
        found = estimate(
            args.source,
            recipe,
            runner_of(args),
            probes=args.probe,
            cluster=_cluster(args),
            price=args.price,
            place=args.scratch,
            watch=watch,
            seen=seen,
        )
    if found is None:
        print("dreamreel: stopped before the probe's end; nothing of it is left", file=sys.stderr)
        return 130
    print(json.dumps(asdict(found), indent=1) if args.json else as_text(found))
    return 0


def _cluster(args: argparse.Namespace) -> "Cluster | None":
    from pipeline.estimate.wall import Cluster
    from pipeline.scheduler.settings import scheduling
    from pipeline.scheduler.sizing import Node

    if args.nodes is None:
        return None
    if args.nodes < 1:
        raise ValueError(f"--nodes {args.nodes}: give at least 1")
    node = Node(cpus=args.cpus_per_node, gpus=args.gpus_per_node)
    counts = {"workers": args.workers, "gpu_workers": args.gpu_workers}
    return Cluster(nodes=(node,) * args.nodes, scheduling=scheduling(args.schedule, **counts))
