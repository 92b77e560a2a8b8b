"""Whether a run on a cluster can be trusted: what it keeps busy, what it survives, what it does not do again.

    python -m benchmarks.cluster [--only PART ...] [--rounds N] [--clips N] [--kills N] [--minutes N]
                                 [--folder FOLDER] [--out FOLDER]

The stages sleep instead of asking models; runner, scheduler, ledger and shards are those of every build.
"""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cluster import again, flow, kills, large, trouble
from benchmarks.cluster.report import RESULTS, Line, table, write


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    folder: Path
    rounds: int
    clips: int
    kills: int
    minutes: float


PARTS: dict[str, Callable[[Plan], list[Line]]] = {
    "busy": lambda plan: flow.busy(plan.folder, plan.rounds),
    "bare": lambda plan: flow.bare(plan.folder, plan.rounds),
    "scaling": lambda plan: flow.scaling(plan.folder, plan.rounds),
    "driver": lambda plan: flow.driver(plan.folder, plan.rounds),
    "poison": lambda plan: trouble.poison(plan.folder / "poison"),
    "nodes": lambda plan: trouble.nodes(plan.folder / "nodes", plan.rounds),
    "again": lambda plan: again.again(plan.folder / "again"),
    "large": lambda plan: large.large(plan.folder / "large", plan.clips),
    "kills": lambda plan: kills.kills(plan.folder / "kills", plan.kills, plan.minutes),
    "ramp": lambda plan: flow.ramp(plan.folder, plan.rounds),
}


def main(argv: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if argv is None else argv
    args = _parser().parse_args(given)
    folders = {str(args.folder), str(args.out)}  # of this machine alone
    command = shlex.join(["python", "-m", "benchmarks.cluster", *("FOLDER" if w in folders else w for w in given)])
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(args.folder or Path(folder), args.rounds, args.clips, args.kills, args.minutes)
        for name in args.only or PARTS:
            lines = PARTS[name](plan)
            print(table(lines), flush=True)
            write(args.out, name, command, lines)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of what is timed (default: %(default)s)")
    parser.add_argument("--clips", type=int, default=230_000, help="of the large dataset (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=200, help="that builds must survive (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=120.0, help="that `kills` may take (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where datasets lie; one that stays lets `kills` and `large` go on")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
