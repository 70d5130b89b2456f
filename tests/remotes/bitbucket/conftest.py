from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.remotes.bitbucket.keeping import ClientMaker, Keeper, clients
from tests.remotes.forges import FakeForge, Times

from fluxtrail.remotes.bitbucket.client import BitbucketClient


@pytest.fixture
def keeper(forge: FakeForge) -> Keeper:
    keeper = Keeper(forge)
    forge.says(keeper)
    return keeper


@pytest.fixture
async def make_client(forge: FakeForge, times: Times) -> AsyncIterator[ClientMaker]:
    async with clients(forge, times) as make:
        yield make


@pytest.fixture
def client(make_client: ClientMaker) -> BitbucketClient:
    return make_client()


@pytest.fixture
def server(make_client: ClientMaker, forge: FakeForge) -> BitbucketClient:
    return make_client(api_url=f"{forge.base_url}/rest")
