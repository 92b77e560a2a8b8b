"""The loader: one stream for every topology, its speed beside `pread`, webdataset and a bare decoder, the data wait.

    python -m benchmarks.loader [--clips N] [--rounds N] [--workers N] [--out FOLDER] [PART ...]

What is compared runs interleaved, round by round; a ratio is that of one round, and the table gives the median and
the span of the rounds. Files are in the page cache: what is measured is the code, not the disk.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2

from benchmarks.annotators.report import RESULTS, Line, table, where
from benchmarks.loader.speed import SIZE, decoding, reading, waiting
from benchmarks.loader.topologies import streams
from benchmarks.practice_clips import write_clips
from pipeline.embedded.world import World

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
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as folder:
        write_clips(Path(folder), World(size=SIZE, num_frames=FRAMES, frame_rate=RATE), args.clips)
        for name in args.parts or PARTS:
            lines += PARTS[name](folder, args)
            _write(lines, args)  # a later part may be stopped
    print(table(lines))


def _write(lines: list[Line], args: argparse.Namespace) -> None:
    settings = {"clips": args.clips, "rounds": args.rounds, "workers": args.workers, "size": SIZE, "frames": FRAMES}
    said = {**where(), "settings": settings}
    rows = [{name: value for name, value in vars(line).items() if value is not None} for line in lines]
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "loader.json").write_text(json.dumps({**said, "lines": rows}, indent=1) + "\n")
    head = f"# Loader\n\n{__doc__.splitlines()[0]}\n\n`python -m benchmarks.loader`: {json.dumps(said)}"
    (args.out / "loader.md").write_text(f"{head}\n\n{table(lines)}\n")


if __name__ == "__main__":
    main()
