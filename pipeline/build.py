"""The build: takes every planned clip through the stages, writes each answer into the ledger, closes shard after shard.

One loop drives any runner. It admits videos while few clips are open, hands batches to the stages (the last first, so
that work drains), and settles each answer. A shard is packed once all its clips are decided; shards are decided in
order, because a duplicate is judged against what earlier shards keep. Killed at any instant, a build that is started
again finds every durable answer in the ledger and goes on; a shard's bytes depend on its clips alone.

What is durable comes in this order: a part, its row; every row of a shard, its tar, its sidecar, the books closed on
it. So a shard that has a sidecar is decided for ever, and what is left to do for it follows from sidecar and ledger.
"""

import json
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from pipeline import plan
from pipeline.books import Books
from pipeline.donors import NOT_ASKED
from pipeline.journal import Journal
from pipeline.line import Line
from pipeline.patience import patiently
from pipeline.plan import Again, Planned
from pipeline.recipe import Recipe
from pipeline.records import Encoded, Measured, Rejected
from pipeline.runners import Answer, Crashed, Outcome, Workers
from pipeline.sources import SourceFault
from pipeline.stages.duplicate import DuplicateIndex
from pipeline.stages.encoder import PARTS, part_path
from pipeline.stages.packer import Load, Packed
from shards import ledger, sidecar
from shards.ledger import Row
from shards.storage import Storage

if TYPE_CHECKING:
    from pipeline.moment import Moment

OPEN_SHARDS = 4
"""Shards that are in work at a time besides those that the workers need: what the driver holds in memory."""
OUTAGE_SECONDS = 600.0
"""How long the driver itself waits for a storage that does not answer."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Who looks on: what is told to them, and how they ask for a stop."""

    planned: Callable[[int], None] = lambda videos: None  # videos in the whole plan that are still to be decided
    admitted: Callable[[], None] = lambda: None  # one of those videos was taken in hand
    answered: Callable[[Row], None] = lambda row: None  # a row was added to the ledger
    looked: Callable[[], None] = lambda: None  # a moment has passed
    stands: "Callable[[Moment], None]" = lambda moment: None  # how the run stands, about once a second
    stopping: Callable[[], bool] = lambda: False  # True: finish what is under way, start nothing more


NOBODY = Watch()


@dataclass
class Work:
    """A video or clip on its way."""

    shard: int
    record: Any
    stage: int = 0  # the next stage
    has_file: bool = False  # its MP4 is known to lie in parts/
    only: frozenset[str] = frozenset()  # keys of the clips that are wanted of a video; none: all of them
    size: int = 0  # bytes of what the stages added to its record


@dataclass
class Shard:
    """A planned shard in work."""

    number: int
    to_admit: deque[Planned]
    open: int = 0  # videos and clips under way
    kept: list[Measured] = field(default_factory=list)
    packing: bool = False
    is_written: bool = False  # its sidecar stands: no answer may change any more

    @property
    def decided(self) -> bool:
        return not self.to_admit and not self.open


class Build:
    """One run over one dataset, with the lock held and the plan made by the caller."""

    def __init__(
        self,
        storage: Storage,
        name: str,
        recipe: Recipe,
        line: Line,
        workers: Workers,
        journal: Journal,
        *,
        models_run: bool = True,
        retry: Collection[str] = (),
        watch: Watch = NOBODY,
    ) -> None:
        self._storage, self._name, self._recipe, self._line = storage, name, recipe, line
        self._workers, self._journal = workers, journal
        self._books = Books(line, journal, watch.answered)
        self._models_run, self._watch = models_run, watch
        self._retry = {"failed", *retry}  # outcomes that an earlier run's word is not taken for
        self._seen: DuplicateIndex | None = None  # filled once a clip is judged by it
        self._packer = len(line)  # the runner's stages are the line's, and the packer behind them
        self._encoder = line.position("encoder")
        self._under_way: dict[tuple[int, str], Work] = {}  # (stage, key of a record that the workers have) -> its work
        self._shards: dict[int, Shard] = {}  # in work, in order
        self._planned: Iterator[tuple[int, list[Planned]]] = iter(())
        self._all_planned = False  # every shard of the plan was taken in hand

    def run(self) -> bool:
        """Work until the plan is done (True) or `stopping` says stop (False: what is under way is finished first)."""
        ledger.sweep(self._storage)
        self._close_written()
        closed = ledger.closed(self._storage)
        self._planned = plan.shards(self._storage, lambda shard: shard not in closed)
        try:
            while True:
                if self._watch.stopping():
                    for stage, record in self._workers.drain():
                        del self._under_way[stage, record.key]
                else:
                    self._admit()
                for answer in self._workers.collect():
                    self._settle(answer)
                self._close_shards()
                self._flush(due=True)
                self._watch.looked()
                if not self._under_way and (self._watch.stopping() or self._idle()):
                    break
        finally:
            self._flush()
        if self._idle():
            for path in self._storage.list(PARTS):  # what a dead run's worker wrote after its shard was closed
                self._storage.remove(path)
            self._storage.sweep()
        return self._idle()

    def _idle(self) -> bool:
        return self._all_planned and not self._shards and not self._under_way

    # --- admitting

    def _admit(self) -> None:
        """Take in planned entries while there is room."""
        most = OPEN_SHARDS + self._workers.room() // self._recipe.shards.videos
        while self._workers.room() > 0:
            waiting = next((shard for shard in self._shards.values() if shard.to_admit), None)
            if waiting is None and len(self._shards) >= most:
                return
            if waiting is None:
                number, entries = next(self._planned, (None, []))
                if number is None:
                    self._all_planned = True
                    return
                self._open(number, entries)
                continue
            self._admit_entry(waiting, waiting.to_admit.popleft())

    def _open(self, number: int, entries: Sequence[Planned]) -> Shard:
        self._journal.open(number, sorted({entry.again for entry in entries if isinstance(entry, Again)}))
        self._shards[number] = Shard(number, deque(entries))
        return self._shards[number]

    def _admit_entry(self, shard: Shard, entry: Planned) -> None:
        self._watch.admitted()
        if isinstance(entry, SourceFault):
            self._books.faulty(shard.number, entry)
            return
        shard.open += 1
        if isinstance(entry, Again):
            self._advance(Work(shard.number, entry.video, only=frozenset(entry.clips)))
        else:
            self._advance(Work(shard.number, entry))

    def _advance(self, work: Work) -> None:
        """Move on by what the ledger knows, then queue for the first stage that it does not."""
        while work.stage < len(self._line):
            row = self._journal.known(work.shard, work.record.key, self._line.stage_key(work.stage, work.record))
            if row is None or (row.outcome in self._retry and not self._shards[work.shard].is_written):
                self._queue(work)
                return
            if row.outcome != "done":
                self._leave(work)
                return
            grown = self._line.grow(work.stage, work.record, row.added)
            if isinstance(grown, list):
                self._fan_out(work, grown)
                return
            if isinstance(grown, Encoded) and not isinstance(work.record, Encoded):
                grown = replace(grown, path=f"{self._storage.url}/{part_path(grown.key)}")  # folders move
            work.record, work.stage, work.size = grown, work.stage + 1, work.size + len(row.added or "")
        self._keep(work)

    def _queue(self, work: Work) -> None:
        stage = self._line.stages[work.stage]
        if stage.uses_model and not self._models_run:
            rejected = Rejected(stage=stage.name, why=NOT_ASKED, value=None)
            self._books.answered(work.shard, work.record, work.stage, rejected)
            self._leave(work)
        elif stage.reads_video and self._lacks_file(work):
            self._put(self._encoder, work)  # bring the file back first
        else:
            self._put(work.stage, work)

    def _put(self, stage: int, work: Work) -> None:
        self._under_way[stage, work.record.key] = work
        self._workers.put(stage, work.record, work.size)

    def _lacks_file(self, work: Work) -> bool:
        if not isinstance(work.record, Encoded) or work.has_file:
            return False
        work.has_file = self._storage.exists(part_path(work.record.key))
        return not work.has_file

    def _fan_out(self, work: Work, clips: list[Any]) -> None:
        clips = [clip for clip in clips if not work.only or clip.key in work.only]
        self._shards[work.shard].open += len(clips)
        self._leave(work)
        for clip in clips:
            self._advance(Work(work.shard, clip, work.stage + 1))

    def _leave(self, work: Work) -> None:
        self._shards[work.shard].open -= 1

    def _keep(self, work: Work) -> None:
        shard = self._shards[work.shard]
        if not shard.is_written and self._lacks_file(work):
            self._put(self._encoder, work)
            return
        shard.kept.append(work.record)
        self._leave(work)

    # --- working

    def _settle(self, answer: Answer) -> None:
        stage, records = answer.job.stage, answer.job.records
        seconds = answer.seconds / len(records)
        for record, outcome in zip(records, answer.outcomes, strict=True):
            work = self._under_way.pop((stage, record.key))
            if stage == self._packer:
                self._settle_packed(self._shards[work.shard], outcome)
            elif stage != work.stage and isinstance(outcome, Encoded):  # its file is back
                work.has_file = True
                self._advance(work)
            else:
                self._settle_work(work, stage, outcome, seconds, answer.worker)

    def _settle_work(self, work: Work, stage: int, outcome: Outcome, seconds: float, worker: str) -> None:
        self._books.answered(work.shard, work.record, stage, outcome, seconds, worker)
        if isinstance(outcome, Rejected | Crashed):
            self._leave(work)
        else:
            work.has_file = work.has_file or stage == self._encoder
            self._advance(work)

    # --- closing

    def _close_shards(self) -> None:
        """Decide shards in order, and have each packed."""
        for shard in list(self._shards.values()):
            if not shard.packing:
                if not shard.decided:
                    return
                shard.packing = True
                in_order = sorted(shard.kept, key=lambda clip: clip.key)
                shard.kept = [clip for clip in in_order if self._is_new(shard, clip)]
                self._pack(shard)

    def _pack(self, shard: Shard) -> None:
        if not shard.kept:
            self._finish(shard)
            return
        self._flush()  # once the shard stands, the ledger must know why the other clips are not in it
        load = Load(
            key=f"shard-{shard.number:06d}",
            dataset=self._storage.url,
            name=self._name,
            number=shard.number,
            clips=tuple(shard.kept),
            recipe=self._recipe.name,
            models=self._line.models,
            rules=self._recipe.rules.model_dump(mode="json", exclude_none=True),
        )
        self._put(self._packer, Work(shard.number, load, self._packer))

    def _is_new(self, shard: Shard, clip: Measured) -> bool:
        """Whether no clip that was kept looks like this one; says so in the ledger if one does."""
        rule = self._recipe.rules.duplicate
        if rule is None:
            return True
        if self._seen is None:
            self._seen = self._kept_before()
        rejected = self._seen.rejected(clip, rule)
        if rejected is None:
            self._seen.add(clip.key, clip.phash)
            return True
        self._books.stopped(shard.number, clip, rejected.stage, rejected)
        return False

    def _kept_before(self) -> DuplicateIndex:
        """Earlier runs' kept clips stand in the closed shards' books; a run that decides nothing never reads them."""
        seen = DuplicateIndex()
        for key, phash in kept_fingerprints(self._storage):
            seen.add(key, phash)
        return seen

    def _settle_packed(self, shard: Shard, outcome: Packed | Crashed) -> None:
        if isinstance(outcome, Crashed):
            raise RuntimeError(f"shard {shard.number} could not be written:\n{outcome.traceback}")
        if not outcome.failed:
            self._finish(shard)
            return
        for clip in shard.kept:
            if clip.key in outcome.failed:
                self._books.stopped(shard.number, clip, "packer", outcome.failed[clip.key])
        shard.kept = [clip for clip in shard.kept if clip.key not in outcome.failed]
        self._pack(shard)

    def _flush(self, *, due: bool = False) -> None:
        patiently(lambda: self._journal.flush(due=due), OUTAGE_SECONDS)

    def _finish(self, shard: Shard) -> None:
        """The shard stands: say so of each of its clips, drop its parts, close the ledger's books on it."""
        patiently(lambda: self._close_books(shard), OUTAGE_SECONDS)
        del self._shards[shard.number]

    def _close_books(self, shard: Shard) -> None:
        for clip in shard.kept:
            self._books.kept(shard.number, clip)
        for key in sorted({row.clip for row in self._journal.rows(shard.number) if row.stage == "encoder"}):
            self._storage.remove(part_path(key))
        self._journal.close(shard.number)

    def _close_written(self) -> None:
        """Finish the shards that an earlier run wrote but did not close; nothing of them is worked on or decided anew.

        They come first, because other shards' clips are judged against what they keep.
        """
        unclosed = self._written() - ledger.closed(self._storage)
        for number, entries in plan.shards(self._storage, unclosed.__contains__) if unclosed else ():
            shard = self._open(number, entries)
            shard.is_written = True
            while shard.to_admit:
                self._admit_entry(shard, shard.to_admit.popleft())
            path = f"shards/{self._name}-{number:06d}.parquet"
            keys = sidecar_keys(self._storage, path)
            shard.kept = [clip for clip in shard.kept if clip.key in keys]
            if not shard.decided or len(shard.kept) < len(keys):
                raise ValueError(
                    f"{self._storage.url}/{path} has clips that the ledger does not know; "
                    "remove that file, and the shard is written again"
                )
            self._finish(shard)

    def _written(self) -> set[int]:
        """Numbers of the shards that have a sidecar."""
        stem = re.compile(rf"shards/{re.escape(self._name)}-(\d{{6,}})\.parquet")
        return {int(found[1]) for path in self._storage.list("shards") if (found := stem.fullmatch(path))}


def kept_fingerprints(storage: Storage) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(clip key, perceptual hash) of every clip that closed shards keep."""
    for table in ledger.tables(storage, ["clip", "outcome", "added"]):
        for row in table.filter(pc.field("outcome") == "kept").to_pylist():
            yield row["clip"], tuple(json.loads(row["added"])["phash"])


def sidecar_keys(storage: Storage, path: str) -> set[str]:
    table, _ = sidecar.from_parquet(storage.read(path), f"{storage.url}/{path}", ["key"])
    return set(table["key"].to_pylist())
