"""What the tests of chats and webhooks share: a session as the service has it, and a server that answers by script."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from tests.remotes.forges import FakeForge, Says, serve

from fluxtrail.remotes.posting import Sender

__all__ = ["NOW", "FakeForge", "Says", "sending", "serve"]

NOW = 1_768_212_000.0


@asynccontextmanager
async def sending(*, name: str = "route audit", timeout_seconds: float = 5.0) -> AsyncIterator[Sender]:
    async with aiohttp.ClientSession(trust_env=False, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Sender(lambda _: session, name=name, timeout_seconds=timeout_seconds, clock=lambda: NOW)
