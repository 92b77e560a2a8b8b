"""What a video file says of itself in its headers: cheap to ask of many, and not always true."""

from dataclasses import dataclass
from fractions import Fraction

import av

from shards.video.source import Source, opened


@dataclass(frozen=True, kw_only=True, slots=True)
class Glance:
    """A file's own word on its length and size, before anything of it is decoded."""

    seconds: float
    num_frames: float  # seconds times frame rate, where the file does not count them
    width: int  # pixels as stored
    height: int


def glance(source: Source) -> Glance:
    """Read the headers of `source` (a path, an fsspec URL, or the file's bytes) alone. Raises `Unreadable`."""
    with opened(source) as (container, video):
        rate = video.average_rate or video.guessed_rate or Fraction(0)
        if video.duration is not None and video.time_base is not None:
            seconds = float(video.duration * video.time_base)
        else:
            seconds = (container.duration or 0) / av.time_base
        return Glance(
            seconds=seconds,
            num_frames=float(video.frames or seconds * rate),
            width=video.codec_context.width,
            height=video.codec_context.height,
        )
