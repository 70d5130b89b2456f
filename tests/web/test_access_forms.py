"""Forms as the guard takes them: their body, and the page that they come from."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from tests.web.worlds import NOW

from fluxtrail.web.access import bodies
from fluxtrail.web.access.asgi import Message, Receive, Scope, Send
from fluxtrail.web.access.doorkeeper import Doorkeeper
from fluxtrail.web.access.guard import Guard
from fluxtrail.web.access.origins import is_foreign

TOKEN = "t" * 43
RIGHT = f"csrf={TOKEN}&x=1".encode()


def chunk(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


class Page:
    """What an application is given, and what it answers through the guard."""

    def __init__(self, messages: Iterable[Message], *, waits: bool = False) -> None:
        self.messages = list(messages)
        self.waits = waits
        self.body: bytes | None = None
        self.sent: list[Message] = []

    async def app(self, _scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        self.body = message["body"]
        assert message["more_body"] is False
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive(self) -> Message:
        if self.messages:
            return self.messages.pop(0)
        if self.waits:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def post(self) -> int | None:
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/reports/replay",
            "query_string": b"",
            "server": ("127.0.0.1", 8080),
            "client": ("127.0.0.1", 1),
            "headers": [
                (b"host", b"localhost"),
                (b"content-type", b"application/x-www-form-urlencoded; charset=utf-8"),
                (b"cookie", f"fluxtrail-form={TOKEN}".encode()),
            ],
        }
        await Guard(self.app, now=lambda: NOW, doorkeeper=Doorkeeper())(scope, self.receive, self.send)
        return self.sent[0]["status"] if self.sent else None


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_form_reaches_the_page_whole(size: int) -> None:
    parts = [RIGHT[start : start + size] for start in range(0, len(RIGHT), size)]
    page = Page([*(chunk(part, more=True) for part in parts), chunk(b"")])
    assert await page.post() == 200
    assert page.body == RIGHT


@pytest.mark.parametrize("body", [b"", b"x=1", b"csrf=", b"csrf=" + b"u" * 43, RIGHT + b"&" + RIGHT, b"\xff" + RIGHT])
async def test_wrong_form_does_not_reach_the_page(body: bytes) -> None:
    page = Page([chunk(body)])
    assert await page.post() == 403
    assert page.body is None


async def test_form_that_is_longer_than_it_said_is_refused() -> None:
    page = Page([chunk(RIGHT, more=True), chunk(b"x" * 70_000)])
    assert await page.post() == 408
    assert page.body is None


async def test_form_that_does_not_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.01)
    page = Page([chunk(RIGHT, more=True)], waits=True)
    assert await page.post() == 408
    assert page.body is None


async def test_who_went_away_is_answered_nothing() -> None:
    page = Page([chunk(RIGHT, more=True)])
    assert await page.post() is None
    assert page.body is None


@pytest.mark.parametrize(
    ("host", "origin", "site", "foreign"),
    [
        ("fluxtrail.acme.dev", "https://fluxtrail.acme.dev", "", False),
        ("fluxtrail.acme.dev:8443", "https://fluxtrail.acme.dev", "", False),
        ("fluxtrail.acme.dev", "https://fluxtrail.acme.dev", "same-site", True),
        ("fluxtrail.acme.dev", "https://other.acme.dev", "", True),
        ("fluxtrail.acme.dev", "https://fluxtrail.acme.dev.evil.example", "", True),
        ("fluxtrail.acme.dev", "https://fluxtrail.acme.dev@evil.example", "", True),
        ("fluxtrail.acme.dev", "", "", False),
        ("internal", "https://fluxtrail.acme.dev", "", False),
        ("localhost:8080", "https://fluxtrail.acme.dev", "", True),
        ("localhost:8080", "http://localhost:8081", "", True),
        ("localhost:8080", "http://127.0.0.1:8080", "", True),
        ("localhost:8080", "http://localhost:8080", "", False),
        ("[::1]:8080", "http://[::1]:8080", "same-origin", False),
        ("localhost:8080", "http://localhost:8080, http://evil.example", "", True),
    ],
)
def test_origin_that_is_ours(host: str, origin: str, site: str, foreign: bool) -> None:
    headers = [(b"host", host.encode())]
    headers += [(b"origin", origin.encode())] if origin else []
    headers += [(b"sec-fetch-site", site.encode())] if site else []
    hosts = frozenset({"fluxtrail.acme.dev", "internal", "localhost", "*"})
    assert is_foreign({"headers": headers}, hosts) is foreign
