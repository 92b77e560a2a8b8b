"""What an encoded clip is: its even size, and its bytes with the times that stand in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from shards.video.reading import probe
from shards.video.source import Unreadable


@dataclass(frozen=True, kw_only=True)
class Transcoded:
    """A clip as it will be shipped: H.264 yuv420p, upright, square pixels, even size."""

    data: bytes  # MP4
    width: int  # pixels
    height: int
    pts: tuple[int, ...]  # when each frame is shown, [T], from 0, strictly rising
    time_base: Fraction  # seconds
    scale: tuple[float, float]  # clip pixels per pixel of the upright source in x and y


@dataclass(frozen=True, slots=True)
class ClipSize:
    """Even size of a clip, and how it comes about: scaled to `scaled`, then cropped at right and bottom."""

    width: int
    height: int
    scaled: tuple[int, int]  # (width, height)
    scale: tuple[float, float]  # in x and y


def clip_size(width: int, height: int, max_side: int | None) -> ClipSize:
    """Of a clip from upright pictures of `width` x `height`: scaled down to `max_side`, or cropped to even."""
    if max_side is not None and max_side < 2:
        raise ValueError(f"max_side is {max_side}; 2 pixels is the least")
    if min(width, height) < 2:
        raise Unreadable("too_small", f"{width}x{height}")
    if max_side is None or max(width, height) <= max_side:
        return ClipSize(width & ~1, height & ~1, (width, height), (1.0, 1.0))
    shrink = (max_side & ~1) / max(width, height)
    new_width, new_height = (max(2, 2 * round(side * shrink / 2)) for side in (width, height))
    return ClipSize(new_width, new_height, (new_width, new_height), (new_width / width, new_height / height))


def checked(data: bytes, ticks: Sequence[int], scale: tuple[float, float]) -> Transcoded:
    """The clip with the times that stand in it, once they are those it should have."""
    try:
        info = probe(data)
    except Unreadable:  # not even one frame
        raise Unreadable("truncated", f"0 of {len(ticks)} frames") from None
    if info.num_frames != len(ticks):
        raise Unreadable("truncated", f"{info.num_frames} of {len(ticks)} frames")
    if list(info.timeline.ticks) != list(ticks):
        raise Unreadable("frame_times", "decoded frames have other times than their packets")
    return Transcoded(
        data=data,
        width=info.width,
        height=info.height,
        pts=info.timeline.ticks,
        time_base=info.timeline.time_base,
        scale=scale,
    )
