"""A registry by HTTPS: nothing of it is ever asked by plain HTTP."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from tests.remotes.oci.registry import EXPORTER_INFO
from tests.remotes.oci.worlds import EXPORT, FakeRegistry, says, token_answer
from tests.remotes.otlp.certificates import Authority

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.credentials.registries import RegistryCredentials
from fluxtrail.model.errors import AuthError, UpstreamError
from fluxtrail.remotes.allow import AllowList
from fluxtrail.remotes.oci.registries import Registries

LOGIN = [{"host": "127.0.0.1", "username": "flux", "password": "hunter2hunter2"}]
Starter = Callable[[], Awaitable[FakeRegistry]]


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[FakeRegistry]:
    pair = Authority(tmp_path).issue("registry")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    fake = FakeRegistry()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    fake.base_url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


@pytest.fixture
async def trusting(secure: FakeRegistry, tmp_path: Path) -> AsyncIterator[Registries]:
    context = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield registries(session)


def registries(session: aiohttp.ClientSession) -> Registries:
    credentials = RegistryCredentials(CredentialSource.from_settings(LOGIN), environ={})
    return Registries(session, allow=AllowList(["127.0.0.1/*", "http://127.0.0.1/*"]), credentials=credentials)


async def read(asked: Registries, secure: FakeRegistry) -> bytes | None:
    return await asked.read_layer(secure.url(), secure.add_artifact(), EXPORTER_INFO, limit_bytes=10_000)


async def test_a_token_and_a_layer(trusting: Registries, secure: FakeRegistry) -> None:
    secure.challenge = f'Bearer realm="{secure.base_url}/token",service="tests"'
    secure.accepts = lambda shown: shown == "Bearer t0"
    secure.always["/token"] = token_answer("t0")
    assert await read(trusting, secure) == EXPORT


async def test_a_certificate_that_is_not_trusted(secure: FakeRegistry) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(UpstreamError, match="certificate is not trusted") as caught:
            await read(registries(session), secure)
    assert not caught.value.retryable
    assert not secure.asked


async def test_storage_by_plain_http_is_not_asked(
    trusting: Registries, secure: FakeRegistry, start_registry: Starter
) -> None:
    storage = await start_registry()
    secure.always["/v2/"] = says(307, Location=f"{storage.base_url}/blob")
    with pytest.raises(UpstreamError, match="away from HTTPS") as caught:
        await read(trusting, secure)
    assert not caught.value.retryable
    assert not storage.asked


async def test_a_token_service_by_plain_http_is_not_asked(
    trusting: Registries, secure: FakeRegistry, start_registry: Starter
) -> None:
    service = await start_registry()
    secure.challenge = f'Bearer realm="{service.base_url}/token"'
    secure.accepts = lambda _shown: False
    with pytest.raises(AuthError, match="not served by HTTPS"):
        await read(trusting, secure)
    assert not service.asked
