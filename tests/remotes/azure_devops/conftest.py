from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from tests.remotes.forges import SECRET, FakeForge, Times, making

from fluxtrail.remotes.azure_devops.client import AzureDevOpsClient

ClientMaker = Callable[..., AzureDevOpsClient]
CREDENTIALS = [{"host": "ado.test", "owner": "tfs/acme", "token": SECRET}]


@pytest.fixture
async def make_client(forge: FakeForge, times: Times) -> AsyncIterator[ClientMaker]:
    where = {"host": "ado.test", "api_url": f"{forge.base_url}/tfs"}
    async with making(AzureDevOpsClient, times, credentials=CREDENTIALS, **where) as make:
        yield make


@pytest.fixture
def client(make_client: ClientMaker) -> AzureDevOpsClient:
    return make_client()
