"""What only gRPC has: its weight, its compression, its ports."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys

import pytest
from tests.remotes.otlp.receiver import Receiver, serving_grpc, serving_http
from tests.remotes.otlp.requests import logs, traces

from fluxtrail.model.errors import NotFoundError, UpstreamError
from fluxtrail.remotes.otlp.options import OtlpOptions
from fluxtrail.remotes.otlp.sender import OtlpSender
from fluxtrail.remotes.otlp.variables import Signal

_OPENED = """
import asyncio, sys
from fluxtrail.remotes.otlp.options import OtlpOptions
from fluxtrail.remotes.otlp.sender import OtlpSender

async def main():
    async with OtlpSender(OtlpOptions.from_environ({"OTEL_EXPORTER_OTLP_PROTOCOL": sys.argv[1]})):
        print("grpc" in sys.modules)

asyncio.run(main())
"""


@pytest.mark.parametrize(("protocol", "is_loaded"), [("http/protobuf", False), ("grpc", True)])
def test_grpc_is_loaded_only_where_it_is_spoken(protocol: str, is_loaded: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _OPENED, protocol], capture_output=True, text=True, check=True, timeout=15
    )
    assert (done.stdout.strip(), done.stderr) == (str(is_loaded), "")


@pytest.mark.parametrize(("compression", "most"), [("gzip", 20_000), ("none", 200_000)])
async def test_compression_shrinks_what_goes_over_the_wire(receiver: Receiver, compression: str, most: int) -> None:
    passed = 0

    async def relay(source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_counted: bool) -> None:
        nonlocal passed
        with contextlib.suppress(ConnectionError):  # either side may end by a reset
            while chunk := await source.read(65_536):
                passed += len(chunk) if is_counted else 0
                sink.write(chunk)
                await sink.drain()
        sink.close()

    async with serving_grpc(receiver) as target:
        host, _, port = target.rpartition(":")

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            async with asyncio.TaskGroup() as group:
                group.create_task(relay(reader, far_writer, is_counted=True))
                group.create_task(relay(far_reader, writer, is_counted=False))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        async with server:
            environ = {"OTEL_EXPORTER_OTLP_COMPRESSION": compression}
            where = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with OtlpSender(OtlpOptions.from_environ(environ, endpoint=where)) as sender:
                await sender.send_traces(traces("x" * 100_000))
    assert len(receiver.spans) == 1
    assert most / 20 < passed + 1_000 < most


async def test_an_http_port_is_told_apart(receiver: Receiver) -> None:
    async with serving_http(receiver) as url, OtlpSender(OtlpOptions.from_environ({}, endpoint=url)) as sender:
        with pytest.raises(UpstreamError, match="speaks HTTP, not gRPC") as caught:
            await sender.send_traces(traces())
    assert caught.value.retryable


async def test_a_collector_without_a_signal_says_so(receiver: Receiver) -> None:
    async with (
        serving_grpc(receiver, signals=[Signal.TRACES]) as target,
        OtlpSender(OtlpOptions.from_environ({}, endpoint=target)) as sender,
    ):
        with pytest.raises(NotFoundError, match="takes no logs") as caught:
            await sender.send_logs(logs())
        await sender.send_traces(traces())
    assert not caught.value.retryable


async def test_signals_go_to_their_own_collectors(receiver: Receiver) -> None:
    other = Receiver()
    async with serving_grpc(receiver) as target, serving_http(other) as url:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{target}",
            "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{url}/v1/logs",
        }
        async with OtlpSender(OtlpOptions.from_environ(environ)) as sender:
            await sender.send_traces(traces())
            await sender.send_logs(logs())
    assert len(receiver.spans) == 1
    assert len(other.log_records) == 1
