"""How long a stage takes: its recent times, their mean and their 99th percentile."""

from collections import deque

RECENT = 512  # jobs that are remembered
_EVERY = 32  # jobs from one sorting to the next


class Rates:
    """Times of one stage, seconds a record."""

    def __init__(self) -> None:
        self.answered = 0  # records
        self.seconds = 0.0  # of all of them
        self._recent: deque[tuple[float, int]] = deque(maxlen=RECENT)  # (seconds of a job, records)
        self._p99 = 0.0
        self._jobs = 0

    def add(self, seconds: float, records: int) -> None:
        self.answered += records
        self.seconds += seconds
        self._recent.append((seconds, records))
        if self._jobs % _EVERY == 0 or self._jobs < _EVERY:
            times = sorted(job / count for job, count in self._recent)
            self._p99 = times[min(len(times) - 1, (99 * len(times)) // 100)]
        self._jobs += 1

    @property
    def mean(self) -> float | None:
        """Of the recent jobs, seconds a record; None before the first."""
        records = sum(count for _, count in self._recent)
        return sum(job for job, _ in self._recent) / records if records else None

    @property
    def p99(self) -> float:
        """Of the recent jobs, seconds a record; 0 before the first."""
        return self._p99
