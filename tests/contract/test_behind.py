"""A watch whose connection is open and dead: found by one object that is read, and taken up over a new connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contract.world import World, observing, open_world

from fluxtrail.model.errors import UpstreamError
from fluxtrail.simulator.apiserver.server import ApiServer


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer(name="dead", tokens={"first": "admin"}) as server:
        yield server


@pytest.fixture
async def world(server: ApiServer, tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(server, tmp_path, "one") as world:
        yield world


@pytest.mark.parametrize("has_bytes", [True, False], ids=["after-events", "from-the-start"])
async def test_a_dead_watch_is_behind_and_goes_on_when_renewed(
    server: ApiServer, world: World, has_bytes: bool
) -> None:
    async with observing(world) as at:
        await at.until_listed()
        await at.until(lambda: server.watch_count == 1)
        if has_bytes:
            await world.point("one", "before")
            await at.until_told("one before held")
        assert not await at.watcher.is_behind(world.namespace, "one")
        assert server.faults.freeze_watches() == 1
        await world.point("one", "after")
        await world.create("two")
        assert await at.watcher.is_behind(world.namespace, "one")
        assert await at.watcher.is_behind(world.namespace, "two")
        assert not await at.watcher.is_behind(world.namespace, "nobody")
        at.watcher.renew(world.namespace)
        await at.until(lambda: any(text.startswith("two") for text in at.told()))
        assert any(text.startswith("one after") for text in at.told())
        assert not [text for text in at.told() if text.startswith("gone")]
        assert not await at.watcher.is_behind(world.namespace, "one")


async def test_what_was_deleted_unseen_is_behind(server: ApiServer, world: World) -> None:
    async with observing(world) as at:
        await at.until_listed()
        await at.until(lambda: server.watch_count == 1)
        assert server.faults.freeze_watches() == 1
        await world.delete("one")
        assert await at.watcher.is_behind(world.namespace, "one")
        at.watcher.renew(world.namespace)
        await at.until(lambda: any(text.startswith("gone one") for text in at.told()))


async def test_another_namespace_is_not_its_affair(server: ApiServer, world: World) -> None:
    async with observing(world) as at:
        await at.until_listed()
        await at.until(lambda: server.watch_count == 1)
        for namespace, name in (("elsewhere", "one"), (world.namespace, ".."), (world.namespace, "")):
            assert not await at.watcher.is_behind(namespace, name)
            at.watcher.renew("elsewhere")
        await world.point("one", "after")
        await at.until_told("one after held")
        assert at.watcher.stats.resumes == 0


async def test_a_server_that_is_away_cannot_say(server: ApiServer, world: World) -> None:
    async with observing(world) as at:
        await at.until_listed()
        await at.until(lambda: server.watch_count == 1)
        await server.stop()
        with pytest.raises(UpstreamError):
            await at.watcher.is_behind(world.namespace, "one")
