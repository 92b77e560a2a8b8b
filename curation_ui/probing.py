"""What video files hold: whether browsers play them, when their frames are shown, and proxies of those they do not."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

from curation_ui.members import Place, Unplayable
from shards import video
from shards.video import Unreadable, VideoInfo
from shards.video.source import opened

LARGEST = 1 << 31  # bytes of a video that is read whole, to look into it or to make a proxy

_PLAYED = {"h264": ("mp4",), "vp8": ("webm",), "vp9": ("webm", "mp4"), "av1": ("mp4", "webm")}
_PIXELS = ("yuv420p", "yuvj420p")
_KINDS = {"mp4": "video/mp4", "webm": "video/webm", "": "application/octet-stream"}
_HEAD = 1 << 20  # bytes in which a file usually says what it is


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """What a video's headers say of it."""

    codec: str
    plays: bool  # in every browser
    kind: str  # MIME type of the stored bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """How large a video is shown, and when each frame."""

    width: int  # pixels, upright and square
    height: int
    pts: tuple[int, ...]  # [T], from 0
    time_base: Fraction


def format_at(place: Place) -> Format:
    """From the head of the file, or from all of it where the head does not say. Raises `Unplayable`."""
    try:
        with _told():
            return _format_of(place.read(0, _HEAD))
    except Unplayable:
        if place.size <= _HEAD:
            raise
    with _told():
        return _format_of(whole(place))


def times_of(data: bytes) -> Times:
    """Raises `Unplayable`."""
    with _told():
        return _times(video.probe(data))


def proxy_of(data: bytes) -> bytes:
    """H.264 in MP4 with the frames and times of any video. Raises `Unplayable`."""
    with _told():
        info = video.probe(data)
        times = _times(info)
        return video.encode(video.frames(data, info=info), times.pts, times.time_base)


def strip_of(data: bytes) -> bytes:
    """Thumbnails side by side, for a tar that brings none. Raises `Unplayable`."""
    from pipeline.stages.packer import strip  # loads many stages, which the page does without until now

    with _told():
        return strip(data, len(times_of(data).pts))


def whole(place: Place) -> bytes:
    """All bytes of a video. Raises `Unplayable`."""
    if place.size > LARGEST:
        raise Unplayable(f"undecodable: {place.size} bytes are more than the page looks into")
    return place.read()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except Unreadable as error:
        raise Unplayable(str(error)) from error


def _times(info: VideoInfo) -> Times:
    ticks = info.timeline.ticks
    pts = tuple(tick - ticks[0] for tick in ticks)
    return Times(width=info.width, height=info.height, pts=pts, time_base=info.timeline.time_base)


def _format_of(data: bytes) -> Format:
    with opened(data) as (container, stream):
        codec, pixels = stream.codec_context.name, stream.codec_context.pix_fmt
        names = container.format.name.split(",")
    file = next((name for name in ("mp4", "webm") if name in names and not _is_matroska(name, codec)), "")
    plays = file in _PLAYED.get(codec, ()) and pixels in _PIXELS
    return Format(codec=codec, plays=plays, kind=_KINDS[file])


def _is_matroska(name: str, codec: str) -> bool:
    """FFmpeg has one reader for both; what WebM does not hold makes it Matroska, which not every browser plays."""
    return name == "webm" and codec not in ("vp8", "vp9", "av1")
