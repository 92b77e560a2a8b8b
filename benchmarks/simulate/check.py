"""Whether the simulation is right: the same line of stages, of the same times, on Ray's workers and simulated."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.cluster.traced import ray_here
from benchmarks.simulate.times import mood
from pipeline.records import Video
from pipeline.runners import Workers
from pipeline.runners.actors import ray_runner
from pipeline.scheduler.settings import Scheduling
from pipeline.scheduler.simulation import Fate, SimulatedStage, Simulation
from pipeline.scheduler.sizing import Node
from pipeline.stage import Needs, Stage

CLIPS = 40  # for each worker
NODE = Node(cpus=16, gpus=8)


class Sleeper(Stage[Video, Video]):
    """Sleeps for a time that the record's id and the stage's name decide: a mean, and a tail that is heavy."""

    label: str
    mean: float  # seconds

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.label

    def seconds(self, number: str) -> float:
        """Pareto's, cut at ten times the mean; of mean 1 with an exponent of 2."""
        times: float = 0.5 / (1 - mood(self.label, number)) ** 0.5
        return min(10.0, times) * self.mean

    def open(self) -> Callable[[Sequence[Video]], list[Video]]:
        def answer(batch: Sequence[Video]) -> list[Video]:
            time.sleep(sum(self.seconds(video.id) for video in batch))
            return list(batch)

        return answer


STAGES = (
    Sleeper(label="cut", mean=0.02, needs=Needs(cpus=0.5)),
    Sleeper(label="ground", mean=0.05, needs=Needs(cpus=0.5, gpus=0.25, batch=4)),
    Sleeper(label="track", mean=0.4, needs=Needs(cpus=0.5, gpus=1)),
)


@dataclass(frozen=True, kw_only=True)
class Check:
    """Seconds from the first output to the last."""

    workers: int
    real: float
    simulated: float

    @property
    def error(self) -> float:
        return self.simulated / self.real - 1


def checks(rounds: int) -> Iterator[Check]:
    """With 1 to 4 workers of the slowest stage."""
    with ray_here(cpus=int(NODE.cpus), gpus=int(NODE.gpus)):
        for workers in (1, 2, 3, 4):
            simulated = _span(_simulated(workers))
            for _ in range(rounds):
                yield Check(workers=workers, real=_span(_real(workers)), simulated=simulated)


def _span(outputs: Sequence[float]) -> float:
    return outputs[-1] - outputs[0]


def _scheduling(workers: int) -> Scheduling:
    return Scheduling(workers=2, gpu_workers=workers)


def _real(workers: int) -> list[float]:
    """When each clip came out, seconds."""
    with ray_runner("auto", _scheduling(workers))(STAGES) as ours:
        return _driven(ours, [Video(id=str(n), uri=str(n)) for n in range(CLIPS * workers)])


def _driven(workers: Workers, videos: Sequence[Video]) -> list[float]:
    waiting, outputs = list(reversed(videos)), list[float]()
    while len(outputs) < len(videos):
        while waiting and workers.room() > 0:
            workers.put(0, waiting.pop())
        for answer in workers.collect():
            for outcome in answer.outcomes:
                if answer.job.stage + 1 < len(STAGES):
                    workers.put(answer.job.stage + 1, outcome)
                else:
                    outputs.append(time.monotonic())
    return outputs


def _simulated(workers: int) -> list[float]:
    def stage(real: Sleeper) -> SimulatedStage:
        return SimulatedStage(
            name=real.label,
            needs=real.needs,
            fate=lambda records: Fate(seconds=sum(real.seconds(str(record)) for record in records)),
        )

    line = [stage(real) for real in STAGES]
    return Simulation(line, [NODE], _scheduling(workers)).run(range(CLIPS * workers)).outputs
