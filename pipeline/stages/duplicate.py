"""Near-duplicates: an index over the perceptual hashes of kept clips, asked for each new one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.records import Measured, Rejected
from pipeline.stages.look import FRAMES
from pipeline.stages.rules import Duplicate

_BLOCK_ROWS = 16_384
_KEY_LENGTH = 20  # bytes, as `record_key` makes them


class DuplicateIndex:
    """Finds the kept clip that looks most like a new one.

    The distance of two clips is the **largest** of the Hamming distances of their four frame hashes, 0 to 64
    bits: they are near only if they look alike from beginning to end, so a shared opening title makes no
    duplicate. Clips of one source video may look alike for good reason (a fixed camera); they count as
    duplicates all the same, because to a training run they are.

    Holds 52 bytes a clip (12 MB for 230,000) in blocks that never move; a query passes over all of them.
    """

    def __init__(self) -> None:
        self._hashes: list[NDArray[np.uint64]] = []  # blocks of [4, rows]
        self._keys: list[NDArray[np.bytes_]] = []  # blocks of [rows]
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, key: str, phash: Sequence[str]) -> None:
        """Remember a kept clip. ValueError for a key longer than 20 ASCII characters or a malformed hash."""
        hashes, name = _parse(phash), key.encode("ascii")
        if not 0 < len(name) <= _KEY_LENGTH:
            raise ValueError(f"clip key {key!r} has {len(name)} characters: give 1 to {_KEY_LENGTH}")
        row = self._size % _BLOCK_ROWS
        if row == 0:
            self._hashes.append(np.zeros((FRAMES, _BLOCK_ROWS), dtype=np.uint64))
            self._keys.append(np.zeros(_BLOCK_ROWS, dtype=f"S{_KEY_LENGTH}"))
        self._hashes[-1][:, row], self._keys[-1][row] = hashes, name
        self._size += 1

    def nearest(self, phash: Sequence[str]) -> tuple[int, str] | None:
        """(distance, key) of the nearest clip, of equally near ones the smallest key; None when empty."""
        hashes = _parse(phash)
        answers = [self._nearest_in(block, hashes) for block in range(len(self._hashes))]
        return min(answers, default=None)

    def rejected(self, clip: Measured, rule: Duplicate) -> Rejected | None:
        """`clip`'s rejection where a kept clip is too near by `rule`; None where it is new."""
        nearest = self.nearest(clip.phash)
        broken = rule.broken({"duplicate.distance": nearest[0]}) if nearest else None
        if nearest is None or broken is None:
            return None
        scores = clip.scores | {broken.rule: broken.value}
        value = f"{nearest[0]} bits from {nearest[1]}"
        return Rejected(stage="duplicate", why=broken.rule, value=value, scores=scores)

    def _nearest_in(self, block: int, hashes: NDArray[np.uint64]) -> tuple[int, str]:
        rows = min(_BLOCK_ROWS, self._size - block * _BLOCK_ROWS)
        distances = np.bitwise_count(self._hashes[block][:, :rows] ^ hashes[:, None]).max(axis=0)
        smallest = distances.min()
        keys = self._keys[block][:rows][distances == smallest]
        return int(smallest), min(keys.tolist()).decode("ascii")


def _parse(phash: Sequence[str]) -> NDArray[np.uint64]:
    if len(phash) != FRAMES or any(len(digits) != 16 for digits in phash):
        raise ValueError(f"a clip's perceptual hash is {FRAMES} times 16 hex digits, not {phash!r}")
    return np.array([int(digits, 16) for digits in phash], dtype=np.uint64)
