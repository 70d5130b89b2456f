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
        self.figures = Figures()
        self.problem = ""
        """Why the last unit could not be kept; empty once one was."""
        self.on_kept: list[Callable[[], None]] = []
        """Called after each unit that was kept; must not wait, and must not fail."""

    async def rebuild(self) -> None:
        """Fold the whole ledger. Raises StoreError."""
        async with self.store.unit() as unit:
            figures = await read_base(unit)
        async for rows in self.store.delivery_facts(None):
            figures.add_all(rows)
        self.figures = figures

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[SqlUnit]:
        try:
            async with self.store.unit() as unit:
                yield unit
        except StoreError as exc:
            self.problem = str(exc)
            raise
        self.problem = ""
        for told in self.on_kept:
            told()
        if unit.touched_deliveries:
            self._touched |= unit.touched_deliveries
            self._wake.set()

    async def run(self) -> None:
        """Fold what was committed, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            touched, self._touched = self._touched, set()
            try:
                async for rows in self.store.delivery_facts(sorted(touched)):
                    self.figures.add_all(rows)
            except BaseException:
                # Folding is repeatable, forgetting is not: whoever runs this again begins with these.
                self._touched |= touched
                self._wake.set()
                raise
