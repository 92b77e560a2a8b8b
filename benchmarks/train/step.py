"""A training step, rung by rung from a straightforward script: time, memory, and the share of the GPU that it uses.

    python -m benchmarks.train.step OUT.json [--size published|tiny] [--device cuda] [--seconds 150]

Weights are random and the data noise: a step costs the same. Each rung is tried by itself, and one that fails or finds
no time says so in the table. Shares are of counted FLOPs: of the datasheet's peak, and of a product of large matrices
timed in the same run.
"""

import argparse
import gc
import json
import signal
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.train.contestants import contestant, pass_of
from benchmarks.train.shapes import SHAPES, Shape, counted
from training.model.speed import SpeedSettings

PEAK = 989e12
"""Dense bfloat16 FLOP/s of an H100 SXM, by its datasheet."""

Line = dict[str, Any]
Step = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One way to run a step, and how many clips it takes."""

    name: str
    speed: SpeedSettings | None  # None for the straightforward script
    fused: bool = True
    graph: bool = False
    clips: int = 4


EAGER = SpeedSettings(precision="bfloat16")
COMPILED = SpeedSettings(precision="bfloat16", compile=True)
LAST = SpeedSettings(precision="bfloat16", compile=True, channels_last=True)

LADDER = (
    Rung(name="straightforward script", speed=None, fused=False),
    Rung(name="frozen parts bf16, fused AdamW", speed=EAGER),
    Rung(name="... 1 clip", speed=EAGER, clips=1),
    Rung(name="... 2 clips", speed=EAGER, clips=2),
    Rung(name="+ CUDA graph of the step", speed=EAGER, graph=True),
    Rung(name="+ compiled, channels last", speed=LAST),
    Rung(name="... and CUDA graph", speed=LAST, graph=True),
    Rung(name="compiled without channels last", speed=COMPILED),
    Rung(name="... and CUDA graph", speed=COMPILED, graph=True),
)


class Bench:
    """Runs rungs one after another; models are made anew where the speed settings change."""

    def __init__(self, shape: Shape, device: torch.device, seconds: float, steps: int) -> None:
        self.shape = shape
        self.device = device
        self.steps = steps
        self.end = time.monotonic() + seconds
        self.flops = counted(shape)
        self.gemm = gemm_ceiling(device)
        self.model: nn.Module | None = None
        self.speed: object = "none yet"

    def run(self, rung: Rung) -> Line:
        left = self.end - time.monotonic()
        if left < 1:
            return {"rung": rung.name, "clips": rung.clips, "failed": "no time left"}
        try:
            with _alarm(left):
                return self._run(rung)
        except Exception as error:  # a rung that fails must not take the others along
            traceback.print_exc(limit=8)
            return {"rung": rung.name, "clips": rung.clips, "failed": f"{type(error).__name__}: {error}"[:300]}

    def _run(self, rung: Rung) -> Line:
        begun = time.monotonic()
        self._prepare(rung)
        assert self.model is not None
        trained = [p for p in self.model.parameters() if p.requires_grad]
        capturable = rung.graph and self.device.type == "cuda"
        fused: dict[str, Any] = {"fused": True, "capturable": capturable} if rung.fused else {}
        optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0, **fused)
        step = self._step(rung, optimizer)
        _reset_peak(self.device)
        for _ in range(2):
            step()
        if rung.graph:
            step = _captured(step, self.device)
        _wait(self.device)
        warm = time.monotonic() - begun
        times = [self._timed(step) for _ in range(self.steps)]
        peak = torch.cuda.max_memory_allocated() / 2**30 if self.device.type == "cuda" else float("nan")
        static = _bytes(self.model, optimizer) / 2**30
        for p in trained:
            p.grad = None
        median = statistics.median(times)
        rate = rung.clips * self.flops / median
        return {
            "rung": rung.name,
            "clips": rung.clips,
            "seconds": median,
            "min": min(times),
            "max": max(times),
            "clips_per_second": rung.clips / median,
            "mfu": rate / PEAK,
            "of_gemm": rate / self.gemm,
            "peak_gib": peak,
            "gib_a_clip": (peak - static) / rung.clips,
            "warm_up_seconds": warm,
        }

    def _prepare(self, rung: Rung) -> None:
        if self.speed == rung.speed:
            return
        self.model = None
        gc.collect()
        torch._dynamo.reset()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.model = contestant(self.shape, rung.speed, self.device)
        self.speed = rung.speed

    def _step(self, rung: Rung, optimizer: torch.optim.Optimizer) -> Step:
        assert self.model is not None
        loss = pass_of(self.model, self.shape, rung.clips, self.device)

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            loss().backward()  # type: ignore[no-untyped-call]
            optimizer.step()

        return step

    def _timed(self, step: Step) -> float:
        begun = time.perf_counter()
        step()
        _wait(self.device)
        return time.perf_counter() - begun


def gemm_ceiling(device: torch.device) -> float:
    """FLOP/s of a product of square bfloat16 matrices, the best of several tries."""
    side = 8192 if device.type == "cuda" else 512
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(12):
        _wait(device)
        begun = time.perf_counter()
        for _ in range(4):
            a @ b
        _wait(device)
        best = min(best, (time.perf_counter() - begun) / 4)
    return 2 * side**3 / best


def _captured(step: Step, device: torch.device) -> Step:
    """The step as one CUDA graph."""
    if device.type != "cuda":
        raise RuntimeError("CUDA graphs need a CUDA device")
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(2):
            step()
    torch.cuda.current_stream().wait_stream(side)
    gc.collect()
    torch.cuda.empty_cache()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def _bytes(model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Of weights, gradients and the optimizer's state."""
    weights = sum(p.numel() * p.element_size() * (2 if p.requires_grad else 1) for p in model.parameters())
    states = (value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor))
    return weights + sum(value.numel() * value.element_size() for value in states)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(*_signal: Any) -> None:
        raise TimeoutError("no time left")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def table(lines: list[Line]) -> str:
    rows = [
        "| step | clips | median s | span | clips/s | MFU | of GEMM | peak GiB | GiB a clip | warm-up s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        if "failed" in line:
            rows.append(f"| {line['rung']} | {line['clips']} | {line['failed']} |")
            continue
        rows.append(
            f"| {line['rung']} | {line['clips']} | {line['seconds']:.4f} | {line['min']:.4f}-{line['max']:.4f} | "
            f"{line['clips_per_second']:.2f} | {line['mfu']:.1%} | {line['of_gemm']:.1%} | {line['peak_gib']:.1f} | "
            f"{line['gib_a_clip']:.1f} | {line['warm_up_seconds']:.1f} |"
        )
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.train.step", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("out", type=Path, help="JSON of the results")
    parser.add_argument("--size", choices=SHAPES, default="published")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=150.0, help="for all (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=8, help="timed, of each rung (default: %(default)s)")
    parser.add_argument("--rungs", type=int, nargs="*", help="numbers of the rungs to run (default: all)")
    args = parser.parse_args()
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    bench = Bench(SHAPES[args.size], torch.device(args.device), args.seconds, args.steps)
    chosen = LADDER if args.rungs is None else [LADDER[number] for number in args.rungs]
    lines: list[Line] = []
    name = torch.cuda.get_device_name() if args.device == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}: {bench.flops / 1e12:.2f} TFLOP a clip, GEMM {bench.gemm:.3g} FLOP/s")
    for rung in chosen:
        lines.append(bench.run(rung))
        print(table(lines[-1:]).splitlines()[-1], flush=True)
        about = {"device": name, "torch": torch.__version__, "flops": bench.flops, "gemm": bench.gemm, "peak": PEAK}
        args.out.write_text(json.dumps({**about, "size": args.size, "lines": lines}, indent=1) + "\n")
    print(table(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
