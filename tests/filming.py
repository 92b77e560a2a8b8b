"""Writing videos with the oddities that a test asks for."""

import subprocess
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tests.barcodes import Picture


def write(
    path: Path,
    pictures: Sequence[Picture],
    ticks: Sequence[int],
    time_base: Fraction,
    *,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    pixel_format: str = "yuv420p",
    container: str | None = None,
    container_options: Mapping[str, str] | None = None,
    rotation: int = 0,
    mirrored: bool = False,
    pixel_aspect: Fraction = Fraction(1),
) -> None:
    """One video stream, picture t at `ticks[t] * time_base` seconds.

    `rotation` (degrees counter-clockwise) and then `mirrored` (left to right) go into the display matrix.
    """
    height, width = pictures[0].shape[:2]
    with av.open(path, "w", format=container, container_options=dict(container_options or {})) as output:
        stream = video_stream(
            output, (width, height), time_base, codec=codec, options=options, pixel_format=pixel_format
        )
        stream.codec_context.sample_aspect_ratio = pixel_aspect
        if rotation or mirrored:
            stream.set_display_rotation(rotation, hflip=mirrored)
        encode(output, stream, pictures, ticks, time_base)


def video_stream(
    container: OutputContainer,
    size: tuple[int, int],
    time_base: Fraction,
    *,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    pixel_format: str = "yuv420p",
) -> VideoStream:
    speed = {"preset": "veryfast"} if codec == "libx264" else {}
    stream = container.add_stream(codec, rate=25, options={**speed, **(options or {})})
    assert isinstance(stream, VideoStream)
    stream.width, stream.height = size
    stream.pix_fmt = pixel_format
    stream.time_base = stream.codec_context.time_base = time_base
    return stream


def encode(
    container: OutputContainer,
    stream: VideoStream,
    pictures: Sequence[Picture],
    ticks: Sequence[int],
    time_base: Fraction,
) -> None:
    for picture, tick in zip(pictures, ticks, strict=True):
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture))
        frame.pts, frame.time_base = tick, time_base
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def show_late(source: Path, target: Path, number: int) -> None:
    """Copy a video so that packet `number` is shown when the next one is."""
    with av.open(source) as read, av.open(target, "w") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for at, packet in enumerate(read.demux(read.streams.video[0])):
            if packet.pts is not None and packet.duration is not None:
                packet.pts += packet.duration if at == number else 0
                packet.stream = stream
                written.mux(packet)


def add_silence(container: OutputContainer, stream: AudioStream) -> None:
    for at in range(8):
        frame = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts, frame.time_base = 8000, 1024 * at, Fraction(1, 8000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def run_ffmpeg(*arguments: str) -> None:
    binary = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([binary, "-nostdin", "-loglevel", "error", "-y", *arguments], check=True)
