"""Keeps the delivery figures: rebuilt from the ledger at start, then folded on after every committed unit."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.ledger.unit import SqlUnit
from fluxtrail.model.errors import StoreError
from fluxtrail.model.figures import Figures
from fluxtrail.model.records import CommitId, TargetId

BASE_NOTE = "figures_base"
"""What pruned deliveries contributed; kept by retention in the unit that prunes them."""

CATCH_UP = 1_000
CATCH_UP_SECONDS = 5.0
"""How far the figures of a process may be behind what others write."""


async def read_base(unit: SqlUnit) -> Figures:
    note = await unit.get_note(BASE_NOTE)
    return Figures.load(base64.b64decode(note)) if note else Figures()


async def write_base(unit: SqlUnit, base: Figures) -> None:
    await unit.put_note(BASE_NOTE, base64.b64encode(base.dump(remember_deliveries=False)).decode())


class FoldedLedger:
    """The ledger, with the figures kept in step: what a unit wrote is folded once it is committed."""

    def __init__(self, ledger: SqlLedger) -> None:
        self.store = ledger
        self._touched: set[tuple[CommitId, TargetId]] = set()
        self._wake = asyncio.Event()
        self._folding = asyncio.Lock()
        self._folded_id = 0
        """The newest write that is in the figures; only looked at where others write too."""
        self.figures = Figures()
        self.problem = ""
        """Why the last unit could not be kept; empty once one was."""
        self.on_kept: list[Callable[[], None]] = []
        """Called after each unit that was kept; must not wait, and must not fail."""
        self.on_planned: list[Callable[[], None]] = []
        """Called after each that planned a report; likewise."""

    async def rebuild(self) -> None:
        """Fold the whole ledger. Raises StoreError."""
        is_whole = False
        while not is_whole:
            folded_id = await self.store.newest_touch()
            figures, before = await self._base()
            async for rows in self.store.delivery_facts(None):
                figures.add_all(rows)
            # Another process may have pruned meanwhile: then some are neither in the base nor in the ledger.
            is_whole = not self.store.is_shared or (await self._base())[1] == before
        self.figures, self._folded_id = figures, folded_id

    async def _base(self) -> tuple[Figures, str | None]:
        async with self.store.unit() as unit:
            return await read_base(unit), await unit.get_note(BASE_NOTE)

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[SqlUnit]:
        try:
            async with self.store.unit() as unit:
                yield unit
        except StoreError as exc:
            self.problem = str(exc)
            raise
        self.problem = ""
        for told in self.on_kept + (self.on_planned if unit.touched_sinks else []):
            told()
        if unit.touched_deliveries:
            self._touched |= unit.touched_deliveries
            self._wake.set()

    async def catch_up(self) -> None:
        """Fold what other processes committed. Raises StoreError."""
        while (page := await self.store.touched(after=self._folded_id, limit=CATCH_UP)).keys:
            self._touched |= set(page.keys)
            self._folded_id = page.last_id
        if page.is_reset:
            await self.rebuild()
        elif self._touched:
            await self._fold()

    async def run(self) -> None:
        """Fold what was committed, for ever."""
        while True:
            if self.store.is_shared:
                await self._wait_for_others()
                await self.catch_up()
            else:
                await self._wake.wait()
                self._wake.clear()
                await self._fold()

    async def _wait_for_others(self) -> None:
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _fold(self) -> None:
        async with self._folding:
            touched, self._touched = self._touched, set()
            try:
                async for rows in self.store.delivery_facts(sorted(touched)):
                    self.figures.add_all(rows)
            except BaseException:
                # Folding is repeatable, forgetting is not: whoever runs this again begins with these.
                self._touched |= touched
                self._wake.set()
                raise
