"""The verb `review`."""

import argparse
import gc
import os
import secrets
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curation_ui.desk import Desk

TOKEN = "DREAMREEL_TOKEN"
"""Environment variable with the token to ask for; without it `--token` makes a fresh one."""


def add_verbs(verbs: Any) -> None:
    """Register the verb on argparse's subparsers."""
    review = verbs.add_parser("review", help="a web page to look at clips, correct subjects, accept and reject")
    review.description = (
        "Serve the curation page on this machine. What people decide is appended to DATASET/verdicts; the shards stay "
        "as they are. Several datasets can be compared; a folder of other WebDataset tars is shown, not judged. "
        "Ctrl-C stops it."
    )
    review.add_argument("datasets", metavar="DATASET", nargs="*", help="folder or fsspec URL")
    review.add_argument("--port", type=int, default=8600, help="0 takes a free one (default: %(default)s)")
    review.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    review.add_argument("--allow-host", action="append", default=[], metavar="NAME", help="a name it is called by")
    review.add_argument(
        "--token", action="store_true", help=f"ask for a token: ${TOKEN}, or a fresh one that is printed"
    )
    review.add_argument(
        "--blind", action="store_true", help="hide others' verdicts on a clip until two people have decided it"
    )
    review.add_argument(
        "--recipe", default="paper", help="of a training, for clips as the trainer sees them (default: %(default)s)"
    )
    review.add_argument(
        "--study", action="append", default=[], metavar="NAME=FOLDER", help="a method's videos, for a user study"
    )
    review.add_argument("--votes", default="votes", metavar="FOLDER", help="of the study (default: %(default)s)")
    review.set_defaults(run=_review)


def _review(args: argparse.Namespace) -> int:
    if not args.datasets and not args.study:
        raise ValueError("review needs a DATASET, or --study NAME=FOLDER for each method of a user study")
    gc.disable()  # what is loaded from here on stays, so looking for what does not is a tenth of the start
    with ThreadPoolExecutor() as aside:  # datasets are read while what serves them is loaded
        desk = _opened_aside(args, aside)

        from curation_ui.guard import Door
        from curation_ui.server import Server, application, listen

        token = os.environ.get(TOKEN) or secrets.token_urlsafe(24) if args.token else None
        door = Door.at(args.host, args.allow_host, token)
        listening = listen(args.host, args.port)
    with listening:
        name = args.allow_host[0] if args.allow_host else args.host
        shown = f"[{name}]" if ":" in name else name
        address = f"http://{shown}:{listening.getsockname()[1]}/" + (f"#token={token}" if token else "")
        server = Server(application(desk.result(), door), started=lambda: _told(desk.result(), address))
        gc.freeze()
        gc.enable()
        try:
            server.run([listening])
        finally:
            desk.result().close()
            gc.unfreeze()
    return 0


def _opened_aside(args: argparse.Namespace, aside: ThreadPoolExecutor) -> "Future[Desk]":
    """The desk, once everything on it is open."""
    from curation_ui.index import open_index

    indexes = {url: aside.submit(open_index, url) for url in args.datasets}

    from curation_ui.desk import Desk
    from curation_ui.playing import Player
    from curation_ui.study import Study, parse_methods

    study = Study(parse_methods(args.study), args.votes) if args.study else None
    return aside.submit(
        Desk,
        args.datasets,
        Player(),
        blind=args.blind,
        train_recipe=args.recipe,
        study=study,
        read=lambda url: indexes[url].result(),
    )


def _told(desk: Any, address: str) -> None:
    for name, shown in desk.shown.items():
        print(f"{name}: {len(shown.holdings):,} clips at {shown.holdings.storage.url}", file=sys.stderr)
    print(address, flush=True)
    desk.warm()
