"""How fast one client may ask: counted by token and address, told as 429 with when to go on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
from tests.web.worlds import NOW, World

from fluxtrail.web.access.doorkeeper import Doorkeeper
from fluxtrail.web.access.paces import MOST_CLIENTS, Paces
from fluxtrail.web.access.principals import Role
from fluxtrail.web.access.tokens import Token
from fluxtrail.web.app import create_app
from fluxtrail.web.server import Listener, WebServer

PER_MINUTE = 3
NAMES = ("ada", "grace")


@dataclass
class Clock:
    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name * 8}"}


def test_a_minute_s_worth_at_once_then_evenly() -> None:
    clock = Clock()
    paces = Paces(6, monotonic=clock)
    assert [paces.take("", "10.0.0.1") for _ in range(7)] == [None] * 6 + [pytest.approx(10.0)]
    clock.seconds += 9
    assert paces.take("", "10.0.0.1") == pytest.approx(1.0)
    clock.seconds += 1
    assert paces.take("", "10.0.0.1") is None
    clock.seconds += 3600
    assert [paces.take("", "10.0.0.1") for _ in range(7)].count(None) == 6


def test_clients_are_told_apart_by_token_and_by_address() -> None:
    paces = Paces(1, monotonic=Clock())
    clients = [("ada", "10.0.0.1"), ("grace", "10.0.0.1"), ("ada", "10.0.0.2"), ("ada", "2001:db8::1")]
    assert [paces.take(*client) for client in clients] == [None] * 4
    assert all(paces.take(*client) for client in clients)
    assert paces.take("ada", "2001:db8::ffff") is not None, "of the same network"


def test_no_limit_remembers_nobody() -> None:
    paces = Paces(0)
    assert {paces.take("", "10.0.0.1") for _ in range(1000)} == {None}
    assert paces.size == 0


def test_memory_is_bounded() -> None:
    paces = Paces(1, monotonic=Clock())
    for number in range(MOST_CLIENTS + 10):
        paces.take(str(number), "10.0.0.1")
    assert paces.size == MOST_CLIENTS


@pytest.fixture
async def url() -> AsyncIterator[str]:
    world = World()
    tokens = [Token(name=name, role=Role.VIEWER, secret=name * 8) for name in NAMES]
    app = create_app(
        answers=world,
        report=world,
        now=lambda: NOW,
        doorkeeper=Doorkeeper(tokens),
        requests_per_minute=PER_MINUTE,
    )
    async with WebServer([Listener(name="api", app=app, host="127.0.0.1", port=0)]) as server:
        yield server.addresses["api"].url


async def test_a_client_that_asks_too_fast_is_told_when_to_go_on(url: str) -> None:
    async with aiohttp.ClientSession(url) as session:
        statuses = []
        for _ in range(PER_MINUTE + 1):
            async with session.get("/api/v1/clusters", headers=bearer("ada")) as answer:
                statuses.append(answer.status)
                said = await answer.json(content_type=None)
        assert statuses == [200] * PER_MINUTE + [429]
        assert said["code"] == "too_many_requests"
        assert 1 <= int(answer.headers["retry-after"]) <= 20
        async with session.get("/api/v1/clusters", headers=bearer("grace")) as answer:
            assert answer.status == 200


async def test_a_browser_sees_it_as_a_page_whose_files_still_load(url: str) -> None:
    asked = {**bearer("ada"), "Accept": "text/html"}
    async with aiohttp.ClientSession(url, headers=asked) as session:
        for _ in range(PER_MINUTE + 1):
            async with session.get("/clusters") as answer:
                text = await answer.text()
        assert (answer.status, answer.content_type) == (429, "text/html")
        assert int(answer.headers["retry-after"]) >= 1
        assert "Too many requests" in text
        assert 'href="/clusters"' in text, "to try it again"
        async with session.get("/static/app.css") as answer:
            assert answer.status == 200


async def test_who_asks_on_this_machine_without_tokens_is_not_counted() -> None:
    world = World()
    app = create_app(answers=world, report=world, now=lambda: NOW, requests_per_minute=1)
    listeners = [Listener(name="api", app=app, host="127.0.0.1", port=0)]
    async with WebServer(listeners) as server, aiohttp.ClientSession(server.addresses["api"].url) as session:
        for _ in range(3):
            async with session.get("/api/v1/clusters") as answer:
                assert answer.status == 200
