"""Where a stream stands, and whose part of it is read; what a stream that goes on must have in common with it."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Self

from shards import Storage
from training.loader.settings import Loader


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """Where a stream stands: enough to go on with any number of ranks and workers."""

    seed: int
    epoch: int
    position: int  # in the epoch
    dataset: str  # fingerprint of the shards and of what people decided
    sampler: str  # digest of the settings that decide the order

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def of_json(cls, text: str) -> Self:
        return cls(**json.loads(text))


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """One rank's part of every global batch."""

    batch: int  # clips of this rank
    rank: int = 0
    world: int = 1

    @property
    def whole(self) -> int:
        """Clips of all ranks."""
        return self.batch * self.world


def refuse_other(storage: Storage, state: State, loader: Loader, name: str) -> None:
    """Raise ValueError where `state` is of another dataset than the one in `storage`, `name`, or of another order."""
    if state.dataset != name:
        raise ValueError(
            f"{storage.url} is not as it was when the run stopped: its shards or its verdicts changed, and the rest "
            "of the order with them; give it back as it was, or start a new run"
        )
    if (state.seed, state.sampler) != (loader.seed, sampler_digest(loader)):
        raise ValueError(
            "loader.seed, loader.sampling, loader.window.num_frames or loader.window.fps differ from those that the "
            "run began with, and they decide its order; set them back, or start a new run"
        )


def sampler_digest(loader: Loader) -> str:
    """Names the settings that decide the order."""
    window = loader.window
    said = json.dumps([loader.sampling.model_dump(mode="json"), window.num_frames, window.fps], sort_keys=True)
    return f"{loader.sampling.kind}:{hashlib.sha256(said.encode()).hexdigest()[:16]}"
