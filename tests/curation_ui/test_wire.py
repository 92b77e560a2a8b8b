"""The table of routes is the server's: every route that is promised answers, and none besides."""

from fastapi.routing import APIRoute

from curation_ui import api, media, workbench
from curation_ui.desk import Desk
from curation_ui.guard import Door
from curation_ui.routes import ROUTES, Route
from tests.curation_ui.conftest import Place


def test_the_routes_are_those_of_the_table(reading: Place) -> None:
    desk: Desk = reading.desk
    routers = (api.routes(desk, Door.at("127.0.0.1")), workbench.routes(desk))
    served = {
        (method, route.path): route
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    byte_routes = {("GET", route.path) for route in media.media_routes(desk)}
    promised: dict[tuple[str, str], Route] = {(route.method, route.path): route for route in ROUTES}
    assert set(served) | byte_routes == set(promised)
    for place, route in served.items():
        answer, asked = promised[place].answer, promised[place].request
        assert answer is None or route.response_model is answer, place
        body = route.body_field
        assert asked is None or (body is not None and body.field_info.annotation is asked), place
