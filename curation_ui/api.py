"""The routes that speak JSON, as `routes.ROUTES` lists them."""

from collections.abc import Callable
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Body, Depends, Query, Request, Response
from starlette.exceptions import HTTPException

from curation_ui import wire
from curation_ui.clip import clip_of, stopped_clip
from curation_ui.desk import Desk, suggested_name
from curation_ui.guard import Door
from curation_ui.log import Log, as_events, decision_info
from curation_ui.shown import Shown
from shards import Verdict
from shards.verdicts import from_jsonl, from_parquet, to_jsonl, to_parquet

Bytes: TypeAlias = Annotated[bytes, Body(media_type="application/octet-stream")]


def routes(desk: Desk, door: Door) -> APIRouter:
    """All of them, over one desk."""
    router = APIRouter(prefix="/api")
    for add in (_session, _grid, _clips, _verdicts, _log):
        add(router, desk, door)
    return router


def who_asks(request: Request) -> str | None:
    """As the guard found it in the cookie."""
    who: str | None = request.scope["who"]
    return who


def who_writes(request: Request) -> str:
    who = who_asks(request)
    if who is None:
        raise HTTPException(401, "say who you are first")
    return who


Asks: TypeAlias = Annotated[str | None, Depends(who_asks)]
Writes: TypeAlias = Annotated[str, Depends(who_writes)]


def _session(router: APIRouter, desk: Desk, door: Door) -> None:
    @router.get("/session")
    def session(who: Asks) -> wire.Session:
        return wire.Session(who=who, needs_token=door.token is not None and who is None, suggested=suggested_name())

    @router.post("/session")
    def sign_in(asked: wire.SessionRequest, response: Response, who: Asks) -> wire.Session:
        if who is None and not door.admits(asked.token):
            raise HTTPException(401, "that is not this server's token; open the address that it printed")
        response.headers["set-cookie"] = door.cookie(asked.who)
        return wire.Session(who=asked.who, needs_token=False, suggested=asked.who)

    @router.get("/home")
    def home() -> wire.Home:
        return desk.home()


def _grid(router: APIRouter, desk: Desk, door: Door) -> None:  # noqa: ARG001  one shape for all
    shown = finder(desk)

    @router.get("/{dataset}/columns")
    def columns(dataset: str, kind: wire.Kind = "samples") -> list[wire.ColumnInfo]:
        return shown(dataset).columns(kind)

    @router.post("/{dataset}/clips")
    def clips(dataset: str, query: wire.Query, who: Asks) -> wire.Page:
        total, cards = shown(dataset).page(query, who)
        return wire.Page(total=total, offset=query.offset, cards=cards)

    @router.post("/{dataset}/keys")
    def keys(dataset: str, asked: wire.KeysRequest, who: Asks) -> wire.Keys:
        total, found = shown(dataset).keys(asked.query, who)
        return wire.Keys(total=total, keys=found)

    @router.post("/{dataset}/facets")
    def facets(dataset: str, asked: wire.FacetsRequest, who: Asks) -> wire.Facets:
        total, counted = shown(dataset).facets(asked, who)
        return wire.Facets.model_validate({"total": total, "facets": counted})

    @router.get("/{dataset}/words")
    def words(
        dataset: str,
        who: Asks,
        text: Annotated[str, Query(max_length=80)] = "",
        limit: Annotated[int, Query(ge=1, le=200)] = 20,
    ) -> wire.Suggestions:
        return wire.Suggestions(words=shown(dataset).suggestions(text, limit, who))

    @router.post("/{dataset}/reload")
    def reload(dataset: str) -> wire.DatasetInfo:
        shown(dataset)
        desk.reload(dataset)
        return desk.info(dataset)


def _clips(router: APIRouter, desk: Desk, door: Door) -> None:  # noqa: ARG001
    shown = finder(desk)

    @router.get("/{dataset}/clips/{key}")
    def clip(dataset: str, key: str, who: Asks, kind: wire.Kind = "samples") -> wire.Clip:
        if kind == "stopped":
            return stopped_clip(shown(dataset), key)
        return clip_of(shown(dataset), key, who, desk.player)


def _verdicts(router: APIRouter, desk: Desk, door: Door) -> None:  # noqa: ARG001
    shown = finder(desk)

    @router.post("/{dataset}/verdicts")
    def decide(dataset: str, asked: wire.VerdictsRequest, who: Writes) -> wire.VerdictsAnswer:
        one = shown(dataset)
        log = log_of(one)
        made = log.add(who, asked.verdicts)
        keys = list(dict.fromkeys(event.key for event in made))
        one.decided(keys)
        seen = log.seen(keys, who)
        states = one.states(seen)
        undoable = log.undoable(who)
        return wire.VerdictsAnswer(
            events=as_events(made, one.holdings.content),
            decisions={key: decision_info(seen[key], states[key]) for key in keys},
            undoable=undoable.id if undoable else None,
        )

    @router.get("/{dataset}/undoable")
    def undoable(dataset: str, who: Writes) -> wire.Event | None:
        one = shown(dataset)
        event = log_of(one).undoable(who)
        return as_events([event], one.holdings.content)[0] if event else None


def _log(router: APIRouter, desk: Desk, door: Door) -> None:  # noqa: ARG001
    shown = finder(desk)

    @router.get("/{dataset}/log")
    def log(
        dataset: str,
        who: Asks,
        by: Annotated[str | None, Query(alias="who", max_length=80)] = None,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> wire.Log:
        one = shown(dataset)
        one.viewer(who)  # looks for what others wrote
        events = [event for event in log_of(one).visible(who) if by in (None, event.who)]
        standing = as_events(list(reversed(events)), one.holdings.content)[::-1]
        return wire.Log(total=len(events), events=standing[offset : offset + limit])

    def export(path: str, kind: str, write: Callable[[list[Verdict]], bytes]) -> None:
        @router.get(path, response_class=Response)
        def exported(dataset: str, who: Asks) -> Response:
            data = write(list(reversed(log_of(shown(dataset)).visible(who))))
            name = f"{dataset}-{path.rpartition('/')[2]}"
            return Response(data, media_type=kind, headers={"content-disposition": f'attachment; filename="{name}"'})

    def taken_in(path: str, read: Callable[[bytes, str], list[Verdict]]) -> None:
        @router.post(path)
        def imported(dataset: str, data: Bytes, who: Writes) -> wire.Imported:  # noqa: ARG001  only who may write
            one = shown(dataset)
            events = read(data, "the file")
            added = log_of(one).take_in(events)
            one.decided({event.key for event in events})
            return wire.Imported(added=added, of=len(events))

    export("/{dataset}/verdicts.jsonl", "application/jsonl", to_jsonl)
    export("/{dataset}/verdicts.parquet", "application/vnd.apache.parquet", to_parquet)
    taken_in("/{dataset}/verdicts.jsonl", from_jsonl)
    taken_in("/{dataset}/verdicts.parquet", from_parquet)


def finder(desk: Desk) -> Callable[[str], Shown]:
    """A dataset by its name, or 404."""

    def find(name: str) -> Shown:
        try:
            return desk[name]
        except KeyError:
            raise HTTPException(404, f"there is no dataset {name!r} here") from None

    return find


def log_of(shown: Shown) -> Log:
    """Raises 403 where no verdicts can be given."""
    if shown.log is None:
        raise HTTPException(403, str(shown.holdings.why_not))
    return shown.log
