"""The Ray runner: pools of actors, one for every stage that takes a GPU and one that all other stages share.

Only records travel: paths, times, text, boxes and run lengths. When an actor dies, the records it had in hand are
tried again one by one on a fresh actor that does nothing else meanwhile; only a record that takes down that one too
has crashed, so its neighbours lose nothing.
"""

import math
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pipeline.runners import Answer, Crashed, Job, Pool, Runner
from pipeline.runners.attempt import Functions
from pipeline.stage import AnyStage

AHEAD = 2  # jobs an actor holds: the one it works on, and the next, so that it never waits for the driver


def ray_runner(address: str | None, workers: int, gpu_workers: int = 1) -> Runner:
    """A `Runner` on the Ray cluster at `address` ("auto": the one that is running; None: one started here).

    Work begins with the first worker that the cluster has room for. ValueError for fewer than one worker.
    """
    if min(workers, gpu_workers) < 1:
        raise ValueError(f"{min(workers, gpu_workers)} workers can do no work; give at least 1")

    @contextmanager
    def runner(stages: Sequence[AnyStage]) -> Iterator[Pool]:
        import ray

        places, of_stage = _places(stages, workers, gpu_workers)
        began_here = not ray.is_initialized()
        if began_here:
            with _signals_kept():
                _connect(ray, {"address": address} if address else _own_cluster(places))
        pool = _ActorPool(ray, stages, places, of_stage)
        try:
            yield pool
        finally:
            pool.stop()
            if began_here:
                ray.shutdown()

    return runner


def _connect(ray: Any, options: dict[str, Any]) -> None:
    try:
        ray.init(**options, log_to_driver=False)
    except ConnectionError:
        raise ValueError(
            f"no Ray cluster answers at {options['address']!r}: start one with `ray start --head`, or use `--ray local`"
        ) from None


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray sets its own SIGTERM handler, which would end the build where ours finishes what is under way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


class _Worker:
    """Runs in the actor's process."""

    def __init__(self, stages: Sequence[AnyStage]) -> None:
        self._functions = Functions(stages)

    def ready(self) -> None:
        """Answers once the actor is up."""

    def answer(self, stage: int, records: tuple[Any, ...]) -> tuple[tuple[Any, ...], float]:
        return self._functions.answer(stage, records)


@dataclass(eq=False)
class _Place:
    """Where one actor after another works, and what the present one has in hand."""

    name: str
    cpus: float
    gpus: float
    actor: Any = None
    starting: bool = True  # the cluster has not yet found room for the actor
    in_hand: dict[Any, Job] = field(default_factory=dict)  # by the answer's reference
    suspects: deque[Job] = field(default_factory=deque)  # one of them took an actor down: they wait to be tried alone
    trying: bool = False  # the job in hand is a suspect

    @property
    def room(self) -> int:
        return 0 if self.starting or self.trying else AHEAD - len(self.in_hand)


def _places(stages: Sequence[AnyStage], workers: int, gpu_workers: int) -> tuple[list[_Place], dict[int, list[_Place]]]:
    """All places, and those that serve each stage."""
    shared = [_Place(f"shared.{n}", cpus=1.0, gpus=0.0) for n in range(workers)]
    of_stage = {
        number: [_Place(f"{stage.name}.{n}", stage.needs.cpus, stage.needs.gpus) for n in range(gpu_workers)]
        if stage.needs.gpus
        else shared
        for number, stage in enumerate(stages)
    }
    return list(dict.fromkeys(place for places in of_stage.values() for place in places)), of_stage


def _own_cluster(places: Sequence[_Place]) -> dict[str, Any]:
    # Records are small: the object store needs little, and asks for a third of the memory when not told.
    cpus = math.ceil(sum(place.cpus for place in places))
    return {"address": "local", "num_cpus": cpus, "include_dashboard": False, "object_store_memory": 100 << 20}


class _ActorPool:
    """Starts every actor at once, none after another."""

    def __init__(
        self, ray: Any, stages: Sequence[AnyStage], places: list[_Place], of_stage: dict[int, list[_Place]]
    ) -> None:
        self._ray = ray
        self._stages = list(stages)
        self._places = places
        self._of_stage = of_stage
        self._waits: dict[Any, _Place] = {}  # reference of an answer, or of an actor's being up -> where
        for place in places:
            self._start(place)

    def free(self, stage: int) -> int:
        return sum(place.room for place in self._of_stage[stage])

    def submit(self, job: Job) -> None:
        self._hand(max(self._of_stage[job.stage], key=lambda place: place.room), job)

    def collect(self) -> list[Answer]:
        ready: list[Any] = []
        if self._waits:
            self._ray.wait(list(self._waits), num_returns=1)
            ready, _ = self._ray.wait(list(self._waits), num_returns=len(self._waits), timeout=0)
        # A reference goes from `_waits` when its actor's death has sent its job round again.
        return [answer for reference in ready if reference in self._waits for answer in self._take(reference)]

    def stop(self) -> None:
        for place in self._places:
            self._ray.kill(place.actor)

    def _start(self, place: _Place) -> None:
        options = {"num_cpus": place.cpus, "num_gpus": place.gpus, "max_restarts": 0}
        place.actor = self._ray.remote(_Worker).options(**options).remote(self._stages)
        place.starting = True
        self._waits[place.actor.ready.remote()] = place

    def _hand(self, place: _Place, job: Job) -> None:
        reference = place.actor.answer.remote(job.stage, job.records)
        self._waits[reference] = place
        place.in_hand[reference] = job

    def _take(self, reference: Any) -> list[Answer]:
        from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError

        place = self._waits.pop(reference)
        try:
            answer = self._ray.get(reference)
        except (RayActorError, OutOfMemoryError) as death:
            if isinstance(death, RayActorError) and death.actor_init_failed:
                raise RuntimeError(f"no worker could start on the cluster:\n{death}") from None
            return self._bury(place, reference, str(death))
        except RayTaskError as error:
            if isinstance(error.cause, ValueError | OSError):
                raise error.cause from None  # as it would come from a stage in this process
            raise
        answers: list[Answer] = []
        if place.starting:
            place.starting = False
        else:
            outcomes, seconds = answer
            job = place.in_hand.pop(reference)
            answers = [Answer(job=job, outcomes=outcomes, seconds=seconds, worker=place.name)]
        self._try_next(place)
        return answers

    def _bury(self, place: _Place, reference: Any, cause: str) -> list[Answer]:
        """A place's actor died: start another, and find out which record was to blame, if any."""
        self._ray.kill(place.actor)  # one that is only out of reach must not work on
        answers: list[Answer] = []
        if place.trying and reference in place.in_hand:
            crash = Crashed(error="WorkerDied", message="took down two workers, the second alone", traceback=cause)
            answers = [Answer(job=place.in_hand[reference], outcomes=(crash,), seconds=0.0, worker=place.name)]
        else:
            held = place.in_hand.values()
            place.suspects += [Job(stage=job.stage, records=(record,)) for job in held for record in job.records]
        for other in place.in_hand:
            self._waits.pop(other, None)
        place.in_hand.clear()
        self._start(place)
        return answers

    def _try_next(self, place: _Place) -> None:
        """Hand over the next suspect, alone; after the last the place works as before."""
        if not place.in_hand:
            place.trying = bool(place.suspects)
            if place.suspects:
                self._hand(place, place.suspects.popleft())
