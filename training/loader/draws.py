"""Randomness by name: whatever is drawn for a sample or an epoch depends on nothing but who it is drawn for.

Philox is a counter-based generator: its key is (seed, epoch), its counter names the sample or the purpose. So no
draw depends on which process makes it, nor on what was drawn before.
"""

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Purpose: TypeAlias = Literal["shards", "clips", "copies"]

_PURPOSES: dict[Purpose, int] = {"shards": 1, "clips": 2, "copies": 3}
_NOBODY = 2**64 - 1  # in a sample's place: sample ids have 128 bits and are hashes


def of_sample(seed: int, epoch: int, key: str, copy: int, attempt: int = 0) -> np.random.Generator:
    """What is random about the sample `key` (hex) in an epoch.

    `copy` counts how often the epoch drew it before; `attempt` counts the substitutes that were tried for it.
    """
    number = int(key[:32], 16)
    return np.random.Generator(_philox(seed, epoch, attempt << 32 | copy, number & (2**64 - 1), number >> 64))


def of_epoch(seed: int, epoch: int, purpose: Purpose, count: int) -> NDArray[np.uint64]:
    """`count` numbers of 64 random bits, uint64 [count]."""
    bits: NDArray[np.uint64] = _philox(seed, epoch, _PURPOSES[purpose], _NOBODY, _NOBODY).random_raw(count)
    return bits


def _philox(seed: int, epoch: int, *place: int) -> np.random.Philox:
    return np.random.Philox(key=np.array([seed, epoch], np.uint64), counter=np.array([0, *place], np.uint64))
