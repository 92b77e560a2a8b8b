"""What a probe is: one model's part of an evaluation, and the plain answers that are kept of it.

An answer holds what a model said and no policy: thresholds, missing frames and normalisers are applied to it later, so
that another of those asks no model again.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from training.evaluation.clips import Asked
from training.evaluation.metrics import Values

Frames = NDArray[np.uint8]  # [F, H, W, 3]
Question = tuple[Asked, Frames]
Answer = dict[str, Any]
"""Plain JSON: lists of a figure for each frame, None where it has none."""

T = TypeVar("T")


class Probe(Protocol):
    """One model's part. It loads the model when it is first asked."""

    name: str

    def key(self, asked: Asked) -> str | None:
        """Names the answer: model, settings and all of the entry that it hangs on; None where nothing can be asked."""
        ...

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """One answer for each, in order."""
        ...


class Asking:
    """What all probes share: a model's settings, and a key that names it. Raises `ValueError` where it is not here."""

    name: str

    def __init__(self, model: Any, at_once: int) -> None:
        """`model` are settings with `open()` and `fingerprint()`; `at_once` pictures go to it in a call."""
        self.model = model
        self.at_once = at_once
        self._fingerprint = _fingerprint(model)

    @cached_property
    def opened(self) -> Any:
        """The model's function, loaded when it is first asked."""
        return self.model.open()

    def named(self, *inputs: Any) -> str:
        """The key of an answer about these inputs. Where a model lies and runs is no part of it."""
        said = self.model.model_dump(mode="json", exclude={"device", "checkpoint", "model", "revision"})
        return _digest(self.name, said, self._fingerprint, *inputs)


def parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]


def shared(items: Sequence[T], counts: Sequence[int]) -> Iterator[Sequence[T]]:
    """As many to each in turn."""
    first = 0
    for count in counts:
        yield items[first : first + count]
        first += count


def listed(values: Values) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def array_digest(array: NDArray[Any]) -> str:
    return hashlib.sha256(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes()).hexdigest()


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _fingerprint(model: Any) -> str:
    try:
        return str(model.fingerprint())
    except OSError as error:  # the hub's word
        why = str(error).splitlines()[0]
        raise ValueError(f"{model.model} cannot be loaded ({why}); name a folder, or let it be downloaded") from None
