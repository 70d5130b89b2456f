from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from fluxtrail.model.errors import StoreError
from fluxtrail.trail.gathering import Gatherer


class Shelf:
    """Keeps what is handed over while its door is open; refuses a group with a thing that is broken."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.door = asyncio.Event()
        self.door.set()
        self.lets_one = False
        """The door closes behind each group."""
        self.is_busy = False
        self.gatherer = Gatherer(self._keep, size_of=len, limit=6)

    async def _keep(self, items: Sequence[str]) -> None:
        assert not self.is_busy, "one group at a time"
        self.is_busy = True
        try:
            await self.door.wait()
            if self.lets_one:
                self.door.clear()
            if any("broken" in item for item in items):
                raise StoreError("broken")
            self.groups.append(list(items))
        finally:
            self.is_busy = False

    async def hand_over(self, *items: str) -> list[asyncio.Task[None]]:
        """Hand each over by a task of its own, and let them come as far as they can."""
        tasks = [asyncio.create_task(self.gatherer.hand_over(item)) for item in items]
        for _ in range(3):
            await asyncio.sleep(0)
        return tasks


async def test_who_comes_alone_is_kept_at_once() -> None:
    shelf = Shelf()
    await shelf.gatherer.hand_over("a")
    await shelf.gatherer.hand_over("b")
    assert shelf.groups == [["a"], ["b"]]


async def test_what_comes_meanwhile_goes_together_in_its_order_up_to_the_limit() -> None:
    shelf = Shelf()
    shelf.door.clear()
    tasks = await shelf.hand_over("a", "bb", "cc", "dd", "ee")
    shelf.door.set()
    await asyncio.gather(*tasks)
    assert shelf.groups == [["a"], ["bb", "cc", "dd"], ["ee"]]


async def test_one_that_cannot_be_kept_fails_alone() -> None:
    shelf = Shelf()
    shelf.door.clear()
    tasks = await shelf.hand_over("a", "broken", "c")
    shelf.door.set()
    first, second, third = await asyncio.gather(*tasks, return_exceptions=True)
    assert (first, third) == (None, None)
    assert isinstance(second, StoreError)
    assert sorted(shelf.groups) == [["a"], ["c"]]


async def test_a_ledger_that_is_away_is_told_to_everybody() -> None:
    shelf = Shelf()
    shelf.door.clear()
    tasks = await shelf.hand_over("broken 1", "broken 2")
    shelf.door.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, StoreError) for each in found)
    await shelf.gatherer.hand_over("a")
    assert shelf.groups == [["a"]]


@pytest.mark.parametrize("cancelled", ["a", "b", "c"])
async def test_a_caller_that_goes_takes_nobody_along(cancelled: str) -> None:
    """`a` is the one at work: what it had taken up for the others is taken up by the next."""
    shelf = Shelf()
    shelf.door.clear()
    first, *tasks = await shelf.hand_over("first", "a", "b", "c")
    shelf.lets_one = True
    shelf.door.set()
    await first
    for _ in range(3):
        await asyncio.sleep(0)
    assert shelf.is_busy, "with all three"
    gone = tasks["abc".index(cancelled)]
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    shelf.lets_one = False
    shelf.door.set()
    await asyncio.gather(*(task for task in tasks if task is not gone))
    kept = [item for group in shelf.groups for item in group]
    assert {*kept, cancelled} == {"first", "a", "b", "c"}
    assert len(kept) == len(set(kept)), "nothing is kept twice"
