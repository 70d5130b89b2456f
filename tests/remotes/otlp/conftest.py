from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.remotes.otlp.certificates import Authority
from tests.remotes.otlp.receiver import Receiver, ServerTls, serving_grpc, serving_http

from fluxtrail.remotes.otlp.options import OtlpOptions, Protocol
from fluxtrail.remotes.otlp.sender import OtlpSender


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", autouse=True)
async def one_loop(anyio_backend: str) -> AsyncIterator[None]:
    """Run a module's tests in one event loop: gRPC's thread wakes the loop of a call after its test has ended."""
    yield
    await asyncio.sleep(0)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture(params=list(Protocol), ids=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> Protocol:
    found: Protocol = request.param
    return found


@dataclass(frozen=True)
class Transport:
    """One of the two ways to a receiver; a test that takes it runs over both."""

    protocol: Protocol

    @asynccontextmanager
    async def serving(
        self, receiver: Receiver, *, port: int = 0, tls: ServerTls | None = None, limit_bytes: int = 4 * 1024 * 1024
    ) -> AsyncIterator[str]:
        """Yield the endpoint as `OTEL_EXPORTER_OTLP_ENDPOINT` takes it."""
        if self.protocol is Protocol.HTTP:
            async with serving_http(receiver, port=port, tls=tls, limit_bytes=limit_bytes) as url:
                yield url
            return
        async with serving_grpc(receiver, port=port, tls=tls, limit_bytes=limit_bytes) as target:
            yield f"{'https' if tls else 'http'}://{target}"

    def options(self, endpoint: str, **variables: str) -> OtlpOptions:
        """Return the options; `TIMEOUT="50"` is `OTEL_EXPORTER_OTLP_TIMEOUT=50`."""
        stated = {"ENDPOINT": endpoint, "PROTOCOL": self.protocol.value, **variables}
        return OtlpOptions.from_environ({f"OTEL_EXPORTER_OTLP_{name}": value for name, value in stated.items()})

    def sending(self, endpoint: str, **variables: str) -> AbstractAsyncContextManager[OtlpSender]:
        return OtlpSender(self.options(endpoint, **variables))


@pytest.fixture
def transport(protocol: Protocol) -> Transport:
    return Transport(protocol)


@pytest.fixture
async def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port that refuses: bound, so that nobody else takes it, and not listened on."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.fixture
async def mute_port() -> AsyncIterator[int]:
    """A port that takes connections and never says a word."""
    done, held = asyncio.Event(), asyncio.TaskGroup()

    async def wait_and_close(writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.create_task(wait_and_close(writer))

    async with held:
        server = await asyncio.start_server(hold, "127.0.0.1", 0)
        yield server.sockets[0].getsockname()[1]
        server.close()
        done.set()
