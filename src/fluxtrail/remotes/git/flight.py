"""Many callers, one fetch: whoever asks while others wait shares the next fetch with them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

from fluxtrail.model.errors import FluxtrailError

T = TypeVar("T")


class SharedFlight(Generic[T]):
    """Runs `work` for any number of callers, each served by a run that began after it called.

    A run under way when a caller comes may have looked at the remote too early for it: it waits for the next,
    together with all who came meanwhile. Errors are shared too, so that a dead remote costs one timeout and
    not one a caller. A cancelled caller that led the run passes the lead on.
    """

    def __init__(self, work: Callable[[frozenset[str]], Awaitable[T]]) -> None:
        self._work = work
        self._lock = asyncio.Lock()
        self._begun = 0
        self._wanted: set[str] = set()
        self._served = 0
        self._outcomes: list[T | FluxtrailError] = []

    async def run(self, want: Iterable[str] = ()) -> T:
        """Return the outcome of a run that began after this call and looked for all of `want`."""
        ticket = self._begun
        mine = frozenset(want)
        self._wanted |= mine
        async with self._lock:
            if self._served <= ticket:
                await self._lead(mine)
            outcome = self._outcomes[-1]
        if isinstance(outcome, FluxtrailError):
            raise outcome
        return outcome

    async def _lead(self, mine: frozenset[str]) -> None:
        # Those who call in the same turn of the loop are served by this run, not by another after it.
        await asyncio.sleep(0)
        self._begun += 1
        wanted, self._wanted = frozenset(self._wanted) | mine, set()
        try:
            self._outcomes = [await self._work(wanted)]
        except FluxtrailError as exc:
            self._outcomes = [exc]
        except BaseException:
            # Nobody was served: the next in line runs it, for these too.
            self._wanted |= wanted
            raise
        self._served = self._begun
