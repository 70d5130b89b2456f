"""The reading side of the live feed, apart from any command."""

from __future__ import annotations

import itertools
import threading
from collections.abc import AsyncIterator, Callable

import anyio
import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.web.worlds import NOW, World

from fluxtrail.cli.client import Client
from fluxtrail.cli.feed import HELD_MOST, LINE_LIMIT_BYTES, Event, FeedReader, News, parse_events
from fluxtrail.model.errors import WireError
from fluxtrail.web.app import create_app
from fluxtrail.web.feed import Feed
from fluxtrail.web.server import Listener, WebServer

TEXT = b'retry: 2000\nid: 3\n\n: heartbeat\nid: 4\n\nid: 5\r\nevent: verdict\r\ndata: {"id":5}\r\n\r\nid: 6\nda'
EVENTS = [Event("3", "", b""), Event("4", "", b""), Event("5", "verdict", b'{"id":5}')]


@given(cuts=st.lists(st.integers(0, len(TEXT)), max_size=8))
def test_events_are_the_same_however_the_stream_is_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(TEXT)]
    blocks = [TEXT[start:end] for start, end in itertools.pairwise(edges)]
    assert list(parse_events(blocks)) == EVENTS


def test_a_line_without_end_is_not_kept() -> None:
    with pytest.raises(WireError, match="longer than"):
        list(parse_events(b"x" * 65536 for _ in range(LINE_LIMIT_BYTES // 65536 + 1)))


@pytest.fixture
async def feed_server(world: World) -> AsyncIterator[str]:
    async with serving(world) as server:
        yield server.addresses["api"].url


def serving(world: World, *, port: int = 0, clients: int = 10) -> WebServer:
    app = create_app(answers=world, report=world, now=lambda: NOW, feed=Feed(world, clients=clients, poll_seconds=0.02))
    return WebServer([Listener(name="api", app=app, host="127.0.0.1", port=port)])


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(15):
        while not condition():  # noqa: ASYNC110 - it comes true in another thread
            await anyio.sleep(0.01)


async def gathered(reader: FeedReader, is_enough: Callable[[News], bool]) -> News:
    """Everything that came until it is enough."""
    found = News()
    with anyio.fail_after(15):
        while not is_enough(found):
            news = await anyio.to_thread.run_sync(reader.wait, 0.2)
            found.items += news.items
            found.notices += news.notices
            found.is_reset |= news.is_reset
    return found


async def test_coming_back_after_a_restart_loses_and_repeats_nothing(world: World) -> None:
    async with serving(world) as first:
        port = first.addresses["api"].port
        reader = FeedReader(Client(first.addresses["api"].url))
        with reader:
            await gathered(reader, lambda news: news.is_reset)
            for _ in range(3):
                world.tell()
            before = await gathered(reader, lambda news: len(news.items) == 3)
            await first.__aexit__(None, None, None)
            world.tell()
            lost = await gathered(reader, lambda news: bool(news.notices))
            assert not reader.is_live
            async with serving(world, port=port):
                world.tell()
                after = await gathered(reader, lambda news: len(news.items) == 2)
    assert [item.id for item in before.items + lost.items + after.items] == [1, 2, 3, 4, 5]
    assert "broke off" in lost.notices[0]
    assert after.notices == ["the live feed is back"]


async def test_a_reset_is_told(world: World, feed_server: str) -> None:
    for _ in range(5):
        world.tell()
    with FeedReader(Client(feed_server)) as reader:
        await gathered(reader, lambda news: news.is_reset)
        world.told, world.forgotten = world.told[:2], 0  # another ledger: the id reached was never given
        await gathered(reader, lambda news: news.is_reset)


async def test_what_is_not_taken_does_not_pile_up(world: World, feed_server: str) -> None:
    with FeedReader(Client(feed_server)) as reader:
        await gathered(reader, lambda news: news.is_reset)
        for _ in range(HELD_MOST + 1):
            world.tell()
        last = world.told[-1].id
        await until(lambda: reader._last_id == str(last))
        news = reader.wait(0)
    assert (news.is_reset, len(news.items) <= HELD_MOST) == (True, True)


async def test_a_full_server_is_asked_again_later(world: World) -> None:
    async with serving(world, clients=1) as server:
        client = Client(server.addresses["api"].url)
        with FeedReader(client) as first, FeedReader(client) as second:
            pair = [first, second]
            await until(lambda: any(reader.is_live for reader in pair))
            (refused,) = [reader for reader in pair if not reader.is_live]
            news = await gathered(refused, lambda news: bool(news.notices))
            assert "as many listen to the feed as api.feed_clients allows" in news.notices[0]


async def test_leaving_ends_the_thread(world: World, feed_server: str) -> None:
    with FeedReader(Client(feed_server)) as reader:
        await gathered(reader, lambda news: news.is_reset)
    assert not [thread for thread in threading.enumerate() if thread.name == "feed"]
