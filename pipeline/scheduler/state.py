"""What a scheduler shows of itself to those who look on."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StageState:
    """A stage at one moment."""

    name: str
    queued: int  # records that wait for a worker
    in_hand: int
    answered: int  # records
    seconds: float  # that workers were taken by them, all together
    mean_seconds: float | None  # a record, of the recent ones
    p99_seconds: float


@dataclass(frozen=True, kw_only=True)
class PoolState:
    """A pool at one moment."""

    name: str
    stages: tuple[str, ...]
    wanted: int
    starting: int
    up: int
    busy_seconds: float  # that its workers worked, all together
    up_seconds: float  # that they were up

    @property
    def busy(self) -> float:
        """Share of the time that its workers were up."""
        return min(1.0, self.busy_seconds / self.up_seconds) if self.up_seconds else 0.0
