"""What the ledger says of itself on `/metrics`: its size, its rows and its writing. Read beside the scrapes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import structlog

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import StoreError
from fluxtrail.trail.ports import Clock
from fluxtrail.web.measures import Kind, Measure

log = structlog.get_logger(__name__)

SIZE_SECONDS = 30.0
ROWS_SECONDS = 60.0
ROWS_SHARE = 0.005
"""Counting rows takes no more of the time than this: where it is slow it is done less often."""


class LedgerNumbers:
    """Satisfies the web side's `MetricSource`. Run it; until it has looked it says nothing of size and rows."""

    def __init__(self, ledger: SqlLedger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._sizes: Mapping[str, int] = {}
        self._rows: Mapping[str, int] = {}

    async def run(self) -> None:
        """Look for ever. A ledger that cannot be read is said elsewhere; the last look stands meanwhile."""
        count_at = self._clock.monotonic()
        while True:
            try:
                self._sizes = await self._ledger.size_bytes()
                if self._clock.monotonic() >= count_at:
                    count_at = self._clock.monotonic() + await self._count()
            except StoreError as exc:
                log.warning("ledger_not_measured", error=str(exc))
            await self._clock.sleep(SIZE_SECONDS)

    async def _count(self) -> float:
        """Count the rows; returns in how many seconds to do so again."""
        began = time.monotonic()
        self._rows = await self._ledger.count_rows()
        return max(ROWS_SECONDS, (time.monotonic() - began) / ROWS_SHARE)

    def measures(self) -> Iterable[Measure]:
        yield _gauges("fluxtrail_ledger_size_bytes", "Room that the ledger takes.", "part", self._sizes)
        yield _gauges("fluxtrail_ledger_rows", "Rows of the tables that grow; counted at times.", "table", self._rows)
        writes = self._ledger.writes
        waiting = {kind: one.waiting for kind, one in writes.items()}
        yield _gauges("fluxtrail_ledger_waiting", "Transactions that wait for their turn.", "transaction", waiting)
        yield Measure(
            name="fluxtrail_ledger_undone",
            help="Transactions of which nothing was kept.",
            kind=Kind.COUNTER,
            labels=("transaction",),
            values=[((kind,), float(one.undone)) for kind, one in writes.items()],
        )
        yield Measure(
            name="fluxtrail_ledger_wait_seconds",
            help="Time that transactions waited for their turn.",
            kind=Kind.HISTOGRAM,
            labels=("transaction",),
            spreads=[((kind,), one.waited.spread()) for kind, one in writes.items()],
        )
        yield Measure(
            name="fluxtrail_ledger_transaction_seconds",
            help="Time that transactions took, from their beginning to their end.",
            kind=Kind.HISTOGRAM,
            labels=("transaction",),
            spreads=[((kind,), one.lasted.spread()) for kind, one in writes.items()],
        )


def _gauges(name: str, text: str, label: str, found: Mapping[str, int]) -> Measure:
    values = [((key,), float(value)) for key, value in found.items()]
    return Measure(name=name, help=text, kind=Kind.GAUGE, labels=(label,), values=values)
