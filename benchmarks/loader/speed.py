"""The loader's speed beside `pread`, webdataset and a bare decoder, and how long a step waits for its batch."""

import argparse
import io
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeAlias

import av
import numpy as np
import webdataset
from av.video.reformatter import Interpolation, VideoReformatter

from benchmarks.annotators.report import Line, timed
from shards import Dataset, Storage, video, write_info, write_shard
from training.loader import Loader, Share, Stream, open_stream

Timed: TypeAlias = dict[str, list[float]]  # contestant -> seconds of each round
Bare: TypeAlias = tuple[bytes, int, int, int]  # a video, the first frame's time, how many frames, and every which

SIZE = (256, 448)  # the paper's picture
COPIES = 16  # of each clip, where only bytes are read


def reading(folder: str, args: argparse.Namespace) -> list[Line]:
    """Undecoded samples in the stream's order, in this process: what a batch needs of each, one after the other."""
    with tempfile.TemporaryDirectory() as place:
        _write_copies(Dataset.open(folder), Path(place), COPIES)
        return _reading(place, args.rounds)


def _reading(folder: str, rounds: int) -> list[Line]:
    dataset = Dataset.open(folder)
    stream = _stream(folder, workers=0)
    order = range(4 * len(dataset))
    tars = 4 * [str(dataset.storage.local_path(shard.tar)) for shard in dataset.shards]
    files = {shard.stem: os.open(path, os.O_RDONLY) for shard, path in zip(dataset.shards, tars, strict=False)}
    index = [
        (files[row["shard"]], row["json_offset"], row["mp4_offset"] + row["mp4_size"])
        for row in dataset.index.to_pylist()
    ]
    rows = [stream.clips.rows[stream.order.draw(position).clip] for position in order]

    def pread() -> Iterator[bytes]:
        for row in rows:
            file, start, end = index[row]
            yield os.pread(file, end - start, start)

    seconds = _interleaved(
        rounds,
        {
            "pread + index": lambda: deque(pread(), 0),
            "loader": lambda: deque(stream.raw(order), 0),
            "webdataset": lambda: deque(webdataset.WebDataset(tars, shardshuffle=False), 0),
        },
    )
    for file in files.values():
        os.close(file)
    mean = sum(end - start for _, start, end in index) / len(index)
    return [
        timed("undecoded", "a sample", "mean", "bytes", [mean]),
        *_rates("undecoded", seconds, len(order), "samples/s"),
        _ratio("undecoded", "against pread + index", seconds["pread + index"], seconds["loader"], goal=0.8),
        _ratio("undecoded", "against webdataset", seconds["webdataset"], seconds["loader"], goal=5.0),
    ]


def decoding(folder: str, args: argparse.Namespace) -> list[Line]:
    """Clips a second, beside those of threads that do nothing but decode and resize the same windows."""
    count = 2 * args.clips
    single = _stream(folder, workers=0)
    windows = [_bare_window(single, position) for position in range(count)]
    batches = _stream(folder, workers=args.workers, share=Share(batch=4)).batches(lent=True)  # as a trainer has them
    alone, in_process, many, ours = [], [], [], []
    with ProcessPoolExecutor(args.workers, get_context("forkserver")) as decoders:
        for turn in range(args.rounds + 1):
            bare, mine = _side_by_side(single, windows)
            together = _seconds(lambda: deque(decoders.map(_decode_all, _dealt(windows, args.workers)), 0))
            # What the workers made ahead while they were not asked is used up first, and not counted.
            for _ in range(args.workers * (single.loader.batches_ahead + 1)):
                next(batches)
            theirs = _seconds(lambda: [next(batches) for _ in range(count // 4)])
            if turn:  # the first begins processes
                alone.append(count / bare)
                in_process.append(count / mine)
                many.append(count / together)
                ours.append(count / theirs)
    batches.close()
    who = f"{args.workers} workers"
    return [
        timed("decoded", "one thread", "bare PyAV", "clips/s", alone),
        timed("decoded", "one thread", "loader", "clips/s", in_process),
        timed("decoded", who, "bare PyAV", "clips/s", many),
        timed("decoded", who, "loader", "clips/s", ours),
        _ratio("decoded", "one thread, against bare PyAV", in_process, alone, goal=0.95),
        _ratio("decoded", f"{who}, against as many of bare PyAV", ours, many, goal=0.95),
        _ratio(
            "decoded", f"{who}, against {args.workers} x one thread of PyAV", ours, [args.workers * x for x in alone]
        ),
    ]


def waiting(folder: str, args: argparse.Namespace) -> list[Line]:
    """How long a step waits for its batch, where a step takes what a GPU would at 13 clips a second."""
    stream = _stream(folder, workers=args.workers, share=Share(batch=4))
    batches = stream.batches(lent=True)
    for _ in range(args.workers * (stream.loader.batches_ahead + 1)):
        next(batches)
    shares = []
    for _ in range(args.rounds):
        waited = 0.0
        for _ in range(6):
            time.sleep(4 / 13)  # a GPU at work leaves the cores to the workers
            waited += _seconds(lambda: next(batches))
        shares.append(waited / (waited + 6 * 4 / 13))
    return [
        timed("data wait", "share of a step, 13 clips/s", f"{args.workers} workers", "%", [100 * s for s in shares])
    ]


def _stream(folder: str, workers: int, share: Share | None = None) -> Stream:
    loader = Loader(height=SIZE[0], width=SIZE[1], workers=workers)
    return open_stream(folder, loader, share or Share(batch=1))


def _bare_window(stream: Stream, position: int) -> Bare:
    """What the loader decodes at a position: the video, the first frame's time, how many frames, and every which."""
    ((_, members),) = stream.raw([position])
    assert isinstance(members, dict)
    ((one, _),) = stream.examples([position])
    clip = stream.clips[stream.order.draw(position).clip]
    shown = video.frames(members["mp4"])
    first = next(number for number, frame in enumerate(shown) if np.array_equal(frame, one.frames[0]))
    return members["mp4"], first, len(one.frames), clip.stride


def _write_copies(dataset: Dataset, folder: Path, times: int) -> None:
    """Every sample of `dataset` under `times` keys, so that a stream reads much more than a processor's cache holds."""
    storage, samples = Storage.at(folder), list(dataset)
    write_info(storage, dataset.info)
    for number in range(times):
        keys = [f"{number * len(samples) + place:020x}" for place in range(len(samples))]
        copies = [replace(sample, key=key) for sample, key in zip(samples, keys, strict=True)]
        write_shard(storage, dataset.info.name, number, copies)


def _side_by_side(stream: Stream, windows: list[Bare]) -> tuple[float, float]:
    """Seconds that bare PyAV takes for all windows, and the loader for the clips with them, clip by clip in turn."""
    bare = mine = 0.0
    for window, found in zip(windows, _each(stream, len(windows)), strict=True):
        bare += _seconds(partial(_decode, *window))
        mine += _seconds(found)
    return bare, mine


def _each(stream: Stream, count: int) -> Iterator[Callable[[], object]]:
    examples = stream.examples(range(count))
    return (partial(next, examples) for _ in range(count))


def _dealt(windows: list[Bare], workers: int) -> list[list[Bare]]:
    return [windows[worker::workers] for worker in range(workers)]


def _decode_all(windows: list[Bare]) -> None:
    for window in windows:
        _decode(*window)


def _decode(data: bytes, first: int, count: int, stride: int) -> list[object]:
    """Bare PyAV in one thread: from the key frame before the first frame to the last, those that are wanted as RGB."""
    wanted = {first + stride * n for n in range(count)}
    reformatter = VideoReformatter()
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        container.seek(first, stream=stream)  # practice clips count time in frames
        pictures: list[object] = []
        for frame in container.decode(stream):
            if frame.pts in wanted:
                drawn = reformatter.reformat(
                    frame, SIZE[1], SIZE[0], "rgb24", interpolation=Interpolation.AREA, threads=1
                )
                pictures.append(drawn.to_ndarray())
                if len(pictures) == count:
                    return pictures
    raise RuntimeError(f"{len(pictures)} of {count} frames")


def _interleaved(rounds: int, contestants: Mapping[str, Callable[[], object]]) -> Timed:
    """Seconds of each contestant in each round; the order turns from round to round, round 0 only warms up."""
    spent: Timed = {name: [] for name in contestants}
    names = list(contestants)
    for turn in range(rounds + 1):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            seconds = _seconds(contestants[name])
            spent[name] += [seconds] if turn else []
    return spent


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _rates(section: str, seconds: Timed, count: int, unit: str) -> list[Line]:
    return [timed(section, "rate", who, unit, [count / s for s in spent]) for who, spent in seconds.items()]


def _ratio(section: str, what: str, upper: list[float], lower: list[float], goal: float | None = None) -> Line:
    """Round by round."""
    return timed(section, what, "ratio", "x", [a / b for a, b in zip(upper, lower, strict=True)], goal)
