from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from tests.remotes.github.artifacts import ArtifactClientMaker, VirtualClock
from tests.remotes.github.forge import FakeForge, Times
from tests.remotes.github.keeping import ClientMaker, Keeper, clients

from fluxtrail.remotes.github.artifact_metadata import ArtifactMetadataClient
from fluxtrail.remotes.github.client import GitHubClient


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
def client(make_client: ClientMaker) -> GitHubClient:
    return make_client()


@pytest.fixture
def turning() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def make_artifacts(forge: FakeForge, turning: VirtualClock) -> AsyncIterator[ArtifactClientMaker]:
    """Make clients of the artifact metadata API that wait for every rate limit, and have no jitter."""
    async with aiohttp.ClientSession() as session:

        def make(organization: str = "test-org", **options: Any) -> ArtifactMetadataClient:
            defaults: dict[str, Any] = {
                "base_url": forge.base_url,
                "clock": turning,
                "jitter": lambda: 0.0,
                "longest_wait_seconds": 7200.0,
            }
            return ArtifactMetadataClient(session, organization, **{**defaults, **options})

        yield make
