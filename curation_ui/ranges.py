"""Byte ranges over HTTP (RFC 9110, section 14): what was asked for, and the answer straight out of a tar or file."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TypeAlias

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

Span: TypeAlias = tuple[int, int]  # first byte, byte behind the last

PIECE = 1 << 18  # bytes that are read at a time
_RANGE = re.compile(r"bytes=\s*(\d{0,19})-(\d{0,19})\s*")


class Unsatisfiable(Exception):  # noqa: N818  the name says what is wrong
    """A range that lies outside of what there is."""


def span_of(header: str | None, size: int) -> Span | None:
    """What a Range header asks of `size` bytes; None: everything, as for one that is not understood.

    Several ranges at once count as not understood, which a server is free to do: nobody gets more bytes than there are.
    """
    match = _RANGE.fullmatch(header or "")
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:  # the last so many bytes
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < start:
            return None
    if start >= end:
        raise Unsatisfiable
    return start, end


async def answer(
    request: Request, read: Callable[[int, int], bytes], size: int, tag: str, kind: str, extra: Mapping[str, str]
) -> Response:
    """The answer to a GET or HEAD of `size` bytes that `read(start, end)` gives; `tag` names the content.

    The first piece is read before anything is answered, so that what cannot be read is told as such.
    """
    etag = f'"{tag}"'
    headers = {"etag": etag, "accept-ranges": "bytes", "content-type": kind, **extra}
    if etag in (part.strip() for part in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    same = request.headers.get("if-range") in (None, etag)
    try:
        span = span_of(request.headers.get("range"), size) if same else None
    except Unsatisfiable:
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{size}"})
    start, end = span or (0, size)
    headers["content-length"] = str(end - start)
    if span is not None:
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    status = 206 if span is not None else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    first = await to_thread.run_sync(read, start, min(end, start + PIECE))
    return StreamingResponse(_pieces(first, read, start, end), status_code=status, headers=headers)


async def _pieces(first: bytes, read: Callable[[int, int], bytes], start: int, end: int) -> AsyncIterator[bytes]:
    yield first
    for at in range(start + PIECE, end, PIECE):
        yield await to_thread.run_sync(read, at, min(end, at + PIECE))
