"""`/api/v1/reports` and `/api/v1/routes`: lists, and what changes something."""

from __future__ import annotations

from typing import Any

import aiohttp
import msgspec
import pytest
from tests.web.conftest import Ask
from tests.web.worlds import NOW, World

from fluxtrail.model.report import ReportState, ReportView
from fluxtrail.web.app import create_app
from fluxtrail.web.server import Listener, WebServer
from fluxtrail.web.shapes import RouteTest, RouteView

REPORTS = "/api/v1/reports"
ROUTES = "/api/v1/routes"
REPLAY, DROP = f"{REPORTS}/replay", f"{REPORTS}/drop"


def states(world: World) -> dict[int, str]:
    return {report.id: report.state.value for report in world.reports}


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", [6, 5, 4, 3, 2, 1]),
        ("?state=dead", [5, 4]),
        ("?route=pull-requests", [6, 5, 4]),
        ("?sink=otlp.traces", [2, 1]),
        ("?sink=otlp.traces&state=waiting", [2]),
        ("?route=none", []),
        ("?limit=2", [6, 5]),
        ("?limit=2&cursor=2", [4, 3]),
    ],
)
async def test_reports_are_listed_and_narrowed(ask: Ask, query: str, ids: list[int]) -> None:
    answer = await ask("api", REPORTS + query)
    assert answer.status == 200
    assert [item["id"] for item in answer.json["items"]] == ids
    msgspec.convert(answer.json["items"], list[ReportView])


@pytest.mark.parametrize(
    ("query", "parameter"),
    [("?state=gone", "state"), ("?route=a&sink=b", "sink"), ("?rout=a", "rout"), ("?route=", "route")],
)
async def test_an_invalid_parameter_is_named(ask: Ask, query: str, parameter: str) -> None:
    answer = await ask("api", REPORTS + query)
    assert answer.status == 400
    assert answer.json["errors"][0]["parameter"] == parameter


@pytest.mark.parametrize(
    ("body", "changed"),
    [({"ids": [4, 6, 99]}, [4]), ({"route": "pull-requests"}, [5, 4]), ({"all_dead": True}, [5, 4])],
    ids=["ids", "route", "all"],
)
async def test_dead_letters_are_sent_again(ask: Ask, world: World, body: dict[str, Any], changed: list[int]) -> None:
    answer = await ask("api", REPLAY, "POST", json=body)
    assert (answer.status, answer.json) == (200, {"changed": len(changed)})
    assert [number for number in (5, 4) if states(world)[number] == "waiting"] == changed
    assert states(world)[6] == "waiting"


@pytest.mark.parametrize(
    ("body", "dropped"),
    [
        ({"ids": [2, 3]}, {1, 2}),
        ({"route": "pull-requests"}, {1, 4, 5, 6}),
        ({"sink": "otlp.traces"}, {1, 2}),
        ({"all_dead": True}, {1, 4, 5}),
    ],
    ids=["ids", "route", "sink", "all-dead"],
)
async def test_reports_are_dropped(ask: Ask, world: World, body: dict[str, Any], dropped: set[int]) -> None:
    answer = await ask("api", DROP, "POST", json=body)
    assert (answer.status, answer.json) == (200, {"changed": len(dropped) - 1})
    assert {number for number, state in states(world).items() if state == "dropped"} == dropped


async def test_more_than_a_page_is_dropped_at_once(ask: Ask, world: World) -> None:
    dead = next(report for report in world.reports if report.state is ReportState.DEAD)
    world.reports = [msgspec.structs.replace(dead, id=number) for number in range(1, 2502)]
    answer = await ask("api", DROP, "POST", json={"route": "pull-requests"})
    assert answer.json == {"changed": 2501}
    assert set(states(world).values()) == {"dropped"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ids": []},
        {"ids": [4], "all_dead": True},
        {"route": "chat", "sink": "otlp.traces"},
        {"ids": [0]},
        {"ids": [2**63]},
        {"ids": ["four"]},
        {"ids": list(range(1, 1002))},
        {"rout": "chat"},
        {"route": ""},
        [],
    ],
    ids=str,
)
@pytest.mark.parametrize("path", [REPLAY, DROP])
async def test_what_is_not_said_exactly_changes_nothing(ask: Ask, world: World, path: str, body: Any) -> None:
    before = states(world)
    answer = await ask("api", path, "POST", json=body)
    assert (answer.status, answer.json["code"]) == (400, "invalid_parameter")
    assert states(world) == before


@pytest.mark.parametrize("path", [REPLAY, DROP, f"{ROUTES}/chat/test"])
async def test_a_page_of_another_site_changes_nothing(ask: Ask, world: World, path: str) -> None:
    before = states(world)
    body = {} if path.endswith("test") else {"all_dead": True}
    assert (await ask("api", path, "POST", json=body, headers={"Sec-Fetch-Site": "cross-site"})).status == 403
    plain = await ask("api", path, "POST", data=b"{}", headers={"Content-Type": "text/plain"})
    assert plain.status == 415
    assert (await ask("api", path)).status == 405
    assert (states(world), world.tested) == (before, [])


async def test_routes_say_how_they_are_doing(ask: Ask) -> None:
    answer = await ask("api", ROUTES)
    found = msgspec.convert(answer.json["items"], list[RouteView])
    assert [(route.name, route.kind, route.dead, route.is_down) for route in found] == [
        ("pull-requests", "github_status", 2, True),
        ("chat", "slack", 0, False),
        ("otlp.traces", "otlp.traces", 0, False),
    ]


@pytest.mark.parametrize(("name", "is_taken"), [("chat", True), ("pull-requests", False)])
async def test_a_refusal_of_a_test_is_an_answer(ask: Ask, world: World, name: str, is_taken: bool) -> None:
    answer = await ask("api", f"{ROUTES}/{name}/test", "POST", json={})
    assert answer.status == 200
    assert msgspec.convert(answer.json, RouteTest).is_taken is is_taken
    assert world.tested == [name]


async def test_an_unknown_route_is_not_found(ask: Ask) -> None:
    answer = await ask("api", f"{ROUTES}/chatt/test", "POST", json={})
    assert (answer.status, answer.json["code"]) == (404, "not_found")
    assert "'chatt'" in answer.json["detail"]


async def test_what_cannot_be_tried_now_is_a_conflict(ask: Ask, world: World) -> None:
    world.refuses_test = True
    answer = await ask("api", f"{ROUTES}/chat/test", "POST", json={})
    assert (answer.status, answer.json["code"]) == (409, "conflict")


async def test_a_server_that_tells_nobody_says_so(world: World) -> None:
    app = create_app(answers=world, report=world, now=lambda: NOW)
    async with WebServer([Listener(name="api", app=app, host="127.0.0.1", port=0)]) as server:
        url = server.addresses["api"].url
        async with aiohttp.ClientSession() as session:
            async with session.get(url + REPORTS) as answer:
                assert (answer.status, (await answer.json(content_type=None))["code"]) == (404, "reports_off")
            async with session.post(f"{url}{REPLAY}", json={"all_dead": True}) as answer:
                assert answer.status == 404


async def test_a_locked_ledger_is_503(ask: Ask, world: World) -> None:
    world.fails = True
    for path in (REPORTS, ROUTES):
        assert (await ask("api", path)).status == 503
