"""`/api/v1/records`: lists, and the one request that changes something."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from tests.web.conftest import Ask
from tests.web.worlds import NOW, World

from fluxtrail.model.views import RecordView
from fluxtrail.web.access.doorkeeper import Doorkeeper
from fluxtrail.web.access.principals import Principal
from fluxtrail.web.app import create_app
from fluxtrail.web.server import Listener, WebServer

RECORDS = "/api/v1/records"
SYNC = f"{RECORDS}/sync"
TOKEN = "5d1c7b5e0b0f4c9a8d7e6f5a4b3c2d1e"


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", [1, 2, 3, 4, 5, 6]),
        ("?cluster=prod-eu", [1, 2]),
        ("?cluster=uid-prod-us&namespace=shop", [3, 4]),
        ("?status=decommissioned", [6]),
        ("?told=unknown", [4]),
        ("?text=CHECKOUT", [1, 3]),
        ("?text=sha256:1aa", []),
        ("?limit=2", [1, 2]),
        ("?limit=2&cursor=2", [3, 4]),
    ],
)
async def test_records_are_listed_and_narrowed(ask: Ask, query: str, ids: list[int]) -> None:
    answer = await ask("api", RECORDS + query)
    assert answer.status == 200
    assert [item["id"] for item in answer.json["items"]] == ids
    msgspec.convert(answer.json["items"], list[RecordView])


async def test_records_are_counted(ask: Ask) -> None:
    items = (await ask("api", f"{RECORDS}/counts")).json["items"]
    assert {(row["cluster"], row["status"], row["told"]): row["count"] for row in items} == {
        ("prod-eu", "deployed", "told"): 1,
        ("prod-eu", "deployed", "pending"): 1,
        ("prod-us", "deployed", "told"): 1,
        ("prod-us", "deployed", "unknown"): 1,
        ("staging", "deployed", "refused"): 1,
        ("staging", "decommissioned", "told"): 1,
    }


@pytest.mark.parametrize(
    ("query", "parameter"),
    [("?status=gone", "status"), ("?told=maybe", "told"), ("?digest=x", "digest"), ("?text=", "text")],
)
async def test_an_invalid_parameter_is_named(ask: Ask, query: str, parameter: str) -> None:
    answer = await ask("api", RECORDS + query)
    assert answer.status == 400
    assert answer.json["errors"][0]["parameter"] == parameter


async def test_all_records_are_told_again(ask: Ask, world: World) -> None:
    answer = await ask("api", SYNC, "POST", json={})
    uids = sorted({record.cluster_uid for record in world.records})
    assert (answer.status, answer.json) == (200, {"planned": 5, "clusters": uids, "records": []})
    assert world.synced == [None]


async def test_one_clusters_records_are_told_again(ask: Ask, world: World) -> None:
    answer = await ask("api", SYNC, "POST", json={"cluster": "prod-eu", "dry_run": False})
    assert answer.json["planned"] == 2
    assert world.synced == ["prod-eu"]


async def test_a_dry_run_says_what_would_be_told_and_changes_nothing(ask: Ask, world: World) -> None:
    answer = await ask("api", SYNC, "POST", json={"cluster": "prod-us", "dry_run": True})
    assert [record["workload"] for record in answer.json["records"]] == ["checkout", "search"]
    assert world.synced == []


async def test_an_unknown_cluster_is_not_found(ask: Ask) -> None:
    answer = await ask("api", SYNC, "POST", json={"cluster": "prod-ue"})
    assert (answer.status, answer.json["code"]) == (404, "not_found")
    assert "prod-ue" in answer.json["detail"]


async def test_what_cannot_be_told_now_is_a_conflict(ask: Ask, world: World) -> None:
    world.refuses_sync = True
    answer = await ask("api", SYNC, "POST", json={})
    assert (answer.status, answer.json["code"]) == (409, "conflict")
    assert "--dry-run" in answer.json["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b'{"clutser": "x"}', b'{"cluster": 7}', b'{"cluster": ""}'])
async def test_a_body_that_is_not_understood_is_refused(ask: Ask, world: World, body: bytes) -> None:
    answer = await ask("api", SYNC, "POST", data=body, headers={"Content-Type": "application/json"})
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json["code"] == "invalid_parameter"
    assert world.synced == []


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; b=1"])
async def test_a_form_of_another_page_is_refused(ask: Ask, world: World, kind: str) -> None:
    answer = await ask("api", SYNC, "POST", data=b"{}", headers={"Content-Type": kind})
    assert (answer.status, answer.json["code"]) == (415, "unsupported_media_type")
    assert world.synced == []


@pytest.mark.parametrize(("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200)])
async def test_a_page_of_another_site_is_refused(ask: Ask, site: str, status: int) -> None:
    answer = await ask("api", SYNC, "POST", json={}, headers={"Sec-Fetch-Site": site})
    assert answer.status == status


async def test_only_allowed_hosts_may_write(ask: Ask, world: World) -> None:
    assert (await ask("api", SYNC, "POST", json={}, headers={"Host": "evil.example"})).status == 421
    assert world.synced == []


async def test_a_preflight_is_not_granted(ask: Ask) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = await ask("api", SYNC, "OPTIONS", headers=asked)
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_reading_is_no_way_to_write(ask: Ask, world: World) -> None:
    assert (await ask("api", SYNC)).status == 405
    assert world.synced == []


@pytest.mark.parametrize(
    ("server", "may"),
    [
        (("127.0.0.1", 8080), True),
        (("::1", 8080), True),
        (("10.0.0.8", 8080), False),
        (("/run/fluxtrail.sock", None), False),
        (None, False),
    ],
)
def test_writing_from_afar_needs_a_token(server: Any, may: bool) -> None:
    found = Doorkeeper().identify({"type": "http", "server": server, "headers": []})
    assert isinstance(found, Principal)
    assert found.may_ask("POST", SYNC) is may


@pytest.fixture
async def without_records() -> AsyncIterator[str]:
    world = World()
    app = create_app(answers=world, report=world, now=lambda: NOW, token=TOKEN)
    async with WebServer([Listener(name="api", app=app, host="127.0.0.1", port=0)]) as server:
        yield server.addresses["api"].url


@pytest.mark.parametrize(("method", "path"), [("GET", RECORDS), ("GET", f"{RECORDS}/counts"), ("POST", SYNC)])
async def test_where_records_are_off_the_remedy_is_said(without_records: str, method: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    body: dict[str, Any] = {"json": {}} if method == "POST" else {}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, without_records + path, **body) as answer,
    ):
        told = await answer.json(content_type=None)
    assert (answer.status, told["code"]) == (404, "records_off")
    assert "--deployment-records" in told["detail"]


async def test_a_token_is_needed_to_write_where_there_is_one(without_records: str) -> None:
    async with aiohttp.ClientSession() as session, session.post(without_records + SYNC, json={}) as answer:
        assert answer.status == 401
