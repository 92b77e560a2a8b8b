"""A shard's own clip: where decoding can start, and any of its frames.

`probe` and `frames` take any video and open it twice. A clip in a shard is of one kind: H.264 in MP4, upright, in
square pixels, its groups of pictures closed, and the time of every frame stands in its description.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby

import av
import numpy as np
from av.codec import CodecContext
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from shards.video.colour import Colour
from shards.video.mp4 import SampleTable
from shards.video.orientation import Orientation
from shards.video.reading import checked_indices, drawer
from shards.video.source import Unreadable


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredClip:
    """A clip whose frames are known by place, not yet decoded."""

    keys: tuple[int, ...]  # numbers of its key frames, rising from 0
    _data: bytes
    _table: SampleTable
    _numbers: tuple[int, ...]  # [T], of the frames as they are stored

    def frames(self, indices: Sequence[int], size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
        """As `shards.video.frames`: RGB, uint8 [H, W, 3], resized to `size` (height, width)."""
        wanted = checked_indices(indices, len(self._numbers))
        draw, got = None, 0
        for frame in self._decoded(wanted):
            draw = draw or drawer((self._table.height, self._table.width), Colour.of(frame), Orientation(), size)
            yield draw(frame)
            got += 1
        if got < len(wanted):
            raise Unreadable("truncated", f"{got} of {len(wanted)} frames")

    def _decoded(self, wanted: Sequence[int]) -> Iterator[VideoFrame]:
        """Group of pictures by group, only those in which a frame is wanted."""
        decoder = _decoder(self._table)
        for group, numbers in groupby(wanted, lambda number: bisect_right(self.keys, number)):
            left = set(numbers)
            for frame in self._group(decoder, group - 1, frozenset(left)):
                if frame.pts in left:
                    yield frame
                    left.remove(frame.pts)
                if not left:
                    break
            decoder.flush_buffers()

    def _group(self, decoder: VideoCodecContext, group: int, wanted: frozenset[int]) -> Iterator[VideoFrame]:
        """Decoded frames of a group, their numbers as their times; others than `wanted` only if some refer to them."""
        end = self.keys[group + 1] if group + 1 < len(self.keys) else len(self._numbers)
        for place in range(self.keys[group], end):
            start = int(self._table.starts[place])
            packet = Packet(self._data[start : start + int(self._table.sizes[place])])
            packet.pts = self._numbers[place]
            decoder.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
            yield from _frames(decoder, packet)
        yield from _frames(decoder, None)


def stored_clip(data: bytes, pts: Sequence[int], time_base: Fraction, size: tuple[int, int]) -> StoredClip:
    """The clip of a sample with these frame times and this `size` (height, width). Raises `Unreadable`."""
    table = SampleTable.of(data)
    if len(table.sizes) != len(pts):
        raise Unreadable("truncated", f"{len(table.sizes)} of {len(pts)} frames")
    if (table.height, table.width) != tuple(size):
        raise Unreadable("undecodable", f"a picture of {table.width}x{table.height}, not {size[1]}x{size[0]}")
    order = np.argsort(table.shown_at, kind="stable")
    since = (table.shown_at[order] - table.shown_at[order[0]]) * time_base.denominator
    if not np.array_equal(since, np.asarray(pts, np.int64) * (time_base.numerator * table.timescale)):
        raise Unreadable("frame_times", "frames have other times than their description")
    numbers = np.empty_like(order)
    numbers[order] = np.arange(len(order))
    # In a closed group the key frame comes first, in the order of decoding and in that of showing.
    return StoredClip(keys=tuple(table.keys.tolist()), _data=data, _table=table, _numbers=tuple(numbers.tolist()))


def _decoder(table: SampleTable) -> VideoCodecContext:
    decoder = CodecContext.create("h264", "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.extradata = table.parameters
    decoder.thread_count = 1  # those who train on clips decode many of them side by side
    return decoder


def _frames(decoder: VideoCodecContext, packet: "Packet[Stream] | None") -> list[VideoFrame]:
    try:
        return decoder.decode(packet)
    except av.InvalidDataError:  # this frame is lost and will be missed; the next may be fine
        return []
    except av.FFmpegError as error:
        raise Unreadable("undecodable", str(error)) from None
