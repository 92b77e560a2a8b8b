"""The global order of an endless stream: which clip stands at which position, whoever reads it.

The stream is one epoch after the other. An epoch is a permutation of its draws that (seed, epoch) alone decide:
shards come in a random order, a window of them at a time, and the draws within a window in a random order. Any
position is found without those before it.
"""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.loader import draws


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw:
    """One place of the stream."""

    epoch: int
    clip: int  # number among the clips that the order was made of
    copy: int  # how often the epoch has drawn the same clip otherwise, counted in the order of the dataset


class Order:
    """The order of clips that lie in shards `shard_of`, int [N]; `weights`, float [N], say how often each is drawn.

    An epoch has N draws. Without weights each clip is drawn once; with them, clip i comes N * weight / sum of weights
    times, rounded up or down at random so that the expectation is exact.
    """

    def __init__(
        self, seed: int, shard_of: NDArray[np.int64], weights: NDArray[np.float64] | None, shards_at_once: int
    ) -> None:
        self._seed = seed
        self._shard_of = shard_of
        self._weights = weights
        self._shards_at_once = shards_at_once
        self._epochs: OrderedDict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = OrderedDict()

    def __len__(self) -> int:
        """Draws of an epoch."""
        return len(self._shard_of)

    def draw(self, position: int) -> Draw:
        """What stands at `position` >= 0 of the endless stream."""
        epoch, place = divmod(position, len(self))
        clips, copies = self.epoch(epoch)
        return Draw(epoch=epoch, clip=int(clips[place]), copy=int(copies[place]))

    def epoch(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The clips of an epoch in order, and the number of each draw among those of the same clip: int [N] each."""
        if epoch not in self._epochs:
            self._epochs[epoch] = self._mixed(epoch, *self._drawn(epoch))
            if len(self._epochs) > 2:  # a batch may stand on the edge of two
                self._epochs.popitem(last=False)
        return self._epochs[epoch]

    def _drawn(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Clips with their copies, in the order of the dataset: systematic sampling."""
        count = len(self)
        if self._weights is None:
            return np.arange(count), np.zeros(count, np.int64)
        bits = draws.of_epoch(self._seed, epoch, "copies", count + 1)
        turn = np.argsort(bits[1:], kind="stable")
        offset = float(bits[0]) / 2**64
        ends = np.cumsum(self._weights[turn])
        ends *= count / ends[-1]
        ends[-1] = count  # whatever the sum's rounding
        times = np.empty(count, np.int64)
        times[turn] = np.diff(np.ceil(ends - offset), prepend=np.ceil(-offset)).astype(np.int64)
        firsts = np.cumsum(times) - times
        return np.repeat(np.arange(count), times), np.arange(times.sum()) - np.repeat(firsts, times)

    def _mixed(
        self, epoch: int, clips: NDArray[np.int64], copies: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        shards = int(self._shard_of.max()) + 1
        turn = np.argsort(draws.of_epoch(self._seed, epoch, "shards", shards), kind="stable")
        window = np.empty(shards, np.int64)
        window[turn] = np.arange(shards) // self._shards_at_once
        order = np.lexsort((draws.of_epoch(self._seed, epoch, "clips", len(clips)), window[self._shard_of[clips]]))
        return clips[order], copies[order]
