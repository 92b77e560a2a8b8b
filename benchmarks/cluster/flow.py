"""How well a run on Ray keeps its slowest stage busy, what its driver takes, and how soon the first clip is through."""

import time
from pathlib import Path

from benchmarks.cluster.played import Part
from benchmarks.cluster.report import Line, line
from benchmarks.cluster.traced import Trace, ray_here, traced
from pipeline.scheduler.settings import Scheduling
from pipeline.scheduler.simulation import Fate, SimulatedStage, Simulation
from pipeline.scheduler.sizing import Node
from pipeline.stage import Needs

STAGES = 10  # of a recipe, with the two that judge
BARE_SECONDS = 0.5  # of a clip, in the comparison with a bare loop
SLOWEST_LOAD = 30.0  # seconds
QUICK = {name: Part(seconds=0.05) for name in ("captioner", "grounder", "segmenter")}
ON_GPU = {name: Needs(gpus=0.25, cpus=0.5) for name in QUICK} | {"tracker": Needs(gpus=1, cpus=0.5)}


def busy(folder: Path, rounds: int) -> list[Line]:
    """Four stages with a GPU; the slowest has the workers that the scheduler's own sizing gives it."""
    parts = {
        "captioner": Part(seconds=0.2),
        "grounder": Part(seconds=0.3),
        "segmenter": Part(seconds=0.1),
        "tracker": Part(seconds=1.0),
    }
    shares, trackers = [], []
    with ray_here(cpus=16, gpus=5):
        for number in range(rounds):
            trace = traced(folder / f"busy-{number}", 200, parts, ON_GPU, Scheduling(workers=2, rebalance_seconds=5.0))
            began, ended = trace.middle("tracker")
            shares.append(trace.busy("tracker", began, ended))
            trackers.append(float(trace.looks[-1].pools["tracker"].wanted))
    return [
        line("busy share of the slowest stage after warm-up", shares, goal=">= 0.95"),
        line("its workers, of 5 GPUs", trackers),
    ]


def bare(folder: Path, rounds: int) -> list[Line]:
    """The slowest stage's worker in a pipeline, and the same function in a loop over the same number of clips."""
    ratios = []
    with ray_here(cpus=16, gpus=4):
        for number in range(rounds):
            clips = 120
            trace = _half_a_second_each(folder / f"bare-{number}", clips, workers=1)
            pipeline = trace.answers["tracker"][-1] - trace.since_up("tracker", 1)
            ratios.append(_bare_loop(clips // 6) * 6 / pipeline)
    return [line(f"pipeline over bare loop, {BARE_SECONDS} s a clip", ratios, goal=">= 0.95")]


def _half_a_second_each(folder: Path, clips: int, workers: int) -> Trace:
    parts = QUICK | {"tracker": Part(seconds=BARE_SECONDS)}
    needs = {name: need.model_copy(update={"gpus": 0.01}) for name, need in ON_GPU.items()}
    return traced(folder, clips, parts, needs, Scheduling(workers=2, gpu_workers=workers))


def _bare_loop(clips: int) -> float:
    began = time.monotonic()
    for _ in range(clips):
        time.sleep(BARE_SECONDS)
    return time.monotonic() - began


def scaling(folder: Path, rounds: int) -> list[Line]:
    """The slowest stage with 1 and with 4 workers on Ray, and with 1 and 64 in a simulated cluster."""
    real = []
    with ray_here(cpus=16, gpus=4):
        for number in range(rounds):
            rates = {
                workers: _half_a_second_each(folder / f"scaling-{number}-{workers}", 60 * workers, workers).rate(
                    "tracker"
                )
                for workers in (1, 4)
            }
            real.append(rates[4] / (4 * rates[1]))
    simulated = [_simulated_rate(workers) / (workers * _simulated_rate(1)) for workers in (4, 16, 64)]
    return [
        line("scaling from 1 to 4 workers on Ray", real, goal=">= 0.95"),
        *(
            line(f"scaling from 1 to {workers} simulated workers", share, goal=">= 0.9")
            for workers, share in zip((4, 16, 64), simulated, strict=True)
        ),
    ]


def _simulated_rate(workers: int) -> float:
    """Clips a second from the first to the last output of 60 clips a worker."""

    def takes(seconds: float) -> SimulatedStage:
        return SimulatedStage(
            name=f"takes {seconds} s",
            needs=Needs(gpus=0.25 if seconds < BARE_SECONDS else 1, cpus=0.5),
            fate=lambda records: Fate(seconds=seconds * len(records)),
            load_seconds=10.0,
        )

    stages = [takes(0.05), takes(0.06), takes(BARE_SECONDS)]
    nodes = [Node(cpus=16, gpus=2)] * workers
    outputs = Simulation(stages, nodes, Scheduling(gpu_workers=workers)).run(range(60 * workers)).outputs
    return len(outputs) / (outputs[-1] - outputs[0])


def driver(folder: Path, rounds: int) -> list[Line]:
    """What the driver itself takes where the stages take no time at all."""
    took = []
    with ray_here(cpus=4, gpus=0):
        for number in range(rounds):
            clips = 1000
            began = time.process_time()
            traced(folder / f"driver-{number}", clips, {}, {}, Scheduling(workers=2))
            took.append(1000 * (time.process_time() - began) / clips / STAGES)
    return [line("driver CPU for each clip and stage", took, "ms", goal="<= 2")]


def ramp(folder: Path, rounds: int) -> list[Line]:
    """From the start of a run until the first clip has passed every stage."""
    loads = {"captioner": 0.5, "grounder": 0.7, "segmenter": 0.4, "tracker": 1.0}
    parts = {name: Part(seconds=0.2, load_seconds=share * SLOWEST_LOAD) for name, share in loads.items()}
    firsts, slowest, over_load = [], [], []
    with ray_here(cpus=16, gpus=4):
        for number in range(rounds):
            trace = traced(folder / f"ramp-{number}", 40, parts, ON_GPU, Scheduling(workers=2))
            slowest.append(max(trace.since_up(name, 1) for name in loads))
            firsts.append(trace.answers["judge"][0] / slowest[-1])
            over_load.append(trace.answers["judge"][0] / SLOWEST_LOAD)
    return [
        line(f"until the slowest stage is up, which loads for {SLOWEST_LOAD:.0f} s", slowest, "s"),
        line("first output, over that load", over_load, "x", goal="<= 1.5"),
        line("first output, over the time until the slowest stage is up", firsts, "x", goal="<= 1.5"),
    ]
