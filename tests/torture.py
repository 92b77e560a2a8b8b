"""Difficult video files, each frame with its number burnt in as a bar code, so that a test can tell what came out.

`READABLE` writes files that must be read right, `BROKEN` files that must be refused by name:

    truth = torture.READABLE["rotated_90"](tmp_path / "rotated_90.mp4")
    [torture.read_barcode(frame) for frame in video.frames(truth.path)] == list(truth.numbers)
"""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TypeAlias

import av
import imageio_ffmpeg
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

Picture: TypeAlias = NDArray[np.uint8]  # [H, W, 3], RGB

_BITS = 8
_CELLS = _BITS + 2  # a white cell, the number's bits (highest first), a black cell
COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200))  # of the three fields below the bar code


def draw(number: int, width: int, height: int) -> Picture:
    """A picture that says its number (below 256) and which way is up: bar code above, red, green, blue below."""
    picture = np.full((height, width, 3), 128, np.uint8)
    bits = [1, *(number >> shift & 1 for shift in reversed(range(_BITS))), 0]
    for cell, bit in enumerate(bits):
        left, right = (round(at * width / _CELLS) for at in (cell, cell + 1))
        picture[: height // 2, left:right] = 235 if bit else 16
    for field, colour in enumerate(COLOURS):
        left, right = (round(at * width / 3) for at in (field, field + 1))
        picture[3 * height // 4 :, left:right] = colour
    return picture


def read_barcode(picture: Picture) -> int:
    """The number in a picture of any size. Raises `ValueError` where it is not upright or not legible."""
    height, width = picture.shape[:2]
    top, bottom = round(0.15 * height), round(0.35 * height)
    levels = []
    for cell in range(_CELLS):
        left, right = ((cell + at) * width / _CELLS for at in (0.35, 0.65))
        levels.append(float(picture[top:bottom, round(left) : max(round(left) + 1, round(right))].mean()))
    if any(80 < level < 176 for level in levels) or levels[0] < 128 or levels[-1] > 128:
        raise ValueError(f"no bar code: levels {[round(level) for level in levels]}")
    return sum((level > 128) << (_BITS - cell) for cell, level in enumerate(levels[1:-1], 1))


def read_colours(picture: Picture) -> NDArray[np.float64]:
    """Mean colours of the three fields, [3, RGB]."""
    height, width = picture.shape[:2]
    rows = slice(round(0.85 * height), round(0.93 * height))
    centres = [round((field + 0.5) * width / 3) for field in range(3)]
    return np.array([picture[rows, x - 2 : x + 3].mean(axis=(0, 1)) for x in centres])


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a file must turn out to be."""

    path: Path
    width: int  # pixels, upright and square
    height: int
    numbers: Sequence[int]  # bar codes in the order shown
    times: Sequence[Fraction]  # when each frame is shown, seconds from the first
    rotation: int = 0
    stream: int | None = None


def cfr(path: Path, num_frames: int = 30, rate: int = 25, size: tuple[int, int] = (96, 64)) -> Truth:
    """Plain H.264 at a constant frame rate; `size` is (width, height)."""
    return _h264(path, range(num_frames), Fraction(1, rate), size=size)


def vfr(path: Path) -> Truth:
    """Every gap between frames is another, some of them longer than a second."""
    gaps = [1, 2, 40, 7, 1, 1, 900, 33, 1500, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144]
    ticks = [sum(gaps[:number]) for number in range(len(gaps))]
    return _h264(path, ticks, Fraction(1, 600))


def ntsc(path: Path) -> Truth:
    """A unit of time that is no whole fraction of a second."""
    return _h264(path, range(20), Fraction(1001, 30000), container="nut")


def rotated(path: Path, degrees: int) -> Truth:
    """Stored turned; the display matrix says to turn it by `degrees` clockwise."""
    ticks = range(12)
    pictures = [np.rot90(draw(number, 96, 64), degrees // 90) for number in ticks]
    _write(path, pictures, ticks, Fraction(1, 25), rotation=-degrees)
    return _truth(path, ticks, Fraction(1, 25), (96, 64), rotation=degrees)


def anamorphic(path: Path) -> Truth:
    """Stored pixels are 4:3 wide."""
    ticks = range(12)
    pictures = [draw(number, 72, 64) for number in ticks]
    _write(path, pictures, ticks, Fraction(1, 25), pixel_aspect=Fraction(4, 3))
    return _truth(path, ticks, Fraction(1, 25), (96, 64))


def anamorphic_rotated(path: Path) -> Truth:
    """Both: stretched as stored, then turned."""
    ticks = range(12)
    pictures = [np.rot90(draw(number, 96, 64), 1) for number in ticks]
    _write(path, pictures, ticks, Fraction(1, 25), pixel_aspect=Fraction(2), rotation=-90)
    return _truth(path, ticks, Fraction(1, 25), (96, 128), rotation=90)


def one_frame(path: Path) -> Truth:
    return _h264(path, [0], Fraction(1, 25))


def odd_sized(path: Path) -> Truth:
    return _h264(path, range(10), Fraction(1, 25), size=(97, 65), pixel_format="yuv444p")


def ten_bit(path: Path) -> Truth:
    return _h264(path, range(10), Fraction(1, 25), pixel_format="yuv420p10le")


def full_range(path: Path) -> Truth:
    return _h264(path, range(10), Fraction(1, 25), pixel_format="yuvj420p")


def long_gop(path: Path) -> Truth:
    """One key frame for 120 frames."""
    return _h264(path, range(120), Fraction(1, 25), options={"g": "1000", "sc_threshold": "0"})


def b_frames(path: Path) -> Truth:
    """Stored in another order than shown, starting late, in a container without an index."""
    options = {"bf": "3", "g": "12", "b-adapt": "0"}
    return _h264(path, [3600 * t for t in range(50)], Fraction(1, 90000), options=options, container="mpegts")


def open_gop(path: Path) -> Truth:
    """Frames stored after a key frame but shown before it refer to the group before."""
    options = {"bf": "3", "g": "10", "b-adapt": "0", "flags": "-cgop", "x264-params": "open-gop=1"}
    return _h264(path, range(60), Fraction(1, 25), options=options, container="matroska")


def fragmented(path: Path) -> Truth:
    """An MP4 without a list of all its packets."""
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    return _h264(path, range(40), Fraction(1, 25), options={"g": "8"}, container_options=fragments)


def cut_by_edit_list(path: Path) -> Truth:
    """An MP4 whose first packets are only there to be decoded; its edit list hides them."""
    whole = path.with_name("whole.mp4")
    _h264(whole, range(40), Fraction(1, 25), options={"g": "16", "bf": "2"})
    _ffmpeg("-ss", "0.8", "-i", str(whole), "-c", "copy", str(path))
    return _truth(path, range(20), Fraction(1, 25), (96, 64), numbers=range(20, 40))


def avi(path: Path) -> Truth:
    """Packets carry no presentation times."""
    ticks = range(30)
    _write(path, [draw(n, 96, 64) for n in ticks], ticks, Fraction(1, 25), codec="mpeg4", options={"bf": "2"})
    return _truth(path, ticks, Fraction(1, 25), (96, 64))


def gif(path: Path) -> Truth:
    ticks = [0, 10, 20, 60, 64, 90, 100]
    _write(path, _pictures(ticks), ticks, Fraction(1, 100), codec="gif", pixel_format="rgb8", options={})
    return _truth(path, ticks, Fraction(1, 100), (96, 64))


def webm(path: Path, codec: str) -> Truth:
    """VP8 and VP9 with frames that are stored but never shown; VP8 keeps them in packets of their own."""
    source = path.with_name(f"for_{codec}.mp4")
    truth = cfr(source, num_frames=40)
    quality = ["-b:v", "200k", "-deadline", "good", "-cpu-used", "4", "-auto-alt-ref", "1", "-lag-in-frames", "16"]
    for number in ("1", "2"):  # it takes two passes to get hidden frames
        passes = ["-pass", number, "-passlogfile", str(path.with_suffix(""))]
        _ffmpeg("-i", str(source), "-c:v", codec, *quality, *passes, str(path))
    return replace(truth, path=path)


def second_stream(path: Path) -> Truth:
    """Two video streams and sound; the smaller picture is wanted, by its number."""
    ticks = range(20)
    with av.open(path, "w") as container:
        large = _video_stream(container, (192, 128), Fraction(1, 25))
        sound = container.add_stream("aac", rate=8000)
        small = _video_stream(container, (96, 64), Fraction(1, 25))
        _encode(container, large, [draw(100 + n, 192, 128) for n in ticks], ticks, Fraction(1, 25))
        _add_silence(container, sound)
        _encode(container, small, _pictures(ticks), ticks, Fraction(1, 25))
    return _truth(path, ticks, Fraction(1, 25), (96, 64), stream=2)


def repeated_times(path: Path) -> Truth:
    """Two packets claim to be shown at the same time; only their decoding times tell them apart."""
    ticks = range(30)
    whole = path.with_name("rising.mp4")
    _h264(whole, ticks, Fraction(1, 25), options={"bf": "0"})
    _show_late(whole, path, 7)
    return _truth(path, ticks, Fraction(1, 25), (96, 64))


READABLE: Mapping[str, Callable[[Path], Truth]] = {
    "cfr.mp4": cfr,
    "vfr.mp4": vfr,
    "ntsc.nut": ntsc,
    "rotated_90.mp4": partial(rotated, degrees=90),
    "rotated_180.mp4": partial(rotated, degrees=180),
    "rotated_270.mp4": partial(rotated, degrees=270),
    "anamorphic.mp4": anamorphic,
    "anamorphic_rotated.mp4": anamorphic_rotated,
    "one_frame.mp4": one_frame,
    "odd_sized.mp4": odd_sized,
    "ten_bit.mp4": ten_bit,
    "full_range.mp4": full_range,
    "long_gop.mp4": long_gop,
    "b_frames.ts": b_frames,
    "open_gop.mkv": open_gop,
    "fragmented.mp4": fragmented,
    "cut_by_edit_list.mp4": cut_by_edit_list,
    "mpeg4.avi": avi,
    "repeated_times.mp4": repeated_times,
    "animated.gif": gif,
    "vp8.webm": partial(webm, codec="libvpx"),
    "vp9.webm": partial(webm, codec="libvpx-vp9"),
    "second_stream.mp4": second_stream,
}


def missing(path: Path) -> None:
    """Nothing is written."""


def zero_length(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("This is no video.\n" * 200)


def noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(20_000))


def audio_only(path: Path) -> None:
    with av.open(path, "w") as container:
        _add_silence(container, container.add_stream("aac", rate=8000))


def cover_art(path: Path) -> None:
    """Sound with a picture of its album."""
    sound, picture = path.with_name("sound.m4a"), path.with_name("cover.png")
    audio_only(sound)
    Image.fromarray(draw(1, 96, 64)).save(picture)
    maps = ["-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic"]
    _ffmpeg("-i", str(sound), "-i", str(picture), *maps, str(path))


def truncated(path: Path) -> None:
    """The list of packets is there, a third of the packets is not."""
    cfr(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def headless(path: Path) -> None:
    """The list of packets stood at the end, which is gone."""
    _h264(path, range(30), Fraction(1, 25), container_options={})
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"moov")])


def timeless(path: Path) -> None:
    """A bare H.264 stream says nowhere when its frames are shown."""
    _h264(path, range(30), Fraction(1, 25))


def one_pixel(path: Path) -> None:
    _h264(path, range(3), Fraction(1, 25), size=(1, 1), pixel_format="yuv444p")


BROKEN: Mapping[str, tuple[Callable[[Path], None], str]] = {
    "missing.mp4": (missing, "missing"),
    "zero_length.mp4": (zero_length, "empty_file"),
    "text.mp4": (text, "not_a_video"),
    "text.txt": (text, "not_a_video"),
    "noise.mp4": (noise, "not_a_video"),
    "audio_only.mp4": (audio_only, "no_video_stream"),
    "cover_art.m4a": (cover_art, "no_video_stream"),
    "truncated.mp4": (truncated, "truncated"),
    "headless.mp4": (headless, "not_a_video"),
    "timeless.h264": (timeless, "frame_times"),
}
"""File name -> (writer, the named reason why it cannot be read)."""


def image_folder(folder: Path, num_frames: int = 12, size: tuple[int, int] = (96, 64)) -> list[Path]:
    """A folder of PNGs in name order; `size` is (width, height)."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:05d}.png" for number in range(num_frames)]
    for number, path in enumerate(paths):
        Image.fromarray(draw(number, *size)).save(path)
    return paths


def _pictures(ticks: Sequence[int], size: tuple[int, int] = (96, 64)) -> list[Picture]:
    return [draw(number, *size) for number in range(len(ticks))]


def _h264(
    path: Path,
    ticks: Sequence[int],
    time_base: Fraction,
    *,
    size: tuple[int, int] = (96, 64),
    container: str | None = None,
    container_options: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
    pixel_format: str = "yuv420p",
) -> Truth:
    if container_options is None:
        container_options = {"movflags": "+faststart"} if path.suffix == ".mp4" else {}
    with av.open(path, "w", format=container, container_options=dict(container_options)) as output:
        stream = _video_stream(output, size, time_base, options=options, pixel_format=pixel_format)
        _encode(output, stream, _pictures(ticks, size), ticks, time_base)
    return _truth(path, ticks, time_base, size)


def _write(
    path: Path,
    pictures: Sequence[Picture],
    ticks: Sequence[int],
    time_base: Fraction,
    *,
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    pixel_format: str = "yuv420p",
    rotation: int = 0,
    pixel_aspect: Fraction = Fraction(1),
) -> None:
    height, width = pictures[0].shape[:2]
    with av.open(path, "w") as output:
        stream = _video_stream(
            output, (width, height), time_base, codec=codec, options=options, pixel_format=pixel_format
        )
        stream.codec_context.sample_aspect_ratio = pixel_aspect
        if rotation:
            stream.set_display_rotation(rotation)
        _encode(output, stream, pictures, ticks, time_base)


def _video_stream(
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


def _encode(
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


def _show_late(source: Path, target: Path, number: int) -> None:
    """Copy a video so that packet `number` is shown when the next one is."""
    with av.open(source) as read, av.open(target, "w") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for at, packet in enumerate(read.demux(read.streams.video[0])):
            if packet.pts is not None and packet.duration is not None:
                packet.pts += packet.duration if at == number else 0
                packet.stream = stream
                written.mux(packet)


def _truth(
    path: Path,
    ticks: Sequence[int],
    time_base: Fraction,
    size: tuple[int, int],
    *,
    numbers: Sequence[int] | None = None,
    rotation: int = 0,
    stream: int | None = None,
) -> Truth:
    return Truth(
        path=path,
        width=size[0],
        height=size[1],
        numbers=range(len(ticks)) if numbers is None else numbers,
        times=[(tick - ticks[0]) * time_base for tick in ticks],
        rotation=rotation,
        stream=stream,
    )


def _add_silence(container: OutputContainer, stream: AudioStream) -> None:
    for at in range(8):
        frame = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts, frame.time_base = 8000, 1024 * at, Fraction(1, 8000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _ffmpeg(*arguments: str) -> None:
    binary = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([binary, "-nostdin", "-loglevel", "error", "-y", *arguments], check=True)
