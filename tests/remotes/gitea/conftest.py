from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from tests.remotes.forges import SECRET, FakeForge, Times, making

from fluxtrail.remotes.gitea.client import GiteaClient

ClientMaker = Callable[..., GiteaClient]
CREDENTIALS = [{"host": "git.test", "owner": "acme", "token": SECRET}]


@pytest.fixture
async def make_client(forge: FakeForge, times: Times) -> AsyncIterator[ClientMaker]:
    where = {"host": "git.test", "api_url": f"{forge.base_url}/api/v1"}
    async with making(GiteaClient, times, credentials=CREDENTIALS, **where) as make:
        yield make


@pytest.fixture
def client(make_client: ClientMaker) -> GiteaClient:
    return make_client()
