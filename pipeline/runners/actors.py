"""The Ray runner: pools of actors, one for every stage that takes a GPU and one that all other stages share.

Only records travel: paths, times, text, boxes and run lengths. A job whose actor dies is tried again record by record
on a fresh actor, and a record that takes down `STRIKES` actors on its own has crashed; its neighbours lose nothing.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pipeline.runners import Answer, Crashed, Job, Pool, Runner
from pipeline.runners.attempt import Functions
from pipeline.stage import AnyStage

STRIKES = 2
AHEAD = 2  # jobs an actor holds: the one it works on, and the next, so that it never waits for the driver


def ray_runner(address: str | None, workers: int, gpu_workers: int = 1) -> Runner:
    """A `Runner` on the Ray cluster at `address` ("auto": the one that is running; None: one started here)."""

    @contextmanager
    def runner(stages: Sequence[AnyStage]) -> Iterator[Pool]:
        import ray

        began_here = not ray.is_initialized()
        if began_here:
            ray.init(address=address, **(_own_cluster(workers) if address is None else {}), log_to_driver=False)
        pool = _ActorPool(ray, stages, workers, gpu_workers)
        try:
            yield pool
        finally:
            pool.stop()
            if began_here:
                ray.shutdown()

    return runner


def _own_cluster(workers: int) -> dict[str, Any]:
    # Records are small: the object store needs little, and asks for a third of the memory when not told.
    return {"num_cpus": workers, "include_dashboard": False, "object_store_memory": 100 << 20}


class _Worker:
    """Runs in the actor's process."""

    def __init__(self, stages: Sequence[AnyStage], name: str) -> None:
        self._functions = Functions(stages)
        self._name = name

    def answer(self, stage: int, records: tuple[Any, ...]) -> tuple[tuple[Any, ...], float, str]:
        return *self._functions.answer(stage, records), self._name


@dataclass
class _Crew:
    """The actors of one pool and what each has in hand."""

    cpus: float
    gpus: float
    size: int
    actors: list[Any] = field(default_factory=list)
    load: Counter[int] = field(default_factory=Counter)  # actor's place -> jobs in hand

    def free(self) -> int:
        return AHEAD * self.size - self.load.total()

    def least_busy(self) -> int:
        return min(range(self.size), key=lambda place: self.load[place])


class _ActorPool:
    def __init__(self, ray: Any, stages: Sequence[AnyStage], workers: int, gpu_workers: int) -> None:
        self._ray = ray
        self._stages = list(stages)
        self._crews: list[_Crew] = []
        self._crew_of: dict[int, _Crew] = {}
        self._running: dict[Any, tuple[Job, _Crew, int]] = {}  # object reference -> job, crew, actor's place
        self._again: list[Job] = []
        self._strikes: Counter[tuple[int, str]] = Counter()
        self._man(workers, gpu_workers)

    def free(self, stage: int) -> int:
        return self._crew_of[stage].free()

    def submit(self, job: Job) -> None:
        crew = self._crew_of[job.stage]
        place = crew.least_busy()
        crew.load[place] += 1
        reference = crew.actors[place].answer.remote(job.stage, job.records)
        self._running[reference] = (job, crew, place)

    def collect(self) -> list[Answer]:
        answers: list[Answer] = []
        while self._running and not answers:
            ready, _ = self._ray.wait(list(self._running), num_returns=1)
            more, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
            for reference in dict.fromkeys([*ready, *more]):
                if reference in self._running:  # not, where its actor's death has sent it round again
                    answers += self._take(reference)
            while self._again:
                self.submit(self._again.pop())
        return answers

    def stop(self) -> None:
        for crew in self._crews:
            for actor in crew.actors:
                self._ray.kill(actor)

    def _man(self, workers: int, gpu_workers: int) -> None:
        """Start every actor at once, none after another."""
        shared = _Crew(cpus=1.0, gpus=0.0, size=workers)
        for number, stage in enumerate(self._stages):
            if not stage.needs.gpus:
                self._crew_of[number] = shared
            else:
                self._crew_of[number] = _Crew(cpus=stage.needs.cpus, gpus=stage.needs.gpus, size=gpu_workers)
        self._crews = list({id(crew): crew for crew in self._crew_of.values()}.values())
        for number, crew in enumerate(self._crews):
            crew.actors = [self._actor(crew, f"{number}.{place}") for place in range(crew.size)]

    def _actor(self, crew: _Crew, name: str) -> Any:
        options = {"num_cpus": crew.cpus, "num_gpus": crew.gpus, "max_restarts": 0}
        return self._ray.remote(_Worker).options(**options).remote(self._stages, name)

    def _take(self, reference: Any) -> list[Answer]:
        from ray.exceptions import RayActorError

        job, crew, place = self._running.pop(reference)
        crew.load[place] -= 1
        try:
            outcomes, seconds, worker = self._ray.get(reference)
        except RayActorError as death:
            return self._bury(job, crew, place, str(death))
        return [Answer(job=job, outcomes=outcomes, seconds=seconds, worker=worker)]

    def _bury(self, job: Job, crew: _Crew, place: int, cause: str) -> list[Answer]:
        """The actor died under this job: replace it once, and find out whether the job was to blame."""
        self._replace(crew, place)
        if len(job.records) > 1:
            self._again += [Job(stage=job.stage, records=(record,)) for record in job.records]
            return []
        strike = (job.stage, job.records[0].key)
        self._strikes[strike] += 1
        if self._strikes[strike] < STRIKES:
            self._again.append(job)
            return []
        crash = Crashed(error="WorkerDied", message=f"took down {STRIKES} workers", traceback=cause)
        return [Answer(job=job, outcomes=(crash,), seconds=0.0, worker="")]

    def _replace(self, crew: _Crew, place: int) -> None:
        """A new actor in the dead one's place. Jobs the dead one still held die with it and come back through here."""
        others = [r for r, (_, c, p) in self._running.items() if c is crew and p == place]
        crew.actors[place] = self._actor(crew, f"{self._crews.index(crew)}.{place}")
        for reference in others:
            job, _, _ = self._running.pop(reference)
            crew.load[place] -= 1
            self._again.append(job)
