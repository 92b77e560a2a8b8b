"""What a run says: a JSON line a step in log.jsonl, the same to TensorBoard where it is asked for, a word to people."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

from shards import Storage

LOG = "log.jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """One step, over all processes."""

    step: int  # that is done, from 1
    loss: float  # Eq. 6
    inside: float | None  # mean squared error inside the boxes; None where no clip has one
    outside: float | None
    grad_norm: float
    lr: float
    seconds: float  # of the step, the wait for its clips included
    clips_per_second: float
    data_wait: float  # share of the step that was spent waiting for clips
    mfu: float | None  # share of the device's published peak; None where that is not known
    of_gemm: float | None  # share of what a large matrix product reaches here
    memory: float  # GiB that the leading process used at most so far: the GPU's, or its own
    position: int  # of the stream, behind the step's clips
    keys: Sequence[str]  # of the step's clips


class Log:
    """The log of a run folder. On an object store, which cannot append, it is written anew now and then."""

    def __init__(self, storage: Storage, *, tensorboard: bool, remote_seconds: float = 60.0) -> None:
        self._storage = storage
        self._remote_seconds = remote_seconds
        self._lines = bytearray() if storage.is_local or not storage.exists(LOG) else bytearray(storage.read(LOG))
        self._written = time.monotonic()
        self._board = _board(storage) if tensorboard else None
        if not storage.exists(LOG):
            storage.write(LOG, b"")

    def add(self, moment: Moment) -> None:
        """Log a step."""
        self.event(asdict(moment))
        if self._board is not None:
            for name, value in asdict(moment).items():
                if isinstance(value, float):
                    self._board.add_scalar(name, value, moment.step)

    def event(self, said: Mapping[str, Any]) -> None:
        """Log anything else: where the run went on, a sample that could not be read."""
        line = json.dumps(dict(said), separators=(",", ":")).encode() + b"\n"
        if self._storage.is_local:
            with open(f"{self._storage.url}/{LOG}", "ab") as stream:  # not synced: a step must not wait for a disk
                stream.write(line)
            return
        self._lines += line
        if time.monotonic() - self._written > self._remote_seconds:
            self.flush()

    def flush(self) -> None:
        """Until everything that was said stands in the run folder."""
        if not self._storage.is_local:
            self._storage.write(LOG, bytes(self._lines))
            self._written = time.monotonic()
        if self._board is not None:
            self._board.flush()

    def close(self) -> None:
        """The same, and no more is said."""
        self.flush()
        if self._board is not None:
            self._board.close()


def moments(storage: Storage) -> list[Moment]:
    """The steps of a run's log, each as it was logged last; a line that a crash cut off is left out."""
    said = [json.loads(line) for line in storage.read(LOG).split(b"\n")[:-1] if line.endswith(b"}")]
    found = {row["step"]: Moment(**row) for row in said if "loss" in row}
    return [found[step] for step in sorted(found)]


def tell(text: str) -> None:
    """A line for people."""
    print(text, file=sys.stderr, flush=True)


def check_board() -> None:
    """Raise ValueError where TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        raise ValueError("tensorboard=true needs its package: pip install 'dreamreel[tensorboard]', or leave that out")


def _board(storage: Storage) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(f"{storage.url}/tensorboard")
