"""Opening a video wherever it lies, and the named reasons why one cannot be read."""

import io
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Literal, TypeAlias

import av
import fsspec
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

Source: TypeAlias = str | os.PathLike[str] | bytes  # a path, an fsspec URL, or the file's bytes

Why: TypeAlias = Literal[
    "missing",  # there is no such file
    "empty_file",  # of zero bytes
    "not_a_video",  # no format that FFmpeg knows, or one whose headers are cut off
    "no_video_stream",  # sound only; cover art is not video
    "no_decoder",  # a codec that this FFmpeg lacks
    "no_frames",  # a video stream without a frame
    "undecodable",  # no frame could be decoded, or FFmpeg gave up on the way
    "truncated",  # fewer frames than the file promises
    "frame_times",  # times of the frames are missing, repeat, or change on the way
    "too_small",  # under 2 pixels in width or height
    "not_an_image",  # in a folder of images, a file that is none
    "image_sizes",  # the images of a folder differ in size
]


class Unreadable(Exception):  # noqa: N818  the name says what is wrong; "Error" would not add to it
    """The data's fault: a video that cannot be read, `why` by name and `value` with what was found."""

    def __init__(self, why: Why, value: str) -> None:
        super().__init__(f"{why}: {value}")
        self.why: Why = why
        self.value = value

    def __reduce__(self) -> tuple[type["Unreadable"], tuple[Why, str]]:
        return type(self), (self.why, self.value)


@contextmanager
def opened(source: Source, stream: int | None = None) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its video stream: number `stream`, else FFmpeg's best. Raises `Unreadable`."""
    with _file(source) as file:
        container = _container(file)
        with container:
            try:
                yield container, _pick(container, stream)
            except av.FFmpegError as error:
                raise Unreadable("undecodable", on_one_line(error)) from None


def on_one_line(error: av.FFmpegError) -> str:
    return " ".join((error.strerror or str(error)).split())


def local_path(source: Source) -> Path | None:
    """Where the source lies on this machine's disks; `None` for bytes and for what lies elsewhere."""
    if isinstance(source, bytes):
        return None
    if isinstance(source, str) and "://" in source:
        return Path(fsspec.core.strip_protocol(source)) if source.startswith("file://") else None
    return Path(os.fspath(source)).absolute()


@contextmanager
def _file(source: Source) -> Iterator[str | IO[bytes]]:
    """What FFmpeg can open, once it is known to be a file with something in it."""
    path = local_path(source)
    file: AbstractContextManager[str | IO[bytes]]
    if isinstance(source, bytes):
        size, file = len(source), nullcontext(io.BytesIO(source))
    elif path is not None:
        if not path.is_file():
            raise Unreadable("missing", str(path))
        # Without the protocol's name a colon in the path would be read as one.
        size, file = path.stat().st_size, nullcontext(f"file:{path}")
    else:
        fs, name = fsspec.core.url_to_fs(source)
        if not fs.isfile(name):
            raise Unreadable("missing", str(source))
        size, file = fs.size(name), fs.open(name, "rb")
    with file as opened_file:
        if not size:
            raise Unreadable("empty_file", "0 bytes")
        yield opened_file


_AHEAD = 1 << 18
"""Bytes that FFmpeg takes at a time of those that are in memory: each time costs it a call of Python's."""


def _container(file: str | IO[bytes]) -> InputContainer:
    try:
        # A playlist among the videos must not fetch from elsewhere.
        options = {"protocol_whitelist": "file"}
        ahead = _AHEAD if isinstance(file, io.BytesIO) else 1 << 15
        container = av.open(file, "r", container_options=options, metadata_errors="replace", buffer_size=ahead)
    except av.FFmpegError as error:
        raise Unreadable("not_a_video", on_one_line(error)) from None
    if container.format.name == "tty":  # FFmpeg draws plain text as if on a terminal
        container.close()
        raise Unreadable("not_a_video", "a text file")
    return container


def _pick(container: InputContainer, index: int | None) -> VideoStream:
    pictures = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    best = container.streams.best("video")
    wanted = index if index is not None else best.index if best is not None else None
    chosen = next((s for s in pictures if s.index == wanted), None)
    if index is not None and chosen is None:
        raise ValueError(f"stream {index} is no video stream; those are {[s.index for s in pictures]}")
    if not pictures:
        kinds = sorted({s.type for s in container.streams})
        raise Unreadable("no_video_stream", f"streams: {', '.join(kinds) or 'none'}")
    picked = chosen or pictures[0]
    if picked.codec_context is None:
        raise Unreadable("no_decoder", f"stream {picked.index}")
    for other in container.streams:
        if other.index != picked.index:
            other.discard = Discard.all
    return picked
