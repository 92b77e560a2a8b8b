"""What a video file holds (`probe`) and its frames, upright and in square pixels (`frames`)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from shards.video import timeline as timelines
from shards.video.colour import Colour
from shards.video.orientation import Orientation
from shards.video.source import Source, Unreadable, opened
from shards.video.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """A video stream as it is shown: upright, in square pixels, every frame at its own time."""

    width: int  # pixels, upright and square
    height: int
    timeline: Timeline
    orientation: Orientation
    coded_width: int  # pixels as stored
    coded_height: int
    pixel_aspect: Fraction  # a stored pixel's width / its height
    colour: Colour
    pixel_format: str  # FFmpeg's name
    codec: str
    container: str  # FFmpeg's names of the format, comma-separated
    stream: int  # number of the stream in the file

    @property
    def num_frames(self) -> int:
        return len(self.timeline.ticks)

    @cached_property
    def pts(self) -> tuple[float, ...]:
        """When each frame is shown, seconds in the file's own time (which need not start at 0), [T]."""
        return tuple(float(tick * self.timeline.time_base) for tick in self.timeline.ticks)

    @property
    def end(self) -> float:
        """When the last frame is over, seconds in the file's own time."""
        return float(self.timeline.end_tick * self.timeline.time_base)

    @property
    def rotation(self) -> int:
        """Degrees clockwise that the stored picture is turned by: 0, 90, 180 or 270."""
        return self.orientation.rotation


def probe(source: Source, *, stream: int | None = None) -> VideoInfo:
    """What `source` (a path, an fsspec URL, or the file's bytes) holds, from its packets and its first frame.

    `stream` is the stream's number in the file; without it FFmpeg's best video stream is taken, never cover art.
    Raises `Unreadable` with a named reason, and `ValueError` where `stream` is not a video stream.
    """
    with opened(source, stream) as (container, video):
        stored, first = timelines.scan(container, video)
        timeline = timelines.timeline(stored, video)
        if timeline is None:
            with opened(source, video.index) as (again, same):
                count = sum(1 for _ in _decoded(again, same))
            timeline = timelines.counted_timeline(stored, count, video)
        aspect = video.sample_aspect_ratio or Fraction(1)
        orientation = Orientation.of(first)
        width, height = orientation.size(max(1, round(first.width * aspect)), first.height)
        return VideoInfo(
            width=width,
            height=height,
            timeline=timeline,
            orientation=orientation,
            coded_width=first.width,
            coded_height=first.height,
            pixel_aspect=aspect,
            colour=Colour.of(first),
            pixel_format=first.format.name,
            codec=video.codec_context.name,
            container=container.format.name,
            stream=video.index,
        )


def frames(
    source: Source,
    indices: Sequence[int] | None = None,
    size: tuple[int, int] | None = None,
    *,
    stream: int | None = None,
    info: VideoInfo | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Frames in RGB, uint8 [H, W, 3], upright, in square pixels, in the order they are shown.

    `indices` are rising numbers of the wanted frames (all without it): decoding starts at the key frame before the
    first, skips to a later one where no frame is wanted in between, and stops after the last. `size` is the (height,
    width) to resize to. `info`, where the caller has it already, saves a second `probe`. Raises `Unreadable`
    (`truncated` where a wanted frame cannot be decoded), and `ValueError` for `indices` that do not rise or are not in
    the video.
    """
    info = info or probe(source, stream=stream)
    wanted = checked_indices(indices, info.num_frames)
    whole = info.height, info.width
    draw = drawer(whole, info.colour, info.orientation, size or whole)
    got = 0
    for frame in _wanted(source, info, wanted):
        yield draw(frame)
        got += 1
    if got < len(wanted):
        raise Unreadable("truncated", f"{got} of {len(wanted)} frames")


def checked_indices(indices: Sequence[int] | None, num_frames: int) -> Sequence[int]:
    """`indices` as numbers of frames that rise; all frames for `None`."""
    if indices is None:
        return range(num_frames)
    if any(a >= b for a, b in pairwise(indices)):
        raise ValueError("indices of frames must rise; sort them and drop repeated ones")
    if indices and not (indices[0] >= 0 and indices[-1] < num_frames):
        outside = indices[0] if indices[0] < 0 else indices[-1]
        raise ValueError(f"frame {outside} is not in the video, which has {num_frames} frames from 0")
    return indices


def _wanted(source: Source, info: VideoInfo, wanted: Sequence[int]) -> Iterator[VideoFrame]:
    """Those of the wanted frames that decode; what lies between them is skipped from one key frame to the next."""
    with opened(source, info.stream) as (container, video):
        for run in _runs(info.timeline, wanted):
            left = set(run)
            for number, frame in _numbered(source, info, run[0], container, video):
                if number in left:
                    yield frame
                    left.remove(number)
                    if not left:
                        break


def _runs(timeline: Timeline, wanted: Sequence[int]) -> Iterator[Sequence[int]]:
    """The wanted frames, parted where decoding had better start anew: where it would skip frames."""
    starts = [0] if wanted else []
    for at, (before, number) in enumerate(pairwise(wanted), start=1):
        if timeline.key_for(number) > before + 1:
            starts.append(at)
    for first, end in pairwise([*starts, len(wanted)]):
        yield wanted[first:end]


def _numbered(
    source: Source, info: VideoInfo, first: int, container: InputContainer, video: VideoStream
) -> Iterator[tuple[int | None, VideoFrame]]:
    """Decoded frames and their numbers (`None` for one that does not count), from before frame `first` on."""
    if info.timeline.counted:
        yield from enumerate(_decoded(container, video))
        return
    numbers = {tick: number for number, tick in enumerate(info.timeline.ticks)}
    for frame in _decoded_near(source, info, first, container, video):
        yield (None if frame.pts is None else numbers.get(frame.pts)), frame


def _decoded_near(
    source: Source, info: VideoInfo, first: int, container: InputContainer, video: VideoStream
) -> Iterator[VideoFrame]:
    """Decoded frames from the key frame before frame `first` on."""
    for seek_tick in (info.timeline.nearest_start_for(first), info.timeline.start_for(first)):
        if seek_tick is None:
            yield from _decoded(container, video)
            return
        decoded = _decoded(container, video, seek_tick)
        head = next(decoded, None)
        if head is not None and head.pts is not None and head.pts <= info.timeline.ticks[first]:
            yield head
            yield from decoded
            return
    with opened(source, info.stream) as (again, stream):  # a container without an index landed behind the frame
        yield from _decoded(again, stream)


def _decoded(container: InputContainer, video: VideoStream, seek_tick: int | None = None) -> Iterator[VideoFrame]:
    if seek_tick is not None:
        with suppress(av.FFmpegError):  # what cannot seek is read from where it stands
            container.seek(seek_tick, stream=video)
    for packet in timelines.packets(container, video):
        yield from timelines.decode(packet)


def drawer(
    whole: tuple[int, int], colour: Colour, orientation: Orientation, size: tuple[int, int]
) -> Callable[[VideoFrame], NDArray[np.uint8]]:
    """A function from a decoded frame, upright of size `whole`, to its picture of `size`; both (height, width)."""
    reformatter = VideoReformatter()
    height, width = size
    stored_width, stored_height = orientation.size(width, height)
    shrinks = width * height < whole[0] * whole[1]
    interpolation = Interpolation.AREA if shrinks else Interpolation.BICUBIC

    def draw(frame: VideoFrame) -> NDArray[np.uint8]:
        rgb = reformatter.reformat(
            frame,
            width=stored_width,
            height=stored_height,
            format="rgb24",
            src_colorspace=colour.swscale_matrix,
            dst_colorspace=colour.swscale_matrix,
            src_color_range=colour.swscale_range,
            dst_color_range=ColorRange.JPEG,
            interpolation=interpolation,
            threads=1,
        )
        return orientation.apply(np.asarray(rgb.to_ndarray(), np.uint8))

    return draw
