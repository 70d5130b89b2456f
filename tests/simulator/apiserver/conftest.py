from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from tests.simulator.apiserver.kube_api import Api

from fluxtrail.simulator.apiserver.server import ApiServer


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(read_bufsize=2**25) as session:
        yield session


@pytest.fixture
async def api(session: aiohttp.ClientSession) -> AsyncIterator[Api]:
    async with ApiServer(name="prod", seed=1) as server:
        server.store.insert_namespace("apps")
        yield Api(server, session)
