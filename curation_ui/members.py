"""Where the bytes of a clip lie: a span of a tar, found by the clip's key and never by a path that somebody sends."""

import json
import zlib
from dataclasses import dataclass
from typing import Any

from shards.storage import Storage

LARGEST_TEXT = 8 << 20  # bytes of a JSON, caption or masks member, inflated; more is refused


class TooLarge(ValueError):  # noqa: N818  the name says what is wrong
    """A member that holds more than its kind may."""


class Unplayable(ValueError):  # noqa: N818  the name says what is wrong
    """A video that is not there or cannot be read; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """The bytes of one member."""

    storage: Storage
    path: str  # of the tar
    offset: int
    size: int  # bytes
    tag: str  # names the content: its sha256, or of a foreign tar where it lies in which version of the file

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        """Bytes [start, end) of the member; all of it by default. Raises `ValueError` where the tar was cut."""
        end = self.size if end is None else min(end, self.size)
        data = self.storage.read_range(self.path, self.offset + start, self.offset + end)
        if len(data) != end - start:
            raise ValueError(f"{self.storage.url}/{self.path} ends before it should; fetch or write it again")
        return data


def text_at(place: Place) -> bytes:
    """What a small member holds. Raises `TooLarge`."""
    if place.size > LARGEST_TEXT:
        raise TooLarge(f"a description of {place.size} bytes is more than the {LARGEST_TEXT} that are read")
    return place.read()


def object_in(data: bytes) -> dict[str, Any]:
    """A JSON object; anything else is one without fields."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def inflated(data: bytes) -> bytes:
    """What zlib packed, as long as it is no bomb. Raises `TooLarge`."""
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data, LARGEST_TEXT)
    except zlib.error as error:
        raise ValueError(f"masks that are damaged ({error}); run shards verify") from None
    if unpacker.unconsumed_tail:
        raise TooLarge(f"a member inflates to more than {LARGEST_TEXT} bytes; it is not shown")
    return text
