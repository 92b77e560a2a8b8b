"""The built page, read once and served from memory: there is no path to walk."""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

FOLDER = Path(__file__).parent / "static"

_PACKED = ("text/", "application/json", "application/javascript", "image/svg")
_OTHERS = ("api/", "media/", "study/")  # addresses of data: what is none of those there are is no place in the page
_MISSING = b"""<!doctype html><meta charset="utf-8"><title>dreamreel</title>
<p>The page is not built. Run <code>make page</code> in the checkout, or install dreamreel from its package.</p>
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    data: bytes
    packed: bytes | None  # gzip, where that is worth it
    kind: str
    etag: str


class StaticFiles:
    """Answers a GET outside of the API: a file of the page, or the page itself for a place in it ("/clip/KEY")."""

    def __init__(self, folder: Path = FOLDER) -> None:
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        self._files = {path.relative_to(folder).as_posix(): _file(path.read_bytes(), path.name) for path in paths}
        self._page = self._files.get("index.html") or _file(_MISSING, "index.html")

    async def __call__(self, request: Request) -> Response:
        path = request.path_params["path"]
        a_place = "." not in path.rpartition("/")[2] and not path.startswith(_OTHERS)
        file = self._files.get(path) or (self._page if a_place else None)
        if file is None:
            raise HTTPException(404, "there is no such file")
        kept = "public, max-age=31536000, immutable" if path.startswith("assets/") else "no-cache"
        headers = {"etag": file.etag, "cache-control": kept, "content-type": file.kind, "vary": "accept-encoding"}
        if request.headers.get("if-none-match") == file.etag:
            return Response(status_code=304, headers=headers)
        if file.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(file.packed, headers={**headers, "content-encoding": "gzip"})
        return Response(file.data, headers=headers)


def _file(data: bytes, name: str) -> _File:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    kind = "text/javascript" if name.endswith((".js", ".mjs")) else kind  # some systems' tables say otherwise
    packed = gzip.compress(data, mtime=0) if kind.startswith(_PACKED) else None
    charset = "; charset=utf-8" if kind.startswith("text/") else ""
    return _File(data=data, packed=packed, kind=kind + charset, etag=f'"{hashlib.sha256(data).hexdigest()}"')
