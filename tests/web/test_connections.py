"""What a listener bears of those who connect: heads without end, heads that never come, too many at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fluxtrail.web import connections
from fluxtrail.web.connections import HEAD_LIMIT_BYTES
from fluxtrail.web.server import Address, Listener, WebServer

DEADLINE_SECONDS = 10.0
ASK = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture
async def address() -> AsyncIterator[Address]:
    async with WebServer([Listener(name="one", app=hello, host="127.0.0.1", port=0, connections=3)]) as server:
        yield server.addresses["one"]


clients: list[Client] = []


@pytest.fixture(autouse=True)
async def hang_up() -> AsyncIterator[None]:
    yield
    while clients:
        clients.pop().writer.close()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, address: Address) -> Client:
        client = cls(*await asyncio.open_connection(address.host, address.port))
        clients.append(client)
        return client

    async def head(self) -> str:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()

    async def ask(self) -> str:
        self.writer.write(ASK)
        head = await self.head()
        await self.reader.readexactly(int(head.split("content-length: ")[1].split()[0]))
        return head

    async def rest(self) -> bytes:
        """Return what comes until the connection is closed."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            try:
                return await self.reader.read(-1)
            except ConnectionResetError:
                return b""


@pytest.mark.parametrize("sent", [b"", b"POST / HT", b"\r\n", ASK + b"GET / HTTP/1.1\r\nx: y\r\n"])
async def test_who_does_not_complete_a_head_is_left(
    address: Address, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    client = await Client.connect(address)
    client.writer.write(sent)
    assert (await client.rest()).count(b"200 OK") == sent.count(ASK)


async def test_a_head_that_trickles_does_not_buy_time(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    client = await Client.connect(address)

    async def trickle() -> None:
        client.writer.write(b"GET / HTTP/1.1\r\nx: ")
        while not client.reader.at_eof():
            client.writer.write(b"y")
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(trickle())
        assert await client.rest() == b""
        task.cancel()


@pytest.mark.parametrize("begin", [b"GET /", b"GET / HTTP/1.1\r\nx: ", ASK + b"GET / HTTP/1.1\r\nx: "])
async def test_a_head_without_end_is_refused(address: Address, begin: bytes) -> None:
    client = await Client.connect(address)
    client.writer.write(begin + b"y" * HEAD_LIMIT_BYTES)
    assert b" 431 " in await client.rest()


async def test_requests_go_on_over_one_connection_beyond_the_time_for_a_head(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.1)
    client = await Client.connect(address)
    for _ in range(3):
        assert "200 ok" in await client.ask()
        await asyncio.sleep(0.15)  # idle between requests is another matter: keep-alive's


async def test_too_many_connections_are_told_when_to_come_again(address: Address) -> None:
    early = [await Client.connect(address) for _ in range(3)]
    for client in early:
        assert "200 ok" in await client.ask()
    late = await Client.connect(address)
    refused = await late.ask()
    assert "503 service unavailable" in refused
    assert "retry-after: 5" in refused
    assert await late.rest() == b""
    for client in early:
        assert "200 ok" in await client.ask()
