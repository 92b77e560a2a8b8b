"""Waiting out a storage that does not answer for a while."""

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from shards.storage import Outage

T = TypeVar("T")

LONGEST_PAUSE = 60.0  # seconds


def pauses() -> Iterator[float]:
    """Seconds to wait before each further try: 1, 2, 4, ... 60, 60, ..."""
    pause = 1.0
    while True:
        yield pause
        pause = min(LONGEST_PAUSE, 2 * pause)


def patiently(action: Callable[[], T], seconds: float, sleep: Callable[[float], None] = time.sleep) -> T:
    """`action()`, tried again through outages of about `seconds` in all; it must be fit to be called twice."""
    waited = 0.0
    for pause in pauses():
        try:
            return action()
        except Outage:
            if waited >= seconds:
                raise
        sleep(min(pause, seconds - waited))
        waited += pause
    raise AssertionError("pauses never end")
