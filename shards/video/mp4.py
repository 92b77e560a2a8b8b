"""Where the frames of an MP4 lie, read from its sample table alone: nothing is opened and nothing decoded.

For files with one H.264 track, as shards hold them. FFmpeg's own reader decodes a frame to open one, which takes as
long as decoding several.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from shards.video.source import Unreadable

Ints: TypeAlias = NDArray[np.int64]

_TO_SAMPLE_TABLE = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_TO_HEADER = (b"moov", b"trak", b"mdia", b"mdhd")
_ENTRY = 78  # bytes of a picture's sample entry before its boxes


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleTable:
    """The frames of an MP4 in the order in which they are stored, which is that of decoding."""

    width: int  # pixels
    height: int
    parameters: bytes  # "avcC", what an H.264 decoder has to know first
    starts: Ints  # [T], bytes from the file's begin
    sizes: Ints  # [T], bytes
    shown_at: Ints  # [T], in `timescale`s of a second
    keys: Ints  # rising numbers of key frames
    timescale: int

    @classmethod
    def of(cls, data: bytes) -> "SampleTable":
        """Raises `Unreadable` where `data` is no such MP4, or ends before its last frame."""
        try:
            table = _table(data)
        except (struct.error, LookupError, StopIteration, ValueError, OverflowError) as error:
            raise Unreadable("not_a_video", f"its sample table is not as MP4 has it: {error!r}") from None
        ends = table.starts + table.sizes
        whole = int(((table.starts >= 0) & (table.sizes > 0) & (ends <= len(data))).sum())
        if whole < len(table.sizes):
            raise Unreadable("truncated", f"{whole} of {len(table.sizes)} frames")
        return table


def _table(data: bytes) -> SampleTable:
    where = dict(_boxes(data, *_inside(data, _TO_SAMPLE_TABLE)))

    def numbers(name: bytes, skipped: int = 8, kind: str = ">u4") -> Ints:
        """What stands in a box behind its first `skipped` bytes."""
        start, end = where[name]
        dtype = np.dtype(kind)
        return np.frombuffer(data, dtype, (end - start - skipped) // dtype.itemsize, start + skipped).astype(np.int64)

    one_size, count = struct.unpack_from(">4xII", data, where[b"stsz"][0])
    if not 0 < count <= len(data):
        raise ValueError(f"{count} frames in {len(data)} bytes")
    sizes = np.full(count, one_size, np.int64) if one_size else numbers(b"stsz", 12)
    entry, (start, end) = next(_boxes(data, where[b"stsd"][0] + 8, where[b"stsd"][1]))
    if entry not in (b"avc1", b"avc3"):
        raise ValueError(f"{entry!r} is not H.264")
    width, height = struct.unpack_from(">HH", data, start + 24)
    first, last = dict(_boxes(data, start + _ENTRY, end))[b"avcC"]
    lasting = _repeated(numbers(b"stts").reshape(-1, 2), count)
    shown_at = lasting.cumsum() - lasting
    if b"ctts" in where:  # signed in version 1, and small enough in version 0
        shown_at += _repeated(numbers(b"ctts", kind=">i4").reshape(-1, 2), count)
    chunks = numbers(b"stco") if b"stco" in where else numbers(b"co64", kind=">u8")
    keys = numbers(b"stss") - 1 if b"stss" in where else np.arange(count)
    if not len(keys) or keys[0] != 0 or keys[-1] >= count or (np.diff(keys) < 1).any():
        raise ValueError(f"{count} frames, of which no decoder could start at {keys.tolist()[:4]}")
    return SampleTable(
        width=width,
        height=height,
        parameters=data[first:last],
        starts=_starts(sizes, chunks, numbers(b"stsc").reshape(-1, 3)),
        sizes=sizes,
        shown_at=shown_at,
        keys=keys,
        timescale=_timescale(data),
    )


def _starts(sizes: Ints, chunks: Ints, runs: Ints) -> Ints:
    """Where samples lie that fill `chunks`; from chunk run[0] on, counted from 1, each holds run[1] of them."""
    lasts = np.append(runs[1:, 0], len(chunks) + 1)
    held = _repeated(np.stack((lasts - runs[:, 0], runs[:, 1]), 1), len(chunks))
    if held.sum() != len(sizes) or (held < 1).any():
        raise ValueError(f"chunks hold {held.sum()} of {len(sizes)} frames")
    before = sizes.cumsum() - sizes
    return before + np.repeat(chunks - before[held.cumsum() - held], held)


def _repeated(runs: Ints, count: int) -> Ints:
    """Each run's second number as often as its first says, `count` in all."""
    if runs[:, 0].sum() != count or (runs[:, 0] < 0).any():
        raise ValueError(f"runs of {runs[:, 0].sum()} for {count}")
    return np.repeat(runs[:, 1], runs[:, 0])


def _timescale(data: bytes) -> int:
    start, _ = _inside(data, _TO_HEADER)
    (timescale,) = struct.unpack_from(">I", data, start + (20 if data[start] == 1 else 12))
    return int(timescale)


def _inside(data: bytes, path: tuple[bytes, ...]) -> tuple[int, int]:
    """Where the content of the box begins and ends that is the first of its name in each of `path`."""
    start, end = 0, len(data)
    for name in path:
        start, end = next(place for found, place in _boxes(data, start, end) if found == name)
    return start, end


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Names of boxes and where their content lies."""
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        if size < head or start + size > end:
            raise ValueError(f"box {name!r} of {size} bytes at {start}, {end - start} are left")
        yield name, (start + head, start + size)
        start += size
