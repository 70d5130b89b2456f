"""Hints that a branch has moved: none is lost, whenever it comes."""

from __future__ import annotations

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


class Still:
    def monotonic(self) -> float:
        return 100.0


class Looks:
    """Stands for the recorder: counts the looks, and does something during each."""

    def __init__(self) -> None:
        self.count = 0
        self.meanwhile: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def lock(self, repository: RepositoryRecord) -> AsyncIterator[None]:
        yield

    async def advance(self, repository: RepositoryRecord, branch: str) -> None:
        self.count += 1
        self.meanwhile()


def watcher_with(looks: Looks) -> BranchWatcher:
    registry = Registry()
    registry.put_repositories([SHOP])
    unused: Any = None
    return BranchWatcher(
        registry=registry,
        ledger=unused,
        repositories=unused,
        recorder=cast("Any", looks),
        artifacts=unused,
        clock=cast("Any", Still()),
        every=timedelta(minutes=1),
        stated=[(SHOP.id, None)],
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
