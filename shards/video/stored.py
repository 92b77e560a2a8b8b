"""A shard's own clip, opened once: where decoding can start, and any of its frames.

`probe` and `frames` take any video and open it twice. A clip in a shard is of one kind: H.264 in MP4, upright, in
square pixels, its groups of pictures closed, and the time of every frame stands in its description.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from shards.video.colour import Colour
from shards.video.orientation import Orientation
from shards.video.reading import VideoInfo, checked_indices, decoded_frames, drawer
from shards.video.source import Unreadable, opened
from shards.video.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class StoredClip:
    """An open clip."""

    keys: tuple[int, ...]  # numbers of its key frames, rising from 0
    _data: bytes
    _info: VideoInfo
    _container: InputContainer
    _video: VideoStream

    def frames(self, indices: Sequence[int], size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
        """As `shards.video.frames`: RGB, uint8 [H, W, 3], resized to `size` (height, width)."""
        wanted = checked_indices(indices, self._info.num_frames)
        draw, got = None, 0
        for frame in decoded_frames(self._data, self._info, wanted, self._container, self._video, spare=True):
            draw = draw or drawer(replace(self._info, colour=Colour.of(frame)), size)
            yield draw(frame)
            got += 1
        if got < len(wanted):
            raise Unreadable("truncated", f"{got} of {len(wanted)} frames")


@contextmanager
def stored_clip(data: bytes, pts: Sequence[int], time_base: Fraction, size: tuple[int, int]) -> Iterator[StoredClip]:
    """The clip of a sample with these frame times and this `size` (height, width). Raises `Unreadable`."""
    with opened(data) as (container, video):
        # In the order of decoding; in a closed group the key frame comes first in either order.
        entries = list(video.index_entries)
        if len(entries) != len(pts) or not entries[0].is_keyframe:
            raise Unreadable("truncated", f"{len(entries)} of {len(pts)} frames")
        if (video.height, video.width) != tuple(size):
            raise Unreadable("undecodable", f"a picture of {video.width}x{video.height}, not {size[1]}x{size[0]}")
        video.codec_context.thread_count = 1  # those who train on clips decode many of them side by side
        unit = video.time_base or time_base
        scale = time_base / unit
        ticks = tuple(tick * scale.numerator // scale.denominator for tick in pts)
        keys = tuple(number for number, entry in enumerate(entries) if entry.is_keyframe)
        info = VideoInfo(
            width=video.width,
            height=video.height,
            timeline=Timeline(
                ticks=ticks,
                end_tick=ticks[-1] + 1,
                time_base=unit,
                keys=keys,
                seek_ticks=tuple(entries[key].timestamp for key in keys),
            ),
            orientation=Orientation(),
            coded_width=video.width,
            coded_height=video.height,
            pixel_aspect=Fraction(1),
            colour=Colour(matrix="bt709", full_range=False),  # until a frame tells
            pixel_format=video.codec_context.pix_fmt or "",
            codec=video.codec_context.name,
            container=container.format.name,
            stream=video.index,
        )
        yield StoredClip(keys=keys, _data=data, _info=info, _container=container, _video=video)
