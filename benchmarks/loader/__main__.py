"""The loader: one stream for every topology, its speed beside `pread`, webdataset and a bare decoder, the data wait.

    python -m benchmarks.loader [--clips N] [--rounds N] [--workers N] [--out FOLDER] [PART ...]

What is compared runs interleaved, round by round; a ratio is that of one round, and the table gives the median and
the span of the rounds. Files are in the page cache: what is measured is the code, not the disk. A part that is measured
anew takes the place of its results; those of the others stay, each with what it was measured on.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2

from benchmarks.annotators.report import RESULTS, Line, table, where
from benchmarks.loader.speed import SIZE, decoding, reading, waiting
from benchmarks.loader.topologies import streams
from pipeline.embedded.world import World
from training.embedded.practice_clips import write_clips

FRAMES, RATE = 96, 16.0  # a window of such a clip is decoded with stride 2

PARTS: Mapping[str, Callable[[str, argparse.Namespace], list[Line]]] = {
    "reading": reading,
    "decoding": decoding,
    "waiting": waiting,
    "stream": streams,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loader", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--clips", type=int, default=32, help="clips of the dataset (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of every comparison (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="that decode (default: the cores)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_clips(Path(folder), World(size=SIZE, num_frames=FRAMES, frame_rate=RATE), args.clips)
        for name in args.parts or PARTS:
            lines = PARTS[name](folder, args)
            _write(name, lines, args)  # a later part may be stopped
            print(table(lines), flush=True)


def _write(name: str, lines: list[Line], args: argparse.Namespace) -> None:
    settings = {"clips": args.clips, "rounds": args.rounds, "workers": args.workers, "size": SIZE, "frames": FRAMES}
    rows = [{name: value for name, value in vars(line).items() if value is not None} for line in lines]
    path = args.out / "loader.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    load = round(os.getloadavg()[0], 1)  # rates are of a machine that may have other work; ratios suffer less
    parts = before | {name: {**where(), "load": load, "settings": settings, "lines": rows}}
    args.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(parts, indent=1) + "\n")
    (args.out / "loader.md").write_text(_page(parts))


def _page(parts: Mapping[str, Any]) -> str:
    measured = [
        f"- {name}: {json.dumps({key: value for key, value in part.items() if key != 'lines'})}"
        for name, part in parts.items()
    ]
    found = [Line(**row) for name in PARTS if name in parts for row in parts[name]["lines"]]
    title = f"# Loader\n\n{(__doc__ or '').splitlines()[0]}"
    return "\n\n".join([title, "`python -m benchmarks.loader`, by parts:", "\n".join(measured), table(found)]) + "\n"


if __name__ == "__main__":
    main()
