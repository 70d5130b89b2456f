"""Secured connections, over either transport: whom we trust, who we say we are, and certificates that change."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.remotes.otlp.certificates import Authority
from tests.remotes.otlp.conftest import Transport
from tests.remotes.otlp.receiver import Receiver, ServerTls
from tests.remotes.otlp.requests import traces

from fluxtrail.model.errors import ConfigError, UpstreamError
from fluxtrail.remotes.otlp.options import TlsPaths
from fluxtrail.remotes.otlp.tls import REREAD_SECONDS, TlsFiles
from fluxtrail.remotes.otlp.variables import Variable


def server_tls(authority: Authority, *, clients: Authority | None = None) -> ServerTls:
    pair = authority.issue("collector")
    return ServerTls(pair.certificate, pair.key, clients.path if clients else None)


async def test_an_authority_of_ones_own_is_trusted(
    transport: Transport, receiver: Receiver, authority: Authority
) -> None:
    async with (
        transport.serving(receiver, tls=server_tls(authority)) as endpoint,
        transport.sending(endpoint, CERTIFICATE=str(authority.path)) as sender,
    ):
        assert endpoint.startswith("https://")
        await sender.send_traces(traces("applied"))
    assert len(receiver.spans) == 1


async def test_a_strange_authority_is_not_trusted(
    transport: Transport, receiver: Receiver, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    async with (
        transport.serving(receiver, tls=server_tls(authority)) as endpoint,
        transport.sending(endpoint, CERTIFICATE=str(other.path)) as sender,
    ):
        with pytest.raises(UpstreamError) as caught:
            await sender.send_traces(traces())
    assert caught.value.retryable
    assert "no secured connection" in str(caught.value)
    assert receiver.asked == 0


async def test_without_one_only_the_systems_are_trusted(
    transport: Transport, receiver: Receiver, authority: Authority
) -> None:
    async with (
        transport.serving(receiver, tls=server_tls(authority)) as endpoint,
        transport.sending(endpoint) as sender,
    ):
        with pytest.raises(UpstreamError):
            await sender.send_traces(traces())
    assert receiver.asked == 0


async def test_a_client_certificate_is_presented(
    transport: Transport, receiver: Receiver, authority: Authority
) -> None:
    me = authority.issue("fluxtrail")
    async with (
        transport.serving(receiver, tls=server_tls(authority, clients=authority)) as endpoint,
        transport.sending(
            endpoint,
            CERTIFICATE=str(authority.path),
            CLIENT_CERTIFICATE=str(me.certificate),
            CLIENT_KEY=str(me.key),
        ) as sender,
    ):
        await sender.send_traces(traces())
    assert len(receiver.spans) == 1


async def test_without_the_client_certificate_nothing_arrives(
    transport: Transport, receiver: Receiver, authority: Authority
) -> None:
    async with (
        transport.serving(receiver, tls=server_tls(authority, clients=authority)) as endpoint,
        transport.sending(endpoint, CERTIFICATE=str(authority.path)) as sender,
    ):
        with pytest.raises(UpstreamError) as caught:
            await sender.send_traces(traces())
    assert caught.value.retryable
    assert receiver.asked == 0


async def test_a_plain_collector_does_not_answer_a_secured_call(transport: Transport, receiver: Receiver) -> None:
    async with (
        transport.serving(receiver) as endpoint,
        transport.sending(endpoint.replace("http://", "https://")) as sender,
    ):
        with pytest.raises(UpstreamError) as caught:
            await sender.send_traces(traces())
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("variable", "content", "expected"),
    [
        ("CERTIFICATE", None, "cannot be read"),
        ("CERTIFICATE", "hello", "no PEM file"),
        ("CERTIFICATE", "", "no PEM file"),
        ("CLIENT_CERTIFICATE", "hello", "not a PEM certificate"),
        ("CLIENT_KEY", "hello", "not a PEM certificate"),
    ],
)
async def test_a_file_that_is_no_certificate_is_named(
    transport: Transport, authority: Authority, tmp_path: Path, variable: str, content: str | None, expected: str
) -> None:
    me = authority.issue("fluxtrail")
    broken = tmp_path / "broken.pem"
    if content is not None:
        broken.write_text(content)
    stated = {
        "CERTIFICATE": str(authority.path),
        "CLIENT_CERTIFICATE": str(me.certificate),
        "CLIENT_KEY": str(me.key),
        variable: str(broken),
    }
    with pytest.raises(ConfigError, match=expected) as caught:
        async with transport.sending("https://127.0.0.1:1", **stated):
            pass
    assert f"OTEL_EXPORTER_OTLP_{variable}" in str(caught.value)


def test_files_are_read_again_when_they_change(authority: Authority) -> None:
    now = 0.0
    me = authority.issue("fluxtrail")
    paths = TlsPaths(Variable("A", str(authority.path)), Variable("C", str(me.certificate)), Variable("K", str(me.key)))
    files = TlsFiles(paths, monotonic=lambda: now)
    first, context = files.load(), files.context
    authority.issue("fluxtrail")
    now = REREAD_SECONDS - 1
    assert files.load() is first
    now = REREAD_SECONDS
    second = files.load()
    assert second != first
    assert second.certificate == me.certificate.read_bytes()
    assert files.context is not context
    now = 3 * REREAD_SECONDS
    assert files.load() is second
    me.key.write_text("half a rotation")
    now = 4 * REREAD_SECONDS
    assert files.load() is second
    assert "BEGIN" not in repr(second)
