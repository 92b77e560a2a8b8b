"""The Ray runner: carries out the scheduler's commands with actors, and tells it what became of them.

Only records travel: paths, times, text, boxes and run lengths.
"""

import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.runners import Answer, Runner, Workers
from pipeline.runners.attempt import Done, Functions, Poisoned
from pipeline.scheduler.commands import Command, Send, Start
from pipeline.scheduler.policy import Scheduler
from pipeline.scheduler.settings import Scheduling
from pipeline.scheduler.sizing import Node
from pipeline.scheduler.state import PoolState, StageState
from pipeline.stage import AnyStage
from shards.storage import Outage

MOMENT = 1.0  # seconds that `collect` waits at most, so that the ledger is written while long jobs run
LOOK = 5.0  # seconds from one look at the cluster's machines to the next


def ray_runner(address: str | None, scheduling: Scheduling) -> Runner:
    """A `Runner` on the Ray cluster at `address` ("auto": the one that is running; None: one started here).

    Work begins with the first worker that the cluster has room for, and goes on with those that it has.
    """

    @contextmanager
    def runner(stages: Sequence[AnyStage]) -> Iterator[Workers]:
        if address:
            show_token()
        import ray

        began_here = not ray.is_initialized()
        if began_here:
            with _signals_kept():
                _connect(ray, {"address": address} if address else _own_cluster(stages, scheduling))
        actors = _Actors(ray, stages, scheduling)
        try:
            yield actors
        finally:
            actors.stop()
            if began_here:
                ray.shutdown()

    return runner


def show_token() -> None:
    """Have Ray show this machine's token, where one is: `ray start` asks for it then, and `ray.init` does not show it.

    A cluster that asks for none takes no notice. Ray reads the variable as it is imported.
    """
    if (Path.home() / ".ray" / "auth_token").exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _connect(ray: Any, options: dict[str, Any]) -> None:
    try:
        ray.init(**options, log_to_driver=False)
    except ConnectionError:
        raise ValueError(
            f"no Ray cluster answers at {options['address']!r}: start one with `ray start --head`, or use `--ray local`"
            "; where it asks for another token than that of this machine, set RAY_AUTH_TOKEN"
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


def _own_cluster(stages: Sequence[AnyStage], scheduling: Scheduling) -> dict[str, Any]:
    # Records are small: the object store needs little, and asks for a third of the memory when not told.
    options: dict[str, Any] = {"address": "local", "include_dashboard": False, "object_store_memory": 100 << 20}
    if scheduling.workers is None:
        return options
    on_gpu = sum(stage.needs.cpus for stage in stages if stage.needs.gpus) * (scheduling.gpu_workers or 1)
    on_cpu = max((stage.needs.cpus for stage in stages if not stage.needs.gpus), default=0.0) * scheduling.workers
    return options | {"num_cpus": math.ceil(on_gpu + on_cpu)}


class _Worker:
    """Runs in the actor's process."""

    def __init__(self, stages: Sequence[AnyStage], loads: Sequence[int], memory: float | None) -> None:
        self._functions = Functions(stages)
        self._loads = loads
        if memory is not None:
            threading.Thread(target=_watch_memory, args=(memory,), daemon=True).start()

    def ready(self) -> None:
        """Answers once what it works for is loaded."""
        for stage in self._loads:
            self._functions.open(stage)

    def answer(self, stage: int, records: tuple[Any, ...]) -> Done:
        return self._functions.answer(stage, records)


def _watch_memory(most: float) -> None:
    """Ends a worker that takes more than `most` GiB, before the machine ends another one for it."""
    pages = (most * 2**30) / os.sysconf("SC_PAGE_SIZE")
    while True:
        with open("/proc/self/statm") as statm:
            if int(statm.read().split()[1]) > pages:
                os._exit(137)  # as the kernel's own killer would
        time.sleep(0.05)


class _Actors:
    """The actors of a build, by the scheduler's names for them."""

    def __init__(self, ray: Any, stages: Sequence[AnyStage], scheduling: Scheduling) -> None:
        self._ray = ray
        self._stages = list(stages)
        self._scheduler = Scheduler(stages, scheduling, time.monotonic)
        self._actors: dict[str, Any] = {}
        self._waits: dict[Any, tuple[str, int | None]] = {}  # reference -> worker and ticket; None: its being up
        self._looked = -math.inf
        self._asked = 0  # GPUs, of the autoscaler
        self.room, self.put = self._scheduler.room, self._scheduler.put
        self.no_more, self.drain = self._scheduler.no_more, self._scheduler.drain

    def state(self) -> tuple[list[StageState], list[PoolState]]:
        return self._scheduler.state()

    def collect(self) -> list[Answer]:
        self._look()
        self._act(self._scheduler.commands())
        for reference in self._ready():
            self._take(reference)
        self._act(self._scheduler.commands())  # nobody waits while the driver settles the answers
        return self._scheduler.answers()

    def stop(self) -> None:
        self._ask(0)
        for actor in self._actors.values():
            self._ray.kill(actor)

    def _look(self) -> None:
        """Which machines the cluster has now, and which it should have."""
        if time.monotonic() - self._looked >= LOOK:
            self._looked = time.monotonic()
            alive = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            self._scheduler.resize([Node(cpus=has.get("CPU", 0.0), gpus=has.get("GPU", 0.0)) for has in alive])
            self._ask(self._scheduler.gpus_wanted())

    def _ask(self, gpus: int) -> None:
        """Have the cluster's autoscaler see to so many GPUs; a cluster without one takes no notice."""
        if gpus != self._asked:
            from ray.autoscaler.sdk import request_resources

            request_resources(bundles=[{"GPU": 1.0}] * gpus)
            self._asked = gpus

    def _act(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if isinstance(command, Start):
                self._start(command)
            elif isinstance(command, Send):
                answer = self._actors[command.worker].answer
                self._waits[answer.remote(command.stage, command.records)] = (command.worker, command.ticket)
            else:
                self._end(command.worker)

    def _start(self, command: Start) -> None:
        memory = max((self._stages[n].needs.memory or 0.0 for n in self._served(command)), default=0.0)
        options = {
            "num_cpus": command.cpus,
            "num_gpus": command.gpus,
            "max_restarts": 0,
            "max_concurrency": self._scheduler.settings.ahead,
        }
        if memory:
            options["memory"] = int(memory * 2**30)
        actor = self._ray.remote(_Worker).options(**options).remote(self._stages, command.loads, memory or None)
        self._actors[command.worker] = actor
        self._waits[actor.ready.remote()] = (command.worker, None)

    def _served(self, command: Start) -> Sequence[int]:
        return command.loads or [n for n, stage in enumerate(self._stages) if not stage.needs.gpus]

    def _end(self, worker: str) -> None:
        self._ray.kill(self._actors.pop(worker))
        self._waits = {reference: wait for reference, wait in self._waits.items() if wait[0] != worker}

    def _ready(self) -> list[Any]:
        """References of what has come, after a moment at most."""
        if not self._waits:
            return []
        due = self._scheduler.wake_at()
        moment = MOMENT if due is None else min(MOMENT, max(0.0, due - time.monotonic()))
        self._ray.wait(list(self._waits), num_returns=1, timeout=moment)
        ready, _ = self._ray.wait(list(self._waits), num_returns=len(self._waits), timeout=0)
        return list(ready)

    def _take(self, reference: Any) -> None:
        from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError

        if reference not in self._waits:
            return  # its worker was ended meanwhile
        worker, ticket = self._waits.pop(reference)
        try:
            answer = self._ray.get(reference)
        except (RayActorError, OutOfMemoryError) as death:
            self._bury(worker, str(death), blame=not _machine_went(death))
        except RayTaskError as error:
            self._take_error(worker, ticket, error)
        else:
            if ticket is None:
                self._scheduler.up(worker)
            else:
                self._scheduler.answered(worker, ticket, *answer)

    def _take_error(self, worker: str, ticket: int | None, error: Any) -> None:
        cause = error.cause
        if isinstance(cause, Outage) and ticket is not None:
            self._scheduler.no_storage(worker, ticket, cause)
        elif isinstance(cause, Poisoned):
            self._bury(worker, str(cause), blame=True)
        elif isinstance(cause, ValueError | OSError):
            raise cause from None  # as it would come from a stage in this process
        else:
            raise error

    def _bury(self, worker: str, cause: str, *, blame: bool) -> None:
        self._end(worker)  # one that is only out of reach must not work on
        self._scheduler.died(worker, cause, blame=blame)


def _machine_went(death: Any) -> bool:
    """Whether the worker's whole machine is gone: Ray tells it in words only, and of announced losses by a flag."""
    return bool(getattr(death, "preempted", False)) or "node has died" in str(death)
