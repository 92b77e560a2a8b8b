"""The stream of batches: every rank's and worker's share of one global order, from any position on."""

import itertools
import multiprocessing
import os
import pickle
import secrets
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from multiprocessing.context import BaseContext
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from shards import Dataset
from shards.dataset import read_ahead
from shards.storage import Outage
from shards.video import Unreadable
from training.loader import draws
from training.loader.batch import Batch, Fault, collate, collate_latents
from training.loader.clips import COLUMNS, Clips, eligible, fingerprint
from training.loader.example import Example, example, told
from training.loader.latents import LatentCache
from training.loader.order import Draw, Order
from training.loader.rooms import Room, forget, rooms, shared_rooms
from training.loader.settings import Loader
from training.loader.state import Share, State, refuse_other, sampler_digest

Frames: TypeAlias = NDArray[np.uint8]  # [F, H, W, 3]

ATTEMPTS = 16
"""Samples that are tried in one place of the stream before it is given up."""


class Stream(IterableDataset[Batch]):
    """A rank's batches without end: positions [kG + rB, kG + rB + B) of the order, k = 0, 1, ...

    G is the size of the global batch. Iterating makes them in this process; `batches` has workers make them, worker w
    of W each W-th of them from w on, so that in turn they give the same.
    """

    def __init__(
        self,
        dataset: Dataset,
        clips: Clips,
        loader: Loader,
        share: Share,
        name: str,
        start: int,
        cache: LatentCache | None,
    ) -> None:
        self.clips = clips
        self.loader = loader
        self.share = share
        self.start = start  # position of the first global batch
        self.order = Order(loader.seed, clips.shard_of, clips.weights, loader.sampling.shards_at_once)
        self._dataset = dataset
        self._name = name
        self._cache = cache

    def __iter__(self) -> Iterator[Batch]:
        return self.shares(0, 1)

    def batches(self, *, pinned: bool = False, lent: bool = False) -> Generator[Batch, None, None]:
        """The batches as the settings' workers make them, ahead of need; `pinned` for a GPU's faster copies.

        The pictures of a `lent` one are others as soon as the next is asked for: its worker draws into them again.
        Raises ValueError where the dataset cannot be read on, and where a worker died or `loader.timeout` is over.
        """
        workers = self.loader.workers
        if not workers:
            yield from self
            return
        owner = secrets.token_hex(8)
        made = DataLoader(
            _Worker(self, owner),
            batch_size=None,
            num_workers=workers,
            prefetch_factor=self.loader.batches_ahead,
            timeout=self.loader.timeout,
            pin_memory=pinned,
            multiprocessing_context=_workers(),
        )
        try:
            for batch in made:
                if isinstance(batch, str):
                    raise ValueError(batch)
                yield batch if pinned or lent else batch.kept()  # pinned it has memory of its own already
        except RuntimeError as error:  # torch's word for workers that died and for its timeout
            mend = "lower loader.workers or loader.batches_ahead, or raise loader.timeout"
            raise ValueError(f"a worker of the loader is lost ({str(error).splitlines()[0]}); {mend}") from None
        finally:
            forget(owner)

    def state(self, position: int) -> State:
        """The state of a stream that goes on at `position`: `Batch.end` of the last batch that was used."""
        epoch, place = divmod(position, len(self.order))
        sampler = sampler_digest(self.loader)
        return State(seed=self.loader.seed, epoch=epoch, position=place, dataset=self._name, sampler=sampler)

    def examples(
        self, positions: Iterable[int], places: Iterable[Frames | None] = itertools.repeat(None)
    ) -> Iterator[tuple[Example, list[Fault]]]:
        """The example at each position, with what could not be read before it was found; its frames in its place."""
        for (position, got), place in zip(self.raw(positions), places, strict=False):
            yield self._found(self.order.draw(position), got, place)

    def raw(self, positions: Iterable[int]) -> Iterator[tuple[int, "dict[str, bytes] | Fault"]]:
        """Each position with its clip's members undecoded, read ahead where they come over a network."""
        placed = self._placed(positions)
        if self._dataset.storage.is_local:
            return ((position, self._members(number)) for position, number in placed)
        return read_ahead(lambda place: (place[0], self._members(place[1])), placed, self.loader.samples_ahead)

    def _placed(self, positions: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Each position, and the number of its clip."""
        count, epoch, numbers = len(self.order), -1, list[int]()
        for position in positions:
            if position // count != epoch:
                epoch = position // count
                numbers = self.order.epoch(epoch)[0].tolist()
            yield position, numbers[position % count]

    def shape(self) -> tuple[int, ...]:
        """Of a batch's frames."""
        loader = self.loader
        return self.share.batch, loader.window.num_frames, loader.height, loader.width, 3

    def shares(self, first: int, step: int, memory: Iterator[Room] | None = None) -> Iterator[Batch]:
        """This rank's batches `first`, `first` + `step`, ...; `memory` is asked for each one's room."""
        share = self.share
        starts = itertools.count(self.start + first * share.whole, step * share.whole)
        memory = memory or rooms(self.shape())
        if self._cache is None:
            yield from self._decoded(starts, memory)
            return
        for start in starts:
            known = self._known(self._cache, start)
            yield next(self._decoded(iter([start]), memory)) if known is None else known

    def _decoded(self, starts: Iterator[int], memory: Iterator[Room]) -> Iterator[Batch]:
        """This rank's part of the global batches that begin at `starts`."""
        mine, to_read = itertools.tee(starts)
        now, drawn_into = itertools.tee(memory)
        found = self.examples(
            (position for start in to_read for position in self._positions(start)),
            (row for room in drawn_into for row in room.frames.numpy()),
        )
        for start, room in zip(mine, now, strict=False):
            pairs = list(itertools.islice(found, self.share.batch))
            faults = [fault for _, faults in pairs for fault in faults]
            names = self._names(start, [not faults for _, faults in pairs])
            yield collate([one for one, _ in pairs], room, faults, start + self.share.whole, names)

    def _known(self, cache: LatentCache, start: int) -> Batch | None:
        """The same of latents, if the cache has them of every clip."""
        drawn = [self.order.draw(position) for position in self._positions(start)]
        clips = [self.clips[draw.clip] for draw in drawn]
        names = [cache.name(clip) for clip in clips]
        latents = list(itertools.takewhile(lambda found: found is not None, map(cache.read, names)))
        if len(latents) < len(names):
            return None
        said = [
            told(clip, self.loader, draws.of_sample(self.loader.seed, draw.epoch, clip.key, draw.copy))
            for clip, draw in zip(clips, drawn, strict=True)
        ]
        whole = [one for one in latents if one is not None]
        return collate_latents(clips, said, whole, start + self.share.whole, names)

    def _positions(self, start: int) -> range:
        """This rank's in the global batch that begins at `start`."""
        begin = start + self.share.rank * self.share.batch
        return range(begin, begin + self.share.batch)

    def _names(self, start: int, sound: list[bool]) -> list[str | None]:
        """What the cache calls the batch's clips, those that were read."""
        if self._cache is None:
            return [None] * len(sound)
        clips = (self.clips[self.order.draw(position).clip] for position in self._positions(start))
        return [self._cache.name(clip) if whole else None for clip, whole in zip(clips, sound, strict=True)]

    def _members(self, number: int) -> dict[str, bytes] | Fault:
        row = self.clips.rows[number]
        try:
            return self._dataset.raw(row, strip=False)
        except Outage:
            return _patiently(lambda: self._dataset.raw(row, strip=False), self.loader.patience)
        except ValueError as error:  # a shard that went or was cut off
            clip = self.clips[number]
            return Fault(key=clip.key, shard=clip.shard, why=str(error))

    def _found(self, draw: Draw, got: dict[str, bytes] | Fault, place: Frames | None) -> tuple[Example, list[Fault]]:
        """The example of a draw; of the first substitute that can be read, where it cannot."""
        faults: list[Fault] = []
        first = clip = self.clips[draw.clip]
        for attempt in range(ATTEMPTS):
            generator = draws.of_sample(self.loader.seed, draw.epoch, first.key, draw.copy, attempt)
            shows = draws.of_sample(self.loader.seed, 0, first.key, 0, attempt) if self.loader.freeze else None
            if attempt:
                number = int(generator.integers(len(self.clips)))
                clip, got = self.clips[number], self._members(number)
            if isinstance(got, Fault):
                faults.append(got)
                continue
            try:
                return example(clip, got, self.loader, generator, shows, place), faults
            except (Unreadable, ValueError) as error:
                faults.append(Fault(key=clip.key, shard=clip.shard, why=str(error)))
        last = faults[-1]
        raise ValueError(
            f"{ATTEMPTS} samples in a row cannot be read from {self._dataset.storage.url}, the last of them {last.key} "
            f"of {last.shard} ({last.why}); see what `dreamreel shards verify` says of it"
        )


class _Worker(IterableDataset["Batch | str"]):
    """A stream as a worker gives it: its share of the batches; a last one that is a line of text says why it ends."""

    def __init__(self, stream: Stream, owner: str) -> None:
        self._owner = owner  # of the rooms of all its workers
        self._stream = pickle.dumps(stream)  # opens the dataset anew, which may fail: a worker tells that in its turn
        self._environment = dict(os.environ)  # their server may be older than a variable that is needed

    def __iter__(self) -> Iterator[Batch | str]:
        worker = get_worker_info()
        assert worker is not None
        os.environ.update(self._environment)
        cv2.setNumThreads(1)  # workers run side by side
        try:
            stream: Stream = pickle.loads(self._stream)
            # The trainer asks for a batch when it has done with the one before, and ahead for as many as it may.
            memory = shared_rooms(stream.shape(), stream.loader.batches_ahead + 1, f"{self._owner}/{worker.id}")
            yield from stream.shares(worker.id, worker.num_workers, memory)
        except ValueError as error:
            yield str(error)


def _workers() -> BaseContext:
    """How workers are begun: forked from a process that has loaded what they need and has no threads.

    A fork of the trainer itself could find a lock held for ever by one of its threads.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "pandas"])  # pyarrow loads it when it first gives an array
    return context


def open_stream(
    url: str, loader: Loader, share: Share, state: State | None = None, cache: LatentCache | None = None
) -> Stream:
    """The stream over the dataset at `url`, from `state` on where there is one; of latents, once `cache` has them.

    Raises ValueError: no dataset, no clip to draw, or a `state` of another dataset or another order.
    """
    dataset = Dataset.open(url, COLUMNS)
    decisions = {} if loader.sampling.ignore_verdicts else dataset.decisions()
    clips = eligible(dataset, loader, decisions)
    name = fingerprint(dataset, decisions)
    start = 0
    if state is not None:
        refuse_other(dataset.storage, state, loader, name)
        start = state.epoch * len(clips) + state.position
    return Stream(dataset, clips, loader, share, name, start, cache)


def _patiently(read: Callable[[], dict[str, bytes]], patience: float) -> dict[str, bytes]:
    """`read` again and again, with growing pauses, while the place does not answer, for `patience` seconds."""
    end = time.monotonic() + patience
    pause = 0.1
    while True:
        try:
            return read()
        except Outage:
            if time.monotonic() + pause > end:
                raise
            time.sleep(pause)
            pause = min(2 * pause, 10.0)
