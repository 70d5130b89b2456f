from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.remotes.forges import FakeForge, Times
from tests.remotes.gitlab.keeping import ClientMaker, Keeper, clients

from fluxtrail.remotes.gitlab.client import GitLabClient


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
def client(make_client: ClientMaker) -> GitLabClient:
    return make_client()
