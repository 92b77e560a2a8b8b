"""What a browser can play, and a proxy for what it cannot: the same frames at the same times, made once."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from platformdirs import user_cache_path

from curation_ui.members import Place
from shards import video
from shards.storage import Storage
from shards.video import Unreadable, VideoInfo
from shards.video.source import opened

LARGEST = 1 << 31  # bytes of a video that is read whole, to look into it or to make a proxy

_PLAYED = {"h264": ("mp4",), "vp8": ("webm",), "vp9": ("webm", "mp4"), "av1": ("mp4", "webm")}
_PIXELS = ("yuv420p", "yuvj420p")
_KINDS = {"mp4": "video/mp4", "webm": "video/webm", "": "application/octet-stream"}
_HEAD = 1 << 20  # bytes in which a file usually says what it is
_REMEMBERED = 4096  # answers that are kept in memory

A = TypeVar("A")


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


class Player:
    """Looks into videos, and keeps proxies and thumbnails in a folder, by content. May be asked from threads."""

    def __init__(self, folder: Path | None = None) -> None:
        self.cache = Storage.at(folder or user_cache_path("dreamreel") / "page")
        self._formats = _Memory[Format]()
        self._times = _Memory[Times]()
        self._busy: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def format(self, place: Place) -> Format:
        """Raises `Unreadable`."""
        return self._formats.get(place.tag, lambda: _format_at(place))

    def times(self, place: Place) -> Times:
        """Of a video that brings no table of its frames. Raises `Unreadable`."""
        return self._times.get(place.tag, lambda: times_of(_whole(place)))

    def playable(self, place: Place) -> Place:
        """The video itself where browsers play it, else its proxy. Raises `Unreadable`."""
        return place if self.format(place).plays else self._kept(place, "mp4", proxy_of)

    def strip(self, place: Place) -> Place:
        """Thumbnails side by side, for a tar that brings none. Raises `Unreadable`."""
        from pipeline.stages.packer import strip  # loads many stages, which the page does without until now

        return self._kept(place, "jpg", lambda data: strip(data, len(times_of(data).pts)))

    def _kept(self, place: Place, suffix: str, make: Callable[[bytes], bytes]) -> Place:
        name = f"{hashlib.sha256(place.tag.encode()).hexdigest()}.{suffix}"
        with self._alone(name):
            if not self.cache.exists(name):
                self.cache.write(name, make(_whole(place)))
        return Place(storage=self.cache, path=name, offset=0, size=self.cache.size(name), tag=f"{place.tag}-{suffix}")

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Two requests for one proxy make it once."""
        with self._lock:
            lock = self._busy.setdefault(name, threading.Lock())
        with lock:
            yield


class _Memory(OrderedDict[str, A]):
    """The last answers, by content."""

    def get(self, tag: str, ask: Callable[[], A]) -> A:  # type: ignore[override]
        found = super().get(tag)
        if found is None:
            found = self[tag] = ask()
            while len(self) > _REMEMBERED:
                self.popitem(last=False)
        return found


def times_of(data: bytes) -> Times:
    """Raises `Unreadable`."""
    return _times(video.probe(data))


def proxy_of(data: bytes) -> bytes:
    """H.264 in MP4 with the frames and times of any video. Raises `Unreadable`."""
    info = video.probe(data)
    times = _times(info)
    return video.encode(video.frames(data, info=info), times.pts, times.time_base)


def _times(info: VideoInfo) -> Times:
    ticks = info.timeline.ticks
    pts = tuple(tick - ticks[0] for tick in ticks)
    return Times(width=info.width, height=info.height, pts=pts, time_base=info.timeline.time_base)


def _format_at(place: Place) -> Format:
    """From the head of the file, or from all of it where the head does not say."""
    try:
        return _format_of(place.read(0, _HEAD))
    except Unreadable:
        if place.size <= _HEAD:
            raise
        return _format_of(_whole(place))


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


def _whole(place: Place) -> bytes:
    if place.size > LARGEST:
        raise Unreadable("undecodable", f"{place.size} bytes are more than the page looks into")
    return place.read()
