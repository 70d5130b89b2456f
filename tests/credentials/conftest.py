from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from tests.credentials.github import AppServer, make_pem
from tests.credentials.identities import World

from fluxtrail.simulator.issuers.server import Issuers

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


@dataclass
class Skew:
    """How far the issuers' clock is ahead of ours."""

    seconds: float = 0.0


@pytest.fixture
def skew() -> Skew:
    return Skew()


@pytest.fixture
async def world(session: aiohttp.ClientSession, tmp_path: Path, skew: Skew) -> AsyncIterator[World]:
    made: list[World] = []
    async with Issuers(lambda: made[0].now + skew.seconds) as issuers:
        made.append(World(issuers, session, tmp_path))
        yield made[0]
