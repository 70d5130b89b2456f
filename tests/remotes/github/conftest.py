from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.remotes.github.artifacts import ArtifactClientMaker, VirtualClock
from tests.remotes.github.forge import FakeForge, Times

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.remotes.github.artifact_metadata import ArtifactMetadataClient
from fluxtrail.remotes.github.client import GitHubClient
from fluxtrail.remotes.waits import RetryWaits


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
async def forge() -> AsyncIterator[FakeForge]:
    fake = FakeForge()
    app = web.Application(client_max_size=64 * 1024**2)
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


ClientMaker = Callable[..., GitHubClient]


@pytest.fixture
async def make_client(forge: FakeForge, times: Times) -> AsyncIterator[ClientMaker]:
    async with aiohttp.ClientSession() as session:

        def make(*, credentials: list[dict[str, Any]] | None = None, **options: Any) -> GitHubClient:
            defaults: dict[str, Any] = {
                "base_url": forge.base_url,
                "retry_waits": RetryWaits(initial_seconds=0, longest_seconds=0, jitter_seconds=0),
                "clock": times.clock,
                "sleep": times.sleep,
            }
            return GitHubClient(
                session, credentials=CredentialSource.from_settings(credentials or []), **{**defaults, **options}
            )

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
