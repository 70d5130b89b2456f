"""The live feed over the real ledger, woken by what is written: no poll comes to its help here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.ledger.world import StillClock, at, open_fresh
from tests.web.listening import listen
from tests.web.worlds import NOW, World

from fluxtrail.model.records import Transition, TransitionKind
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.web.app import create_app
from fluxtrail.web.feed import Feed
from fluxtrail.web.server import Listener, WebServer

UNITS, LINES = 60, 7


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[FoldedLedger]:
    store = await open_fresh(tmp_path / "ledger" / "ledger.sqlite", StillClock())
    yield FoldedLedger(store)
    await store.close()


async def test_clients_that_come_and_go_hear_everything_once_and_in_order(ledger: FoldedLedger) -> None:
    feed = Feed(ledger.store, poll_seconds=3600)
    ledger.on_kept.append(feed.wake)
    app = create_app(answers=ledger.store, report=World(), now=lambda: NOW, feed=feed)
    total = UNITS * LINES

    async def write() -> None:
        for unit_number in range(UNITS):
            async with ledger.unit() as unit:
                await unit.add_transitions(
                    [Transition(at=at(unit_number), kind=TransitionKind.SYNC, after=str(n)) for n in range(LINES)]
                )

    async def follow(url: str, stay: int) -> list[int]:
        heard: list[int] = []
        while len(heard) < total:
            async with listen(url, last_id=heard[-1] if heard else 0) as client:
                heard += [line.data["id"] for line in await client.lines(min(stay, total - len(heard)))]
        return heard

    async with (
        WebServer([Listener(name="api", app=app, host="127.0.0.1", port=0)]) as server,
        asyncio.TaskGroup() as group,
    ):
        url = server.addresses["api"].url
        followers = [group.create_task(follow(url, stay)) for stay in (5, 33, total)]
        group.create_task(write())
    for follower in followers:
        assert follower.result() == list(range(1, total + 1))
