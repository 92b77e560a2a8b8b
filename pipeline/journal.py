"""The driver's side of the ledger: what is known of the shards in work, and rows that wait to be written together."""

import math
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property

from pipeline.donors import Donor
from shards import ledger
from shards.ledger import Row
from shards.storage import Storage


class Journal:
    """Holds the rows of the shards in work only, so that memory does not grow with the dataset.

    Rows are buffered for at most `seconds`; what is lost with the process was not acknowledged to anybody and is
    worked out again. `donors` are other datasets of the same plan, whose rows count where the stage key is the same.
    """

    def __init__(
        self,
        storage: Storage,
        donors: Sequence[Donor] = (),
        *,
        seconds: float = 2.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._storage = storage
        self._donors = donors
        self._seconds = seconds
        self._clock = clock
        self._run = secrets.token_hex(4)  # no two runs write segments of the same name
        self._segments = 0
        self._flushed = clock()
        self._latest = 0.0
        self._rows: dict[int, list[Row]] = {}
        self._known: dict[int, dict[tuple[str, str], Row]] = {}
        self._borrowed: dict[int, dict[tuple[str, str], Row]] = {}
        self._new: dict[int, list[Row]] = defaultdict(list)

    def open(self, shard: int, also: Iterable[int] = ()) -> None:
        """Read what is known of a shard; answers of the shards in `also` count too, where they came to something."""
        self._rows[shard] = self._read(shard)
        self._known[shard] = _by_work(self._rows[shard])
        borrowed = [row for donor in self._donors for row in donor.read(shard)]
        borrowed += [row for number in also for row in self._read(number) if row.outcome not in ledger.GIVEN_UP]
        self._borrowed[shard] = _by_work(borrowed)
        self._latest = max([self._latest, *(row.at for row in (*self._rows[shard], *borrowed))])

    @cached_property
    def _files(self) -> dict[int, list[str]]:
        """Of this ledger, which nobody else writes meanwhile: a large one has thousands."""
        return ledger.files(self._storage)

    def _read(self, shard: int) -> list[Row]:
        return ledger.read_files(self._storage, self._files.get(shard, ()))

    def now(self) -> float:
        """The time, later than every row that is known, though a clock be set back or another machine's be ahead."""
        self._latest = max(self._clock(), math.nextafter(self._latest, math.inf))
        return self._latest

    def known(self, shard: int, clip: str, stage_key: str) -> Row | None:
        """The answer that a stage gave earlier; a donor's answer is taken over into this ledger."""
        work = (clip, stage_key)
        if work not in self._known[shard] and work in self._borrowed[shard]:
            self.add(replace(self._borrowed[shard][work], shard=shard))
        return self._known[shard].get(work)

    def rows(self, shard: int) -> list[Row]:
        return self._rows[shard]

    def add(self, row: Row) -> None:
        self._rows[row.shard].append(row)
        self._known[row.shard][(row.clip, row.stage_key)] = row
        self._new[row.shard].append(row)

    def flush(self, *, due: bool = False) -> None:
        """Make every row durable; with `due`, only when rows have waited long enough."""
        if due and self._clock() - self._flushed < self._seconds:
            return
        for shard, rows in self._new.items():
            path = ledger.append(self._storage, shard, rows, f"{self._run}{self._segments:06d}")
            self._files.setdefault(shard, []).append(path)
        self._segments += 1
        self._new.clear()
        self._flushed = self._clock()

    def close(self, shard: int) -> None:
        """Write a shard's rows as one file and forget them."""
        self._files[shard] = [ledger.close(self._storage, shard, self._rows[shard], self._files.get(shard, ()))]
        self._new.pop(shard, None)
        del self._rows[shard], self._known[shard], self._borrowed[shard]


def _by_work(rows: Sequence[Row]) -> dict[tuple[str, str], Row]:
    return {(row.clip, row.stage_key): row for row in rows}
