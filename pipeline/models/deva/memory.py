"""What a clip's past frames are remembered by: working memory, and long-term prototypes of what leaves it.

Objects that enter in the same frame share a bucket, whose tokens (rows, one a position of a remembered frame) begin
with that frame. A bucket's tokens stand in the order of time: long-term ones first, then the working memory's.
Objects are known by their channel, the order in which they entered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from pipeline.models.deva.matching import Query, similarity, top_k_affinity
from pipeline.models.deva.settings import Propagation


@dataclass(frozen=True, kw_only=True)
class Tokens:
    key: Tensor  # [M, C]
    shrinkage: Tensor  # [M]
    selection: Tensor  # [M, C]
    value: Tensor  # [M, K, D]
    use: Tensor  # [M]: how much of all reading went to the token
    life: Tensor  # [M]: readings since it was remembered

    def __len__(self) -> int:
        return len(self.key)

    def __getitem__(self, rows: slice | Tensor) -> "Tokens":
        return Tokens(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @property
    def usage(self) -> Tensor:
        """Reading a token had in the mean, [M]."""
        return self.use / self.life

    @property
    def nbytes(self) -> int:
        return sum(getattr(self, f.name).nbytes for f in fields(self))


def remembered(key: Tensor, shrinkage: Tensor, selection: Tensor, value: Tensor) -> Tokens:
    """Tokens that were never read."""
    use = torch.zeros_like(shrinkage)
    return Tokens(
        key=key,
        shrinkage=shrinkage,
        selection=selection,
        value=value,
        use=use,
        life=use + 1e-7,  # never a division by zero
    )


class Memory:
    """The buckets of a clip, in the order in which their objects entered."""

    def __init__(self, settings: Propagation) -> None:
        self.buckets: list[Bucket] = []
        self._settings = settings

    @property
    def num_objects(self) -> int:
        return sum(bucket.num_objects for bucket in self.buckets)

    @property
    def nbytes(self) -> int:
        return sum(bucket.tokens.nbytes for bucket in self.buckets)

    def read(self, query: Query) -> Tensor:
        """What every object's memory says to a query of N tokens, [N, K, D]."""
        return torch.cat([bucket.read(query) for bucket in self.buckets], dim=1)

    def add(self, frame: Tokens) -> None:
        """Remembers a frame, N tokens with values of all objects: the known ones, then those new in this frame."""
        channel = 0
        for bucket in self.buckets:
            of_bucket = frame.value[:, channel : channel + bucket.num_objects]
            bucket.add(replace(frame, value=of_bucket))
            channel += bucket.num_objects
        if channel < frame.value.shape[1]:
            self.buckets.append(Bucket(replace(frame, value=frame.value[:, channel:]), self._settings))

    def keep(self, channels: Sequence[int]) -> None:
        """Forgets all objects but those of `channels`, which ascend."""
        start = 0
        for bucket in self.buckets:
            end = start + bucket.num_objects
            bucket.keep([channel - start for channel in channels if start <= channel < end])
            start = end
        self.buckets = [bucket for bucket in self.buckets if bucket.num_objects]


class Bucket:
    """Memory of objects that entered in the same frame, `first`."""

    def __init__(self, first: Tokens, settings: Propagation) -> None:
        self.tokens = first
        self.num_long_term = 0  # of its tokens, the first ones
        self._frame = len(first)
        self._settings = settings

    @property
    def num_objects(self) -> int:
        return self.tokens.value.shape[1]

    @property
    def num_working(self) -> int:
        return len(self.tokens) - self.num_long_term

    def read(self, query: Query) -> Tensor:
        """What the memory says to a query of N tokens, [N, K, D]; counts what was read."""
        tokens = self.tokens
        affinity = top_k_affinity(tokens.key, tokens.shrinkage, query, self._settings.top_k)
        usage = affinity.usage(len(tokens))
        self.tokens = replace(tokens, use=tokens.use + usage, life=tokens.life + 1)
        return affinity.read(tokens.value.flatten(1)).reshape(-1, *tokens.value.shape[1:])

    def add(self, frame: Tokens) -> None:
        self.tokens = _joined(self.tokens, frame)
        if self.num_working >= self._settings.max_mid_term_frames * self._frame:
            self._consolidate()

    def keep(self, objects: Sequence[int]) -> None:
        if len(objects) < self.num_objects:
            self.tokens = replace(self.tokens, value=self.tokens.value[:, list(objects)])

    def _consolidate(self) -> None:
        """Turns the middle of the working memory into prototypes; its first and latest frames stay."""
        long_term = self._evicted(self.tokens[: self.num_long_term])
        working = self.tokens[self.num_long_term :]
        middle = slice(self._frame, len(working) - (self._settings.min_mid_term_frames - 1) * self._frame)
        prototypes = potentiated(working[middle], self._settings.num_prototypes)
        # At one frame above the least number the middle stays, and is consolidated once more with the next frame.
        if len(working) > (self._settings.min_mid_term_frames + 1) * self._frame:
            working = _joined(working[: middle.start], working[middle.stop :])
        self.num_long_term = len(long_term) + len(prototypes)
        self.tokens = _joined(long_term, prototypes, working)

    def _evicted(self, long_term: Tokens) -> Tokens:
        """Long-term tokens without the least used, so that there is room for one more consolidation."""
        room = self._settings.max_long_term_elements - self._settings.num_prototypes
        surplus = len(long_term) - room
        if surplus <= 0:
            return long_term
        threshold = long_term.usage.kthvalue(surplus).values
        return long_term[torch.nonzero(long_term.usage > threshold)[:, 0]]


def potentiated(candidates: Tokens, num_prototypes: int) -> Tokens:
    """The most used candidates as prototypes, each with the mean value of all candidates by their affinity to it."""
    chosen = candidates.usage.topk(min(num_prototypes, len(candidates))).indices
    prototypes = candidates[chosen]
    query = Query(prototypes.key, prototypes.selection)
    affinity = torch.softmax(similarity(candidates.key, candidates.shrinkage, query), dim=1)
    value = affinity.to(candidates.value.dtype) @ candidates.value.flatten(1)
    return remembered(
        key=prototypes.key,
        shrinkage=affinity @ candidates.shrinkage,
        selection=prototypes.selection,
        value=value.reshape(-1, *candidates.value.shape[1:]),
    )


def _joined(*parts: Tokens) -> Tokens:
    return Tokens(**{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Tokens)})
