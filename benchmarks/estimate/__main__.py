"""How far estimates are off the runs that follow, on heavy-tailed times, and how often their intervals hold.

    python -m benchmarks.estimate [--trials N] [--walls N] [--real N] [--probes N] [--out FOLDER]

Runs over 230,160 videos are simulated: their clips' times are drawn, an estimate sees those of its probe alone, and
the truth is the sum of all, or the time that the real scheduler takes for all of them on four simulated nodes. Smaller
builds run for real, with a tracker that sleeps by the clip's length. An error is the estimate over the truth, less one.
"""

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.estimate.real import trials as real_trials
from benchmarks.estimate.simulated import Trial, spread, totals, walls

COLUMNS = ("trials", "mean error", "median |error|", "90th |error|", "within 15 %", "covered")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.estimate", description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=60, help="of each simulated source (default: %(default)s)")
    parser.add_argument("--walls", type=int, default=3, help="of wall time on four nodes (default: %(default)s)")
    parser.add_argument("--wall-videos", type=int, default=230_160, help="of the run whose wall time is simulated")
    parser.add_argument("--real", type=int, default=4, help="of each real build (default: %(default)s)")
    parser.add_argument("--videos", type=int, default=200, help="of a real build (default: %(default)s)")
    parser.add_argument("--probes", type=int, default=128, help="videos of a probe (default: %(default)s)")
    parser.add_argument("--real-probes", type=int, default=48, help="of a real build's (default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parents[1] / "results", help="folder for the results"
    )
    parser.add_argument("--only", choices=PARTS, help="one part; the others' results stay")
    args = parser.parse_args()
    for part in PARTS if args.only is None else (args.only,):
        for trials in _trials(part, args):
            _write(args, trials)
    print((args.out / "estimate.md").read_text())


PARTS = ("totals", "real", "walls")


def _trials(part: str, args: argparse.Namespace) -> Iterator[list[Trial]]:
    """The trials of a part, source by source."""
    if part == "totals":
        for kind in ("lognormal", "pareto", "unrelated"):
            yield list(totals(kind, args.probes, args.trials))
    elif part == "real":
        with tempfile.TemporaryDirectory() as folder:
            yield list(real_trials(Path(folder), args.videos, args.real_probes, range(args.real)))
    else:
        yield list(walls("lognormal", args.probes, args.walls, args.wall_videos))
        yield list(walls("pareto", args.probes, args.walls, args.wall_videos))


def _write(args: argparse.Namespace, found: Sequence[Trial]) -> None:
    """These trials' rows; rows of other sources and figures stay as they are."""
    groups: dict[tuple[str, str], list[Trial]] = {}
    for trial in found:
        groups.setdefault((trial.source, trial.what), []).append(trial)
    path = args.out / "estimate.json"
    known = json.loads(path.read_text())["rows"] if path.exists() else []
    rows: list[dict[str, Any]] = [row for row in known if (row["source"], row["what"]) not in groups]
    rows += [{"source": source, "what": what, **spread(trials)} for (source, what), trials in groups.items()]
    about = {"machine": platform.machine(), "cpus": os.cpu_count(), "python": platform.python_version()}
    about |= {"probes": args.probes, "wall videos": args.wall_videos}
    about |= {"real probes": args.real_probes, "real videos": args.videos}
    args.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    lines = [f"| source | what | {' | '.join(COLUMNS)} |", f"|{'---|' * (len(COLUMNS) + 2)}"]
    for row in rows:
        shown = " | ".join(_shown(name, row[name]) for name in COLUMNS)
        lines.append(f"| {row['source']} | {row['what']} | {shown} |")
    head = f"# Estimates\n\n`python -m benchmarks.estimate`: {json.dumps(about)}"
    (args.out / "estimate.md").write_text("\n".join([head, "", *lines]) + "\n")


def _shown(name: str, value: float) -> str:
    return f"{value:.0f}" if name == "trials" else f"{value:+.1%}" if name == "mean error" else f"{value:.1%}"


if __name__ == "__main__":
    main()
