"""Checkpoints: everything that a run needs to go on, written while it goes on, whole or not at all.

    checkpoints/step-00000500/model/...   what is trained, as `DreamVideo2.from_pretrained` reads it
    checkpoints/step-00000500/ema/...     its average, where the recipe has one
    checkpoints/step-00000500/state.pt    the optimizer, the stream's state, the generator's
    checkpoints/step-00000500.json        written last: a checkpoint exists once this does

Never the base.
"""

import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shards import Storage
from training.trainer.parallel import whole

FOLDER = "checkpoints"
STATE = "state.pt"


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A run at one moment, in memory of its own."""

    step: int
    models: Mapping[str, Callable[[Path], None]]  # "model", "ema" -> writes it into a folder
    state: Mapping[str, Any]  # plain values and tensors


class Mirror:
    """Copies of tensors on the CPU, in memory that is used again for the next copy of the same.

    Of tensors of which each process holds a shard it is a meeting of all; those that do not `keep` get no copy.
    """

    def __init__(self, *, keep: bool = True) -> None:
        self._keep = keep
        self._held: dict[str, Tensor] = {}

    def of(self, value: Any, name: str) -> Any:
        """`value` with every tensor in it copied; `name` tells apart what is mirrored."""
        copy = self._copied(value, name)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return copy

    def _copied(self, value: Any, name: str) -> Any:
        if isinstance(value, Tensor):
            value = whole(value.detach())
            if not self._keep:
                return None
            if name not in self._held:
                self._held[name] = torch.empty(value.shape, dtype=value.dtype, pin_memory=value.is_cuda)
            return self._held[name].copy_(value, non_blocking=True)
        if isinstance(value, Mapping):
            return {key: self._copied(inner, f"{name}.{key}") for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self._copied(inner, f"{name}.{number}") for number, inner in enumerate(value))
        return value


class Checkpoints:
    """The checkpoints of the run folder `storage`; the last `keep` of them stay."""

    def __init__(self, storage: Storage, keep: int) -> None:
        self._storage = storage
        self._keep = keep
        self._writer = ThreadPoolExecutor(1)
        self._under_way: Future[None] | None = None

    def save(self, snapshot: Callable[[], Snapshot]) -> None:
        """Take a snapshot and write it in the background.

        Waits first where the one before is not written yet, for they share memory; raises what that met.
        """
        self.wait()
        self._under_way = self._writer.submit(self._write, snapshot())

    def wait(self) -> None:
        """Until what was given is durable."""
        if self._under_way is not None:
            under_way, self._under_way = self._under_way, None
            under_way.result()

    def close(self) -> None:
        self._writer.shutdown()

    def _write(self, snapshot: Snapshot) -> None:
        place = folder_of(snapshot.step)
        files = self._write_models(place, snapshot.models)
        with self._storage.writer(f"{place}/{STATE}") as sink:
            torch.save(dict(snapshot.state), sink)
        self._storage.write(f"{place}.json", json.dumps({"step": snapshot.step, "files": [*files, STATE]}).encode())
        for step in steps(self._storage)[: -self._keep]:
            _remove(self._storage, step)

    def _write_models(self, place: str, models: Mapping[str, Callable[[Path], None]]) -> list[str]:
        """Write every model's folder; paths of the files in the checkpoint's."""
        with tempfile.TemporaryDirectory(prefix="dreamreel-") as aside:
            here = self._storage.local_path(place)
            root = here or Path(aside)
            for name, write in models.items():
                write(root / name)
            files = [str(path.relative_to(root)) for name in models for path in sorted((root / name).rglob("*.*"))]
            for path in files:
                if here is None:
                    with (root / path).open("rb") as source, self._storage.writer(f"{place}/{path}") as sink:
                        shutil.copyfileobj(source, sink, 1 << 24)
                else:
                    with (root / path).open("rb") as written:
                        os.fsync(written.fileno())
        return files


def folder_of(step: int) -> str:
    return f"{FOLDER}/step-{step:08d}"


def steps(storage: Storage) -> list[int]:
    """The steps of all whole checkpoints, rising."""
    names = (re.fullmatch(rf"{FOLDER}/step-(\d{{8}})\.json", path) for path in storage.list(FOLDER, ".json"))
    return [int(match[1]) for match in names if match]


def fetched(storage: Storage, step: int, name: str, to: Path) -> Path:
    """A checkpoint's folder `name` ("model", "ema") on this machine's disk, under `to` where it lies elsewhere."""
    place = f"{folder_of(step)}/{name}"
    here = storage.local_path(place)
    if here is not None:
        return here
    for path in json.loads(storage.read(f"{folder_of(step)}.json"))["files"]:
        if path.startswith(f"{name}/"):
            target = to / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(storage.read(f"{folder_of(step)}/{path}"))
    return to / name


def state_of(storage: Storage, step: int) -> dict[str, Any]:
    """The state of a checkpoint, its tensors on the CPU."""
    data = storage.read(f"{folder_of(step)}/{STATE}")
    state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return state


def _remove(storage: Storage, step: int) -> None:
    """The mark first, so that no half of it is ever taken for whole."""
    place = folder_of(step)
    files = json.loads(storage.read(f"{place}.json"))["files"]
    storage.remove(f"{place}.json")
    for path in files:
        storage.remove(f"{place}/{path}")
    here = storage.local_path(place)
    if here is not None:
        shutil.rmtree(here, ignore_errors=True)
