"""Webhooks against a real server: what is sent, what an answer means, and that the address is nobody's to read."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.remotes.otlp.certificates import Authority
from tests.remotes.posted import NOW, FakeForge, Says, sending, serve

from fluxtrail.model.errors import (
    AuthError,
    ConfigError,
    FluxtrailError,
    NotFoundError,
    RateLimitedError,
    UpstreamError,
)
from fluxtrail.remotes.webhooks.poster import WebhookPoster

SECRET_PATH = "/hook/f00dfacef00dface"
QUERY = "code=s3cretcode"
BODY = b'{"verdict":"deployed"}'
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def receiver() -> AsyncIterator[FakeForge]:
    async with serve(FakeForge()) as found:
        found.says(Says(200, {}))
        yield found


def address(receiver: FakeForge) -> str:
    return f"{receiver.base_url}{SECRET_PATH}?{QUERY}"


async def post(url: str, *, timeout_seconds: float = 5.0, **given: Any) -> None:
    async with sending(timeout_seconds=timeout_seconds) as sender:
        await WebhookPoster(sender, clock=lambda: NOW, **given).post(url, BODY, JSON)


async def problem_of(url: str, **given: Any) -> FluxtrailError:
    with pytest.raises(FluxtrailError) as caught:
        await post(url, **given)
    text = f"{caught.value} {caught.value.subject}"
    assert caught.value.subject == "route audit"
    assert not [secret for secret in ("f00dface", "s3cret", "/hook", "127.0.0.1") if secret in text], text
    return caught.value


async def test_the_body_arrives_as_it_is_with_its_headers(receiver: FakeForge) -> None:
    for status in (200, 201, 202, 204, 299):
        receiver.says(Says(status, body=b"" if status == 204 else b"ok"))
        await post(address(receiver))
    asked = receiver.asked[0]
    assert (asked.method, asked.path, asked.body) == ("POST", f"{SECRET_PATH}?{QUERY}", BODY)
    assert asked.headers["content-type"] == "application/json"
    assert "x-signature" not in asked.headers
    assert len(receiver.asked) == 5


async def test_an_address_is_asked_as_it_is_written(receiver: FakeForge) -> None:
    path = "/a%2Fb/triggers?sp=%2Ftriggers%2Fmanual&sig=a%2Bb%3D"
    await post(receiver.base_url + path)
    await post(receiver.base_url + "/größe")
    assert [asked.path for asked in receiver.asked] == [path, "/gr%C3%B6%C3%9Fe"]


async def test_a_secret_signs_the_body_and_the_moment(receiver: FakeForge, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("first\n")
    await post(address(receiver), secret_file=secret)
    headers = receiver.asked[0].headers
    moment = headers["x-fluxtrail-timestamp"]
    assert moment == str(int(NOW))
    assert headers["x-signature"] == "sha256=" + hmac.new(b"first", BODY, hashlib.sha256).hexdigest()
    timed = hmac.new(b"first", moment.encode() + b"." + BODY, hashlib.sha256).hexdigest()
    assert headers["x-fluxtrail-signature"] == f"sha256={timed}"


async def test_files_are_read_again_when_they_change(receiver: FakeForge, tmp_path: Path) -> None:
    secret, headers = tmp_path / "secret", tmp_path / "headers.yaml"
    secret.write_text("first")
    headers.write_text("Authorization: Bearer one\nX-Team: platform\nX-Number: 7\ncontent-type: text/plain\n")
    async with sending() as sender:
        poster = WebhookPoster(sender, secret_file=secret, headers_file=headers)
        await poster.post(address(receiver), BODY, JSON)
        secret.write_text("the second one")
        headers.write_text("Authorization: Bearer another\n")
        await poster.post(address(receiver), BODY, JSON)
    first, second = (asked.headers for asked in receiver.asked)
    assert (first["authorization"], first["x-team"], first["x-number"]) == ("Bearer one", "platform", "7")
    assert first["content-type"] == "text/plain"
    assert second["authorization"] == "Bearer another"
    assert second["content-type"] == "application/json"
    assert second["x-signature"] == "sha256=" + hmac.new(b"the second one", BODY, hashlib.sha256).hexdigest()


async def test_a_signature_is_not_overruled(receiver: FakeForge, tmp_path: Path) -> None:
    secret, headers = tmp_path / "secret", tmp_path / "headers.yaml"
    secret.write_text("first")
    headers.write_text("x-signature: sha256=mine\n")
    await post(address(receiver), secret_file=secret, headers_file=headers)
    assert receiver.asked[0].headers["x-signature"] != "sha256=mine"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("just words", "Name: value"),
        ("- a\n- b\n", "Name: value"),
        ("a: [1\n", "YAML"),
        ("Host: example.com", "leave it out"),
        ("'a b': c", "'a b'"),
        ("X-A: {b: c}", "X-A"),
        ('X-A: "b\\nc: d"', "line breaks"),
        ("\n".join(f"X-{number}: a" for number in range(33)), "at most 32"),
    ],
)
async def test_headers_that_cannot_be_sent_are_named(receiver: FakeForge, tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "headers.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says) as caught:
        await post(address(receiver), headers_file=path)
    assert caught.value.subject == str(path)
    assert receiver.asked == []


@pytest.mark.parametrize(
    ("status", "kind", "is_retryable"),
    [
        (400, UpstreamError, False),
        (401, AuthError, False),
        (403, AuthError, False),
        (404, NotFoundError, False),
        (408, UpstreamError, True),
        (409, UpstreamError, False),
        (410, NotFoundError, False),
        (413, UpstreamError, False),
        (422, UpstreamError, False),
        (425, UpstreamError, True),
        (429, RateLimitedError, True),
        (500, UpstreamError, True),
        (502, UpstreamError, True),
        (503, UpstreamError, True),
    ],
)
async def test_what_a_status_means(
    receiver: FakeForge, status: int, kind: type[UpstreamError], is_retryable: bool
) -> None:
    receiver.says(Says(status, {"error": "because"}))
    error = await problem_of(address(receiver))
    assert type(error) is kind
    assert isinstance(error, UpstreamError)
    assert (error.status, error.retryable) == (status, is_retryable)
    assert status == 429 or "because" in error.message
    assert len(receiver.asked) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_a_receiver_says_when_to_come_back(receiver: FakeForge, status: int) -> None:
    receiver.says(Says(status, headers={"Retry-After": "17"}))
    assert (await problem_of(address(receiver))).retry_after_seconds == 17


async def test_no_redirect_is_followed(receiver: FakeForge) -> None:
    receiver.says(Says(307, headers={"Location": f"{receiver.base_url}/elsewhere"}))
    error = await problem_of(address(receiver))
    assert isinstance(error, UpstreamError)
    assert (error.status, error.retryable, len(receiver.asked)) == (307, False, 1)


async def test_an_answer_is_bounded_and_cleared(receiver: FakeForge, tmp_path: Path) -> None:
    headers, secret = tmp_path / "headers.yaml", tmp_path / "secret"
    headers.write_text("Authorization: Bearer abcdefghijkl\n")
    secret.write_text("hmac-secret-of-us")
    said = f"no: {address(receiver)} abcdefghijkl hmac-secret-of-us {QUERY} {SECRET_PATH}".encode()
    receiver.says(Says(400, body=said + b"x" * 3_000_000))
    error = await problem_of(address(receiver), headers_file=headers, secret_file=secret)
    assert len(error.message) < 400
    assert "abcdefghijkl" not in error.message
    assert "hmac-secret" not in error.message


async def test_a_body_that_breaks_off_after_2xx_was_taken() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        await post(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{SECRET_PATH}")


async def test_nobody_there_may_be_asked_again(receiver: FakeForge) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        dropped = await problem_of(f"http://127.0.0.1:{port}{SECRET_PATH}")
    refused = await problem_of(f"http://127.0.0.1:{port}{SECRET_PATH}")
    unknown = await problem_of(f"http://f00dface.invalid{SECRET_PATH}")
    assert [error.retryable for error in (dropped, refused, unknown)] == [True, True, True]
    assert "cannot be reached" in refused.message
    assert "DNS" in unknown.message


async def test_one_that_never_answers_is_given_up() -> None:
    gate = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        error = await problem_of(f"http://127.0.0.1:{port}{SECRET_PATH}", timeout_seconds=0.2)
        gate.set()
    assert error.retryable
    assert "no answer within" in error.message


async def test_a_certificate_that_is_not_trusted_is_explained(tmp_path: Path) -> None:
    pair = Authority(tmp_path).issue("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    port = runner.addresses[0][1]
    try:
        untrusted = await problem_of(f"https://127.0.0.1:{port}{SECRET_PATH}")
    finally:
        await runner.cleanup()
    assert untrusted.retryable
    assert "certificate is not trusted" in untrusted.message


async def test_a_plain_port_is_no_secured_one(receiver: FakeForge) -> None:
    error = await problem_of(address(receiver).replace("http://", "https://"))
    assert error.retryable
    assert "no secured connection" in error.message


async def test_an_address_that_is_none_is_a_setting(receiver: FakeForge) -> None:
    assert isinstance(await problem_of("http://"), ConfigError)
