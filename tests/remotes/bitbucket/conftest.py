from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from tests.remotes.forges import SECRET, FakeForge, Times, making

from fluxtrail.remotes.bitbucket.client import BitbucketClient

ClientMaker = Callable[..., BitbucketClient]
CREDENTIALS = [{"host": "bit.test", "token": SECRET}]


@pytest.fixture
async def make_client(forge: FakeForge, times: Times) -> AsyncIterator[ClientMaker]:
    where = {"host": "bit.test", "api_url": f"{forge.base_url}/2.0"}
    async with making(BitbucketClient, times, credentials=CREDENTIALS, **where) as make:
        yield make


@pytest.fixture
def client(make_client: ClientMaker) -> BitbucketClient:
    return make_client()


@pytest.fixture
def server(make_client: ClientMaker, forge: FakeForge) -> BitbucketClient:
    return make_client(api_url=f"{forge.base_url}/rest")
