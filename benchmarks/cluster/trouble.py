"""Clips that take workers down, and a machine that is lost for good: what a run makes of them."""

from pathlib import Path

from benchmarks.cluster.kills import ordeal
from benchmarks.cluster.machines import machines
from benchmarks.cluster.played import Part, played, with_played_packer, write_source
from benchmarks.cluster.report import Line, line
from benchmarks.cluster.traced import ray_here
from pipeline.run import build
from pipeline.runners.actors import ray_runner
from pipeline.scheduler.settings import Scheduling
from pipeline.stage import Needs
from shards import Storage, ledger

POISON = {  # video id -> what it does to the tracker's worker
    "parquet/000041": "exit",
    "parquet/000042": "segfault",  # beside the one before: both may be in one worker's hands
    "parquet/000199": "hang",
    "parquet/000307": "bomb",
    "parquet/000411": "segfault",
    "parquet/000498": "exit",
}


def poison(folder: Path, clips: int = 500) -> list[Line]:
    """Poison among so many clips: who is given up, and who is through."""
    source, out = write_source(folder / "source.parquet", clips), folder / "clips"
    recipe = played({"tracker": Part(troubles=POISON)}, {"tracker": Needs(gpus=0.5, cpus=0.5, memory=1.0, batch=4)})
    scheduling = Scheduling(workers=2, gpu_workers=2, first_deadline=120.0, least_deadline=30.0)
    with ray_here(cpus=8, gpus=1):
        summary = build(source, str(out), recipe, with_played_packer(ray_runner("auto", scheduling)))
    ends = ledger.endings(Storage.at(out)).values()
    given_up = {end.video for end in ends if end.outcome == "quarantined"}
    return [
        line(f"poison clips among {clips}", float(len(POISON))),
        line("of them quarantined", float(len(given_up & POISON.keys())), goal=f"== {len(POISON)}"),
        line("innocent clips quarantined", float(len(given_up - POISON.keys())), goal="== 0"),
        line("innocent clips that failed", float(sum(summary.failed.values())), goal="== 0"),
        line(
            "clips with an answer",
            float(summary.samples + sum(summary.rejected.values())),
            goal=f"== {clips - len(POISON)}",
        ),
    ]


def nodes(folder: Path, rounds: int) -> list[Line]:
    """One of three machines is lost in the middle of a run, and none comes for it."""
    ordeals = []
    for seed in range(rounds):
        with machines(3) as cluster:
            ordeals.append(ordeal(folder, cluster, ["machine"], seed, replace=False))
    return [
        line("machines lost in the middle of a run", float(sum(len(o.kills) for o in ordeals)), goal=f"== {rounds}"),
        line("clips missing", float(sum(o.missing for o in ordeals)), goal="== 0"),
        line("samples that stand twice", float(sum(o.twice for o in ordeals)), goal="== 0"),
        line("builds with other bytes or ends", float(sum(not o.same for o in ordeals)), goal="== 0"),
    ]
