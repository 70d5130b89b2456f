"""Hints that a branch has moved: none is lost, whenever it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast

from fluxtrail.model.records import RepositoryId, RepositoryRecord
from fluxtrail.trail.branches import BranchWatcher
from fluxtrail.trail.registry import Registry

SHOP = RepositoryRecord(
    id=RepositoryId(1), canonical="github.com/acme/shop", url="https://github.com/acme/shop", default_branch="main"
)


HUGE = RepositoryRecord(
    id=RepositoryId(2), canonical="github.com/acme/huge", url="https://github.com/acme/huge", default_branch="main"
)


class Still:
    def monotonic(self) -> float:
        return 100.0


class Looks:
    """Stands for the recorder: counts the looks, and does something during each."""

    def __init__(self) -> None:
        self.count = 0
        self.meanwhile: Callable[[], None] = lambda: None
        self.seen: list[RepositoryId] = []
        self.slow: set[RepositoryId] = set()
        """Whose look does not end."""

    @asynccontextmanager
    async def lock(self, repository: RepositoryRecord) -> AsyncIterator[None]:
        yield

    async def advance(self, repository: RepositoryRecord, branch: str) -> None:
        self.count += 1
        self.seen.append(repository.id)
        self.meanwhile()
        if repository.id in self.slow:
            await asyncio.Event().wait()


def watcher_with(looks: Looks, *repositories: RepositoryRecord) -> BranchWatcher:
    registry = Registry()
    registry.put_repositories(repositories or [SHOP])
    unused: Any = None
    return BranchWatcher(
        registry=registry,
        ledger=unused,
        repositories=unused,
        recorder=cast("Any", looks),
        artifacts=unused,
        clock=cast("Any", Still()),
        every=timedelta(minutes=1),
        stated=[(repository.id, None) for repository in repositories or [SHOP]],
    )


async def test_without_a_hint_a_repository_is_looked_at_once_an_interval() -> None:
    looks = Looks()
    watcher = watcher_with(looks)
    await watcher.look()
    await watcher.look()
    assert looks.count == 1


async def test_a_hint_that_comes_while_it_is_looked_at_makes_it_looked_at_again() -> None:
    looks = Looks()
    watcher = watcher_with(looks)
    looks.meanwhile = lambda: watcher.poke(SHOP.id)
    await watcher.look()
    looks.meanwhile = lambda: None
    await watcher.look()
    await watcher.look()
    assert looks.count == 2


async def test_a_look_that_takes_long_holds_up_no_hint_of_another_repository() -> None:
    looks = Looks()
    looks.slow = {HUGE.id}
    watcher = watcher_with(looks, HUGE, SHOP)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        running = group.create_task(watcher.run(), name="branches")
        for hints in range(1, 4):
            while looks.seen.count(SHOP.id) < hints:  # noqa: ASYNC110 - what is waited for sets no event
                await asyncio.sleep(0.001)
            watcher.poke(HUGE.id)
            watcher.poke(SHOP.id)
        running.cancel()
    assert looks.seen.count(HUGE.id) == 1
