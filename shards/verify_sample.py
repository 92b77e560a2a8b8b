"""What must hold of one sample: its members make a valid record, and its video and strip agree with it."""

import io
import itertools
import zlib
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import TypeAlias

import av
from PIL import Image

from shards import entry
from shards.sample import InvalidSample, Sample

Finding: TypeAlias = tuple[str, str]  # the broken rule's name, and in words what is the matter

KEYFRAME_SECONDS = 1
"""A frame is shown at most so long, and one frame more, after the key frame that its decoding starts at."""
STRIP_HEIGHT = 96


def read(key: str, members: Mapping[str, bytes]) -> tuple[Sample | None, list[Finding]]:
    """The sample in `members` (extension -> data); `None`, and why, where they are not a valid one."""
    try:
        sample = entry.from_members(key, members)
    except InvalidSample as error:
        return None, [("sample", str(error).removeprefix(f"sample {key}: "))]
    written = entry.to_members(sample)
    same = {"json": written["json"] == members["json"], "masks": _inflated(written) == _inflated(members)}
    return sample, [("canonical", f"{key}.{name} is not in canonical form") for name in same if not same[name]]


def _inflated(members: Mapping[str, bytes]) -> tuple[bytes, bytes]:
    """The JSON of the masks and what stands behind its stream; builds of zlib differ in how they compress it."""
    stream = zlib.decompressobj()
    return stream.decompress(members["masks"]), stream.unused_data


def check(sample: Sample, *, quick: bool) -> Iterator[Finding]:
    """What must hold of a valid record's media; `quick` reads the video's packets and decodes none."""
    yield from _check_strip(sample.strip)
    try:
        yield from _check_packets(sample)
        if not quick:
            yield from _check_frames(sample)
    except (av.error.FFmpegError, IndexError) as error:
        yield "video", f"cannot be read: {error}"


def _check_strip(data: bytes) -> Iterator[Finding]:
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            form, height = image.format, image.height
    except (OSError, SyntaxError) as error:
        yield "strip", f"is no image: {error}"
        return
    if form != "JPEG" or height != STRIP_HEIGHT:
        yield "strip", f"is a {form} {height} px high, not a JPEG of {STRIP_HEIGHT} px"


def _check_packets(sample: Sample) -> Iterator[Finding]:
    with av.open(io.BytesIO(sample.video), "r") as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        if (context.name, context.pix_fmt) != ("h264", "yuv420p"):
            yield "codec", f"is {context.name} {context.pix_fmt}, not h264 yuv420p"
        if (context.width, context.height) != (sample.width, sample.height):
            size = f"{context.width}x{context.height}"
            yield "size", f"the video is {size}, the record says {sample.width}x{sample.height}"
        packets = [packet for packet in container.demux(stream) if packet.pts is not None]
    base = stream.time_base or Fraction(0)
    shown = sorted((packet.pts * base, packet.is_keyframe) for packet in packets if packet.pts is not None)
    yield from _check_times("packets", [time for time, _ in shown], sample)
    yield from _check_key_frames(shown)


def _check_frames(sample: Sample) -> Iterator[Finding]:
    with av.open(io.BytesIO(sample.video), "r") as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"  # samples are checked side by side already
        stream.codec_context.options = {"err_detect": "explode"}
        times: list[Fraction] = []
        for frame in container.decode(stream):
            if frame.is_corrupt:
                yield "video", f"frame {len(times)} does not decode cleanly"
            times.append((frame.pts or 0) * (frame.time_base or Fraction(0)))
    yield from _check_times("decoded frames", times, sample)


def _check_times(name: str, times: list[Fraction], sample: Sample) -> Iterator[Finding]:
    expected = [pts * sample.time_base for pts in sample.pts]
    if len(times) != len(expected):
        yield "frames", f"the video has {len(times)} {name}, the record {len(expected)} times and masks"
        return
    for number, (time, said) in enumerate(zip(times, expected, strict=True)):
        if time != said:
            yield "times", f"frame {number} of the {name} is at {float(time):.6f} s, not {float(said):.6f} s"
            return


def _check_key_frames(shown: list[tuple[Fraction, bool]]) -> Iterator[Finding]:
    times = [time for time, _ in shown]
    longest = max((b - a for a, b in itertools.pairwise(times)), default=Fraction(0))
    last = None
    for number, (time, is_key) in enumerate(shown):
        last = time if is_key else last
        if last is None or time - last > KEYFRAME_SECONDS + longest:
            since = "after none" if last is None else f"{float(time - last):.2f} s after the last"
            yield "keyframes", f"frame {number} comes {since} key frame"
            return
