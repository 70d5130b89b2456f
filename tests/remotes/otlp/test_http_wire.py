"""What only HTTP has: paths, pages of proxies, redirects, `Retry-After` as a date."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from tests.remotes.otlp.receiver import Raw, Receiver, Refuse, serving_grpc, serving_http
from tests.remotes.otlp.requests import logs, traces

from fluxtrail.model.errors import UpstreamError
from fluxtrail.remotes.otlp.answers import ANSWER_LIMIT_BYTES, Answer, TooLargeError, parse_retry_after
from fluxtrail.remotes.otlp.options import OtlpOptions
from fluxtrail.remotes.otlp.proxies import find_proxy
from fluxtrail.remotes.otlp.sender import OtlpSender

HTTP = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}


@asynccontextmanager
async def sending(receiver: Receiver, **variables: str) -> AsyncIterator[OtlpSender]:
    async with serving_http(receiver) as url:
        stated = {name: value.replace("URL", url) for name, value in variables.items()}
        environ = {**HTTP, "OTEL_EXPORTER_OTLP_ENDPOINT": url, **stated}
        async with OtlpSender(OtlpOptions.from_environ(environ)) as sender:
            yield sender


async def test_the_request_says_what_it_is(receiver: Receiver) -> None:
    async with sending(receiver, OTEL_EXPORTER_OTLP_COMPRESSION="gzip") as sender:
        await sender.send_traces(traces())
    headers = receiver.received[0].headers
    assert headers["content-type"] == "application/x-protobuf"
    assert headers["content-encoding"] == "gzip"


async def test_a_signals_own_endpoint_is_used_as_it_is(receiver: Receiver) -> None:
    async with sending(receiver, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="URL/elsewhere") as sender:
        with pytest.raises(UpstreamError, match="no such path") as caught:
            await sender.send_traces(traces())
        await sender.send_logs(logs())
    assert caught.value.status == 404
    assert "/elsewhere" in str(caught.value)
    assert len(receiver.log_records) == 1


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (
            b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "old", "new": 1}}',
            "application/json; charset=utf-8",
        ),
        (b"\n\x07\x08\x02\x12\x03old", "application/x-protobuf"),
        (b"\n\x07\x08\x02\x12\x03old", "application/x-protobuf; charset=binary"),
    ],
)
async def test_an_answer_is_read_in_either_encoding(receiver: Receiver, body: bytes, kind: str) -> None:
    receiver.usual = Raw(200, kind, body)
    async with sending(receiver) as sender:
        assert await sender.send_traces(traces()) == Answer(rejected=2, message="old")


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_an_empty_answer_is_a_success(receiver: Receiver, status: int) -> None:
    receiver.usual = Raw(status, "text/plain", b"")
    async with sending(receiver) as sender:
        assert await sender.send_traces(traces()) == Answer(rejected=0, message="")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>Please log in</html>", "text/html"),
        (b"<html>Please log in</html>", "application/x-protobuf"),
        (b"[1]", "application/json"),
        (b"{", "application/json"),
        (b'{"partialSuccess": {"rejectedSpans": {}}}', "application/json"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "application/json"),
        (b"\xff" * (ANSWER_LIMIT_BYTES + 1), "application/x-protobuf"),
    ],
    ids=["page", "lying page", "list", "half", "wrong type", "deep", "endless"],
)
async def test_a_200_that_is_not_otlps_is_no_success(receiver: Receiver, body: bytes, kind: str) -> None:
    receiver.usual = Raw(200, kind, body)
    async with sending(receiver) as sender:
        with pytest.raises(UpstreamError, match="not OTLP's") as caught:
            await sender.send_traces(traces())
    assert caught.value.retryable


async def test_a_proxys_page_is_shown_short_and_cleared(receiver: Receiver) -> None:
    page = b"<p>Bad gateway, password=hunter2</p>" + b"x" * 100_000
    receiver.usual = Raw(502, "text/html", page)
    async with sending(receiver) as sender:
        with pytest.raises(UpstreamError, match="Bad gateway") as caught:
            await sender.send_traces(traces())
    assert caught.value.retryable
    assert "hunter2" not in str(caught.value)
    assert len(str(caught.value)) < 2000


async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.script.append(Raw(308, "text/plain", b"", {"Location": "/v1/logs"}))
    async with sending(receiver, OTEL_EXPORTER_OTLP_HEADERS="authorization=secret-word") as sender:
        with pytest.raises(UpstreamError, match="redirects") as caught:
            await sender.send_traces(traces())
    assert not caught.value.retryable
    assert receiver.asked == 1


async def test_a_grpc_port_is_told_apart(receiver: Receiver) -> None:
    async with serving_grpc(receiver) as target:
        options = OtlpOptions.from_environ(HTTP, endpoint=target)
        async with OtlpSender(options) as sender:
            with pytest.raises(UpstreamError, match="does not speak HTTP") as caught:
                await sender.send_traces(traces())
    assert caught.value.retryable


async def test_a_refused_request_waits_as_long_as_a_date_says(receiver: Receiver) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    receiver.usual = Raw(429, "text/plain", b"slow down", {"Retry-After": until})
    async with sending(receiver) as sender:
        with pytest.raises(UpstreamError, match="slow down") as caught:
            await sender.send_traces(traces())
    assert caught.value.retry_after_seconds is not None
    assert 60 < caught.value.retry_after_seconds <= 100


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("nan", None),
        ("inf", 3600.0),
        ("soon", None),
        ("Sat, 21 Nov 2026 08:01:00 GMT", 60.0),
        ("Sat, 21 Nov 2026 07:00:00 GMT", 0.0),
        ("Sat, 99 Nov 2026 07:00:00 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, now=datetime(2026, 11, 21, 8, tzinfo=UTC)) == seconds


async def test_a_proxy_is_used(receiver: Receiver) -> None:
    """The receiver plays the proxy: it gets the whole URL and answers for a host that does not exist."""
    async with serving_http(receiver) as proxy:
        environ = {**HTTP, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.invalid", "HTTP_PROXY": proxy}
        async with OtlpSender(OtlpOptions.from_environ(environ)) as sender:
            await sender.send_logs(logs())
    assert receiver.received[0].headers["host"] == "collector.invalid"


@pytest.mark.parametrize(
    ("exempt", "is_direct"),
    [
        ("", False),
        ("*", True),
        ("example.com", True),
        (".example.com", True),
        ("a.test, otel.example.com:4318", True),
        ("otel.example.com:80", False),
        ("ample.com", False),
        ("com.example", False),
    ],
)
def test_no_proxy(exempt: str, is_direct: bool) -> None:
    environ = {"https_proxy": "http://proxy:3128", "NO_PROXY": exempt}
    found = find_proxy("https://otel.example.com:4318/v1/traces", environ)
    assert found == (None if is_direct else "http://proxy:3128")


async def test_the_collectors_own_word_for_too_large_is_understood(receiver: Receiver) -> None:
    receiver.script.append(Refuse(400, message="http: request body too large"))
    async with sending(receiver) as sender:
        with pytest.raises(TooLargeError) as caught:
            await sender.send_traces(traces())
    assert caught.value.status == 413


@pytest.mark.parametrize("lingers", [True, False], ids=["reads on", "hangs up"])
async def test_a_proxy_that_refuses_after_the_head_is_heard(lingers: bool) -> None:
    """As nginx does with its limit of 1 MiB: it answers before the body is there."""

    hung_up = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        with suppress(ConnectionError):
            while lingers and await reader.read(65_536):
                pass
            writer.close()
            await writer.wait_closed()
        hung_up.set()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        where = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with OtlpSender(OtlpOptions.from_environ(HTTP, endpoint=where)) as sender:
            with pytest.raises(TooLargeError):
                await sender.send_traces(traces("x" * 8_000_000))
        async with asyncio.timeout(5):
            await hung_up.wait()
