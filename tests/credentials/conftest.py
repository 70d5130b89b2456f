from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from tests.credentials.github import AppServer, make_pem

PEM, PUBLIC = make_pem()


@pytest.fixture
def pem() -> str:
    """A private key; making one takes long enough to make only one."""
    return PEM


@pytest.fixture
async def github() -> AsyncIterator[AppServer]:
    server = AppServer(public_key=PUBLIC)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    server.gate.set()
    await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened
