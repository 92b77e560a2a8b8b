"""When each frame of a video is shown, read from its packets without decoding them.

Frames are numbered from 0 in the order they are shown. A decoded frame is known by its time, so one that cannot be
decoded never shifts the others. Where packets carry no usable presentation times, frames are counted from the start
and get the decoding times in order. What comes before the first key frame, and what an edit list hides, is no frame.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from shards.video.source import Unreadable


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    ticks: tuple[int, ...]  # when each frame is shown, [T], in units of `time_base`, strictly rising
    end_tick: int  # when the last frame is over
    time_base: Fraction  # seconds
    keys: tuple[int, ...]  # numbers of the frames where decoding can start, the first frame among them
    seek_ticks: tuple[int, ...]  # for each of `keys`, the time to ask a container for
    counted: bool = False  # frames can only be told apart by counting from the first

    def key_for(self, number: int) -> int:
        """The frame at which decoding must start, at the latest, for frame `number`."""
        return self.keys[bisect_right(self.keys, number) - 1]

    def start_for(self, number: int) -> int | None:
        """The time to seek to so that frame `number` can be decoded; `None` for the file's start."""
        key = bisect_right(self.keys, number) - 1
        return self.seek_ticks[key] if key > 0 and not self.counted else None

    def nearest_start_for(self, number: int) -> int | None:
        """The time to try first. MP4 looks for when a frame is shown: at `start_for`'s it lands one key frame early.

        A container that looks for when it is decoded may land behind the frame.
        """
        return None if self.start_for(number) is None else self.ticks[self.key_for(number)]


@dataclass(frozen=True, slots=True)
class Stored:
    """A packet as it is stored; times in the stream's ticks."""

    pts: int | None
    dts: int | None
    duration: int
    is_key: bool
    is_shown: bool  # else it is only there for others to refer to


def scan(container: InputContainer, video: VideoStream) -> tuple[list[Stored], VideoFrame]:
    """All packets in the order they are stored, and the first frame that decodes. Raises `Unreadable`."""
    stored: list[Stored] = []
    first: VideoFrame | None = None
    cut_off = False
    for packet in packets(container, video):
        if first is None:
            first = next(iter(decode(packet)), None)
        if packet.size:
            cut_off = packet.is_corrupt
            stored.append(_stored(packet, video))
    # An MP4 lists its packets ahead (after edit lists); the index of other formats holds what was found so far.
    promised = len(video.index_entries) if container.format.name.startswith("mov") else 0
    if cut_off or len(stored) < promised:
        raise Unreadable("truncated", f"{len(stored) - cut_off} of {max(len(stored), promised)} frames")
    if not any(packet.is_shown for packet in stored):
        raise Unreadable("no_frames", f"stream {video.index} has no frame")
    if first is None:
        raise Unreadable("undecodable", f"none of {len(stored)} frames could be decoded")
    return stored, first


def packets(container: InputContainer, video: VideoStream) -> "Iterator[Packet[VideoStream]]":
    """Up to the end or to where the file breaks; whoever misses a frame then says so."""
    with suppress(av.InvalidDataError, av.EOFError):
        yield from container.demux(video)


def decode(packet: "Packet[VideoStream]") -> list[VideoFrame]:
    try:
        return packet.decode()
    except av.InvalidDataError:  # this frame is lost and will be missed; the next may be fine
        return []


def timeline(stored: list[Stored], video: VideoStream) -> Timeline | None:
    """By presentation times; `None` where they are missing or repeat. Raises `Unreadable` where time jumps back."""
    decoded_at = [packet.dts for packet in stored if packet.dts is not None]
    if any(a > b for a, b in pairwise(decoded_at)):  # sorted by time, two recordings in one file would mix
        raise Unreadable("frame_times", "time jumps back on the way")
    decodable = stored[next((at for at, packet in enumerate(stored) if packet.is_key), 0) :]
    rows = [(packet.pts, packet) for packet in decodable if packet.pts is not None]
    if len(rows) < len(decodable):
        return None
    # Frames stored after the first key frame but shown before it refer to what was cut away.
    first_tick = rows[0][0]
    rows = sorted((row for row in rows if row[1].is_shown and row[0] >= first_tick), key=lambda row: row[0])
    ticks = tuple(tick for tick, _ in rows)
    if not ticks or not _rising(ticks):
        return None
    keys = tuple(number for number, (_, packet) in enumerate(rows) if packet.is_key or number == 0)
    # Containers find a key frame by its decoding time, which lies at or before the time it is shown.
    seek_ticks = tuple(
        min(tick, tick if packet.dts is None else packet.dts) for tick, packet in map(rows.__getitem__, keys)
    )
    return Timeline(
        ticks=ticks,
        end_tick=ticks[-1] + (rows[-1][1].duration or _usual_duration(ticks, video)),
        time_base=_time_base(video),
        keys=keys,
        seek_ticks=seek_ticks,
    )


def counted_timeline(stored: list[Stored], num_frames: int, video: VideoStream) -> Timeline:
    """By decoding times, the k-th of them for the k-th of the `num_frames` that a decoder gives."""
    shown = [packet for packet in stored if packet.is_shown]
    ticks = tuple(sorted(packet.dts for packet in shown if packet.dts is not None))
    if len(ticks) < len(shown) or not _rising(ticks):
        raise Unreadable("frame_times", "missing or repeated")
    if len(ticks) != num_frames:
        raise Unreadable("truncated", f"{num_frames} of {len(ticks)} frames")
    end_tick = ticks[-1] + (shown[-1].duration or _usual_duration(ticks, video))
    return Timeline(
        ticks=ticks,
        end_tick=end_tick,
        time_base=_time_base(video),
        keys=(0,),
        seek_ticks=(ticks[0],),
        counted=True,
    )


def _stored(packet: "Packet[VideoStream]", video: VideoStream) -> Stored:
    is_shown = not packet.is_discard and not _is_hidden(packet, video)
    return Stored(packet.pts, packet.dts, packet.duration or 0, packet.is_keyframe, is_shown)


def _is_hidden(packet: "Packet[VideoStream]", video: VideoStream) -> bool:
    """VP8 stores frames that are only referred to as packets of their own; a bit of the first byte tells."""
    return video.codec_context.name == "vp8" and not bytes(packet)[0] >> 4 & 1


def _rising(ticks: Iterable[int]) -> bool:
    return all(a < b for a, b in pairwise(ticks))


def _usual_duration(ticks: tuple[int, ...], video: VideoStream) -> int:
    """How long the last frame lasts where the file does not say: as long as the one before it."""
    if len(ticks) > 1:
        return ticks[-1] - ticks[-2]
    rate = video.average_rate or video.guessed_rate
    return max(1, round(1 / (rate * _time_base(video)))) if rate else 1


def _time_base(video: VideoStream) -> Fraction:
    if not video.time_base:
        raise Unreadable("frame_times", "the stream has no unit of time")
    return video.time_base
