"""The live feed over real connections: nothing lost, nothing twice, nothing without bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest
from tests.web.listening import DEADLINE_SECONDS, Client, listen
from tests.web.worlds import FAILED, NOW, ON_ITS_WAY, World

from fluxtrail.web import events
from fluxtrail.web.app import create_app
from fluxtrail.web.feed import HEARTBEAT_SECONDS, PAGE, WINDOW, Feed
from fluxtrail.web.server import Listener, WebServer

TOKEN = "0123456789abcdef0123456789abcdef"


class Watch:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@asynccontextmanager
async def serving(world: World, feed: Feed, *, token: str | None = None) -> AsyncIterator[str]:
    app = create_app(answers=world, report=world, now=lambda: NOW, feed=feed, token=token)
    async with WebServer([Listener(name="api", app=app, host="127.0.0.1", port=0, streams=300)]) as server:
        yield server.addresses["api"].url


def feed_of(world: World, **more: object) -> Feed:
    return Feed(world, poll_seconds=0.02, **more)  # type: ignore[arg-type]


@pytest.fixture
async def url(world: World) -> AsyncIterator[str]:
    async with serving(world, feed_of(world)) as found:
        yield found


@asynccontextmanager
async def listen_often(url: str, count: int) -> AsyncIterator[list[Client]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(listen(url)) for _ in range(count)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


async def test_what_happens_is_told_as_it_happens(world: World, url: str) -> None:
    world.tell()
    async with listen(url) as client:
        headers = client.response.headers
        assert (client.response.status, headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
        assert (headers["X-Accel-Buffering"], headers.getall("Cache-Control")) == ("no", ["no-store"])
        begun = await client.block()
        assert (begun.id, begun.event) == (1, None)
        world.tell(kind="applied", after="main@sha1:abc")
        world.tell(FAILED, cluster="staging")
        applied, verdict = await client.lines(2)
    assert (applied.id, applied.event, applied.data["id"], applied.data["sha"]) == (2, "applied", 2, ON_ITS_WAY)
    assert (verdict.event, verdict.data["cluster"], verdict.data["before"]) == ("verdict", "staging", "pending")


@pytest.mark.parametrize("by_header", [True, False])
async def test_coming_back_loses_and_repeats_nothing(world: World, url: str, *, by_header: bool) -> None:
    heard: list[int] = []
    last = 0
    for turn in range(8):
        async with listen(
            url, last_id=last if by_header else None, query="" if by_header else f"?after={last}"
        ) as client:
            for _ in range(turn + 1):
                world.tell()
            heard += [line.data["id"] for line in await client.lines(turn // 2 + 1)]
            last = heard[-1]
        world.tell()  # while nobody listens
    async with listen(url, last_id=last) as client:
        heard += [line.data["id"] for line in await client.lines(len(world.told) - len(heard))]
    assert heard == list(range(1, len(world.told) + 1))


async def test_the_header_wins_over_the_query_it_began_with(world: World, url: str) -> None:
    for _ in range(5):
        world.tell()
    async with listen(url, last_id=4, query="?after=1") as client:
        assert (await client.lines(1))[0].id == 5


@pytest.mark.parametrize("last_id", [3, 99, "garbage", "-1", "9" * 40], ids=str)
async def test_a_forgotten_or_unknown_id_is_answered_by_reset(world: World, url: str, last_id: int | str) -> None:
    for _ in range(6):
        world.tell()
    world.forgotten = 4
    async with listen(url, last_id=last_id) as client:
        reset = (await client.lines(1))[0]
        assert (reset.id, reset.event, reset.data) == (6, "reset", {"last_id": 6})
        world.tell()
        assert (await client.lines(1))[0].id == 7


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        (f"?commit={FAILED[:8].upper()}", [2]),
        ("?cluster=staging", [3]),
        ("?cluster=uid-staging", [3]),
        ("?target=apps", [1, 2, 3]),
        ("?target=kustomization/flux-system/APPS&cluster=prod-us", [1, 2]),
        ("?target=nothing", []),
        ("?kind=applied", [1]),
    ],
)
async def test_it_is_narrowed(world: World, url: str, query: str, ids: list[int]) -> None:
    world.tell(kind="applied")
    world.tell(FAILED)
    world.tell(cluster="staging")
    world.tell(None, kind="commit_seen", target=None, cluster="prod-eu")
    async with listen(url, last_id=0, query=query) as client:
        assert [line.id for line in await client.lines(len(ids))] == ids
    async with aiohttp.ClientSession(headers={"Accept": "application/json"}) as session:
        async with session.get(f"{url}/api/v1/feed{query}&after=0") as response:
            page = await response.json()
        assert ([item["id"] for item in page["items"]], page["next"], page["is_reset"]) == (ids, "4", False)
        async with session.get(f"{url}/api/v1/feed{query}") as response:
            assert await response.json() == {"items": [], "next": "4", "is_reset": False}
        async with session.get(f"{url}/api/v1/feed?after=5") as response:
            assert await response.json() == {"items": [], "next": "4", "is_reset": True}


@pytest.mark.parametrize("query", ["?commit=xyz", "?kind=nice", "?after=-1", "?comit=abcd", "?limit=0"])
async def test_a_filter_that_is_none_is_refused(url: str, query: str) -> None:
    async with listen(url, query=query) as client:
        assert client.response.status == 400
        assert client.response.content_type == "application/problem+json"


async def test_who_may_ask_is_who_may_ask_anything(world: World) -> None:
    async with serving(world, feed_of(world), token=TOKEN) as url, aiohttp.ClientSession() as session:
        where = f"{url}/api/v1/feed"
        async with session.get(where) as response:
            assert response.status == 401
        async with session.get(where, headers={"Host": "evil.example"}) as response:
            assert response.status == 421
        async with session.get(where, headers={"Authorization": f"Bearer {TOKEN}"}) as response:
            assert response.status == 200


async def test_heartbeats_come_by_the_clock_and_carry_the_cursor(world: World) -> None:
    watch = Watch()
    async with serving(world, feed_of(world, monotonic=watch)) as url, listen(url, query="?kind=undone") as client:
        assert (await client.block()).id == 0
        reads = world.feed_reads
        world.tell()
        await until(lambda: world.feed_reads > reads + 3)  # it looks, and has nothing to say
        watch.seconds += HEARTBEAT_SECONDS
        heartbeat = await client.block()
        assert (heartbeat.comment, heartbeat.id, heartbeat.event) == ("heartbeat", 1, None)
        watch.seconds += HEARTBEAT_SECONDS
        assert (await client.block()).comment == "heartbeat"


async def test_a_wake_is_looked_at_before_the_next_poll(world: World) -> None:
    feed = Feed(world, poll_seconds=3600)
    async with serving(world, feed) as url, listen(url) as client:
        await client.block()
        world.tell()
        feed.wake()
        assert (await client.lines(1))[0].id == 1


async def test_many_clients_cost_one_look(world: World) -> None:
    async with serving(world, feed_of(world)) as url, listen_often(url, 30) as clients:
        for client in clients:
            await client.block()
        before = world.feed_reads
        for _ in range(50):
            world.tell()
        heard = await asyncio.gather(*(client.lines(50) for client in clients))
        assert all([line.id for line in lines] == list(range(1, 51)) for lines in heard)
        assert world.feed_reads - before < 30


async def test_when_the_one_that_looks_leaves_another_goes_on(world: World, url: str) -> None:
    async with listen(url) as second:
        async with listen(url) as first:
            await first.block()
            await second.block()
        for turn in range(3):
            async with listen(url) as passing:
                await passing.block()
            world.tell()
            assert (await second.lines(1))[0].id == turn + 1


async def test_no_more_listen_than_allowed(world: World) -> None:
    async with serving(world, feed_of(world, clients=2)) as url:
        async with listen(url) as one, listen(url) as two:
            await one.block()
            await two.block()
            async with listen(url) as third:
                assert third.response.status == 503
                assert (await third.response.json(content_type=None))["code"] == "too_many_clients"
            async with (
                aiohttp.ClientSession(headers={"Accept": "application/json"}) as session,
                session.get(f"{url}/api/v1/feed") as page,
            ):
                assert page.status == 200
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:  # a seat is free as soon as the server has seen them go
                async with listen(url) as again:
                    if again.response.status == 200:
                        break
                await asyncio.sleep(0.01)


async def test_a_slow_client_holds_up_nobody_and_gets_everything(world: World, url: str) -> None:
    total = 3 * WINDOW
    async with listen(url) as slow, listen(url) as quick:
        await slow.block()
        await quick.block()
        heard = 0
        for _ in range(total // PAGE):
            for _ in range(PAGE):
                world.tell(subject="x" * 2000)
            heard += len(await quick.lines(PAGE))
        assert heard == total
        lines = await slow.lines(total)
        assert [line.id for line in lines] == list(range(1, total + 1))


async def test_a_client_that_takes_nothing_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "SEND_SECONDS", 0.2)
    feed = feed_of(world, clients=1)
    async with serving(world, feed) as url:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        try:
            writer.write(b"GET /api/v1/feed HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            assert not feed.take_seat()
            for _ in range(4 * WINDOW):
                world.tell(subject="x" * 4000)
            await until(feed.take_seat)
            feed.leave_seat()
        finally:
            writer.transport.abort()


async def test_a_ledger_that_cannot_be_read_is_a_problem_at_first_and_waited_for_later(world: World, url: str) -> None:
    async with listen(url) as client:
        await client.block()
        world.fails = True
        async with listen(url) as refused:
            assert refused.response.status == 503
        world.fails = False
        world.tell()
        assert (await client.lines(1))[0].id == 1


async def test_streams_end_cleanly_when_the_server_stops(world: World) -> None:
    ended = asyncio.Event()

    async def follow(url: str, begun: asyncio.Event) -> None:
        async with listen(url) as client:
            await client.block()
            begun.set()
            with pytest.raises(EOFError):  # and no broken connection
                await client.block()
            ended.set()

    begun = asyncio.Event()
    # well within the grace of a request
    async with asyncio.timeout(4), asyncio.TaskGroup() as group, serving(world, feed_of(world)) as url:
        group.create_task(follow(url, begun))
        await begun.wait()
    assert ended.is_set()
