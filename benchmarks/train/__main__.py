"""A training step beside a straightforward diffusers script: time, share of the machine, memory; waits and stalls.

    python -m benchmarks.train [--size embedded|tiny|published] [--device cuda] [--rounds N] [PART ...]

Contestants take their steps in turn, round by round, and a ratio is that of one round: the table gives the median and
the span of the rounds. Weights are random and the data noise: a step costs the same. The published size wants a GPU;
there `python -m benchmarks.train.step` also climbs the ladder of compiled layers and CUDA graphs.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from benchmarks.annotators.report import RESULTS, Line, table, timed, where
from benchmarks.train.contestants import contestant, pass_of
from benchmarks.train.living import Living
from benchmarks.train.shapes import SHAPES, counted
from benchmarks.train.waits import waits
from training.model.speed import SpeedSettings
from training.trainer.flops import measured_gemm, published_peak

NAIVE, OURS, RECOMPUTED = "straightforward script", "dreamreel", "dreamreel, checkpointing"

CONTESTANTS: Mapping[str, SpeedSettings | None] = {
    NAIVE: None,
    OURS: SpeedSettings(precision="bfloat16"),
    RECOMPUTED: SpeedSettings(precision="bfloat16", checkpointing=True),
}

MIB = 1 << 20


def stepping(args: argparse.Namespace) -> list[Line]:
    """Seconds of a step, and what of the machine it uses."""
    shape, device = SHAPES[args.size], torch.device(args.device)
    steps = {name: _step(args, contestant(shape, speed, device)) for name, speed in CONTESTANTS.items()}
    spent: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(args.rounds + 1):
        for name, step in steps.items():
            took = _seconds(step, device)
            spent[name] += [took] if turn else []  # the first warms up
    flops = args.clips * counted(shape)
    gemm, peak = measured_gemm(device, _precision(device)), published_peak(device)
    lines = []
    for name, seconds in spent.items():
        lines.append(timed("step", f"{args.clips} clips, {args.size}", name, "s", seconds))
        lines.append(timed("step", "of a matrix product", name, "%", [100 * flops / s / gemm for s in seconds]))
        if peak is not None:
            lines.append(timed("step", "MFU", name, "%", [100 * flops / s / peak for s in seconds]))
    goal = 2.0 if device.type == "cuda" else None
    faster = [naive / ours for naive, ours in zip(spent[NAIVE], spent[OURS], strict=True)]
    return [
        *lines,
        timed("step", "counted", "a clip", "GFLOP", [counted(shape) / 1e9]),
        timed("step", "against the straightforward script", "ratio", "x", faster, goal),
    ]


def memory(args: argparse.Namespace) -> list[Line]:
    """What one more clip adds to the most that lives at a time, weights and their gradients aside."""
    shape, device = SHAPES[args.size], torch.device(args.device)
    taken = {}
    for name, speed in CONTESTANTS.items():
        model = contestant(shape, speed, device)
        few, many = (_peak(model, args, clips) for clips in (args.clips, 2 * args.clips))
        taken[name] = (many - few) / args.clips / MIB
    lines = [timed("memory", f"a clip, {args.size}", name, "MiB", [size]) for name, size in taken.items()]
    return [*lines, timed("memory", "straightforward script against ours", "ratio", "x", [taken[NAIVE] / taken[OURS]])]


def running(args: argparse.Namespace) -> list[Line]:
    return waits(args.steps, args.set)


PARTS: Mapping[str, Callable[[argparse.Namespace], list[Line]]] = {
    "step": stepping,
    "memory": memory,
    "run": running,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--size", choices=SHAPES, default="embedded", help="(default: %(default)s)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="of a CPU, others may be at work (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="of timed steps (default: %(default)s)")
    parser.add_argument("--clips", type=int, default=2, help="of a step (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=14, help="of the run from shards (default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="a setting of that run")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    lines = [line for name in args.parts or PARTS for line in PARTS[name](args)]
    said = {**where(), "settings": {name: value for name, value in vars(args).items() if name != "out"}}
    rows = [{name: value for name, value in vars(line).items() if value is not None} for line in lines]
    (args.out / "train.json").write_text(json.dumps({**said, "lines": rows}, indent=1) + "\n")
    head = f"# Training\n\n{(__doc__ or '').splitlines()[0]}\n\n`python -m benchmarks.train`: {json.dumps(said)}"
    (args.out / "train.md").write_text(f"{head}\n\n{table(lines)}\n")
    print(table(lines))


def _step(args: argparse.Namespace, model: nn.Module) -> Callable[[], None]:
    device = torch.device(args.device)
    loss = pass_of(model, SHAPES[args.size], args.clips, device)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0, fused=device.type == "cuda")

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def _seconds(step: Callable[[], None], device: torch.device) -> float:
    _wait(device)
    began = time.perf_counter()
    step()
    _wait(device)
    return time.perf_counter() - began


def _peak(model: nn.Module, args: argparse.Namespace, clips: int) -> int:
    """Bytes."""
    loss = pass_of(model, SHAPES[args.size], clips, torch.device(args.device))
    living = Living(model.parameters())
    with living:
        loss().backward()  # type: ignore[no-untyped-call]
    for weight in model.parameters():
        weight.grad = None
    return living.peak


def _precision(device: torch.device) -> torch.dtype:
    """In which the contestants compute."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
