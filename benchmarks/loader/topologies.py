"""One stream for every number of ranks and workers, whole and resumed; and how soon it begins, wherever."""

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from itertools import islice

from benchmarks.annotators.report import Line, timed
from training.loader import Batch, Loader, Share, State, Window, open_stream

WORLDS, WORKERS, WHOLE = (1, 2, 3, 4, 8), (0, 1, 2, 5), 24
BATCHES, STOPPED = 3, 1  # global batches that are read, and after how many of them a stream is resumed


def streams(folder: str, args: argparse.Namespace) -> list[Line]:
    """Digests of what all ranks together give, for each number of ranks and workers; and of what is left on resume."""
    small = Loader(height=32, width=56, window=Window(num_frames=4))

    def digest(world: int, workers: int, first: int, state: State | None) -> str:
        loader = small.model_copy(update={"workers": workers})
        ranks = []
        for rank in range(world):
            stream = open_stream(folder, loader, Share(batch=WHOLE // world, rank=rank, world=world), state)
            ranks.append(list(islice(stream.batches(), BATCHES - first)))
        return _digest([batch for parts in zip(*ranks, strict=True) for batch in parts])

    undisturbed = list(islice(open_stream(folder, small, Share(batch=WHOLE)), BATCHES))
    state = open_stream(folder, small, Share(batch=WHOLE)).state(undisturbed[STOPPED - 1].end)
    whole, rest = _digest(undisturbed), _digest(undisturbed[STOPPED:])
    topologies = [(world, workers) for world in WORLDS for workers in WORKERS]
    return [
        _count("same stream", [digest(*topology, 0, None) == whole for topology in topologies]),
        _count("same rest of it when resumed", [digest(*topology, STOPPED, state) == rest for topology in topologies]),
        timed("stream", "state", "size", "bytes", [len(state.to_json())]),
        *_first_batches(folder, small, args.rounds),
    ]


def _digest(batches: list[Batch]) -> str:
    return hashlib.sha256(b"".join(row for batch in batches for row in _rows(batch))).hexdigest()


def _rows(batch: Batch) -> Iterator[bytes]:
    """What a batch has of each clip."""
    tensors = (batch.frames, batch.boxes, batch.present, batch.subjects, batch.noise_seeds)
    for n, (key, caption) in enumerate(zip(batch.keys, batch.captions, strict=True)):
        yield json.dumps([key, caption]).encode() + b"".join(tensor[n].numpy().tobytes() for tensor in tensors)


def _first_batches(folder: str, loader: Loader, rounds: int) -> list[Line]:
    """Seconds to the first batch at the stream's beginning, and far into it, in turn."""
    share, begun = Share(batch=4), open_stream(folder, loader, Share(batch=4))
    seconds: dict[int, list[float]] = {0: [], 10_000_000: []}
    for _ in range(rounds):
        for position, spent in seconds.items():
            began = time.perf_counter()
            next(iter(open_stream(folder, loader, share, begun.state(position))))
            spent.append(time.perf_counter() - began)
    ratios = [near / far for near, far in zip(*seconds.values(), strict=True)]
    return [
        *(timed("stream", "first batch", f"at {position:,}", "s", spent) for position, spent in seconds.items()),
        timed("stream", "first batch, at 0 against far in", "ratio", "x", ratios),
    ]


def _count(what: str, equal: list[bool]) -> Line:
    share, of = sum(equal) / len(equal), f"{sum(equal)} of {len(equal)}"
    return timed("stream", f"{what} over ranks {WORLDS} x workers {WORKERS} ({of})", "share", "", [share], goal=1.0)
