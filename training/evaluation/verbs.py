"""The verb `evaluate`."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.evaluation.run import Evaluation

MANIFEST = """a manifest has a JSON object a line; what is left out costs the metrics that need it:
  {"video": "0001.mp4", "prompt": "a dog runs ...", "noun": "dog", "subject": "dog.png", "boxes": "dog.json"}
boxes are a file or an object as `dreamreel generate` takes them, or a file of another system: MotionBooth's .json,
Direct-a-Video's .npy, FreeTraj's and MotionCtrl's .txt; Peekaboo's list of records is a manifest by itself"""


def add_verbs(verbs: Any) -> None:
    """Register the verb on argparse's subparsers."""
    parser = verbs.add_parser(
        "evaluate",
        help="generated videos -> the paper's nine metrics and its tables",
        description="Measure the videos in a folder, of any system, against what they were asked for.",
        epilog=MANIFEST,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("videos", metavar="VIDEOS_DIR", help="folder of videos")
    parser.add_argument("--manifest", metavar="FILE", help="what each video was asked for (default: in the folder)")
    parser.add_argument("--protocol", choices=("all", "joint", "subject", "motion"), default="all", help=PROTOCOL)
    parser.add_argument("--recipe", default="embedded", help="whose models measure (default: %(default)s), or paper")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="a setting, laid over the recipe")
    parser.add_argument("--name", metavar="TEXT", help="of the system, in the tables (default: the folder's)")
    parser.add_argument(
        "--out", metavar="FOLDER", help="for answers, tables and report (default: VIDEOS_DIR/evaluation)"
    )
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    parser.set_defaults(run=_evaluate)


PROTOCOL = "the columns of Tab. 2, 3 or 4; all: the nine metrics (default)"


def _evaluate(args: argparse.Namespace) -> int:
    from pipeline.verbs import terminable
    from shards import Storage
    from training.evaluation.manifest import read_manifest
    from training.evaluation.results import write_results
    from training.evaluation.run import evaluate
    from training.evaluation.settings import load_settings

    videos = Path(args.videos)
    if not videos.is_dir():
        raise ValueError(f"{videos}: there is no such folder of videos; check the path")
    manifest = Path(args.manifest) if args.manifest else videos / "manifest.jsonl"
    entries, settings = read_manifest(manifest), load_settings(args.recipe, args.set)
    out = Storage.at(args.out or videos / "evaluation")
    with terminable() as stopping, out.lock("dreamreel evaluate"):
        evaluation = evaluate(
            entries,
            videos,
            manifest.parent,
            out,
            settings,
            name=args.name or videos.resolve().name,
            protocol=args.protocol,
            stopping=stopping,
            tell=_tell,
        )
        if evaluation is None:
            print("dreamreel: stopped before the end; run the same command again to go on", file=sys.stderr)
            return 130
        write_results(out, evaluation)
    return _told(evaluation, args, out.url)


def _tell(done: int, of: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {of} videos", end="\n" if done == of else "", file=sys.stderr, flush=True)


def _told(evaluation: "Evaluation", args: argparse.Namespace, place: str) -> int:
    """1 where something could not be measured."""
    from training.evaluation.results import as_json
    from training.evaluation.tables import markdown

    if args.json:
        print(json.dumps(as_json(evaluation)))
    else:
        print(markdown([evaluation]))
        print(
            f"{len(evaluation.measured)} videos measured, of {evaluation.asked_now} of them a model was asked: {place}"
        )
    for fault in evaluation.faults:
        lost = ", ".join(evaluation.settings.titles()[metric] for metric in fault.lost)
        print(
            f"dreamreel: {fault.video} (entry {fault.number}): {fault.what}: {fault.why}; lost {lost}", file=sys.stderr
        )
    return 1 if evaluation.faults else 0
