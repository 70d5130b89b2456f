"""Looks again at what was said to be under way: not every change of a standing is a transition of its commit.

A commit that waits for an export which then leaves an environment out, a target whose scope was not known, a cluster
that fetched: nothing in the commit's own history says so. So whenever the history has grown, what is open is looked at;
and now and then though it has not, for what was applied may have begun to crash, and the settings may name a cluster no
more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from fluxtrail.model.records import CommitId
from fluxtrail.model.report import NewReport
from fluxtrail.reports.ports import Clock
from fluxtrail.reports.standings.plan import reports_of

LOOK_SECONDS = 15.0
QUIET_SECONDS = 300.0
"""The longest without a look, where nothing happens."""
OPEN_LIMIT = 100
"""Statuses of one sink that are looked at again in one go: while commits wait for their exports, each trail has every
target of the manifests. Where there are more, the next look goes on after them: what stays open for months keeps
no other from its turn.
"""


class OpenBook(Protocol):
    """The ledger's memory of what is open. Raises StoreError."""

    async def open_parents(self, sink: str, *, after: int, limit: int) -> tuple[Sequence[str], int]:
        """Return commits, and after what the next look goes on; 0: from the start."""


class Revisitor:
    """`run` it for ever."""

    def __init__(
        self,
        sinks: Sequence[str],
        book: OpenBook,
        *,
        add_reports: Callable[[Sequence[NewReport]], Awaitable[None]],
        newest: Callable[[], Awaitable[int]],
        clock: Clock,
    ) -> None:
        """Args:
        add_reports: plans them, and wakes who sends them.
        newest: grows when anything happens: the id of the newest transition.
        """
        self._sinks = tuple(sinks)
        self._book = book
        self._add_reports = add_reports
        self._newest = newest
        self._clock = clock
        self._after: dict[str, int] = {}

    async def run(self) -> None:
        """Raises StoreError where the ledger cannot be used."""
        seen, looked_at = -1, self._clock.monotonic()
        while True:
            newest, now = await self._newest(), self._clock.monotonic()
            if newest != seen or now - looked_at >= QUIET_SECONDS:
                await self.look()
                looked_at = now
            seen = newest
            await self._clock.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        for sink in self._sinks:
            after = self._after.get(sink, 0)
            parents, self._after[sink] = await self._book.open_parents(sink, after=after, limit=OPEN_LIMIT)
            commits = [CommitId(int(parent)) for parent in parents if parent.isdecimal()]
            if commits:
                await self._add_reports(reports_of([sink], commits))
