"""How fast samples are read beside webdataset and bare `pread`, what masks cost beside PNGs, how fast shards open.

    python -m benchmarks.shards [--samples N] [--bytes N] [--rounds N] [--rows N] [--out FOLDER]

What is compared runs interleaved, round by round; a ratio is that of one round, and the table gives the median and
the span of the rounds. Files are in the page cache: what is measured is the code, not the disk.
"""

import argparse
import io
import json
import os
import platform
import random
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from shards import Dataset, DatasetInfo, Sample, Storage, Track, rle, sidecar, tar, write_info, write_shard
from shards.entry import canonical_json, decode_masks

Timed: TypeAlias = dict[str, list[float]]  # contestant -> seconds of each round
Line: TypeAlias = dict[str, Any]

_PASSES = 4  # over the samples in a round, so that a round is long enough to time


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shards", description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=240, help="samples to read (default: %(default)s)")
    parser.add_argument("--bytes", type=int, default=400_000, help="bytes of a video (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of every comparison (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=230_000, help="rows of sidecars to open (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder for the results")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines = [
            *reading(Path(folder, "read"), args.samples, args.bytes, args.rounds),
            *masks(args.rounds),
            *opening(Path(folder, "open"), args.rows, args.rounds),
        ]
    _report(lines, vars(args), args.out)


def reading(folder: Path, num_samples: int, video_bytes: int, rounds: int) -> list[Line]:
    """Undecoded samples from several shards, in order and at random."""
    import webdataset

    _write(folder, num_samples, video_bytes)
    dataset = Dataset.open(folder)
    tars = [str(dataset.storage.local_path(shard.tar)) for shard in dataset.shards]
    files = {shard.stem: os.open(path, os.O_RDONLY) for shard, path in zip(dataset.shards, tars, strict=True)}
    spans = [
        (files[row["shard"]], row["json_offset"], row["strip_offset"] + row["strip_size"])
        for row in dataset.index.to_pylist()
    ]
    spans, order, tars = _PASSES * spans, _PASSES * list(range(len(dataset))), _PASSES * tars
    mixed = random.Random(0).sample(order, len(order))
    mixed_spans = [spans[row] for row in mixed]
    timed = _interleaved(
        rounds,
        {
            "pread": lambda: [len(os.pread(file, end - start, start)) for file, start, end in spans],
            "Dataset.raw": lambda: [len(dataset.raw(row)) for row in order],
            "webdataset": lambda: [len(clip) for clip in webdataset.WebDataset(tars, shardshuffle=False)],
            "pread at random": lambda: [len(os.pread(file, end - start, start)) for file, start, end in mixed_spans],
            "Dataset.raw at random": lambda: [len(dataset.raw(row)) for row in mixed],
        },
    )
    for file in files.values():
        os.close(file)
    rates = [_line("reading", name, "samples/s", [len(order) / s for s in seconds]) for name, seconds in timed.items()]
    return [
        *rates,
        _ratio("reading in order, against pread", timed["pread"], timed["Dataset.raw"], goal=0.8),
        _ratio("reading at random, against pread", timed["pread at random"], timed["Dataset.raw at random"], goal=0.8),
        _ratio("reading in order, against webdataset", timed["webdataset"], timed["Dataset.raw"], goal=5.0),
    ]


def masks(rounds: int, frames: int = 64, size: tuple[int, int] = (480, 854)) -> list[Line]:
    """One subject's masks as the masks member and as a PNG a frame: bytes, and time to bool arrays."""
    drawn = _blob(frames, *size)
    said = {"size": size, "tracks": [{"id": 1, "counts": rle.encode_clip(drawn)}]}
    member = zlib.compress(canonical_json(said), 9)
    grey = [_png(255 * mask.astype(np.uint8)) for mask in drawn]
    binary = [_png(mask) for mask in drawn]
    readers: dict[str, Callable[[], NDArray[np.bool_]]] = {
        "run lengths": lambda: decode_masks(member)[1],
        "PNGs of 8 bits": lambda: _from_pngs(grey),
        "PNGs of 1 bit": lambda: _from_pngs(binary),
    }
    assert all(np.array_equal(read(), drawn) for read in readers.values())
    timed = _interleaved(rounds, readers)
    sizes = {"run lengths": len(member), "PNGs of 8 bits": _total(grey), "PNGs of 1 bit": _total(binary)}
    lines = [_line("masks of a clip", name, "bytes", [size]) for name, size in sizes.items()]
    lines += [_line("masks of a clip", name, "ms", [1000 * s for s in seconds]) for name, seconds in timed.items()]
    for png in ("PNGs of 8 bits", "PNGs of 1 bit"):
        lines.append(_line(f"masks, times smaller than {png}", "ratio", "x", [sizes[png] / sizes["run lengths"]]))
        lines.append(_ratio(f"masks, times as fast as {png}", timed[png], timed["run lengths"], goal=1.0))
    return lines


def _total(pngs: Iterable[bytes]) -> int:
    return sum(map(len, pngs))


def opening(folder: Path, rows: int, rounds: int, per_shard: int = 500) -> list[Line]:
    """Tar headers scanned, and all sidecars of a large dataset opened."""
    _write(folder / "one", per_shard, 1000, shards=1)
    one = Storage.at(folder / "one")
    path, data = folder / "one/shards/read-000000.tar", one.read("shards/read-000000.parquet")
    many = Storage.at(folder / "many")
    write_info(many, DatasetInfo(name="many", code="0"))
    table, about = sidecar.from_parquet(data)
    data = sidecar.to_parquet(_longer(table, 96), about)
    for number in range(rows // per_shard):
        many.write(f"shards/many-{number:06d}.parquet", data)
    opened = Dataset.open(many.url)
    few = ["caption", "subject", "scores"]
    timed = _interleaved(
        min(rounds, 3),
        {
            "tar headers": lambda: tar.scan(path),
            "sidecars, all columns": lambda: Dataset.open(many.url),
            "sidecars, few columns": lambda: Dataset.open(many.url, few),
        },
    )
    headers = 4 * per_shard
    return [
        _line("opening", "tar headers", "headers/s", [headers / s for s in timed.pop("tar headers")]),
        *(_line("opening", f"{name}, {len(opened)} rows", "s", seconds) for name, seconds in timed.items()),
        _line("opening", "index, all columns", "MB", [opened.index.nbytes / 1e6]),
        _line("opening", "index, few columns", "MB", [Dataset.open(many.url, few).index.nbytes / 1e6]),
        _line("opening", "sidecar", "bytes a row", [len(data) / per_shard]),
    ]


def _interleaved(rounds: int, contestants: Mapping[str, Callable[[], object]]) -> Timed:
    """Seconds of each contestant in each round; the order turns from round to round, round 0 only warms up."""
    timed: Timed = {name: [] for name in contestants}
    names = list(contestants)
    for turn in range(rounds + 1):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = time.perf_counter()
            contestants[name]()
            timed[name] += [time.perf_counter() - start] if turn else []
    return timed


def _line(what: str, who: str, unit: str, values: Sequence[float]) -> Line:
    return {
        "what": what,
        "who": who,
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "unit": unit,
    }


def _ratio(what: str, other: Sequence[float], ours: Sequence[float], goal: float | None = None) -> Line:
    """How many times as fast as the other we are, round by round."""
    line = _line(what, "ratio", "x", [theirs / mine for theirs, mine in zip(other, ours, strict=True)])
    return line | ({"goal": goal, "met": line["median"] >= goal} if goal else {})


def _write(folder: Path, num_samples: int, video_bytes: int, shards: int = 4) -> None:
    storage = Storage.at(folder)
    write_info(storage, DatasetInfo(name="read", code="0"))
    blob = _blob(8, 120, 160)
    track = Track.of_masks(blob, id=1, noun="blob")
    for number in range(shards):
        rows = range(number, num_samples, shards)
        write_shard(storage, "read", number, (_sample(row, track, video_bytes) for row in rows))


def _sample(number: int, track: Track, video_bytes: int) -> Sample:
    noise = np.random.default_rng(number)
    return Sample(
        key=f"{number:020x}",
        video=noise.bytes(video_bytes),
        strip=noise.bytes(20_000),
        pts=tuple(range(len(track.masks))),
        time_base=Fraction(1, 24),
        width=160,
        height=120,
        caption=f"blob {number} drifts over nothing in particular while somebody counts",
        subject="blob",
        tracks=(track,),
        scores={f"score {n}": float(noise.random()) for n in range(15)},
        provenance={"video": f"noise/{number}", "start": 0.0, "end": 1 / 3, "caption_by": "nobody"},
    )


def _longer(table: pa.Table, frames: int) -> list[dict[str, Any]]:
    return [{**row, "pts": list(range(frames)), "num_frames": frames} for row in table.to_pylist()]


def _blob(frames: int, height: int, width: int) -> NDArray[np.bool_]:
    """A drifting, breathing subject with a ragged outline, bool [T, H, W]."""
    noise = np.random.default_rng(0)
    waves = noise.normal(size=(9, 2)) / np.arange(2, 11)[:, None]
    y, x = np.mgrid[:height, :width]
    masks = np.zeros((frames, height, width), bool)
    for t in range(frames):
        dy, dx = y - height * 0.5, x - width * (0.3 + 0.4 * t / frames)
        angle = np.arctan2(dy, dx)
        radius = sum(a * np.cos(n * angle + t / 9) + b * np.sin(n * angle) for n, (a, b) in enumerate(waves, 2))
        masks[t] = np.hypot(dx, dy) + noise.normal(0, 0.7, (height, width)) < height * (0.25 + 0.05 * radius)
    return masks


def _png(mask: NDArray[Any]) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(mask).save(sink, "PNG", optimize=True)
    return sink.getvalue()


def _from_pngs(pngs: Iterable[bytes]) -> NDArray[np.bool_]:
    return np.stack([np.asarray(Image.open(io.BytesIO(png))).astype(bool, copy=False) for png in pngs])


def _report(lines: Sequence[Line], settings: Mapping[str, Any], out: Path) -> None:
    machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    chosen = {name: value for name, value in settings.items() if name != "out"}
    rows = ["| what | | median | span | goal |", "|---|---|---|---|---|"]
    for line in lines:
        span = f"{line['min']:,.4g} to {line['max']:,.4g}" if line["min"] != line["max"] else ""
        goal = f"{line['goal']:g} {'met' if line['met'] else 'missed'}" if "goal" in line else ""
        rows.append(f"| {line['what']} | {line['who']} | {line['median']:,.4g} {line['unit']} | {span} | {goal} |")
    text = "\n".join(rows)
    print(text)
    out.mkdir(parents=True, exist_ok=True)
    head = "# Shards\n\n`python -m benchmarks.shards`: " + json.dumps({**machine, **chosen})
    (out / "shards.md").write_text(f"{head}\n\n{text}\n")
    (out / "shards.json").write_text(
        json.dumps({"machine": machine, "settings": chosen, "lines": lines}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
