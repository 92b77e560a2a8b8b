"""Frames to an H.264 clip that every player reads, with the same bytes for the same frames."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

CRF = 18.0  # constant quality: 0 lossless, 18 hardly told from the original, 51 worst
KEYFRAME_SECONDS = 1.0
# Of 96 frames at 720p, crf 18: "medium" 2.4 s, 1360 KiB, 44.8 dB; "veryfast" 1.0 s, 1258 KiB, 42.0 dB.
# x264's bytes depend on its number of threads. Workers run side by side, so one thread loses nothing.
X264_OPTIONS = {"preset": "veryfast", "threads": "1", "g": "1000000000", "flags": "+bitexact+cgop"}
# Drops what x264 tells about itself and its settings.
STREAM_FILTER = "filter_units=remove_types=6"

_INTERPOLATION = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP | Interpolation.BITEXACT
)


def encode(
    frames: Iterable[NDArray[np.uint8]],
    pts: Sequence[int],
    time_base: Fraction,
    *,
    crf: float = CRF,
    keyframe_seconds: float = KEYFRAME_SECONDS,
) -> bytes:
    """An MP4 of RGB `frames` (uint8 [H, W, 3]), frame t shown at `pts[t] * time_base` seconds.

    H.264 yuv420p in BT.709, a key frame at least every `keyframe_seconds`, headers first, no metadata; an odd width
    or height loses its last column or row. The same frames and settings give the same bytes with the same
    `encoder_version`. Raises `ValueError` where `pts` do not rise strictly from 0, where there are not as many
    frames as `pts`, or where frames differ in size.
    """
    if not pts or pts[0] != 0 or not all(a < b for a, b in pairwise(pts)):
        raise ValueError("pts of a clip rise strictly from 0, one for each frame")
    ticks, unit = in_mp4_units(pts, time_base)
    lasts = [b - a for a, b in pairwise(ticks)] or [time_base.numerator]
    durations = dict(zip(ticks, [*lasts, lasts[-1]], strict=False))
    pictures = _pictures(frames, ticks, unit, set(key_frames(ticks, unit, keyframe_seconds)))
    with tempfile.TemporaryDirectory(prefix="dreamreel-") as folder:
        path = Path(folder, "clip.mp4")
        with av.open(path, "w", format="mp4", options=mp4_options(unit)) as container:
            for packet in _packets(container, pictures, unit, {**X264_OPTIONS, "crf": str(crf)}):
                # The encoder guesses by 24 frames a second; a last frame that rounds to no time at all would be lost.
                packet.duration = durations[packet.pts or 0]
                container.mux(packet)
        return path.read_bytes()


def in_mp4_units(pts: Sequence[int], time_base: Fraction) -> tuple[list[int], Fraction]:
    """`pts` and `time_base` as an MP4 counts: in a whole fraction of a second."""
    return [tick * time_base.numerator for tick in pts], Fraction(1, time_base.denominator)


def key_frames(ticks: Sequence[int], time_base: Fraction, seconds: float) -> list[int]:
    """Numbers of as few frames as possible that lie at most `seconds` apart, as do the last one and the end.

    Where two neighbours lie further apart than that, both are key frames.
    """
    keys = [0]
    for number in range(1, len(ticks)):
        following = ticks[min(number + 1, len(ticks) - 1)]
        if (following - ticks[keys[-1]]) * time_base > seconds:
            keys.append(number)
    return keys


def mp4_options(unit: Fraction) -> dict[str, str]:
    """Of FFmpeg's MP4 writer, times in whole `unit`s: headers first, exact times, no trace of who wrote it when."""
    timescale = str(unit.denominator)
    return {
        "movflags": "+faststart",
        "fflags": "+bitexact",
        "video_track_timescale": timescale,
        "movie_timescale": timescale,  # the edit list counts in it: a coarser one could cut off the last frame
    }


def _pictures(
    frames: Iterable[NDArray[np.uint8]], ticks: Sequence[int], unit: Fraction, keys: set[int]
) -> Iterator[VideoFrame]:
    """Frames as the encoder takes them: even size, yuv420p in BT.709, with time and forced key frames."""
    reformatter = VideoReformatter()
    size: tuple[int, ...] | None = None
    for number, (frame, tick) in enumerate(zip(frames, ticks, strict=True)):
        size = size or frame.shape
        if frame.shape != size or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(f"frame {number} is {frame.dtype} {frame.shape}, not uint8 (H, W, 3) = {size}")
        if min(frame.shape[:2]) < 2:
            raise ValueError(f"a frame of {frame.shape[1]}x{frame.shape[0]} pixels is too small; 2x2 is the least")
        height, width = frame.shape[0] & ~1, frame.shape[1] & ~1
        picture = _bt709(reformatter, VideoFrame.from_ndarray(np.ascontiguousarray(frame[:height, :width])))
        picture.pts, picture.time_base = tick, unit
        picture.pict_type = PictureType.I if number in keys else PictureType.NONE
        yield picture


def _bt709(reformatter: VideoReformatter, rgb: VideoFrame) -> VideoFrame:
    return reformatter.reformat(
        rgb,
        format="yuv420p",
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        dst_color_trc=ColorTrc.BT709,
        dst_color_primaries=ColorPrimaries.BT709,
        interpolation=_INTERPOLATION,
        threads=1,
    )


def _packets(
    container: OutputContainer, pictures: Iterator[VideoFrame], unit: Fraction, options: dict[str, str]
) -> "Iterator[Packet[VideoStream]]":
    """The encoded stream, set up from the first picture."""
    first = next(pictures)
    stream = container.add_stream("libx264", options=options)
    stream.width, stream.height, stream.pix_fmt = first.width, first.height, "yuv420p"
    stream.time_base = stream.codec_context.time_base = unit
    stream.color_range, stream.colorspace = ColorRange.MPEG, Colorspace.ITU709
    stream.color_primaries, stream.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    container.start_encoding()
    cleaned = BitStreamFilterContext(STREAM_FILTER, in_stream=stream, out_stream=stream)
    for picture in chain([first], pictures):
        for packet in stream.encode(picture):
            yield from cleaned.filter(packet)
    for packet in stream.encode(None):
        yield from cleaned.filter(packet)
    yield from cleaned.filter(None)
