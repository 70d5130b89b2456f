from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from tests.remotes.forges import SECRET, FakeForge, Times, making

from fluxtrail.remotes.gitlab.client import GitLabClient

ClientMaker = Callable[..., GitLabClient]
CREDENTIALS = [{"host": "gitlab.test", "owner": "acme", "token": SECRET}]


@pytest.fixture
async def make_client(forge: FakeForge, times: Times) -> AsyncIterator[ClientMaker]:
    where = {"host": "gitlab.test", "api_url": f"{forge.base_url}/api/v4"}
    async with making(GitLabClient, times, credentials=CREDENTIALS, **where) as make:
        yield make


@pytest.fixture
def client(make_client: ClientMaker) -> GitLabClient:
    return make_client()
