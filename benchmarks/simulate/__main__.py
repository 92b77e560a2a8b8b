"""The scheduler on clusters that are not here: efficiency from 4 to 1,000 GPUs, checked on Ray with 1 to 4 workers.

    python -m benchmarks.simulate [--dataset URL] [--videos N] [--clips N] [--rounds N] [--out FOLDER]

The times of stages are those of a real build: of DATASET's ledger, or of practice videos that are built first. The
very scheduler that drives Ray places workers, hands out jobs, and buries the dead; only machines and time are not real.
Troubled runs have stragglers, clips that take workers down, and a tenth of the machines lost in the middle.
"""

import argparse
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.simulate.check import Check, checks
from benchmarks.simulate.curve import MACHINES, Point, points
from benchmarks.simulate.times import measure


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulate", description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", metavar="URL", help="dataset whose ledger has the times (default: build one now)")
    parser.add_argument("--videos", type=int, default=24, help="practice videos to build (default: %(default)s)")
    parser.add_argument("--clips", type=int, default=200, help="for each machine (default: %(default)s)")
    parser.add_argument("--machines", type=int, default=max(MACHINES), help="at most (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of each check on Ray (default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parents[1] / "results", help="folder for the results"
    )
    parser.add_argument("--only", choices=("checks", "points"), help="one part; the other's results stay")
    args = parser.parse_args()
    about = {"machine": platform.machine(), "cpus": os.cpu_count(), "python": platform.python_version()}
    real, found = _known(args.out)
    if args.only != "points":
        real = list(checks(args.rounds))
        _write(args.out, about, real, found)
    if args.only != "checks":
        found, measured = [], measure(args.dataset, args.videos)
        about |= {"measured clips": len(measured.clips)}
        for point in points(measured, args.clips, [count for count in MACHINES if count <= args.machines]):
            found.append(point)
            _write(args.out, about, real, found)
    print((args.out / "simulate.md").read_text())


def _known(out: Path) -> tuple[list[Check], list[Point]]:
    """Results that stand there."""
    path = out / "simulate.json"
    values = json.loads(path.read_text()) if path.exists() else {"checks": [], "points": []}
    return [Check(**check) for check in values["checks"]], [Point(**point) for point in values["points"]]


def _write(out: Path, about: dict[str, Any], real: Sequence[Check], found: Sequence[Point]) -> None:
    """Results so far, and their plot."""
    out.mkdir(parents=True, exist_ok=True)
    values = {**about, "checks": [asdict(check) for check in real], "points": [asdict(point) for point in found]}
    (out / "simulate.json").write_text(json.dumps(values, indent=1) + "\n")
    (out / "simulate.md").write_text(_page(about, real, found))
    if found:
        (out / "simulate.png").write_bytes(_plot(found))


def _page(about: dict[str, Any], real: Sequence[Check], found: Sequence[Point]) -> str:
    rows = ["| workers | on Ray (s) | simulated (s) | error |", "|---|---|---|---|"]
    rows += [f"| {c.workers} | {c.real:.2f} | {c.simulated:.2f} | {c.error:+.1%} |" for c in real]
    curve = [
        "| machines | GPUs | workers | clips | trouble | hours | efficiency | busiest pool | ended |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    curve += [
        f"| {p.machines} | {p.gpus} | {p.workers} | {p.clips:,} | {'yes' if p.troubled else 'no'} | "
        f"{p.seconds / 3600:.2f} | {p.efficiency:.3f} | {p.busy:.1%} | "
        f"{', '.join(f'{how} {count:,}' for how, count in sorted(p.ended.items()))} |"
        for p in found
    ]
    head = f"# Simulated clusters\n\n`python -m benchmarks.simulate`: {json.dumps(about)}"
    check = "From the first output to the last of sleeping stages with heavy-tailed times, on Ray and simulated:"
    about_curve = "Clips a second and machine, over those of one machine that nothing troubles:"
    return "\n\n".join([head, check, "\n".join(rows), about_curve, "\n".join(curve)]) + "\n"


def _plot(found: Sequence[Point]) -> bytes:
    import io

    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 3.6), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    for troubled, label in ((False, "nothing goes wrong"), (True, "stragglers, deaths, lost machines")):
        own = [point for point in found if point.troubled == troubled]
        axes.plot([point.gpus for point in own], [point.efficiency for point in own], marker="o", label=label)
    gpus = sorted({point.gpus for point in found})
    axes.set_xscale("log")
    axes.set_xticks(gpus, [str(count) for count in gpus])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("GPUs")
    axes.set_ylabel("clips a second and machine, relative")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    sink = io.BytesIO()
    figure.savefig(sink, format="png")
    return sink.getvalue()


if __name__ == "__main__":
    main()
