"""How good and how fast the embedded recipe's annotators are on practice clips that no training drew.

    python -m benchmarks.annotators [--clips N] [--only PART ...] [--davis FOLDER] [--set A.B=C] [--out FOLDER]

Every part asks the pipeline's own stages. Shares come with Wilson's 95 % interval and means with the bootstrap's, over
clips or boxes; times come as the median and the span of their rounds. Not said otherwise, a mean is over frames that
were not given, and J of a frame is 1 where neither the truth nor the answer has a pixel.
"""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.annotators import building, costs, davis, following, grounding, long, naming, segmenting
from benchmarks.annotators.practice import SEEDS
from benchmarks.annotators.report import RESULTS, Findings, about, table, write
from benchmarks.annotators.session import Session
from pipeline.line import Line
from pipeline.recipe import load_recipe

PARTS: dict[str, Callable[[Session], Findings]] = {
    "captioner": naming.measure,
    "grounder": grounding.measure,
    "segmenter": segmenting.measure,
    "tracker": following.measure,
    "hard": lambda session: building.hard_cases(session.builds),
    "kept": lambda session: building.kept_clips(session.builds),
    "cost": costs.measure,
    "long": lambda session: long.measure(session),
    "davis": davis.measure,
}


def main(argv: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if argv is None else argv
    args = _parser().parse_args(given)
    if args.threads:
        torch.set_num_threads(args.threads)
    recipe = load_recipe("embedded", args.set)
    folders = {str(args.davis), str(args.out)}  # of this machine alone
    command = shlex.join(["python", "-m", "benchmarks.annotators", *("FOLDER" if w in folders else w for w in given)])
    with tempfile.TemporaryDirectory() as folder:
        models = Line(recipe.stages(folder)).models  # before anything is measured: training may go on beside it
        said = about(models, {"clips": args.clips, "seeds": SEEDS, "set": args.set})
        session = Session(recipe, Path(folder), args.clips, args.davis)
        for name in args.only or PARTS:
            part = PARTS[name](session)
            print(table(part.lines), *part.notes, sep="\n", flush=True)
            write(args.out, command, {name: part}, said)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.annotators", description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=220, help="practice clips of a part (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--davis", type=Path, metavar="FOLDER", help="DAVIS, with JPEGImages and Annotations")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="a setting, laid over the recipe")
    parser.add_argument("--threads", type=int, help="of torch (default: as many as it takes)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
