"""How fast videos are evaluated in batches against one by one, and what the embedded models' figures are worth.

    python -m benchmarks.evaluate [--videos N] [--rounds N] [--only PART ...] [--out FOLDER]

`speed`: whole evaluations, decoding and records of answers included, by models that are loaded, in rounds that take
turns. `truth`: practice scenes as if they had been generated, against their own boxes. `stand-ins`: how often each
stand-in tells right from wrong, where chance is a half.
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.intervals import Estimate, mean, share
from pipeline.embedded.tasks.task import VALIDATION_SEED
from shards import Storage
from shards.rle import Size
from training.evaluation.clips import decoded
from training.evaluation.likeness import region
from training.evaluation.manifest import Entry, read_manifest
from training.evaluation.metrics import Features, cosines
from training.evaluation.paper import PROTOCOLS
from training.evaluation.practice_suite import SEED, practice_items
from training.evaluation.probe import Probe
from training.evaluation.probes import probes
from training.evaluation.run import evaluate
from training.evaluation.settings import EvaluationSettings, load_settings
from training.evaluation.suite import write_practice_suite
from training.generation.pictures import write_clip

RESULTS = Path(__file__).parent / "results"
SPEED_SIZE: Size = (64, 96)
SIZES: tuple[Size, ...] = ((64, 96), (96, 160), (180, 320))
FRAMES, FPS = 8, 8.0

WAYS = {
    "frame by frame": {"videos_at_once": 1, "frames_at_once": 1},
    "video by video": {"videos_at_once": 1, "frames_at_once": 128},
    "eight videos at once": {"videos_at_once": 8, "frames_at_once": 128},
}
"""The first is how public metric scripts go: one picture a call."""

Row = dict[str, Any]

assert SEED < VALIDATION_SEED


def practice_videos(folder: Path, count: int, size: Size) -> list[Entry]:
    """Truth as if it had been generated, in `folder`, with its manifest."""
    entries = read_manifest(write_practice_suite(folder, count, size, FRAMES))
    for entry, item in zip(entries, practice_items(count, size, FRAMES), strict=True):
        write_clip(folder / entry.video, item.truth(), FPS)
    return entries


def speed(folder: Path, count: int, rounds: int) -> Iterator[Row]:
    """Videos a second, and each round's ratio to frame by frame in the same round."""
    entries = practice_videos(folder, count, SPEED_SIZE)
    ways = {name: load_settings("embedded").model_copy(update=how) for name, how in WAYS.items()}
    metrics = frozenset(PROTOCOLS["all"].metrics)
    loaded = {name: probes(settings, metrics) for name, settings in ways.items()}
    for name, settings in ways.items():
        _seconds(entries[:1], folder, settings, loaded[name])
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, settings in ways.items():
            times[name].append(_seconds(entries, folder, settings, loaded[name]))
    slow = times["frame by frame"]
    for name, taken in times.items():
        yield _span("speed", f"videos/s, {name}", [count / one for one in taken])
        if taken is not slow:
            ratios = [its / mine for its, mine in zip(slow, taken, strict=True)]
            yield _span("speed", f"{name}: times as fast as frame by frame", ratios)


def truth(folder: Path, count: int, rounds: int) -> Iterator[Row]:  # noqa: ARG001 - there is nothing to repeat
    """mIoU and CD of scenes against their own boxes through the embedded detector."""
    for size in SIZES:
        place = folder / f"{size[0]}"
        entries = practice_videos(place, count, size)
        out = Storage.at(place / "out")
        found = evaluate(entries, place, place, out, load_settings("embedded"), name="truth", protocol="motion")
        assert found is not None
        for metric in ("mIoU", "CD", "detected"):
            values = [value for one in found.measured if (value := one.scores.video[metric]) is not None]
            yield _estimated("truth", f"{metric} of the scenes themselves, {size[1]}x{size[0]}", mean(values))


def stand_ins(folder: Path, count: int, rounds: int) -> Iterator[Row]:  # noqa: ARG001 - there is nothing to repeat
    """Each video with what it was asked for, and with what others of another noun were asked for."""
    entries = practice_videos(folder, count, SPEED_SIZE)
    items = practice_items(count, SPEED_SIZE, FRAMES)
    videos = [decoded(folder / entry.video)[0] for entry in entries]
    nouns = [item.noun for item in items]
    settings = load_settings("embedded")
    assert settings.text is not None
    likelihood, pairs = settings.text.open(), [(n, (n + 1) % count) for n in range(count)]
    pairs = [(n, m) for n, m in pairs if nouns[n] != nouns[m]]
    right = likelihood([(list(videos[n]), entries[n].prompt or "") for n, _ in pairs])
    wrong = likelihood([(list(videos[n]), entries[m].prompt or "") for n, m in pairs])
    wins = sum(a > b for a, b in zip(right, wrong, strict=True))
    yield _estimated("stand-ins", "Caption-T: the own prompt before another's", share(wins, len(pairs)))
    height, width = SPEED_SIZE
    boxes = [item.boxes[FRAMES // 2] * [width, height, width, height] for item in items]
    whole = [video[FRAMES // 2] for video in videos]
    cut = [region(frame, box) for frame, box in zip(whole, boxes, strict=True)]
    for name, encoder in (("Sight", settings.semantic), ("Backbone", settings.structural)):
        embed = encoder.open()
        subjects = embed([item.subject for item in items])
        for what, seen in ((f"{name}-I", embed(whole)), (f"R-{name}", embed(cut))):
            shares = _told_right(seen, subjects, nouns)
            yield _estimated("stand-ins", f"{what}: the own subject image before others'", mean(shares))


def _told_right(seen: Features, subjects: Features, nouns: Sequence[str]) -> list[float]:
    """For each picture, the share of other nouns' subject images that are less like it than its own."""
    shares = []
    for n, noun in enumerate(nouns):
        like = cosines(subjects, seen[n : n + 1])
        others = [like[n] > like[m] for m, other in enumerate(nouns) if other != noun]
        shares.append(sum(others) / len(others))
    return shares


PARTS: dict[str, Callable[[Path, int, int], Iterator[Row]]] = {"speed": speed, "truth": truth, "stand-ins": stand_ins}


def _seconds(entries: Sequence[Entry], folder: Path, settings: EvaluationSettings, loaded: Sequence[Probe]) -> float:
    """Of an evaluation that knows no answer yet."""
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        evaluate(entries, folder, folder, Storage.at(out), settings, name="speed", asking=loaded)
        return time.perf_counter() - began


def _span(part: str, what: str, values: Sequence[float]) -> Row:
    """A median and the span of its rounds."""
    row = {"part": part, "what": what, "value": statistics.median(values), "low": min(values), "high": max(values)}
    return {**row, "n": len(values)}


def _estimated(part: str, what: str, estimate: Estimate) -> Row:
    return {"part": part, "what": what, **asdict(estimate)}


def main(argv: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluate", description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=24, help="of each part (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of each way of `speed` (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="some of the parts")
    parser.add_argument("--threads", type=int, help="of torch (default: as many as it takes)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results (default: %(default)s)")
    args = parser.parse_args(given)
    if args.threads:
        torch.set_num_threads(args.threads)
    words = ["python", "-m", "benchmarks.evaluate", *("FOLDER" if word == str(args.out) else word for word in given)]
    for name in args.only:
        with tempfile.TemporaryDirectory() as folder:
            rows = list(PARTS[name](Path(folder), args.videos, args.rounds))
        text = _written(args.out, rows, shlex.join(words))
    print(text)
    return 0


def _written(out: Path, rows: list[Row], command: str) -> str:
    """`evaluate.json` and `evaluate.md`; parts that were not measured now stay as they stand there."""
    path, about = out / "evaluate.json", {"command": command, "machine": platform.machine(), "cpus": os.cpu_count()}
    about |= {"torch": str(torch.__version__), "threads": torch.get_num_threads()}
    now = {row["part"] for row in rows}
    before = json.loads(path.read_text())["rows"] if path.exists() else []
    rows = [row for row in before if row["part"] not in now] + [{**row, "about": about} for row in rows]
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")
    lines = ["# Evaluation", "", "| part | what | value | 95 % interval or span | n |", "|---|---|---|---|---|"]
    for row in rows:
        numbers = f"{row['value']:.3f} | {row['low']:.3f} to {row['high']:.3f} | {row['n']}"
        lines.append(f"| {row['part']} | {row['what']} | {numbers} |")
    runs = {row["part"]: row["about"] for row in rows}
    lines += ["", *(f"- {part}: {json.dumps(said)}" for part, said in runs.items()), ""]
    text = "\n".join(lines)
    (out / "evaluate.md").write_text(text, encoding="utf-8")
    return text


if __name__ == "__main__":
    sys.exit(main())
