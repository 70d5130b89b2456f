"""Group commit: what many hand over while one unit is written goes into the next one together.

A unit costs about as much for one object as for ten, and hundreds of clusters' streams bring one object each. Nobody
waits for company: who finds nobody at work begins at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Handed(Generic[T]):
    item: T
    is_alone: bool = False
    """It was in company that could not be kept: whose fault that was shows when each is tried by itself."""
    is_kept: bool = False


class Gatherer(Generic[T]):
    """Keeps items in groups, in the order in which they came.

    Args:
        keep: keeps some items, all or none of them; never called twice at once.
        size_of: how much an item adds to a group.
        limit: a group takes no further item once it is as large.
    """

    def __init__(
        self, keep: Callable[[Sequence[T]], Awaitable[None]], *, size_of: Callable[[T], int], limit: int
    ) -> None:
        self._keep = keep
        self._size_of = size_of
        self._limit = limit
        self._lock = asyncio.Lock()
        self._waiting: dict[_Handed[T], None] = {}

    async def hand_over(self, item: T) -> None:
        """Return when the item is kept. Raises what `keep` raises for it alone: others' faults are not its own.

        A caller that is cancelled may find its item kept all the same; the others' are not lost by it.
        """
        handed = _Handed(item)
        self._waiting[handed] = None
        try:
            async with self._lock:
                while not handed.is_kept:
                    await self._keep_some(handed)
        finally:
            self._waiting.pop(handed, None)

    async def _keep_some(self, mine: _Handed[T]) -> None:
        group = [mine] if mine.is_alone else self._group()
        try:
            await self._keep([handed.item for handed in group])
        except Exception:
            if group == [mine]:
                raise
            for handed in group:
                handed.is_alone = True
            return
        for handed in group:
            handed.is_kept = True
            self._waiting.pop(handed, None)

    def _group(self) -> list[_Handed[T]]:
        group, size = [], 0
        for handed in self._waiting:
            if handed.is_alone:
                continue
            group.append(handed)
            size += self._size_of(handed.item)
            if size >= self._limit:
                break
        return group
