"""A span of a video as the H.264 clip that a shard ships.

Two encoders do the same work: an ffmpeg in a process of its own (a file that crashes it takes nothing else along),
and PyAV in this one, for machines without an ffmpeg binary. Both are handed the same frames, times and key frames;
their bytes differ, so `encoder_version` belongs to what is said about a clip.
"""

import errno
import math
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeAlias

import av
import ffmpeg
import fsspec
import imageio_ffmpeg

from shards.video import encoding
from shards.video.clip import ClipSize, Transcoded, checked, clip_size
from shards.video.encoding import CRF, KEYFRAME_SECONDS
from shards.video.reading import VideoInfo, frames, probe
from shards.video.source import Source, Unreadable, local_path

EncoderName: TypeAlias = Literal["ffmpeg", "pyav"]


def transcode(
    source: Source,
    first_frame: int,
    num_frames: int,
    *,
    max_side: int | None = None,
    crf: float = CRF,
    keyframe_seconds: float = KEYFRAME_SECONDS,
    encoder: EncoderName = "ffmpeg",
    stream: int | None = None,
    info: VideoInfo | None = None,
) -> Transcoded:
    """Exactly frames [`first_frame`, `first_frame + num_frames`) in the order they are shown, at their own times.

    `max_side` bounds the longer side in pixels; nothing is ever scaled up. `stream` and `info` are those of
    `frames`. Raises `Unreadable` with a named reason, and `ValueError` for a span that is not in the video.
    """
    info = info or probe(source, stream=stream)
    if first_frame < 0 or num_frames < 1 or first_frame + num_frames > info.num_frames:
        span = f"frames [{first_frame}, {first_frame + num_frames})"
        raise ValueError(f"{span} are not in the video, which has {info.num_frames} frames from 0")
    wanted = _Span(
        info=info,
        first=first_frame,
        num_frames=num_frames,
        size=clip_size(info.width, info.height, max_side),
        crf=crf,
        keyframe_seconds=keyframe_seconds,
    )
    # Frames that can only be counted have times that ffmpeg would not agree on.
    by_pyav = encoder == "pyav" or info.timeline.counted
    data = _by_pyav(source, wanted) if by_pyav else _by_ffmpeg(source, wanted)
    return checked(data, wanted.ticks, wanted.size.scale)


def encoder_version(encoder: EncoderName) -> str:
    """Names the program whose version decides the bytes. Raises `ValueError` where it is not installed."""
    if encoder == "ffmpeg":
        return _ffmpeg_version(ffmpeg_binary())
    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    return f"pyav {av.__version__} libavcodec {codec}"


def best_encoder() -> EncoderName:
    """FFmpeg, which a broken file cannot take this process down with; PyAV where there is no binary of it."""
    try:
        ffmpeg_binary()
    except ValueError:
        return "pyav"
    return "ffmpeg"


def ffmpeg_binary() -> str:
    """imageio-ffmpeg's binary, else the one on the PATH. Raises `ValueError` where there is none."""
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        raise ValueError('there is no ffmpeg binary: install one, or choose the encoder "pyav"') from None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Span:
    """What is to be made of a video."""

    info: VideoInfo
    first: int
    num_frames: int
    size: ClipSize
    crf: float
    keyframe_seconds: float

    @property
    def source_ticks(self) -> tuple[int, ...]:
        return self.info.timeline.ticks[self.first : self.first + self.num_frames]

    @property
    def unit(self) -> Fraction:
        """What the clip's times are counted in, seconds."""
        return encoding.in_mp4_units((), self.info.timeline.time_base)[1]

    @property
    def ticks(self) -> list[int]:
        """Times of the clip's frames from 0, in `unit`s."""
        start = self.source_ticks[0]
        return encoding.in_mp4_units([tick - start for tick in self.source_ticks], self.info.timeline.time_base)[0]


def _by_pyav(source: Source, span: _Span) -> bytes:
    width, height = span.size.scaled
    numbers = range(span.first, span.first + span.num_frames)
    pictures = frames(source, numbers, (height, width), info=span.info)
    return encoding.encode(pictures, span.ticks, span.unit, crf=span.crf, keyframe_seconds=span.keyframe_seconds)


def _by_ffmpeg(source: Source, span: _Span) -> bytes:
    seek_tick = span.info.timeline.start_for(span.first)
    with tempfile.TemporaryDirectory(prefix="dreamreel-") as folder, _on_disk(source, folder) as path:
        clip = Path(folder, "clip.mp4")
        _run(_command(path, clip, span, seek_tick))
        if seek_tick is not None and _num_frames(clip) != span.num_frames:
            # Without an index FFmpeg may land behind the key frame: once more from the start.
            _run(_command(path, clip, span, None))
        return clip.read_bytes()


def _command(path: str, clip: Path, span: _Span, seek_tick: int | None) -> list[str]:
    seek: dict[str, object] = {}
    if seek_tick is not None:
        microseconds = math.floor(seek_tick * span.info.timeline.time_base * 1_000_000)
        seek = {"ss": f"{microseconds}us", "seek_timestamp": 1, "noaccurate_seek": None}
    picture = ffmpeg.input(f"file:{path}", noautorotate=None, threads=1, **seek)[str(span.info.stream)]
    for name, options in _filters(span):
        picture = picture.filter(name, **options)
    keys = encoding.key_frames(span.ticks, span.unit, span.keyframe_seconds)
    output = picture.output(
        str(clip),
        **encoding.X264_OPTIONS,
        **encoding.mp4_options(span.unit),
        **{"c:v": "libx264", "bsf:v": encoding.STREAM_FILTER, "f": "mp4"},
        crf=span.crf,
        fps_mode="passthrough",
        enc_time_base=f"1/{span.unit.denominator}",
        force_key_frames=_times_just_before(keys, span),
        map_metadata=-1,
        map_chapters=-1,
        **{"metadata:s:v:0": "encoder="},
    )
    settings = ("-copyts", "-nostdin", "-hide_banner", "-loglevel", "error", "-filter_complex_threads", "1")
    command: list[str] = output.global_args(*settings).overwrite_output().compile(ffmpeg_binary())
    return command


def _filters(span: _Span) -> Iterator[tuple[str, Mapping[str, object]]]:
    """FFmpeg filters from decoded frames to the clip's pictures and times."""
    info, ticks = span.info, span.source_ticks
    width, height = info.orientation.size(*span.size.scaled)
    yield "trim", {"start_pts": ticks[0], "end_pts": ticks[-1] + 1}
    yield "setpts", {"expr": "PTS-STARTPTS"}
    yield "settb", {"expr": f"1/{span.unit.denominator}"}
    yield "sidedata", {"mode": "delete", "type": "DISPLAYMATRIX"}
    yield "scale", {"w": width, "h": height, **_SCALE_OPTIONS, **_source_colour(info)}
    yield "format", {"pix_fmts": "yuv420p"}
    yield from info.orientation.filters()
    yield "crop", {"w": span.size.width, "h": span.size.height, "x": 0, "y": 0}
    yield "setsar", {"sar": 1}
    yield "setparams", {"range": "tv", **dict.fromkeys(("colorspace", "color_primaries", "color_trc"), "bt709")}


_SCALE_OPTIONS = {
    "flags": "bicubic+accurate_rnd+full_chroma_int+bitexact",
    "out_color_matrix": "bt709",
    "out_range": "tv",
}


def _source_colour(info: VideoInfo) -> dict[str, object]:
    if info.colour.matrix == "rgb":
        return {}
    return {"in_color_matrix": info.colour.matrix, "in_range": "full" if info.colour.full_range else "tv"}


def _times_just_before(keys: Sequence[int], span: _Span) -> str:
    """Halfway to the frame before each key frame, so that no rounding of times moves one."""
    ticks = span.ticks
    times = (float((ticks[key - 1] + ticks[key]) / 2 * span.unit) if key else 0.0 for key in keys)
    return ",".join(f"{time:.6f}" for time in times)


def _run(command: Sequence[str]) -> None:
    """Raises `Unreadable` where ffmpeg gives up on the video or crashes on it."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    if os.strerror(errno.ENOSPC) in " ".join(lines):
        raise OSError(errno.ENOSPC, "no room for an encoded clip", tempfile.gettempdir())
    if -done.returncode in _CRASHES:
        raise Unreadable("undecodable", f"ffmpeg crashed ({signal.Signals(-done.returncode).name})")
    if done.returncode < 0:  # somebody ended it: not the video's fault
        raise RuntimeError(f"ffmpeg was ended by {signal.Signals(-done.returncode).name}")
    if done.returncode > 0:
        raise Unreadable("undecodable", _reason(lines) or f"ffmpeg ended with {done.returncode}")


def _reason(lines: Sequence[str]) -> str:
    """The last line that says something, without addresses in memory, which change from run to run."""
    telling = [line for line in lines if line.strip() and line != "Conversion failed!"]
    return re.sub(r" @ 0x[0-9a-f]+", "", telling[-1]) if telling else ""


_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}


@contextmanager
def _on_disk(source: Source, folder: str) -> Iterator[str]:
    """A path where ffmpeg finds the source; a copy in `folder` of what is not a local file."""
    path = local_path(source)
    if path is None:
        path = Path(folder, "source")
        if isinstance(source, bytes):
            path.write_bytes(source)
        else:
            fs, remote = fsspec.core.url_to_fs(source)
            fs.get_file(remote, str(path))
    yield str(path)


def _num_frames(clip: Path) -> int:
    try:
        return probe(clip).num_frames
    except Unreadable:  # ffmpeg wrote no frame
        return 0


@lru_cache
def _ffmpeg_version(binary: str) -> str:
    first = subprocess.run([binary, "-version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    return "ffmpeg " + first.split()[2]
