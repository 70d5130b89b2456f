"""Browsers: signing in and out, forms, and what leads to the login."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from tests.web.worlds import NOW, World
from yarl import URL

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
COOKIE = "fluxtrail-session"


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

    async def ask(
        self,
        path: str,
        form: dict[str, str] | None = None,
        *,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Got:
        sent = {**self.headers, **(headers or {})}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        method = "GET" if form is None and json is None else "POST"
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(
                method, URL(self.url + path, encoded=True), data=form, json=json, headers=sent, allow_redirects=False
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
    fragment = await browser.ask(
        "/commits", headers={"HX-Request": "true", "HX-Current-URL": f"{browser.url}/commits?q=1"}
    )
    assert (fragment.status, fragment.headers["hx-redirect"]) == (401, "/login?next=/commits%3Fq%3D1")


async def test_session_reads_the_api(browser: Browser) -> None:
    await browser.sign_in(VIEWER)
    assert (await browser.ask("/api/v1/commits")).status == 200


async def test_credentials_for_a_proxy_are_none_of_ours(browser: Browser) -> None:
    await browser.sign_in(VIEWER)
    proxied = {"Authorization": "Basic dTpw"}
    assert (await browser.ask("/", headers=proxied)).status == 200
    assert (await Browser(browser.url).ask("/api/v1/commits", headers=proxied)).status == 401


async def test_signing_out_ends_the_session_everywhere(browser: Browser) -> None:
    await browser.sign_in(VIEWER)
    kept = dict(browser.cookies)
    out = await browser.ask("/logout", {"csrf": await browser.csrf("/")})
    assert (out.status, out.headers["location"]) == (303, "/login")
    assert COOKIE not in browser.cookies
    browser.cookies = kept
    assert (await browser.ask("/")).status == 303


async def test_session_ends_after_twelve_hours(browser: Browser, clock: Clock) -> None:
    await browser.sign_in(VIEWER)
    clock.wall += SESSION_SECONDS - 1
    assert (await browser.ask("/")).status == 200
    clock.wall += 1
    assert (await browser.ask("/")).status == 303


async def test_session_outlives_a_restart(browser: Browser, serve: Serve, files: Path, clock: Clock) -> None:
    await browser.sign_in(OPERATOR)
    csrf = await browser.csrf("/")
    restarted = await serve(keep(files, clock))
    restarted.cookies = browser.cookies
    assert (await restarted.ask("/")).status == 200
    assert await restarted.csrf("/") == csrf


async def test_token_that_is_taken_out_ends_its_sessions(browser: Browser, files: Path, clock: Clock) -> None:
    await browser.sign_in(OPERATOR)
    new = "another-" + "9" * 16
    (files / "operator").write_text(f"{new}\n{OPERATOR}\n", encoding="utf-8")
    clock.monotonic += 1
    assert (await browser.ask("/")).status == 200
    (files / "operator").write_text(f"{new}\n", encoding="utf-8")
    clock.monotonic += 1
    assert (await browser.ask("/")).status == 303
    assert (await browser.sign_in(OPERATOR)).status == 401
    assert (await browser.sign_in(new)).status == 303


async def test_restart_with_another_role_changes_what_a_session_may(
    browser: Browser, serve: Serve, files: Path, clock: Clock
) -> None:
    await browser.sign_in(OPERATOR)
    token = Token(name="ops", role=Role.VIEWER, file=files / "operator")
    restarted = await serve(Doorkeeper([token], wall=lambda: clock.wall, monotonic=lambda: clock.monotonic))
    restarted.cookies = browser.cookies
    assert (await restarted.ask("/")).status == 200
    assert (await restarted.ask(REPLAY, json={"all_dead": True})).status == 403


@pytest.mark.parametrize("token", ["", "wrong-" + "3" * 16, OPERATOR[:-1], f"{OPERATOR}x", "ä" * 20, "\x00"])
async def test_wrong_token_is_asked_for_again(browser: Browser, token: str) -> None:
    answer = await browser.sign_in(token, back="/board")
    assert (answer.status, COOKIE in browser.cookies) == (401, False)
    assert "is not known here" in answer.text
    assert 'name="next" value="/board"' in answer.text


async def test_pipeline_does_not_sign_in(browser: Browser) -> None:
    answer = await browser.sign_in(PIPELINE)
    assert (answer.status, COOKIE in browser.cookies) == (403, False)
    assert "pipeline" in answer.text


async def test_viewer_may_not_change_anything(browser: Browser) -> None:
    await browser.sign_in(VIEWER)
    refused = await browser.ask(REPLAY, json={"all_dead": True})
    assert refused.status == 403
    assert "role_not_enough" in refused.text
    page = await browser.ask("/reports/replay", {"csrf": await browser.csrf("/")})
    assert page.status == 403
    assert "which may only read" in page.text
    assert page.headers["content-type"].startswith("text/html")


async def test_operator_changes_by_session(browser: Browser) -> None:
    await browser.sign_in(OPERATOR)
    assert (await browser.ask(REPLAY, json={"all_dead": True})).status == 200


@pytest.mark.parametrize("csrf", ["", "x" * 43, "é"])
async def test_form_with_a_foreign_token_is_refused(browser: Browser, csrf: str) -> None:
    await browser.sign_in(OPERATOR)
    refused = await browser.ask("/logout", {"csrf": csrf})
    assert refused.status == 403
    assert "The form is out of date" in refused.text
    assert COOKIE in browser.cookies


async def test_form_token_of_another_session_is_refused(browser: Browser) -> None:
    await browser.sign_in(OPERATOR)
    other = Browser(browser.url)
    await other.sign_in(OPERATOR)
    refused = await browser.ask("/logout", {"csrf": await other.csrf("/")})
    assert refused.status == 403


async def test_form_token_that_is_there_twice_is_refused(browser: Browser) -> None:
    await browser.sign_in(OPERATOR)
    body = f"csrf={await browser.csrf('/')}"
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{browser.url}/logout",
            data=f"{body}&{body}",
            headers={
                "Cookie": f"{COOKIE}={browser.cookies[COOKIE]}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
        ) as answer,
    ):
        assert answer.status == 403


async def test_login_form_needs_the_token_that_its_page_gave(browser: Browser) -> None:
    assert (await browser.ask("/login", {"token": OPERATOR})).status == 403
    csrf = await browser.csrf()
    browser.cookies.clear()
    refused = await browser.ask("/login", {"token": OPERATOR, "csrf": csrf})
    assert refused.status == 403
    assert "pages need HTTPS" in refused.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, 303),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "http://localhost"}, 403),
        ({"Origin": "file://"}, 403),
        ({"Origin": "http://[evil"}, 403),
        ({"Origin": "{own}"}, 303),
        ({"Origin": "https://fluxtrail.acme.dev"}, 403),
        ({"Host": "fluxtrail.acme.dev", "Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "none"}, 303),
    ],
)
async def test_form_comes_from_our_own_page_only(browser: Browser, headers: dict[str, str], status: int) -> None:
    await browser.sign_in(OPERATOR)
    csrf = await browser.csrf("/")
    sent = {name: value.replace("{own}", browser.url) for name, value in headers.items()}
    if "Host" in sent:  # its cookies have other names
        browser.cookies = {f"__Host-{name}": value for name, value in browser.cookies.items()}
    answer = await browser.ask("/logout", {"csrf": csrf}, headers=sent)
    assert answer.status == status
    if status == 403:
        assert "another site" in answer.text


async def test_json_of_a_foreign_page_is_refused(browser: Browser) -> None:
    await browser.sign_in(OPERATOR)
    refused = await browser.ask(REPLAY, json={"all_dead": True}, headers={"Origin": "http://127.0.0.1:1"})
    assert refused.status == 403
    assert "foreign_page" in refused.text


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "application/json"])
async def test_only_plain_forms_are_taken(browser: Browser, kind: str) -> None:
    await browser.sign_in(OPERATOR)
    headers = {"Content-Type": kind, "Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{browser.url}/logout", data=b"csrf=x", headers=headers) as answer,
    ):
        assert answer.status == 415


@pytest.mark.parametrize(
    "back",
    [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/\n/evil.example",
        "evil.example",
        "",
        "/login?next=//evil.example",
        "/logout",
    ],
)
async def test_login_leads_to_our_own_pages_only(browser: Browser, back: str) -> None:
    signed = await browser.sign_in(VIEWER, back=back)
    assert (signed.status, signed.headers["location"]) == (303, "/")


@pytest.mark.parametrize(
    ("back", "location"),
    [
        ("/commits?text=a+b&since=24h", "/commits?text=a+b&since=24h"),
        ("/commits/abc?x=%2F%2Fy", "/commits/abc?x=%2F%2Fy"),
        ("/board?text=é", "/board?text=%C3%A9"),
        ("/board#top", "/board"),
        ("/a'\"<b", "/a'%22%3Cb"),
    ],
)
async def test_login_leads_back(browser: Browser, back: str, location: str) -> None:
    signed = await browser.sign_in(VIEWER, back=back)
    assert signed.headers["location"] == location


async def test_who_has_a_session_is_led_on(browser: Browser) -> None:
    await browser.sign_in(VIEWER)
    led = await browser.ask("/login?next=/board")
    assert (led.status, led.headers["location"]) == (303, "/board")


async def test_link_from_another_site_is_asked_once_more_by_ourselves(browser: Browser) -> None:
    """A strict cookie is left out of what another site began; a page of ours begins anew."""
    bounce = await browser.ask("/login?next=/commits%3Ftext%3Da%2526b", headers={"Sec-Fetch-Site": "cross-site"})
    assert bounce.status == 200
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', bounce.text)
    assert found is not None
    assert found[1] == "/login?next=/commits%3Ftext%3Da%2526b"
    assert 'name="csrf"' not in bounce.text


async def test_wrong_tokens_have_to_wait(browser: Browser, clock: Clock) -> None:
    for _ in range(10):
        assert (await browser.sign_in("wrong-" + "3" * 16)).status == 401
    refused = await browser.sign_in(OPERATOR)
    assert (refused.status, refused.headers["retry-after"]) == (429, "60")
    assert "try again in 60 s" in refused.text
    api = await browser.ask("/api/v1/commits", headers={"Authorization": f"Bearer {OPERATOR}"})
    assert (api.status, api.headers["retry-after"]) == (429, "60")
    clock.monotonic += 60
    assert (await browser.sign_in(OPERATOR)).status == 303


async def test_who_was_right_goes_on_while_others_there_have_to_wait(browser: Browser, clock: Clock) -> None:
    right = {"Authorization": f"Bearer {VIEWER}"}
    signed_in = Browser(browser.url)
    await signed_in.sign_in(VIEWER)
    for _ in range(10):
        assert (await browser.ask("/api/v1/commits", headers={"Authorization": "Bearer wrong"})).status == 401
    assert (await browser.ask("/api/v1/commits", headers={"Authorization": "Bearer wrong"})).status == 429
    assert (await browser.ask("/api/v1/commits", headers=right)).status == 200
    assert (await signed_in.ask("/")).status == 200
    assert (await browser.ask("/api/v1/commits", headers={"Authorization": f"Bearer {OPERATOR}"})).status == 429


async def test_requests_without_a_token_are_not_counted(browser: Browser) -> None:
    for _ in range(12):
        assert (await browser.ask("/api/v1/commits")).status == 401
    assert (await browser.sign_in(OPERATOR)).status == 303


async def test_login_page_has_its_style_without_a_session(browser: Browser) -> None:
    page = await browser.ask("/login")
    found = re.search(r'href="(/static/app\.css[^"]*)"', page.text)
    assert found is not None
    assert (await browser.ask(found[1])).status == 200
    assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert page.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/static/../api/v1/commits", "/static//api/v1/commits", "//login", "/refused"])
async def test_open_paths_open_nothing_else(browser: Browser, path: str) -> None:
    answer = await browser.ask(path)
    assert answer.status in (303, 404)
    assert "items" not in answer.text


# -- loopback without a token ---------------------------------------------------------------------------------


@pytest.fixture
async def local(serve: Serve) -> Browser:
    return await serve(Doorkeeper())


async def test_loopback_needs_no_login(local: Browser) -> None:
    assert (await local.ask("/")).status == 200
    led = await local.ask("/login?next=/board")
    assert (led.status, led.headers["location"]) == (303, "/board")


async def test_forms_on_loopback_need_the_cookie_that_our_page_gave(local: Browser) -> None:
    refused = await local.ask("/logout", {"csrf": ""})
    assert refused.status == 403
    local.cookies = {"fluxtrail-form": "x"}
    assert (await local.ask("/logout", {"csrf": "x"})).status == 403
    local.cookies = {"fluxtrail-form": "y" * 43}
    assert (await local.ask("/logout", {"csrf": "y" * 43})).status == 303
    assert (await local.ask("/logout", {"csrf": "y" * 43}, headers={"Origin": "http://localhost:1"})).status == 403


async def test_forged_host_is_refused_before_anything_else(browser: Browser, local: Browser) -> None:
    await browser.sign_in(OPERATOR)
    for asked in (browser, local):
        refused = await asked.ask("/", headers={"Host": "evil.example"})
        assert (refused.status, refused.cookies) == (421, [])
    assert (await browser.ask("/login", {"token": OPERATOR}, headers={"Host": "evil.example"})).status == 421
