"""Browsers: signing in and out, forms, and what leads to the login."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from tests.web.worlds import NOW, World

from fluxtrail.web.access.doorkeeper import Doorkeeper
from fluxtrail.web.access.principals import Role
from fluxtrail.web.access.sessions import SESSION_SECONDS
from fluxtrail.web.access.tokens import Token
from fluxtrail.web.app import create_app
from fluxtrail.web.server import Listener, WebServer

OPERATOR = "operator-" + "0" * 16
VIEWER = "viewer-" + "1" * 16
PIPELINE = "pipeline-" + "2" * 16
HTML = {"Accept": "text/html"}
REPLAY = "/api/v1/reports/replay"
COOKIE = "fluxtrail_session"


@dataclass
class Clock:
    """The time of day, and the other one."""

    wall: float = 1_800_000_000.0
    monotonic: float = 0.0


@dataclass
class Got:
    status: int
    text: str
    headers: dict[str, str]
    cookies: list[str]


@dataclass
class Browser:
    """Keeps cookies and follows nothing."""

    url: str
    headers: dict[str, str] = field(default_factory=lambda: dict(HTML))
    cookies: dict[str, str] = field(default_factory=dict)

    async def ask(self, path: str, form: dict[str, str] | None = None, *, json: object = None, **headers: str) -> Got:
        sent = {**self.headers, **headers}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        method = "GET" if form is None and json is None else "POST"
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(
                method, self.url + path, data=form, json=json, headers=sent, allow_redirects=False
            ) as answer,
        ):
            given = answer.headers.getall("set-cookie", [])
            for cookie in given:
                name, _, value = cookie.partition(";")[0].partition("=")
                self.cookies[name] = value
                if "Max-Age=0" in cookie:
                    del self.cookies[name]
            found = {name.lower(): value for name, value in answer.headers.items()}
            return Got(answer.status, await answer.text(), found, given)

    async def csrf(self, path: str = "/login") -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', (await self.ask(path)).text)
        assert found is not None
        return found[1]

    async def sign_in(self, token: str, *, back: str = "/") -> Got:
        return await self.ask("/login", {"csrf": await self.csrf(), "token": token, "next": back})


Serve = Callable[[Doorkeeper], Awaitable[Browser]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, secret in (("operator", OPERATOR), ("viewer", VIEWER), ("pipeline", PIPELINE)):
        (tmp_path / name).write_text(f"{secret}\n", encoding="utf-8")
    return tmp_path


def keep(files: Path, clock: Clock) -> Doorkeeper:
    tokens = [
        Token(name="ops", role=Role.OPERATOR, file=files / "operator"),
        Token(name="people", role=Role.VIEWER, file=files / "viewer"),
        Token(name="shop", role=Role.CI, file=files / "pipeline", repositories=("github.com/acme/shop",)),
    ]
    return Doorkeeper(tokens, wall=lambda: clock.wall, monotonic=lambda: clock.monotonic)


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    servers: list[WebServer] = []

    async def start(doorkeeper: Doorkeeper) -> Browser:
        world = World()
        app = create_app(
            answers=world,
            report=world,
            now=lambda: NOW,
            doorkeeper=doorkeeper,
            allowed_hosts=["fluxtrail.acme.dev"],
            reports=world,
        )
        server = WebServer([Listener(name="api", app=app, host="127.0.0.1", port=0)])
        await server.__aenter__()
        servers.append(server)
        return Browser(server.addresses["api"].url)

    yield start
    for server in servers:
        await server.__aexit__(None, None, None)


@pytest.fixture
async def browser(serve: Serve, files: Path, clock: Clock) -> Browser:
    return await serve(keep(files, clock))


async def test_who_has_no_session_is_led_to_the_login_and_back(browser: Browser) -> None:
    led = await browser.ask("/commits?author=a%20b")
    assert (led.status, led.headers["location"]) == (303, "/login?next=/commits%3Fauthor%3Da%2520b")
    form = await browser.ask(led.headers["location"])
    assert form.status == 200
    assert 'name="next" value="/commits?author=a%20b"' in form.text
    signed = await browser.sign_in(OPERATOR, back="/commits?author=a%20b")
    assert (signed.status, signed.headers["location"]) == (303, "/commits?author=a%20b")
    assert (await browser.ask("/commits?author=a%20b")).status == 200
    assert OPERATOR not in str(signed)


async def test_session_cookie_is_for_this_site_and_no_script(browser: Browser) -> None:
    signed = await browser.sign_in(VIEWER)
    (cookie,) = [text for text in signed.cookies if text.startswith(COOKIE) and "Max-Age=0" not in text]
    assert cookie.partition("; ")[2] == f"Path=/; Max-Age={SESSION_SECONDS}; HttpOnly; SameSite=Strict"


async def test_session_cookie_beyond_loopback_is_for_https_and_this_host_only(browser: Browser) -> None:
    browser.headers["Host"] = "fluxtrail.acme.dev"
    signed = await browser.sign_in(VIEWER)
    assert signed.status == 303
    (cookie,) = [text for text in signed.cookies if COOKIE in text]
    assert cookie.startswith(f"__Host-{COOKIE}=")
    assert cookie.endswith("; HttpOnly; SameSite=Strict; Secure")
    assert (await browser.ask("/")).status == 200


async def test_api_without_a_token_is_a_problem_and_no_login(browser: Browser) -> None:
    answer = await browser.ask("/api/v1/commits")
    assert (answer.status, answer.headers["content-type"]) == (401, "application/problem+json")
    fragment = await browser.ask("/commits", **{"HX-Request": "true", "HX-Current-URL": f"{browser.url}/commits?q=1"})
    assert (fragment.status, fragment.headers["hx-redirect"]) == (401, "/login?next=/commits%3Fq%3D1")


async def test_session_reads_the_api(browser: Browser) -> None:
    await browser.sign_in(VIEWER)
    assert (await browser.ask("/api/v1/commits")).status == 200
