"""What the scheduler asks of a cluster."""

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, kw_only=True)
class Start:
    """Start a worker, load the stages in `loads`, then say that it is up."""

    worker: str
    cpus: float
    gpus: float
    loads: tuple[int, ...]  # stages that it will work for and nothing else; none where it may work for many


@dataclass(frozen=True, kw_only=True)
class Send:
    """Hand a job to a worker; it is answered under its ticket."""

    worker: str
    ticket: int
    stage: int
    records: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Stop:
    """End a worker: it has nothing in hand, or (`kill`) must not go on with what it has."""

    worker: str
    kill: bool = False


Command: TypeAlias = Start | Send | Stop
