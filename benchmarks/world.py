"""How fast the practice world draws: clips and frames a second on one core, by size; `python -m benchmarks.world`."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.embedded.world import World
from shards.rle import Size

RESULTS = Path(__file__).parent / "results"
SIZES: tuple[Size, ...] = ((96, 160), (256, 448))
ROUNDS = 7


def main() -> None:
    rows = [_clips(size) for size in SIZES] + [_single_frames(size) for size in SIZES]
    about = {"machine": platform.machine(), "cpus": os.cpu_count(), "python": platform.python_version()}
    table = _table(rows)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "world.json").write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    (RESULTS / "world.md").write_text(f"{__doc__}\n\n{table}\n")
    print(table)


def _clips(size: Size) -> dict[str, Any]:
    """Whole clips of 24 frames with all masks."""
    world = World(size=size)
    count = 12 if size[0] < 200 else 4

    def draw(first: int) -> None:
        for index in range(first, first + count):
            world.scene(index).render()

    return {"what": "clip of 24 frames", **_rates(draw, count, size, frames=24)}


def _single_frames(size: Size) -> dict[str, Any]:
    """One frame of each scene, as a detector's training takes them."""
    world = World(size=size)
    count = 200 if size[0] < 200 else 60

    def draw(first: int) -> None:
        for index in range(first, first + count):
            world.scene(index).frame(0).boxes()

    return {"what": "one frame a scene", **_rates(draw, count, size, frames=1)}


def _rates(draw: Callable[[int], None], count: int, size: Size, frames: int) -> dict[str, Any]:
    """Scenes and frames a second over some rounds of `count` new scenes, after one round to warm up."""
    draw(0)
    rates = []
    for number in range(1, ROUNDS + 1):
        start = time.process_time()  # of this process alone, since other work may share the core
        draw(number * count)
        rates.append(count / (time.process_time() - start))
    return {
        "size": f"{size[1]}x{size[0]}",
        "scenes_per_second": statistics.median(rates),
        "low": min(rates),
        "high": max(rates),
        "frames_per_second": statistics.median(rates) * frames,
    }


def _table(rows: list[dict[str, Any]]) -> str:
    head = ["| what | size | scenes/s (median) | least - most | frames/s |", "|---|---|---|---|---|"]
    body = [
        f"| {row['what']} | {row['size']} | {row['scenes_per_second']:.1f} | {row['low']:.1f} - {row['high']:.1f} "
        f"| {row['frames_per_second']:.0f} |"
        for row in rows
    ]
    return "\n".join(head + body)


if __name__ == "__main__":
    main()
