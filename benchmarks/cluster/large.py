"""A dataset of the size that the pipeline is made for: what its driver holds in memory, and how fast a second run ends.

Stages and pictures are played in this process; plan, ledger, shards and their index are real.
"""

import json
import os
import time
from pathlib import Path

from benchmarks.cluster.played import played, with_played_packer, write_source
from benchmarks.cluster.report import Line, line
from pipeline.build import Watch
from pipeline.recipe import load_recipe
from pipeline.run import build, summarise
from pipeline.runners.local import local
from shards import Storage
from shards.ledger import Row

MARKS = (1_000, 10_000, 100_000, 230_000)
"""Clips after which the memory is looked at."""


class Memory:
    """What this process holds, MB, after so many clips were decided; kept in a file, for a run that is gone on with."""

    def __init__(self, path: Path, decided: int, clips: int) -> None:
        self._path, self._decided = path, decided
        self._marks = [mark for mark in MARKS if mark < clips] + [clips]
        known = json.loads(path.read_text()) if path.exists() else {}
        self.held = {int(mark): float(megabytes) for mark, megabytes in known.items()}

    def answered(self, row: Row) -> None:
        if row.outcome in ("kept", "rejected"):
            self._decided += 1
            if self._decided in self._marks:
                self.held[self._decided] = resident()
                self._path.write_text(json.dumps(self.held))


def resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def large(folder: Path, clips: int) -> list[Line]:
    """Built once; built again with the real stages, which nobody may ask; folders that stay are gone on with."""
    source = write_source(folder / f"{clips}.parquet", clips)
    out = str(folder / f"{clips}" / "clips")
    memory = Memory(folder / f"{clips}.json", summarise(Storage.at(out)).clips, clips)
    began = time.monotonic()
    summary = build(source, out, played({}, {}), with_played_packer(local), watch=Watch(answered=memory.answered))
    seconds = time.monotonic() - began
    assert summary.finished
    assert summary.clips == clips
    rows: list[Row] = []
    began = time.monotonic()
    again = build(source, out, load_recipe("embedded"), local, watch=Watch(answered=rows.append))
    second = time.monotonic() - began
    assert again == summary
    held = [line(f"driver's memory at {mark:,} clips", value, "MB") for mark, value in sorted(memory.held.items())]
    growth = memory.held[clips] / memory.held[min(memory.held)]
    return [
        line(f"{clips:,} clips through every stage, or what an earlier run had left of them", seconds, "s"),
        *held,
        line(f"its growth from {min(memory.held):,} to {clips:,} clips", growth, "x", goal="<= 1.2"),
        line(f"second run over {clips:,} clips", second, "s", goal="<= 60"),
        line("rows that it wrote", float(len(rows)), goal="== 0"),
    ]
