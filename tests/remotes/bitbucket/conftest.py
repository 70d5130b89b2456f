from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from tests.remotes.forges import NO_WAITS, SECRET, FakeForge, Times, serve

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.remotes.bitbucket.client import BitbucketClient

ClientMaker = Callable[..., BitbucketClient]
CREDENTIALS = [{"host": "bit.test", "token": SECRET}]


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
async def forge() -> AsyncIterator[FakeForge]:
    async with serve(FakeForge()) as fake:
        yield fake


@pytest.fixture
async def make_client(forge: FakeForge, times: Times) -> AsyncIterator[ClientMaker]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:

        def make(*, credentials: list[dict[str, Any]] | None = None, **options: Any) -> BitbucketClient:
            source = CredentialSource.from_settings(CREDENTIALS if credentials is None else credentials)
            defaults = {"host": "bit.test", "api_url": f"{forge.base_url}/2.0", "retry_waits": NO_WAITS}
            clocks = {"clock": times.clock, "sleep": times.sleep}
            return BitbucketClient(session, credentials=source, **{**defaults, **clocks, **options})

        yield make


@pytest.fixture
def client(make_client: ClientMaker) -> BitbucketClient:
    return make_client()


@pytest.fixture
def server(make_client: ClientMaker, forge: FakeForge) -> BitbucketClient:
    return make_client(api_url=f"{forge.base_url}/rest")
