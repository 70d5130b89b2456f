"""Bodies and clients that mean no good: refused or without effect, never a failure of ours, and nothing else lost."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from tests.web.hooks.conftest import (
    DEADLINE_SECONDS,
    FORGE_SECRET,
    PROD_SECRET,
    Post,
    World,
    cdevent,
    counted,
    flux,
    github,
    push,
    sign,
    signed,
    until,
)

from fluxtrail.model.notices import Hook, KeptNotice
from fluxtrail.web.hooks.app import HooksApp
from fluxtrail.web.hooks.bodies import BODY_LIMIT_BYTES, Limits
from fluxtrail.web.server import Address

Kept = Callable[[], Awaitable[list[KeptNotice]]]

DEEP = 200_000
UNREADABLE = {
    "nothing": b"",
    "white space": b" \n",
    "no JSON": b"hello",
    "half": flux()[:-20],
    "two": flux() + flux(),
    "null": b"null",
    "a list": b"[]",
    "a text": b'"x"',
    "no object named": b"{}",
    "an object of null": b'{"involvedObject": null}',
    "a number for a name": b'{"involvedObject": {"kind": 1, "name": "x"}}',
    "an object for a text": b'{"involvedObject": {"kind": "K", "name": "x"}, "message": {}}',
    "a list for metadata": b'{"involvedObject": {"kind": "K", "name": "x"}, "metadata": []}',
    "deep lists": b"[" * DEEP,
    "deep and closed": b'{"x": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep objects": b'{"metadata":' * DEEP,
    "not UTF-8": flux().replace(b"apps", b"\xff\xfe"),
    "UTF-16": flux().decode().encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + flux(),
    "NUL": b"\x00" * 100,
    "half a surrogate pair": flux().replace(b"apps", b"\\ud800"),
    "a number without end": b'{"involvedObject": {"kind": ' + b"9" * 100_000 + b"}}",
    "no number": b'{"involvedObject": {"kind": NaN}}',
}
ODD = {
    "NUL in a text": flux().replace(b"apps", b"a\\u0000b"),
    "a number beyond floats that nobody reads": flux()[:-1] + b', "x": 1e999}',
    "duplicate keys": flux()[:-1] + b', "reason": "Other"}',
    "a time that is none": flux(timestamp="yesterday"),
    "a time beyond time": flux(timestamp="9999-12-31T23:59:59-23:59"),
    "emoji": flux(message="\U0001f680" * 20_000),
    "a million spaces": b" " * 1_000_000 + flux(),
    "many keys": flux(metadata={f"key-{number}": "x" * 100 for number in range(10_000)}),
    "nulls": flux(timestamp=None, message=None, reason=None, metadata=None, severity=None, reportingController=None),
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_what_cannot_be_read_is_refused_with_the_reason(post: Post, kept: Kept, body: bytes) -> None:
    for path in ("/hooks/flux", "/gitopsphase", "/hooks/argocd"):
        answer = await post(path, body, signed(body))
        assert (answer.status, answer.problem["code"]) == (400, "unreadable"), path
        assert len(answer.body) < 2000
    for path, headers in (("/hooks/cdevents", signed(body, FORGE_SECRET)), ("/hooks/github", github(body))):
        assert (await post(path, body, headers)).status == 400, path
    assert await kept() == []


@pytest.mark.parametrize("body", ODD.values(), ids=ODD.keys())
async def test_what_is_odd_is_kept_within_bounds(post: Post, kept: Kept, body: bytes) -> None:
    assert (await post("/hooks/flux", body, signed(body))).status == 202
    (notice,) = await kept()
    assert len(repr(notice)) < 300_000


async def test_the_field_is_named_and_its_secret_is_not_told(post: Post) -> None:
    body = b'{"involvedObject": {"kind": "K", "name": "x"}, "message": ["password=hunter2hunter2"]}'
    answer = await post("/hooks/flux", body, signed(body))
    assert "message" in answer.problem["detail"]
    assert "hunter2" not in answer.body.decode()


async def test_secrets_are_cleared_before_they_are_kept(post: Post, kept: Kept) -> None:
    body = flux(
        message="cloning https://bot:hunter2hunter2@github.com/acme/shop failed", metadata={"token": "hunter2x"}
    )
    assert (await post("/hooks/flux", body, signed(body))).status == 202
    assert "hunter2" not in repr(await kept())


@pytest.mark.parametrize("event", ["push", "pull_request"])
async def test_github_without_what_it_always_sends_is_refused(post: Post, event: str) -> None:
    for body in (b"{}", b'{"repository": null}', b"payload=%7B%7D", b"payload="):
        assert (await post("/hooks/github", body, github(body, event))).status == 400


async def test_github_without_its_event_is_refused(post: Post) -> None:
    body = push()
    answer = await post("/hooks/github", body, {"X-Hub-Signature-256": sign(body, FORGE_SECRET)})
    assert (answer.status, "X-GitHub-Event" in answer.problem["detail"]) == (400, True)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity", "x"])
async def test_an_encoded_body_is_refused(post: Post, kept: Kept, encoding: str) -> None:
    body = gzip.compress(flux())
    answer = await post("/hooks/flux", body, signed(body) | {"Content-Encoding": encoding})
    assert (answer.status, answer.problem["code"]) == (415, "encoding")
    assert await kept() == []


async def test_a_batch_of_cloud_events_is_refused(post: Post) -> None:
    body = b"[" + cdevent() + b"]"
    headers = signed(body, FORGE_SECRET) | {"Content-Type": "application/cloudevents-batch+json"}
    assert (await post("/hooks/cdevents", body, headers)).status == 400


async def pieces(total: int, size: int = 64 * 1024) -> AsyncIterator[bytes]:
    for _ in range(total // size):
        yield b" " * size
    yield b" " * (total % size)


class TestLarge:
    async def test_a_body_at_the_limit_is_read(self, post: Post, kept: Kept) -> None:
        body = flux().ljust(BODY_LIMIT_BYTES)
        assert (await post("/hooks/flux", body, signed(body))).status == 202
        assert len(await kept()) == 1

    async def test_one_byte_more_is_refused_by_its_stated_length(self, post: Post, kept: Kept) -> None:
        body = flux().ljust(BODY_LIMIT_BYTES + 1)
        answer = await post("/hooks/flux", body, signed(body) | {"Expect": "100-continue"})
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert await kept() == []

    async def test_one_byte_more_is_refused_where_no_length_is_stated(self, post: Post, kept: Kept) -> None:
        answer = await post("/hooks/flux", pieces(BODY_LIMIT_BYTES + 1), signed(flux()))
        assert (answer.status, answer.problem["code"]) == (413, "too_large")
        assert await kept() == []

    async def test_who_is_refused_anyway_hears_why_at_the_end_of_a_large_body(self, post: Post) -> None:
        answer = await post("/hooks/flux", pieces(BODY_LIMIT_BYTES - 1))
        assert (answer.status, answer.problem["code"]) == (401, "unsigned")
        assert "connection" not in answer.headers


class TestSlow:
    @pytest.fixture
    def world(self) -> World:
        return World(limits=Limits(body_seconds=0.3, drain_seconds=0.3), anonymous={Hook.GITOPSPHASE: 100})

    @pytest.mark.parametrize(("path", "status"), [("/gitopsphase", 408), ("/hooks/flux", 401)])
    async def test_a_body_that_does_not_come_is_given_up(
        self, address: Address, kept: Kept, path: str, status: int
    ) -> None:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{".encode())
        async with asyncio.timeout(DEADLINE_SECONDS):
            answer = await reader.read(-1)
        writer.close()
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert b"connection: close" in answer
        assert await kept() == []

    async def test_a_body_that_trickles_does_not_buy_time(self, address: Address) -> None:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"POST /gitopsphase HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")

        async def trickle() -> None:
            while True:
                writer.write(b"1\r\n \r\n")
                await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as group:
            task = group.create_task(trickle())
            async with asyncio.timeout(DEADLINE_SECONDS):
                assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 408 ")
            task.cancel()
        writer.close()


class TestRoom:
    @pytest.fixture
    def world(self) -> World:
        return World(limits=Limits(held_bytes=200_000))

    async def test_large_bodies_do_not_keep_small_ones_out(
        self, post: Post, address: Address, kept: Kept, app: HooksApp
    ) -> None:
        held = [await asyncio.open_connection(address.host, address.port) for _ in range(2)]
        head = f"POST /hooks/flux HTTP/1.1\r\nauthorization: Bearer {PROD_SECRET}\r\ncontent-length: 150000\r\n\r\n"
        held[0][1].write(head.encode() + b" " * 140_000)
        await until(lambda: app._bodies._held > 100_000)
        held[1][1].write(head.encode() + b" " * 140_000)
        async with asyncio.timeout(DEADLINE_SECONDS):
            answer = await held[1][0].read(4096)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 5" in answer
        body = flux()
        assert (await post("/hooks/flux", body, signed(body))).status == 202
        for _, writer in held:
            writer.close()
        await until(lambda: not app._bodies._held)
        large = flux("large").ljust(150_000)
        assert (await post("/hooks/flux", large, signed(large))).status == 202
        assert len(await kept()) == 2


async def test_a_client_that_hangs_up_leaves_nothing(address: Address, kept: Kept, app: HooksApp) -> None:
    _, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(
        f"POST /hooks/flux HTTP/1.1\r\nauthorization: Bearer {PROD_SECRET}\r\ncontent-length: 9999\r\n\r\n{{".encode()
    )
    await writer.drain()
    writer.close()
    await until(lambda: ("refused", "flux", "disconnected") in counted(app))
    assert await kept() == []


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /hooks/flux HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /hooks/flux HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"POST /hooks/flux HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        b"POST /hooks/flux HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        b"POST /hooks/flux HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"POST /hooks/flux HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused(address: Address, kept: Kept, request_: bytes) -> None:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(request_)
    writer.write_eof()
    async with asyncio.timeout(DEADLINE_SECONDS):
        answer = await reader.read(-1)
    writer.close()
    assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 401", b"HTTP/1.1 413")
    assert await kept() == []


async def test_a_thousand_connections_at_once_all_get_an_answer(address: Address, kept: Kept) -> None:
    bodies = [flux(str(number)) for number in range(1000)]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(body: bytes) -> int:
            async with session.post(f"{address.url}/hooks/flux", data=body, headers=signed(body)) as response:
                return response.status

        async with asyncio.timeout(60):
            statuses = await asyncio.gather(*(one(body) for body in bodies))
    assert statuses.count(202) == 1000
    assert len(await kept()) == 1000
