from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from fluxtrail.model.errors import ConfigError
from fluxtrail.web.server import Listener, WebServer, parse_address


async def hello(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def fetch(url: str) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.read()


async def test_every_listener_is_served_on_its_own_free_port() -> None:
    listeners = [Listener(name=name, app=hello, host="127.0.0.1", port=0) for name in ("one", "two")]
    async with WebServer(listeners) as server:
        one, two = server.addresses["one"], server.addresses["two"]
        assert one.port != two.port
        assert [await fetch(one.url), await fetch(two.url)] == [b"hello", b"hello"]
    with pytest.raises(aiohttp.ClientConnectorError):
        await fetch(one.url)


async def test_a_port_in_use_is_named_and_nothing_is_left_bound() -> None:
    with socket.socket() as taken, socket.socket() as free:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        free.bind(("127.0.0.1", 0))
        port, free_port = taken.getsockname()[1], free.getsockname()[1]
        free.close()
        listeners = [
            Listener(name="api", app=hello, host="127.0.0.1", port=free_port),
            Listener(name="metrics", app=hello, host="127.0.0.1", port=port),
        ]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port} for metrics.*in use"):
            await WebServer(listeners).__aenter__()
        with socket.socket() as again:
            again.bind(("127.0.0.1", free_port))


async def test_no_host_means_every_address() -> None:
    async with WebServer([Listener(name="metrics", app=hello, host="", port=0)]) as server:
        assert await fetch(f"http://127.0.0.1:{server.addresses['metrics'].port}") == b"hello"


async def test_a_running_request_is_finished_on_leaving() -> None:
    entered, may_end = asyncio.Event(), asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        entered.set()
        await may_end.wait()
        await hello(scope, receive, send)

    async with asyncio.TaskGroup() as group:
        async with WebServer([Listener(name="api", app=slow, host="127.0.0.1", port=0)]) as server:
            answer = group.create_task(fetch(server.addresses["api"].url))
            await entered.wait()
            asyncio.get_running_loop().call_later(0.05, may_end.set)
        assert await answer == b"hello"


async def test_an_error_of_the_body_comes_out_as_it_is() -> None:
    with pytest.raises(ValueError, match="ours"):
        async with WebServer([Listener(name="api", app=hello, host="127.0.0.1", port=0)]):
            raise ValueError("ours")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":8888", ("", 8888)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:9440", ("::1", 9440)),
        ("localhost:80", ("localhost", 80)),
    ],
)
def test_addresses_are_parsed(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text, subject="metrics_addr") == expected


@pytest.mark.parametrize("text", ["8888", "::1:80", "host:", "host:port", "host:65536", ""])
def test_other_text_is_no_address(text: str) -> None:
    with pytest.raises(ConfigError, match=r"metrics_addr: .*write host:port"):
        parse_address(text, subject="metrics_addr")
