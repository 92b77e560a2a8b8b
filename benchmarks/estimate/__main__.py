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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.estimate.real import trials as real_trials
from benchmarks.estimate.simulated import Trial, spread, totals, walls

COLUMNS = ("trials", "mean error", "median |error|", "90th |error|", "within 15 %", "covered")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.estimate", description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100, help="of each simulated source (default: %(default)s)")
    parser.add_argument("--walls", type=int, default=3, help="of wall time on four nodes (default: %(default)s)")
    parser.add_argument("--wall-videos", type=int, default=230_160, help="of the run whose wall time is simulated")
    parser.add_argument("--real", type=int, default=4, help="of each real build (default: %(default)s)")
    parser.add_argument("--videos", type=int, default=200, help="of a real build (default: %(default)s)")
    parser.add_argument("--probes", type=int, default=128, help="videos of a probe (default: %(default)s)")
    parser.add_argument("--real-probes", type=int, default=48, help="of a real build's (default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parents[1] / "results", help="folder for the results"
    )
    args = parser.parse_args()
    found: list[Trial] = []
    for kind in ("lognormal", "pareto", "unrelated"):
        found += totals(kind, args.probes, args.trials)
        _write(args, found)
    with tempfile.TemporaryDirectory() as folder:
        found += real_trials(Path(folder), args.videos, args.real_probes, range(args.real))
    _write(args, found)
    for kind in ("lognormal", "pareto"):
        found += walls(kind, args.probes, args.walls, args.wall_videos)  # type: ignore[arg-type]
        _write(args, found)
    print((args.out / "estimate.md").read_text())


def _write(args: argparse.Namespace, found: Sequence[Trial]) -> None:
    """Results so far."""
    groups: dict[tuple[str, str], list[Trial]] = {}
    for trial in found:
        groups.setdefault((trial.source, trial.what), []).append(trial)
    rows: list[dict[str, Any]] = [
        {"source": source, "what": what, **spread(trials)} for (source, what), trials in groups.items()
    ]
    about = {"machine": platform.machine(), "cpus": os.cpu_count(), "python": platform.python_version()}
    about |= {"probes": args.probes, "real probes": args.real_probes, "real videos": args.videos}
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "estimate.json").write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    head = f"| source | what | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 2)}"
    body = "\n".join(
        f"| {row['source']} | {row['what']} | {' | '.join(_shown(name, row[name]) for name in COLUMNS)} |"
        for row in rows
    )
    (args.out / "estimate.md").write_text(
        f"# Estimates\n\n`python -m benchmarks.estimate`: {json.dumps(about)}\n\n{head}\n{body}\n"
    )


def _shown(name: str, value: float) -> str:
    return f"{value:.0f}" if name == "trials" else f"{value:+.1%}" if name == "mean error" else f"{value:.1%}"


if __name__ == "__main__":
    main()
