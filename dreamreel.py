"""The command line: lists the verbs and hands over to the room that owns each; `demo` walks through them all."""

import argparse
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from curation_ui import verbs as review_verbs
from pipeline import verbs as pipeline_verbs
from pipeline.estimate import verbs as estimate_verbs
from pipeline.models import verbs as models_verbs
from shards import verbs as shards_verbs
from training.evaluation import verbs as evaluation_verbs
from training.generation import verbs as generation_verbs
from training.trainer import verbs as trainer_verbs

if TYPE_CHECKING:
    from pipeline.embedded.world import World

DESCRIPTION = "Videos in; captions, subjects, masks and boxes of every frame out, as WebDataset shards."


def main(argv: list[str] | None = None) -> int:
    """Run one verb.

    0: done; 1: a check that was asked for found something; 2: wrong use or a place that fails; 130: stopped when asked
    to, before the end.
    """
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args))
    except (ValueError, OSError) as error:
        print(f"dreamreel: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("dreamreel: stopped; run the same command again to go on", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dreamreel", description=DESCRIPTION)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    demo = verbs.add_parser("demo", help="everything on practice videos, end to end")
    demo.add_argument("out", nargs="?", default="out/demo", help="folder to work in (default: %(default)s)")
    demo.add_argument("--videos", type=int, default=48, help="practice videos to draw (default: %(default)s)")
    demo.set_defaults(run=_demo)
    pipeline_verbs.add_verbs(verbs)
    estimate_verbs.add_verbs(verbs)
    models_verbs.add_verbs(verbs)
    shards_verbs.add_verbs(verbs)
    trainer_verbs.add_verbs(verbs)
    generation_verbs.add_verbs(verbs)
    evaluation_verbs.add_verbs(verbs)
    review_verbs.add_verbs(verbs)
    return parser


def _demo(args: argparse.Namespace) -> int:
    """The main job on bare practice videos: every step is a verb that is printed as one would type it."""
    from pipeline.embedded.world import World, write_videos

    videos, dataset, looks = (str(Path(args.out, name)) for name in ("videos", "dataset", "looks"))
    began = time.monotonic()
    world = World(size=(180, 320), num_frames=32, frame_rate=12.0)
    write_videos(Path(videos), world, args.videos, truth=False)
    print(f"practice world: {args.videos} bare videos in {videos} ({_since(began)})")
    code = _each(
        ["build", videos, dataset],
        ["shards", "verify", dataset],
        ["shards", "stats", dataset, "--out", looks],
        ["shards", "show", dataset, "--out", looks],
    )
    if code:
        return code
    print(f"\n{_against_truth(dataset, world)}")
    run, clip = str(Path(args.out, "run")), str(Path(args.out, "generated.mp4"))
    code = _each(
        ["train", dataset, run, "--resume", *(word for one in TRAINING for word in ("--set", one))],
        ["generate", run, *_asked(Path(args.out, "asked")), "--out", clip, "--side-by-side", "--gif"],
        ["evaluate", run, "--protocol", "motion", "--videos", "4", "--steps", "20"],
    )
    print(f"The dataset lies in {dataset}, plots and contact sheets in {looks}. One clip of it:")
    print(f"$ dreamreel shards show {dataset} 0 --out {looks}")
    print(f"The generated clip is {clip}, and beside its boxes in the file next to it. People look at the dataset by:")
    print(f"$ dreamreel review {dataset}")
    return code


TRAINING = ("start=embedded", "steps=100", "batch=4", "at_once=4", "saves.every=50")
"""Of the demo: minutes on two cores."""


def _each(*verbs: list[str]) -> int:
    """One after the other, until one does not end well; its answer."""
    for verb in verbs:
        began = time.monotonic()
        print(f"\n$ dreamreel {shlex.join(verb)}", flush=True)
        code = main(verb)
        if code:
            return code
        print(f"({_since(began)})", flush=True)
    return 0


def _asked(folder: Path) -> list[str]:
    """A subject that no training saw, boxes and a prompt, in `folder`; how `generate` is told of them."""
    import json

    from training.evaluation.manifest import read_manifest
    from training.evaluation.suite import write_practice_suite
    from training.trainer.recipe import load_train_recipe

    loader = load_train_recipe("embedded").loader
    (one,) = read_manifest(write_practice_suite(folder, 1, (loader.height, loader.width), loader.window.num_frames))
    (folder / "boxes.json").write_text(json.dumps(one.boxes))
    subject, mask = (str(folder / str(name)) for name in (one.subject, one.mask))
    return ["--subject", subject, "--mask", mask, "--boxes", str(folder / "boxes.json"), "--prompt", str(one.prompt)]


def _against_truth(dataset: str, world: "World") -> str:
    """How right the annotations are, in a line."""
    from pipeline.embedded.truth import agreements
    from shards import Dataset

    found = agreements(Dataset.open(dataset), world)
    named = sum(one.noun for one in found)
    overlap = sum(one.jaccard for one in found) / max(len(found), 1)
    return (
        f"Against the practice world's exact truth: {named} of {len(found)} samples name the right subject; "
        f"their masks' mean J with it is {overlap:.2f}."
    )


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.1f} s"


if __name__ == "__main__":
    sys.exit(main())
