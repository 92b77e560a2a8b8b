"""The server: routes put together behind the guard, and run on one address until it is told to stop."""

import socket
from collections.abc import Callable
from http import HTTPStatus

import uvicorn
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from curation_ui import api, log, media, workbench
from curation_ui.desk import Desk
from curation_ui.guard import Door, Guard
from curation_ui.members import TooLarge, Unplayable
from curation_ui.static_files import StaticFiles
from curation_ui.study import Voted
from shards.storage import StorageError


def application(desk: Desk, door: Door) -> ASGIApp:
    """Everything behind its guard, as an ASGI application."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(api.routes(desk, door))
    app.include_router(workbench.routes(desk))
    app.router.routes += media.media_routes(desk)
    app.router.routes.append(Route("/{path:path}", StaticFiles().__call__, methods=["GET"]))
    for kind, status in _STATUS.items():
        app.add_exception_handler(kind, _teller(status))
    app.add_exception_handler(RequestValidationError, _tell_validation)
    app.add_exception_handler(HTTPException, _tell_http)
    return Guard(app, door)


class Server(uvicorn.Server):
    """Serves until SIGINT or SIGTERM, or until `should_exit` is set; requests under way are answered."""

    def __init__(self, app: ASGIApp, started: Callable[[], None] = lambda: None) -> None:
        config = uvicorn.Config(
            app,
            log_level="warning",
            lifespan="off",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,  # seconds
        )
        super().__init__(config)
        self._told = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._told()


def listen(host: str, port: int) -> socket.socket:
    """A socket on an address; port 0 takes a free one. Raises `ValueError` where it is taken or not ours."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ValueError(f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port") from None


_STATUS: dict[type[Exception], int] = {
    KeyError: 404,
    log.Refused: 409,
    Voted: 409,
    TooLarge: 413,
    Unplayable: 422,
    StorageError: 502,
    ValueError: 400,
}


def _teller(status: int) -> Callable[[Request, Exception], Response]:
    def tell(_: Request, error: Exception) -> Response:
        said = "there is nothing of that name here" if isinstance(error, KeyError) else " ".join(str(error).split())
        return JSONResponse({"detail": said}, status)

    return tell


def _tell_validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}" for fault in error.errors()[:3]]
    return JSONResponse({"detail": "; ".join(faults)}, 422)


def _tell_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = error.detail or HTTPStatus(error.status_code).phrase
    return JSONResponse({"detail": said}, error.status_code, headers=error.headers)
