"""What the tests of forges share: a server that answers by script, and what every forge's client must stand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
from aiohttp import web
from tests.remotes.github.forge import SHA, FakeForge, Says, Times

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.remotes.waits import RetryWaits

__all__ = ["NO_WAITS", "SECRET", "SHA", "Asking", "FakeForge", "Says", "Times", "making", "serve"]

Client = TypeVar("Client")
SECRET = "0123456789secret0123456789"
NO_WAITS = RetryWaits(initial_seconds=0, longest_seconds=0, jitter_seconds=0)

Asking = Callable[..., Awaitable[Any]]
"""Asks for the pull requests of SHA, with a client of the given options."""


@asynccontextmanager
async def serve(fake: FakeForge) -> AsyncIterator[FakeForge]:
    app = web.Application(client_max_size=64 * 1024**2)
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()


@asynccontextmanager
async def making(
    kind: Callable[..., Client], times: Times, *, credentials: list[dict[str, Any]], **defaults: Any
) -> AsyncIterator[Callable[..., Client]]:
    """Give a maker of clients of one session, which show `credentials` unless told otherwise and never really wait."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        shown = credentials
        always = {"retry_waits": NO_WAITS, "clock": times.clock, "sleep": times.sleep, **defaults}

        def make(*, credentials: list[dict[str, Any]] | None = None, **options: Any) -> Client:
            source = CredentialSource.from_settings(shown if credentials is None else credentials)
            return kind(session, credentials=source, **{**always, **options})

        yield make
