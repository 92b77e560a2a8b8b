"""The verb `generate`."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.generation.requests import Prepared, Request
    from training.generation.run import Opened

BOXES = """files of boxes (JSON; x0, y0, x1, y1 in shares of the frame, or in pixels with "size": [height, width]):
  {"boxes": [[...], null, ...]}                    one for each frame, null where the subject is not to be
  {"first": [...], "last": [...]}                  moves evenly from one to the other
  {"first": [...], "trajectory": [[x, y], ...]}    its centre walks along the points
  {"first": [...], "path": "M 0.2 0.5 C ..."}      along an SVG path
  {"video": "FILE", "noun": "dog"}                 follows the dog of a video"""


def add_verbs(verbs: Any) -> None:
    """Register the verb on argparse's subparsers."""
    parser = verbs.add_parser(
        "generate",
        help="a subject image, boxes and a prompt -> a clip",
        description="Generate clips with what RUN has learnt.",
        epilog=BOXES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run_folder", metavar="RUN", help="folder or fsspec URL of a training")
    parser.add_argument("--subject", metavar="IMAGE", help="transparent around the subject, or with --mask or --noun")
    parser.add_argument("--mask", metavar="IMAGE", help="the subject is what is light")
    parser.add_argument("--noun", metavar="WORD", help="cut this out of the image, by the pipeline's own models")
    parser.add_argument("--boxes", metavar="FILE", help="where the subject is to be: see below")
    parser.add_argument("--prompt", metavar="TEXT")
    parser.add_argument("--out", metavar="FILE", help=".mp4 or .gif")
    parser.add_argument("--seed", type=int, default=0, help="the clip's noise (default: %(default)s)")
    parser.add_argument("--batch", metavar="FILE", help="many: a JSON object a line, with the names of these options")
    parser.add_argument(
        "--side-by-side", action="store_true", help="also FILE-boxes.*: subject, boxes, and both in the clip"
    )
    parser.add_argument("--gif", action="store_true", help="also a GIF beside each MP4")
    parser.add_argument("--steps", type=int, default=50, help="of DDIM, 1 to 1000 (default: %(default)s)")
    parser.add_argument("--guidance-scale", type=float, default=9.0, help="of the text (default: %(default)s)")
    parser.add_argument("--step", type=int, metavar="N", help="the checkpoint of that step (default: the last)")
    parser.add_argument("--base", metavar="FOLDER", help="where the base lies (default: where the run found it)")
    parser.add_argument("--recipe", default="embedded", help="whose models cut out and follow (default: %(default)s)")
    parser.add_argument("--device", help="torch's name (default: the GPU where there is one)")
    parser.add_argument("--json", action="store_true", help="what was written, as JSON")
    parser.set_defaults(run=_generate)


def _generate(args: argparse.Namespace) -> int:
    from pipeline.recipe import load_recipe
    from training.generation.requests import prepared
    from training.generation.run import find_run
    from training.trainer.ranks import chosen_device

    if not 1 <= args.steps <= 1000:
        raise ValueError(f"--steps {args.steps}: the base knows 1000 steps; take 1 to 1000 of them")
    asked, recipe, device = _asked(args), load_recipe(args.recipe), chosen_device(args.device)
    found = find_run(args.run_folder, args.step)
    # Everything that was asked for is looked at before anything is loaded or generated.
    ready = [prepared(request, found.size, found.num_frames, found.fps, recipe) for request in asked]
    opened = found.opened(device, args.base)
    written = [_written(one, opened, args) for one in ready]
    print(json.dumps(written) if args.json else "\n".join(path for paths in written for path in paths))
    return 0


def _asked(args: argparse.Namespace) -> "list[Request]":
    from training.generation.requests import Request, requests_in

    if args.batch:
        return requests_in(args.batch)
    names = ("subject", "boxes", "prompt", "out")
    missing = [f"--{name}" for name in names if getattr(args, name) is None]
    if missing:
        raise ValueError(f"generate needs {', '.join(missing)}; or a file of requests with --batch")
    return [Request(**{name: getattr(args, name) for name in (*names, "mask", "noun", "seed")})]


def _written(one: "Prepared", opened: "Opened", args: argparse.Namespace) -> list[str]:
    import torch

    from training.generation.pictures import side_by_side, write_clip

    opened.pipeline.set_progress_bar_config(disable=not sys.stderr.isatty())
    frames = opened.pipeline(
        [one.request.prompt],
        torch.from_numpy(one.subject)[None],
        torch.from_numpy(one.boxes)[None],
        seeds=[one.request.seed],
        num_inference_steps=args.steps,
        guidance_scale=args.guidance_scale,
    )[0]
    out = Path(one.request.out)
    clips = {out: frames.cpu().numpy()}
    if args.side_by_side:
        clips[out.with_name(f"{out.stem}-boxes{out.suffix}")] = side_by_side(clips[out], one.boxes, one.subject)
    if args.gif:
        clips |= {path.with_suffix(".gif"): clip for path, clip in clips.items()}
    for path, clip in clips.items():
        write_clip(path, clip, opened.fps)
    return [str(path) for path in clips]
