"""Retention: forgets what is settled and old, in small units; the figures keep what it contributed."""

from __future__ import annotations

from datetime import timedelta

import structlog

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.runtime.figures import read_base, write_base
from fluxtrail.trail.ports import Clock

log = structlog.get_logger(__name__)

EVERY_SECONDS = 3_600.0
BATCH = 1_000


class Retention:
    def __init__(self, *, ledger: SqlLedger, clock: Clock, keep: timedelta) -> None:
        self._ledger = ledger
        self._clock = clock
        self._keep = keep

    async def run(self) -> None:
        """Prune now and every hour, for ever."""
        while True:
            await self.prune()
            await self._clock.sleep(EVERY_SECONDS)

    async def prune(self) -> None:
        """Take everything that was over before the bound, a bounded bite at a time."""
        before = self._clock.now() - self._keep
        is_complete = False
        while not is_complete:
            async with self._ledger.unit() as unit:
                pruned = await unit.prune(before, limit=BATCH)
                if pruned.facts:
                    # Counted figures must outlive their rows: both change in one unit.
                    base = await read_base(unit)
                    base.add_all(pruned.facts)
                    await write_base(unit, base)
            is_complete = pruned.is_complete
            if pruned.deliveries or pruned.syncs or pruned.transitions or pruned.records:
                log.info(
                    "pruned",
                    before=before.isoformat(),
                    deliveries=pruned.deliveries,
                    syncs=pruned.syncs,
                    transitions=pruned.transitions,
                    deployment_records=pruned.records,
                )
        while await self._ledger.said.forget(before, limit=BATCH) == BATCH:
            pass
