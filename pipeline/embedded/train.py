"""Trains the small models on the practice world: `python -m pipeline.embedded.train [TASK ...]`; resumable."""

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from math import cos, pi
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from pipeline.embedded.tasks.task import Task
from pipeline.models.catalog import PACKAGED
from pipeline.models.sums import write_sums

EMA_DECAY = 0.998
"""Of the average of the weights over the last steps, which is what is judged and saved."""


TASKS = {
    "backbone": "detector:BackboneTask",
    "detector": "detector:DetectorTask",
    "segmenter": "segmenter:SegmenterTask",
    "tracker": "tracker:TrackerTask",
    "sight": "sight:SightTask",
    "captioner": "captioner:CaptionerTask",
}
"""Module and class of every task, in the order in which they can be run."""


def task(name: str) -> Task:
    module, kind = TASKS[name].split(":")
    found: Task = getattr(import_module(f"pipeline.embedded.tasks.{module}"), kind)()
    return found


@dataclass(kw_only=True)
class Run:
    """One task's training in a folder of its own: `last.pt` to go on from, `log.jsonl` to read."""

    task: Task
    runs: Path
    device: torch.device
    workers: int = 0  # processes that draw batches ahead
    checkpoint_seconds: float = 60.0
    quality_every: int = 1000  # steps; 0: never
    log_every: int = 50  # steps
    start: Path | None = None  # folder of weights that a new run begins with instead of fresh ones
    _stopped: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        self.folder = self.runs / self.task.name
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = self.task.network(self.runs) if self.start is None else self.task.trained(self.start)
        self.network = fresh.to(self.device).train()
        self.average = AveragedModel(self.network, multi_avg_fn=_averaged, use_buffers=True)
        self.optimizer = torch.optim.AdamW(
            [p for p in self.network.parameters() if p.requires_grad],
            lr=self.task.learning_rate,
            weight_decay=self.task.weight_decay,
            fused=True,
        )
        self.step = 0
        self._resume()

    def train(self) -> bool:
        """Runs to the last step; False where it was stopped before."""
        handlers = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            return self._train()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _train(self) -> bool:
        saved = logged = time.monotonic()
        sums: dict[str, float] = {}
        for batch in self._batches():
            for name, value in self.learn(batch).items():
                sums[name] = sums.get(name, 0.0) + value
            if self.step % self.log_every == 0:
                now = time.monotonic()
                means = {name: round(value / self.log_every, 5) for name, value in sums.items()}
                self._log(means | {"steps_per_second": round(self.log_every / (now - logged), 3)})
                sums, logged = {}, now
            if self.quality_every and (self.step % self.quality_every == 0 or self.step == self.task.steps):
                self._log(self.quality())
                logged = time.monotonic()
            if self._stopped or time.monotonic() - saved > self.checkpoint_seconds:
                self._save()
                saved = time.monotonic()
            if self._stopped:
                return False
        self._save()
        return True

    def learn(self, batch: Any) -> dict[str, float]:
        """One step; the losses by name."""
        rate = _rate(self.task, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(self.step)  # what is random in a loss is the step's own, however often the run was stopped
        losses = self.task.losses(self.network, _moved(batch, self.device))
        loss = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(loss):
            raise FloatingPointError(f"{self.task.name}: the loss of step {self.step} is {loss.item()}: {losses}")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), self.task.clip)
        self.optimizer.step()
        self.step += 1
        self.average.update_parameters(self.network)
        return {name: value.item() for name, value in losses.items()}

    def quality(self) -> dict[str, float]:
        """Of the averaged weights."""
        network = self.averaged
        with torch.no_grad():
            return {name: round(value, 4) for name, value in self.task.quality(network).items()}

    @property
    def averaged(self) -> nn.Module:
        network: nn.Module = self.average.module
        return network.eval()

    def _batches(self) -> Iterator[Any]:
        ahead = 4 if self.workers else None
        return iter(
            DataLoader(_Batches(self.task, self.step), batch_size=None, num_workers=self.workers, prefetch_factor=ahead)
        )

    def _stop(self, *_signal: Any) -> None:
        self._stopped = True

    def _save(self) -> None:
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        aside = self.folder / "last.pt.part"
        torch.save(state, aside)
        aside.replace(self.folder / "last.pt")

    def _resume(self) -> None:
        path = self.folder / "last.pt"
        if path.exists():
            state = torch.load(path, map_location=self.device, weights_only=True)
            self.step = state["step"]
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])

    def _log(self, values: dict[str, float]) -> None:
        line = json.dumps({"step": self.step, **values})
        with (self.folder / "log.jsonl").open("a") as log:
            log.write(line + "\n")
        print(f"{self.task.name} {line}", flush=True)


class _Batches(Dataset[Any]):
    def __init__(self, task: Task, first: int) -> None:
        self.task = task
        self.first = first

    def __len__(self) -> int:
        return max(0, self.task.steps - self.first)

    def __getitem__(self, number: int) -> Any:
        if number >= len(self):
            raise IndexError(number)
        return self.task.batch(self.first + number)


def _averaged(averages: Any, current: Any, num_averaged: Any) -> None:
    """Shorter at first, so that a short run's average has forgotten its fresh weights too."""
    decay = min(EMA_DECAY, (1 + int(num_averaged)) / (10 + int(num_averaged)))
    get_ema_multi_avg_fn(decay)(averages, current, num_averaged)  # type: ignore[no-untyped-call]


def _rate(task: Task, step: int) -> float:
    if step < task.warmup:
        return task.learning_rate * (step + 1) / task.warmup
    done = (step - task.warmup) / max(1, task.steps - task.warmup)
    return task.learning_rate * max(0.01, (1 + cos(pi * done)) / 2)


def _moved(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, dict):
        return {name: _moved(value, device) for name, value in batch.items()}
    if isinstance(batch, list | tuple):
        return type(batch)(_moved(value, device) for value in batch)
    return batch


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.embedded.train", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="TASK", help="what to train (default: everything, in order)")
    parser.add_argument("--runs", type=Path, default=Path("out/embedded"), help="checkpoints (default: %(default)s)")
    parser.add_argument("--weights", type=Path, default=PACKAGED, help="where the weights go (default: the package)")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw batches (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of the training itself (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="of the training (default: the task's own number)")
    parser.add_argument("--learning-rate", type=float, help="the highest (default: the task's own)")
    parser.add_argument("--start", type=Path, metavar="FOLDER", help="train on what weights are there (default: anew)")
    parser.add_argument(
        "--quality-every", type=int, default=Run.quality_every, help="steps; 0: never (default: %(default)s)"
    )
    parser.add_argument(
        "--export", action="store_true", help="write the weights of the runs as they stand, untrained on"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for name in args.names or TASKS:
        if name not in TASKS:
            parser.error(f"no task {name!r}: known are {', '.join(TASKS)}")
        chosen = task(name)
        chosen.steps, chosen.learning_rate = args.steps or chosen.steps, args.learning_rate or chosen.learning_rate
        run = Run(
            task=chosen,
            runs=args.runs,
            device=torch.device(args.device),
            workers=args.workers,
            quality_every=args.quality_every,
            start=args.start,
        )
        if not args.export and not run.train():
            print(f"{name}: stopped at step {run.step}; run the same command again to go on", file=sys.stderr)
            return 130
        run.task.save(run.averaged, args.weights)
        write_sums(args.weights)
    return 0


if __name__ == "__main__":
    sys.exit(main())
