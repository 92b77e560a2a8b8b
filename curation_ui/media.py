"""The routes that answer with bytes: videos by range, thumbnails, masks; a clip is named by its key alone."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from curation_ui.desk import Desk
from curation_ui.members import Place, TooLarge, Unplayable, inflated
from curation_ui.playing import Player
from curation_ui.ranges import answer
from curation_ui.segmenting import masks_of
from curation_ui.shown import Shown
from curation_ui.stopped import tracks_of

Find: TypeAlias = Callable[[str], Shown]  # a dataset by its short name; raises `KeyError`

KEPT = {"cache-control": "private, max-age=31536000, immutable"}
"""Of an address that names the content it gives (`?v=`); any other is asked again."""

CHECKED = {"cache-control": "private, no-cache"}


def media_routes(desk: Desk) -> list[Route]:
    """For Starlette."""
    find, player = desk.__getitem__, desk.player

    async def video(request: Request) -> Response:
        return await _served(request, lambda: _video(*_clip(request, find), player))

    async def strip(request: Request) -> Response:
        return await _served(request, lambda: _strip(*_clip(request, find), player))

    async def masks(request: Request) -> Response:
        return await _served(request, lambda: _masks(*_clip(request, find)))

    async def redrawn(request: Request) -> Response:
        return await to_thread.run_sync(_redrawn, desk, request.path_params["dataset"], request.path_params["job"])

    async def stopped_video(request: Request) -> Response:
        return await _served(request, lambda: (_stopped(request, find), "video/mp4", {}))

    async def stopped_strip(request: Request) -> Response:
        return await _served(request, lambda: (player.strip(_stopped(request, find)), "image/jpeg", {}))

    async def stopped_masks(request: Request) -> Response:
        return await to_thread.run_sync(
            _stopped_masks, find, request.path_params["dataset"], request.path_params["key"]
        )

    async def shown_in_study(request: Request) -> Response:
        return await _served(request, lambda: _in_study(desk, request.scope["who"], **request.path_params))

    serve: list[tuple[str, Callable[[Request], Awaitable[Response]]]] = [
        ("/media/{dataset}/{key}.mp4", video),
        ("/media/{dataset}/{key}.jpg", strip),
        ("/media/{dataset}/{key}.masks.json", masks),
        ("/media/{dataset}/segment/{job}.masks.json", redrawn),
        ("/media/{dataset}/stopped/{key}.mp4", stopped_video),
        ("/media/{dataset}/stopped/{key}.jpg", stopped_strip),
        ("/media/{dataset}/stopped/{key}.masks.json", stopped_masks),
        ("/study/{task}/{file}", shown_in_study),
    ]
    return [Route(path, endpoint, methods=["GET"]) for path, endpoint in serve]


Found: TypeAlias = tuple[Place, str, dict[str, str]]  # bytes, MIME type, further headers


async def _served(request: Request, find: Callable[[], Found]) -> Response:
    caching = KEPT if "v" in request.query_params else CHECKED
    try:
        place, kind, headers = await to_thread.run_sync(find)
        return await answer(request, place.read, place.size, place.tag, kind, {**headers, **caching})
    except KeyError:
        raise HTTPException(404, "there is no such clip") from None
    except TooLarge as error:
        raise HTTPException(413, str(error)) from None
    except Unplayable as error:
        raise HTTPException(422, f"this video cannot be read: {error}") from None
    except ValueError as error:  # of the storage, or a tar that was cut
        raise HTTPException(502, str(error)) from None


def _clip(request: Request, find: Find) -> tuple[Shown, int]:
    shown = find(request.path_params["dataset"])
    return shown, shown.holdings.row_of(request.path_params["key"])


def _video(shown: Shown, row: int, player: Player) -> Found:
    place = shown.holdings.video(row)
    if place is None:
        raise KeyError(row)
    played = player.playable(place)
    return played, player.format(place).kind if played is place else "video/mp4", {}


def _strip(shown: Shown, row: int, player: Player) -> Found:
    place = shown.holdings.strip(row)
    if place is None:
        video = shown.holdings.video(row)
        if video is None:
            raise KeyError(row)
        place = player.strip(video)
    return place, "image/jpeg", {}


def _masks(shown: Shown, row: int) -> Found:
    """As the tar has them, which is zlib, HTTP's "deflate"; looked into first, so that no bomb gets to a browser."""
    place = shown.holdings.masks(row)
    if place is None:
        raise KeyError(row)
    inflated(place.read())
    return place, "application/json", {"content-encoding": "deflate"}


def _redrawn(desk: Desk, dataset: str, name: str) -> Response:
    """Of a segmentation that nobody has taken yet."""
    try:
        return JSONResponse(masks_of(desk.segmenting.job(desk[dataset], name)), headers=CHECKED)
    except KeyError:
        raise HTTPException(404, "there is no such segmentation") from None


def _stopped(request: Request, find: Find) -> Place:
    return find(request.path_params["dataset"]).stopped_video(request.path_params["key"])


def _stopped_masks(find: Find, dataset: str, key: str) -> Response:
    """As a shard has them, of the tracks that were found before the clip stopped."""
    try:
        record = find(dataset).stopped_story(key)
    except KeyError:
        raise HTTPException(404, "there is no such clip") from None
    if "sha256" not in record:
        raise HTTPException(404, "it stopped before it was encoded")
    return JSONResponse({"size": [record["height"], record["width"]], "tracks": tracks_of(record)}, headers=CHECKED)


def _in_study(desk: Desk, who: str | None, task: str, file: str) -> Found:
    if desk.study is None or who is None:
        raise KeyError(task)
    place, kind = desk.study.place(who, task, file)
    return place, kind, {}
