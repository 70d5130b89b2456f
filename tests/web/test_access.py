from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from tests.web.conftest import Ask
from tests.web.worlds import NOW, World

from fluxtrail.model.errors import ConfigError
from fluxtrail.web.access.binding import check_binding
from fluxtrail.web.access.exchange import QUERY_LIMIT_BYTES
from fluxtrail.web.access.guard import BODY_LIMIT_BYTES
from fluxtrail.web.app import create_app
from fluxtrail.web.server import Address, Listener, WebServer

TOKEN = "5d1c7b5e0b0f4c9a8d7e6f5a4b3c2d1e"
COMMITS = "/api/v1/commits"


@pytest.fixture
async def guarded() -> AsyncIterator[str]:
    world = World()
    app = create_app(
        answers=world, report=world, now=lambda: NOW, token=TOKEN, allowed_hosts=["Fluxtrail.acme.dev", "[fd00::1]"]
    )
    async with WebServer([Listener(name="api", app=app, host="127.0.0.1", port=0)]) as server:
        yield server.addresses["api"].url


async def status_of(url: str, **headers: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return response.status, response.headers.get("www-authenticate", "")


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN, "Bearer \xe9"],
)
async def test_a_wrong_token_is_refused(guarded: str, authorization: str) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    assert await status_of(guarded + COMMITS, **headers) == (401, 'Bearer realm="fluxtrail"')


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
async def test_the_right_token_is_admitted(guarded: str, scheme: str) -> None:
    assert (await status_of(guarded + COMMITS, Authorization=f"{scheme} {TOKEN}"))[0] == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("fluxtrail.acme.dev", 200),
        ("FLUXTRAIL.ACME.DEV:8443", 200),
        ("[fd00::1]:8080", 200),
        ("[::1]", 200),
        ("localhost:1234", 200),
        ("evil.example", 421),
        ("fluxtrail.acme.dev.evil.example", 421),
        ("localhost.", 421),
        ("[localhost", 200),
        ("[evil", 421),
        ("", 421),
    ],
)
async def test_only_allowed_hosts_are_answered(guarded: str, host: str, status: int) -> None:
    assert (await status_of(guarded + COMMITS, Authorization=f"Bearer {TOKEN}", Host=host))[0] == status


async def test_forwarded_headers_change_nothing(guarded: str) -> None:
    forwarded = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "localhost", "Forwarded": "host=localhost"}
    assert (await status_of(guarded + COMMITS, Host="evil.example", **forwarded))[0] == 421
    assert (await status_of(guarded + COMMITS, **forwarded))[0] == 401


async def test_long_queries_and_bodies_are_refused(ask: Ask) -> None:
    assert (await ask("api", f"{COMMITS}?cursor={'x' * QUERY_LIMIT_BYTES}")).status == 414
    assert (await ask("api", COMMITS, "GET", data=b"x" * (BODY_LIMIT_BYTES + 1))).status == 413

    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"

    assert (await ask("api", COMMITS, "GET", data=chunks())).status == 413


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    check_binding(host, token=None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.8", "fluxtrail.acme.dev", "localhost.acme.dev"])
def test_beyond_loopback_a_token_is_needed(host: str) -> None:
    with pytest.raises(ConfigError, match=r"token.*127\.0\.0\.1"):
        check_binding(host, token=None)
    check_binding(host, token=TOKEN)


def test_a_short_token_is_refused() -> None:
    with pytest.raises(ConfigError, match="openssl rand") as caught:
        check_binding("0.0.0.0", token="secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (Address("0.0.0.0", 80), "http://127.0.0.1:80"),
        (Address("", 80), "http://127.0.0.1:80"),
        (Address("::", 80), "http://[::1]:80"),
        (Address("10.0.0.8", 80), "http://10.0.0.8:80"),
    ],
)
def test_an_address_has_a_url_that_reaches_it(address: Address, url: str) -> None:
    assert address.url == url
