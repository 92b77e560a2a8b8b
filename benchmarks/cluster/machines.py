"""A Ray cluster of several machines, all on this one: each a raylet with its own workers, that can be killed."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SYSTEM = {  # a machine that is gone is missed within two seconds, instead of half a minute
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
}
_MEMORY = 80 << 20  # bytes of each machine's object store: records are small


class Machines:
    """A head that works for nobody, and machines that work."""

    def __init__(self, cpus: int, gpus: int) -> None:
        from ray.cluster_utils import Cluster

        self._each: dict[str, Any] = {"num_cpus": cpus, "num_gpus": gpus, "object_store_memory": _MEMORY}
        head = {"num_cpus": 0, "object_store_memory": _MEMORY, "include_dashboard": False, "_system_config": _SYSTEM}
        self._cluster: Any = Cluster(initialize_head=True, head_node_args=head)
        self._nodes: list[Any] = []

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def __len__(self) -> int:
        return len(self._nodes)

    def add(self) -> None:
        """One more machine; returns once it is there."""
        self._nodes.append(self._cluster.add_node(**self._each))

    def kill(self, number: int) -> None:
        """SIGKILL to a machine's raylet; its workers end as they notice."""
        node = self._nodes.pop(number)
        os.kill(_raylet(node), signal.SIGKILL)
        self._cluster.remove_node(node, allow_graceful=False)

    def workers(self) -> list[int]:
        """Process ids of the actors on all machines, as far as they have begun."""
        raylets = {_raylet(node) for node in self._nodes}
        return sorted(pid for pid, parent, title in _processes() if parent in raylets and title.startswith("ray::_Wor"))

    def stop(self) -> None:
        """Ends them all; a connection of this process to another cluster goes on."""
        from ray.experimental import internal_kv

        client = internal_kv.global_gcs_client  # one for the process, which a cluster's end takes away
        self._cluster.shutdown()
        internal_kv.global_gcs_client = client


@contextmanager
def machines(number: int, *, cpus: int = 8, gpus: int = 1) -> Iterator[Machines]:
    """So many machines of that size."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
    before = signal.getsignal(signal.SIGTERM)  # Ray sets its own, which ends this process in its way
    these = Machines(cpus, gpus)
    try:
        for _ in range(number):
            these.add()
        yield these
    finally:
        these.stop()
        signal.signal(signal.SIGTERM, before)


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
