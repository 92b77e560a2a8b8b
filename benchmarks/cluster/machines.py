"""A Ray cluster of several machines, all on this one: each a raylet with its own workers, that can be killed."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_SYSTEM = {  # a machine that is gone is missed within two seconds, instead of half a minute
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
}
_MEMORY = 80 << 20  # bytes of each machine's object store: records are small

STARTS = 8
"""Ray gives a machine half a minute to start, which is short where others want the cores too."""


class Machines:
    """A head that works for nobody, and machines that work.

    They are held by a process of their own: Ray ends any process that once spoke to a cluster which is gone a minute.
    """

    def __init__(self, cpus: int, gpus: int) -> None:
        self._number = 0
        for left in reversed(range(STARTS)):
            self._keep(cpus, gpus)
            try:
                self.address: str = self._pipe.recv()
                break
            except EOFError:
                self._keeper.join()
                if not left:
                    raise

    def _keep(self, cpus: int, gpus: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._keeper = context.Process(target=_keep, args=(theirs, cpus, gpus))
        self._keeper.start()
        theirs.close()  # so that the keeper's death is heard

    def __len__(self) -> int:
        return self._number

    def add(self) -> None:
        """One more machine; returns once it is there."""
        self._ask("add")
        self._number += 1

    def kill(self, number: int) -> None:
        """SIGKILL to a machine's raylet; its workers end as they notice."""
        self._ask("kill", number)
        self._number -= 1

    def workers(self) -> list[int]:
        """Process ids of the actors on all machines, as far as they have begun."""
        raylets = set(self._ask("raylets"))
        return sorted(pid for pid, parent, title in _processes() if parent in raylets and title.startswith("ray::_Wor"))

    def stop(self) -> None:
        self._pipe.close()
        self._keeper.join()

    def _ask(self, what: str, *how: int) -> Any:
        self._pipe.send((what, *how))
        return self._pipe.recv()


def _keep(pipe: Connection, cpus: int, gpus: int) -> None:
    """The keeper's whole life: it ends when nobody asks any more."""
    kept = _Kept(cpus, gpus)
    pipe.send(kept.address)
    try:
        while True:
            what, *how = pipe.recv()
            pipe.send(getattr(kept, what)(*how))
    except EOFError:
        kept.stop()


class _Kept:
    """The machines in their keeper."""

    def __init__(self, cpus: int, gpus: int) -> None:
        from ray.cluster_utils import Cluster

        self._each: dict[str, Any] = {"num_cpus": cpus, "num_gpus": gpus, "object_store_memory": _MEMORY}
        head = {"num_cpus": 0, "object_store_memory": _MEMORY, "include_dashboard": False, "_system_config": _SYSTEM}
        self._cluster: Any = Cluster(initialize_head=True, head_node_args=head)
        self.address = str(self._cluster.address)
        self._nodes: list[Any] = []

    def add(self) -> None:
        for left in reversed(range(STARTS)):
            try:
                self._nodes.append(self._cluster.add_node(**self._each))
                break
            except Exception as error:  # Ray knows no class of its own for it
                if not left or "timed out during startup" not in str(error):
                    raise

    def kill(self, number: int) -> None:
        node = self._nodes.pop(number)
        os.kill(_raylet(node), signal.SIGKILL)
        self._cluster.remove_node(node, allow_graceful=False)

    def raylets(self) -> list[int]:
        return [_raylet(node) for node in self._nodes]

    def stop(self) -> None:
        self._cluster.shutdown()


@contextmanager
def machines(number: int, *, cpus: int = 8, gpus: int = 1) -> Iterator[Machines]:
    """So many machines of that size."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
    these = Machines(cpus, gpus)
    try:
        for _ in range(number):
            these.add()
        yield these
    finally:
        these.stop()


def _raylet(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def _processes() -> Iterator[tuple[int, int, str]]:
    """(id, parent's id, title) of every process."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended meanwhile
        yield int(folder.name), parent, title
