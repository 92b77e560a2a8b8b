"""Who may ask for what: host names, origins, tokens, sizes, and the headers that keep a page to itself."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, unquote

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "dreamreel"
LARGEST_BODY = 1 << 20  # bytes of a request
LARGEST_IMPORT = 64 << 20  # of an import of verdicts

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
        "connect-src 'self'; worker-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
_IMPORTS = ("/verdicts.jsonl", "/verdicts.parquet")
_OPEN = ("/api/session",)  # answered without a token


@dataclass(frozen=True, kw_only=True)
class Door:
    """What a server asks of who comes in."""

    hosts: frozenset[str]  # values of Host without the port
    token: str | None = None
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))  # of the cookies; a new one voids them

    @classmethod
    def at(cls, host: str, allowed: Iterable[str] = (), token: str | None = None) -> "Door":
        """The door of a server on `host` that is also called `allowed`. Raises `ValueError` where it would be open.

        The address and every name but those of the loopback need a token, for others can reach them.
        """
        address = f"[{host}]" if ":" in host else host
        everywhere = address in ("0.0.0.0", "[::]")
        names = {*allowed, *(() if everywhere else (address,))}
        if token is None and (names - set(_LOOPBACK) or everywhere):
            where = ", ".join(sorted(names - set(_LOOPBACK))) or address
            raise ValueError(f"others can reach {where}: ask for a token with --token, or leave it to 127.0.0.1")
        if everywhere and not set(allowed):
            raise ValueError(f"{host} has no name of its own: say with --allow-host by which name it is called")
        key = hashlib.sha256(f"dreamreel {token}".encode()).digest() if token else secrets.token_bytes(32)
        return cls(hosts=frozenset(name.lower() for name in {*names, *_LOOPBACK}), token=token, secret=key)

    def admits(self, token: str | None) -> bool:
        return self.token is None or hmac.compare_digest((token or "").encode(), self.token.encode())

    def cookie(self, who: str) -> str:
        """The Set-Cookie header that names a reviewer, signed."""
        value = f"{quote(who, safe='')}.{self._signature(who)}"
        return f"{COOKIE}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age=31536000"

    def who(self, header: str | None) -> str | None:
        """Whom a Cookie header names; None where nobody, or where this server did not sign it."""
        try:
            morsel = SimpleCookie(header or "").get(COOKIE)
        except CookieError:
            return None
        name, dot, signature = (morsel.value if morsel else "").rpartition(".")
        who = unquote(name)
        same = hmac.compare_digest(signature.encode(), self._signature(who).encode())
        return who if dot and same else None

    def _signature(self, who: str) -> str:
        return hmac.new(self.secret, who.encode(), hashlib.sha256).hexdigest()


class Refused(HTTPException):
    """A request that does not come in: status and one line."""


class Guard:
    """The outermost layer: nothing reaches the application but what `Door` lets in."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), *_RAW]
            await send(message)

        try:
            scope["who"] = self._checked(scope, headers)
            await self._app(scope, _measured(receive, _limit(scope["path"])), guarded)
        except Refused as refused:
            if started:
                raise
            await _tell(guarded, refused)

    def _checked(self, scope: Scope, headers: dict[str, str]) -> str | None:
        """Who asks; raises `Refused`."""
        host = headers.get("host", "").lower()
        if host.rpartition(":")[0] not in self._door.hosts and host not in self._door.hosts:
            raise Refused(421, f"this server is not called {host[:100]!r}; start it with --allow-host NAME")
        site, mode = headers.get("sec-fetch-site"), headers.get("sec-fetch-mode")
        reads = scope["method"] in ("GET", "HEAD")
        if site not in (None, "same-origin", "none") and not (reads and mode == "navigate" and _is_page(scope["path"])):
            raise Refused(403, "another site may not ask here; open the page itself")
        if not reads:
            self._check_write(scope, headers, host)
        if int(headers.get("content-length") or 0) > _limit(scope["path"]):
            raise Refused(413, f"a request holds at most {_limit(scope['path'])} bytes; send less at a time")
        who = self._door.who(headers.get("cookie"))
        if self._door.token and who is None and not _is_page(scope["path"]) and scope["path"] not in _OPEN:
            raise Refused(401, "this server asks for its token; open the address that it printed")
        return who

    def _check_write(self, scope: Scope, headers: dict[str, str], host: str) -> None:
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"{scope['scheme']}://{host}":
            raise Refused(403, "another site may not write here; open the page itself")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in ("application/json", "application/octet-stream"):  # neither can be sent by a form
            raise Refused(415, "send application/json, or application/octet-stream for an import")


_RAW = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]


def _is_page(path: str) -> bool:
    """The page itself and its parts hold no data."""
    return not path.startswith(("/api/", "/media/", "/study/"))


def _limit(path: str) -> int:
    return LARGEST_IMPORT if path.endswith(_IMPORTS) else LARGEST_BODY


def _measured(receive: Receive, limit: int) -> Receive:
    """A body without a length is counted as it comes."""
    got = 0

    async def counted() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > limit:
            raise Refused(413, f"a request holds at most {limit} bytes; send less at a time")
        return message

    return counted


async def _tell(send: Send, refused: Refused) -> None:
    body = json.dumps({"detail": refused.detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": refused.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": body})
