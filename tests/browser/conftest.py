"""One browser and one server for all tests here, in one loop: starting either takes longer than a test.

The browser is the system's Chromium: none is downloaded. Every page that a test opens is watched for errors in its
console and for what its content security policy had to refuse.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect
from tests.browser.shown import bury, commit, fill
from tests.ledger.world import StillClock, at, open_fresh
from tests.web.worlds import World

from fluxtrail.model.records import RepositoryId
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.reporting import Reporting
from fluxtrail.web.access.doorkeeper import Doorkeeper
from fluxtrail.web.access.principals import Role
from fluxtrail.web.access.tokens import Token
from fluxtrail.web.app import create_app
from fluxtrail.web.feed import Feed
from fluxtrail.web.server import Listener, WebServer

TIMEOUT_MILLISECONDS = 10_000
TOKENS = {role: f"{role.value}-" + "0" * 24 for role in (Role.OPERATOR, Role.VIEWER)}
AXE = Path(sys.prefix) / "vendor" / "axe.min.js"
"""Where `make` puts it; it is in no wheel and not in the repository."""


@dataclass
class Served:
    """What the browser looks at."""

    ledger: FoldedLedger
    shop: RepositoryId
    url: str
    """Without tokens: who comes by loopback is an operator."""
    guarded_url: str
    """With a viewer's and an operator's token."""

    async def merge(self, number: int) -> None:
        """Let one more commit come, as the tracker would write it: in one unit, and the feed is woken."""
        async with self.ledger.unit() as unit:
            await commit(unit, self.shop, number)


class _Clock(StillClock):
    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")


@pytest.fixture
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    clock = _Clock()
    store = await open_fresh(tmp_path_factory.mktemp("browser") / "data" / "ledger.sqlite", clock)
    ledger = FoldedLedger(store)
    async with ledger.unit() as unit:
        shop = await fill(unit)
    await bury(store)
    feed = Feed(store, poll_seconds=3600)
    ledger.on_kept.append(feed.wake)
    clock.time = at(3600)
    tokens = [Token(name=role.value, role=role, secret=secret) for role, secret in TOKENS.items()]
    listeners = [
        Listener(
            name=name,
            app=create_app(
                answers=store,
                report=World(),
                now=clock.now,
                doorkeeper=doorkeeper,
                feed=feed,
                reports=Reporting(store, [], clock, kinds={"chat": "slack"}, routes={}),
                trend=lambda: ledger.figures.trend,
            ),
            host="127.0.0.1",
            port=0,
            streams=20,
        )
        for name, doorkeeper in (("open", Doorkeeper()), ("guarded", Doorkeeper(tokens)))
    ]
    async with WebServer(listeners) as server:
        yield Served(ledger, shop, server.addresses["open"].url, server.addresses["guarded"].url)
    await store.close()


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no chromium here")
    expect.set_options(timeout=TIMEOUT_MILLISECONDS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield browser
        await browser.close()


Open = Callable[..., Awaitable[Page]]


@pytest.fixture
async def visit(chromium: Browser, served: Served) -> AsyncIterator[Open]:
    """`page = await visit("/board")`: a page of a browser of its own, that nobody has signed in with yet."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def listen(may_miss: str, said: ConsoleMessage) -> None:
        where = said.location["url"]
        if said.type == "error" and not (may_miss and where.endswith(may_miss)):
            wrong.append(f"{where}: {said.text}")

    async def go(path: str, *, base: str = "", may_miss: str = "", **given: Any) -> Page:
        context = await chromium.new_context(**({"base_url": base or served.url, "locale": "en-GB"} | given))
        context.set_default_timeout(TIMEOUT_MILLISECONDS)
        contexts.append(context)
        page = await context.new_page()
        page.on("console", partial(listen, may_miss))
        page.on("pageerror", lambda error: wrong.append(f"{page.url}: {error}"))
        await page.goto(path)
        return page

    yield go
    for context in contexts:
        await context.close()
    assert wrong == []


@pytest.fixture
def axe() -> str:
    if not AXE.is_file():
        pytest.skip(f"axe-core is not at {AXE}: `make` brings it")
    return AXE.read_text(encoding="utf-8")
