"""What the tests of forges share: a server that answers by script, and what every forge's client must stand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from tests.remotes.github.forge import SHA, FakeForge, Says, Times

from fluxtrail.remotes.waits import RetryWaits

__all__ = ["NO_WAITS", "SECRET", "SHA", "Asking", "FakeForge", "Says", "Times", "serve"]

SECRET = "0123456789secret0123456789"
NO_WAITS = RetryWaits(initial_seconds=0, longest_seconds=0, jitter_seconds=0)

Asking = Callable[..., Awaitable[Any]]
"""Asks for the pull requests of SHA, with a client of the given options."""


@asynccontextmanager
async def serve(fake: FakeForge) -> AsyncIterator[FakeForge]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()
