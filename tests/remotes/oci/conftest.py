from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.remotes.oci.registry import real_registry
from tests.remotes.oci.worlds import FakeRegistry, Times

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.credentials.registries import RegistryCredentials
from fluxtrail.remotes.allow import AllowList
from fluxtrail.remotes.oci.registries import Registries
from fluxtrail.remotes.oci.registry import RetryWaits

__all__ = ["real_registry"]

RegistriesMaker = Callable[..., Registries]


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
async def start_registry() -> AsyncIterator[Callable[[], Awaitable[FakeRegistry]]]:
    async with AsyncExitStack() as stack:

        async def start() -> FakeRegistry:
            fake = FakeRegistry()
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", fake.handle)
            runner = web.AppRunner(app, shutdown_timeout=1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            fake.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            return fake

        yield start


@pytest.fixture
async def fake(start_registry: Callable[[], Awaitable[FakeRegistry]]) -> FakeRegistry:
    return await start_registry()


@pytest.fixture
async def make_registries(times: Times) -> AsyncIterator[RegistriesMaker]:
    async with aiohttp.ClientSession() as session:

        def make(
            *,
            allow: tuple[str, ...] = ("http://127.0.0.1/*",),
            credentials: list[dict[str, Any]] | None = None,
            environ: Mapping[str, str] | None = None,
            **options: Any,
        ) -> Registries:
            waits = RetryWaits(initial_seconds=0, longest_seconds=0, jitter_seconds=0)
            logins = RegistryCredentials(CredentialSource.from_settings(credentials or []), environ=environ or {})
            defaults: dict[str, Any] = {"retry_waits": waits, "clock": times.clock, "sleep": times.sleep}
            return Registries(session, allow=AllowList(allow), credentials=logins, **{**defaults, **options})

        yield make


@pytest.fixture
def registries(make_registries: RegistriesMaker) -> Registries:
    return make_registries()
