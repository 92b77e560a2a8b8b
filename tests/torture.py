"""Difficult video files, each frame with its number burnt in as a bar code, so that a test can tell what came out.

`READABLE` writes files that must be read right, `BROKEN` files that must be refused by name:

    truth = torture.READABLE["rotated_90.mp4"](tmp_path / "rotated_90.mp4")
    [read_barcode(frame) for frame in video.frames(truth.path)] == list(truth.numbers)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from tests.barcodes import COLOURS, Picture, draw, image_folder, read_barcode, read_colours
from tests.filming import add_silence, encode, run_ffmpeg, show_late, video_stream, write

__all__ = ["BROKEN", "COLOURS", "READABLE", "Truth", "draw", "image_folder", "read_barcode", "read_colours"]


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


def rotated(path: Path, degrees: int, mirrored: bool = False) -> Truth:
    """Stored turned; the display matrix says to turn it by `degrees` clockwise and then, perhaps, to mirror it."""
    ticks = range(12)
    upright = [draw(number, 96, 64) for number in ticks]
    stored = [np.rot90(picture[:, ::-1] if mirrored else picture, degrees // 90) for picture in upright]
    write(path, stored, ticks, Fraction(1, 25), rotation=-degrees, mirrored=mirrored)
    return _truth(path, ticks, Fraction(1, 25), (96, 64), rotation=degrees)


def anamorphic(path: Path) -> Truth:
    """Stored pixels are 4:3 wide."""
    ticks = range(12)
    pictures = [draw(number, 72, 64) for number in ticks]
    write(path, pictures, ticks, Fraction(1, 25), pixel_aspect=Fraction(4, 3))
    return _truth(path, ticks, Fraction(1, 25), (96, 64))


def anamorphic_rotated(path: Path) -> Truth:
    """Both: stretched as stored, then turned."""
    ticks = range(12)
    pictures = [np.rot90(draw(number, 96, 64), 1) for number in ticks]
    write(path, pictures, ticks, Fraction(1, 25), pixel_aspect=Fraction(2), rotation=-90)
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
    run_ffmpeg("-ss", "0.8", "-i", str(whole), "-c", "copy", str(path))
    return _truth(path, range(20), Fraction(1, 25), (96, 64), numbers=range(20, 40))


def avi(path: Path) -> Truth:
    """Packets carry no presentation times."""
    ticks = range(30)
    write(path, [draw(n, 96, 64) for n in ticks], ticks, Fraction(1, 25), codec="mpeg4", options={"bf": "2"})
    return _truth(path, ticks, Fraction(1, 25), (96, 64))


def gif(path: Path) -> Truth:
    ticks = [0, 10, 20, 60, 64, 90, 100]
    write(path, _pictures(ticks), ticks, Fraction(1, 100), codec="gif", pixel_format="rgb8", options={})
    return _truth(path, ticks, Fraction(1, 100), (96, 64))


def webm(path: Path, codec: str) -> Truth:
    """VP8 and VP9 with frames that are stored but never shown; VP8 keeps them in packets of their own."""
    source = path.with_name(f"for_{codec}.mp4")
    truth = cfr(source, num_frames=40)
    quality = ["-b:v", "200k", "-deadline", "good", "-cpu-used", "4", "-auto-alt-ref", "1", "-lag-in-frames", "16"]
    for number in ("1", "2"):  # it takes two passes to get hidden frames
        passes = ["-pass", number, "-passlogfile", str(path.with_suffix(""))]
        run_ffmpeg("-i", str(source), "-c:v", codec, *quality, *passes, str(path))
    return replace(truth, path=path)


def second_stream(path: Path) -> Truth:
    """Two video streams and sound; the smaller picture is wanted, by its number."""
    ticks = range(20)
    with av.open(path, "w") as container:
        large = video_stream(container, (192, 128), Fraction(1, 25))
        sound = container.add_stream("aac", rate=8000)
        small = video_stream(container, (96, 64), Fraction(1, 25))
        encode(container, large, [draw(100 + n, 192, 128) for n in ticks], ticks, Fraction(1, 25))
        add_silence(container, sound)
        encode(container, small, _pictures(ticks), ticks, Fraction(1, 25))
    return _truth(path, ticks, Fraction(1, 25), (96, 64), stream=2)


def repeated_times(path: Path) -> Truth:
    """Two packets claim to be shown at the same time; only their decoding times tell them apart."""
    ticks = range(30)
    whole = path.with_name("rising.mp4")
    _h264(whole, ticks, Fraction(1, 25), options={"bf": "0"})
    show_late(whole, path, 7)
    return _truth(path, ticks, Fraction(1, 25), (96, 64))


READABLE: Mapping[str, Callable[[Path], Truth]] = {
    "cfr.mp4": cfr,
    "vfr.mp4": vfr,
    "ntsc.nut": ntsc,
    "rotated_90.mp4": partial(rotated, degrees=90),
    "rotated_180.mp4": partial(rotated, degrees=180),
    "rotated_270.mp4": partial(rotated, degrees=270),
    "mirrored.mp4": partial(rotated, degrees=0, mirrored=True),
    "mirrored_90.mp4": partial(rotated, degrees=90, mirrored=True),
    "mirrored_180.mp4": partial(rotated, degrees=180, mirrored=True),
    "mirrored_270.mp4": partial(rotated, degrees=270, mirrored=True),
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
        add_silence(container, container.add_stream("aac", rate=8000))


def cover_art(path: Path) -> None:
    """Sound with a picture of its album."""
    sound, picture = path.with_name("sound.m4a"), path.with_name("cover.png")
    audio_only(sound)
    Image.fromarray(draw(1, 96, 64)).save(picture)
    maps = ["-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic"]
    run_ffmpeg("-i", str(sound), "-i", str(picture), *maps, str(path))


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


def jumps_back(path: Path) -> None:
    """Two recordings one after the other, each with a clock of its own."""
    parts = []
    for start in (0, 1800):
        part = path.with_name(f"part{start}.ts")
        _h264(part, [start + 3600 * t for t in range(20)], Fraction(1, 90000))
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))


def undecodable(path: Path) -> None:
    """Packets of zeros."""
    cfr(path)
    data = path.read_bytes()
    start = data.index(b"mdat") + 4
    path.write_bytes(data[:start] + bytes(len(data) - start))


def unknown_codec(path: Path) -> None:
    cfr(path)
    data = path.read_bytes()
    at = data.rindex(b"avc1", 0, data.index(b"avcC"))
    path.write_bytes(data[:at] + b"zzzz" + data[at + 4 :])


def no_frames(path: Path) -> None:
    """Headers without a packet."""
    with av.open(path, "w") as output:
        video_stream(output, (96, 64), Fraction(1, 25))
        output.start_encoding()


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
    "undecodable.mp4": (undecodable, "undecodable"),
    "unknown_codec.mp4": (unknown_codec, "no_decoder"),
    "no_frames.avi": (no_frames, "no_frames"),
    "jumps_back.ts": (jumps_back, "frame_times"),
    "timeless.h264": (timeless, "frame_times"),
}
"""File name -> (writer, the named reason why it cannot be read)."""


def _pictures(ticks: Sequence[int], size: tuple[int, int] = (96, 64)) -> list[Picture]:
    return [draw(number, *size) for number in range(len(ticks))]


def _h264(
    path: Path, ticks: Sequence[int], time_base: Fraction, *, size: tuple[int, int] = (96, 64), **settings: Any
) -> Truth:
    fast_start = {"movflags": "+faststart"} if path.suffix == ".mp4" else {}
    write(path, _pictures(ticks, size), ticks, time_base, **{"container_options": fast_start, **settings})
    return _truth(path, ticks, time_base, size)


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
