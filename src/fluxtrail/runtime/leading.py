"""Which of the processes on one ledger tells Prometheus the delivery figures: told by two, all counts double."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import StoreError
from fluxtrail.trail.ports import Clock

log = structlog.get_logger(__name__)

LEAD = "figures"
LEASE = timedelta(seconds=20)
RENEW_SECONDS = 5.0


class Lead:
    """Held while `run` runs. A ledger in a file has one process: that one leads from the start.

    Args:
        owner: another one for each process, and for each start of it.
        on_lead: awaited before the lead counts: the figures must be up to date then.
    """

    def __init__(self, ledger: SqlLedger, clock: Clock, *, owner: str, on_lead: Callable[[], Awaitable[None]]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._owner = owner
        self._on_lead = on_lead
        self._until = float("-inf")

    @property
    def is_held(self) -> bool:
        return not self._ledger.is_shared or self._clock.monotonic() < self._until

    async def run(self) -> None:
        """Take the lead when it is free, and keep it. Raises StoreError."""
        if not self._ledger.is_shared:
            return await self._rest()
        try:
            while True:
                await self.renew()
                await self._clock.sleep(RENEW_SECONDS)
        finally:
            self._until = float("-inf")
            with contextlib.suppress(StoreError):
                await self._ledger.leadership.release(LEAD, self._owner)

    async def renew(self) -> None:
        """Ask once. By our own clock the lead ends before the ledger gives it to another."""
        asked = self._clock.monotonic()
        if not await self._ledger.leadership.acquire(LEAD, self._owner, LEASE):
            self._until = float("-inf")
            return
        if not self.is_held:
            await self._on_lead()
            log.info("leads the delivery figures")
        self._until = asked + LEASE.total_seconds() - RENEW_SECONDS

    async def _rest(self) -> None:
        while True:
            await self._clock.sleep(3600.0)
