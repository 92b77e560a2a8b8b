"""The verbs `evaluate` and `suite`."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shards import Storage
    from training.evaluation.making import Maker
    from training.evaluation.run import Evaluation

MANIFEST = """a manifest has a JSON object a line; what is left out costs the metrics that need it:
  {"video": "0001.mp4", "prompt": "a dog runs ...", "noun": "dog", "subject": "dog.png", "boxes": "dog.json"}
boxes are a file or an object as `dreamreel generate` takes them, or a file of another system: MotionBooth's .json,
Direct-a-Video's .npy, FreeTraj's and MotionCtrl's .txt; Peekaboo's list of records is a manifest by itself"""

PRACTICE = "embedded"


def add_verbs(verbs: Any) -> None:
    """Register the verbs on argparse's subparsers."""
    parser = verbs.add_parser(
        "evaluate",
        help="generated videos, or a run that generates them -> the paper's nine metrics and tables",
        description="Measure the videos in a folder, of any system, or those that a training's RUN makes of a suite.",
        epilog=MANIFEST,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", metavar="RUN|VIDEOS_DIR", help="a run, a folder of videos, or a base (--training-free)")
    parser.add_argument("--manifest", metavar="FILE", help="what each video was asked for (default: in the folder)")
    parser.add_argument("--protocol", choices=("all", "joint", "subject", "motion"), default="all", help=PROTOCOL)
    parser.add_argument(
        "--recipe", default="embedded", help="whose models measure: embedded (default), paper, or a file"
    )
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="a setting, laid over the recipe")
    parser.add_argument("--name", metavar="TEXT", help="of the system, in the tables (default: the folder's)")
    parser.add_argument("--out", metavar="FOLDER", help="for answers, tables and report (default: evaluation, in WHAT)")
    parser.add_argument(
        "--beside",
        action="append",
        default=[],
        metavar="FOLDER",
        help="another evaluation, as a row of the table",
    )
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    made = parser.add_argument_group("of a run")
    made.add_argument(
        "--suite", default=PRACTICE, metavar="FILE", help="a suite's file (default: the practice world's)"
    )
    made.add_argument("--videos", type=int, default=32, help="of the practice world's suite (default: %(default)s)")
    made.add_argument("--training-free", action="store_true", help="the base alone, moved by attention masks")
    made.add_argument("--masked-steps", type=int, default=2, help="of those masks (default: %(default)s)")
    made.add_argument("--size", default="64x96", metavar="HxW", help="of a base's clips (default: %(default)s)")
    made.add_argument("--frames", type=int, default=8, help="of a base's clips (default: %(default)s)")
    made.add_argument("--step", type=int, metavar="N", help="the checkpoint of that step (default: the last)")
    made.add_argument("--steps", type=int, default=50, help="of DDIM (default: %(default)s)")
    made.add_argument("--guidance-scale", type=float, default=9.0, help="of the text (default: %(default)s)")
    made.add_argument("--at-once", type=int, default=4, help="videos made together (default: %(default)s)")
    made.add_argument(
        "--cut-out-by", default="embedded", metavar="RECIPE", help="whose models cut out subjects without a mask"
    )
    made.add_argument("--device", help="torch's name (default: the GPU where there is one)")
    parser.set_defaults(run=_evaluate)
    _add_suite(verbs)


PROTOCOL = "the columns of Tab. 2, 3 or 4; all: the nine metrics (default)"


def _add_suite(verbs: Any) -> None:
    suite = verbs.add_parser("suite", help="subjects, boxes and prompts -> a seeded pairing to evaluate runs on")
    suite.add_argument("out", metavar="FOLDER", help="for suite.jsonl")
    suite.add_argument("--subjects", metavar="DIR", required=True, help="images named after their nouns: dog.png")
    suite.add_argument("--prompts", metavar="FILE", required=True, help="one a line; {} stands for the noun")
    suite.add_argument(
        "--boxes", action="append", metavar="SOURCE", help="freetraj (default), davis:DIR, a folder of box files"
    )
    suite.add_argument("--pairs", type=int, help="videos (default: six of each of the paper's fifty subjects, 300)")
    suite.add_argument("--frames", type=int, default=16, help="of DAVIS boxes (default: %(default)s)")
    suite.add_argument("--seed", type=int, default=0, help="of the pairing (default: %(default)s)")
    suite.set_defaults(run=_suite)


def _suite(args: argparse.Namespace) -> int:
    from training.evaluation.suite import PAIRS, boxes_from, prompts_in, subjects_in, write_suite

    subjects, prompts = subjects_in(Path(args.subjects)), prompts_in(Path(args.prompts))
    boxes = boxes_from(args.boxes or ["freetraj"], args.frames)
    path = write_suite(Path(args.out), subjects, boxes, prompts, args.pairs or PAIRS, args.seed)
    print(f"{len(subjects)} subjects, {len(boxes)} box sequences, {len(prompts)} prompts: {path}")
    return 0


def _evaluate(args: argparse.Namespace) -> int:
    from pipeline.verbs import terminable
    from shards import Storage
    from training.evaluation.settings import load_settings

    settings = load_settings(args.recipe, args.set)
    is_run = "://" in args.what or args.training_free or Storage.at(args.what).exists("run.json")
    if not is_run and not Path(args.what).is_dir():
        raise ValueError(f"{args.what}: neither a run nor a folder of videos; check the path")
    if args.out is None and (args.training_free or "://" in args.what):
        raise ValueError(f"evaluate {args.what} needs --out FOLDER for what it makes")
    out = Storage.at(args.out or Path(args.what) / "evaluation")
    with terminable() as stopping, out.lock("dreamreel evaluate"):
        place = _made(args, out, stopping) if is_run else _there(args)
        evaluation = None if place is None else _measured(args, out, *place, settings, stopping)
    if evaluation is None:
        print("dreamreel: stopped before the end; run the same command again to go on", file=sys.stderr)
        return 130
    return _told(evaluation, args, out.url)


def _there(args: argparse.Namespace) -> tuple[Path, Path]:
    """The folder of videos, and the manifest."""
    videos = Path(args.what)
    return videos, Path(args.manifest) if args.manifest else videos / "manifest.jsonl"


def _made(args: argparse.Namespace, out: "Storage", stopping: Callable[[], bool]) -> tuple[Path, Path] | None:
    """The same, once the suite's videos are made; None where that was stopped."""
    from pipeline.recipe import load_recipe
    from shards import Storage
    from training.evaluation.making import make_videos
    from training.evaluation.manifest import read_manifest
    from training.evaluation.suite import write_practice_suite

    maker, folder = _maker(args), out.local_path("videos")
    if folder is None:
        raise ValueError(f"{out.url}: videos are made on this machine's disk; name a local --out")
    suite = Path(args.suite)
    if args.suite == PRACTICE:
        suite = write_practice_suite(folder.parent / "suite", args.videos, maker.size, maker.num_frames)
    entries = read_manifest(suite)
    whole = make_videos(
        entries,
        suite.parent,
        Storage.at(folder),
        maker,
        load_recipe(args.cut_out_by),
        at_once=args.at_once,
        stopping=stopping,
        tell=_teller("made"),
    )
    return (folder, suite) if whole else None


def _maker(args: argparse.Namespace) -> "Maker":
    import torch

    from shards import Storage
    from training.evaluation.attention_masks import MaskedAttentionMaker
    from training.evaluation.making import RunMaker
    from training.generation.run import open_run
    from training.model.base import EMBEDDED, VideoBase
    from training.trainer import checkpoints

    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if args.training_free:
        base = VideoBase.from_pretrained(EMBEDDED if args.what == PRACTICE else args.what, device=device)
        height, width = _size(args.size)
        return MaskedAttentionMaker(
            base,
            {"attention masks": args.what},
            (height, width),
            args.frames,
            8.0,
            steps=args.steps,
            guidance_scale=args.guidance_scale,
            masked_steps=args.masked_steps,
        )
    step = args.step or max(checkpoints.steps(Storage.at(args.what)), default=None)
    opened = open_run(args.what, device, step)
    return RunMaker(opened, {"run": Storage.at(args.what).url, "step": step}, args.steps, args.guidance_scale)


def _size(text: str) -> tuple[int, int]:
    sides = text.split("x")
    if len(sides) != 2 or not all(side.isdigit() for side in sides):
        raise ValueError(f"--size {text}: write height and width in pixels, as 64x96")
    return int(sides[0]), int(sides[1])


def _measured(
    args: argparse.Namespace,
    out: "Storage",
    videos: Path,
    manifest: Path,
    settings: Any,
    stopping: Callable[[], bool],
) -> "Evaluation | None":
    from training.evaluation.manifest import read_manifest
    from training.evaluation.results import row_of, write_results
    from training.evaluation.run import evaluate

    evaluation = evaluate(
        read_manifest(manifest),
        videos,
        manifest.parent,
        out,
        settings,
        name=args.name or Path(args.what).resolve().name,
        protocol=args.protocol,
        stopping=stopping,
        tell=_teller("measured"),
    )
    if evaluation is not None:
        write_results(out, evaluation, [row_of(place, evaluation) for place in args.beside])
    return evaluation


def _teller(what: str) -> Callable[[int, int], None]:
    def tell(done: int, of: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done} of {of} videos {what}", end="\n" if done == of else "", file=sys.stderr, flush=True)

    return tell


def _told(evaluation: "Evaluation", args: argparse.Namespace, place: str) -> int:
    """1 where something could not be measured."""
    from training.evaluation.results import as_json, row_of
    from training.evaluation.tables import markdown

    if args.json:
        print(json.dumps(as_json(evaluation)))
    else:
        print(markdown(evaluation, [row_of(place, evaluation) for place in args.beside]))
        print(f"{len(evaluation.measured)} videos measured, {evaluation.asked_now} of them now: {place}")
    titles = evaluation.settings.titles()
    for fault in evaluation.faults:
        lost = ", ".join(titles[metric] for metric in fault.lost)
        print(
            f"dreamreel: {fault.video} (entry {fault.number}): {fault.what}: {fault.why}; lost {lost}", file=sys.stderr
        )
    return 1 if evaluation.faults else 0
