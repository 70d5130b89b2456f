"""What may still be asked of forges, and said to receivers, on `/metrics`: their limits, and our own budgets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

import structlog

from fluxtrail.model.errors import StoreError
from fluxtrail.remotes.allowances import Allowance, AllowanceBook
from fluxtrail.reports.standings.budgets import Purse, Window
from fluxtrail.trail.ports import Clock
from fluxtrail.web.measures import Kind, Measure

log = structlog.get_logger(__name__)

LOOK_SECONDS = 15.0
MOST_BUDGETS = 100
"""One more is not measured: there is one for each installation that is told something, and each receiver."""

_LIMIT = ("credential", "resource")
_BUDGET = ("budget", "window")


class Spending(NamedTuple):
    """One window of a budget."""

    budget: str
    entry: str
    """What the ledger keeps it under."""
    window: Window


class ForgeNumbers:
    """Satisfies the web side's `MetricSource`. Run it: how much of the budgets is used up stands in the ledger.

    Args:
        budgets: those that something was spent of since the start.
        refused: by budget, how often there was nothing left of it.
    """

    def __init__(
        self,
        book: AllowanceBook,
        purse: Purse,
        clock: Clock,
        *,
        budgets: Callable[[], Iterable[Spending]],
        refused: Callable[[], Mapping[str, int]],
    ) -> None:
        self._book = book
        self._purse = purse
        self._clock = clock
        self._budgets = budgets
        self._refused = refused
        self._used: dict[tuple[str, str], tuple[int, int]] = {}
        """(budget, window) → used within it, allowed."""

    async def run(self) -> None:
        """Look for ever. A ledger that cannot be read is said elsewhere; the last look stands meanwhile."""
        while True:
            try:
                self._used = await self._look()
            except StoreError as exc:
                log.warning("budgets_not_measured", error=str(exc))
            await self._clock.sleep(LOOK_SECONDS)

    async def _look(self) -> dict[tuple[str, str], tuple[int, int]]:
        now, found = self._clock.now(), dict[tuple[str, str], tuple[int, int]]()
        for name, entry, window in list(self._budgets())[:MOST_BUDGETS]:
            used = await self._purse.spent(entry, per=window.per, now=now)
            found[name, _span(window.per)] = used, window.limit
        return found

    def measures(self) -> Iterable[Measure]:
        known = self._book.current()
        yield _limits(
            known,
            "fluxtrail_forge_requests_limit",
            "What a credential may ask for within a window.",
            lambda one: one.limit,
        )
        yield _limits(
            known,
            "fluxtrail_forge_requests_remaining",
            "What is left of it, by the newest answer.",
            lambda one: one.remaining,
        )
        yield Measure(
            name="fluxtrail_forge_limit_reset_timestamp_seconds",
            help="When all of it is there again.",
            kind=Kind.GAUGE,
            labels=_LIMIT,
            values=[((one.whose, one.resource), one.reset_at) for one in known if one.reset_at is not None],
        )
        yield _counts("fluxtrail_forge_limited", "Answers that asked to wait.", "credential", self._book.limited)
        yield _budgets(self._used, "fluxtrail_budget_used", "Spent of a budget of ours, by all processes.", 0)
        yield _budgets(self._used, "fluxtrail_budget_allowed", "What the settings allow within the window.", 1)
        refused = dict(list(self._refused().items())[:MOST_BUDGETS])
        yield _counts("fluxtrail_budget_refused", "Writes that had to wait for our own budget.", "budget", refused)


def _limits(known: Sequence[Allowance], name: str, text: str, value: Callable[[Allowance], float]) -> Measure:
    return Measure(
        name=name,
        help=text,
        kind=Kind.GAUGE,
        labels=_LIMIT,
        values=[((one.whose, one.resource), value(one)) for one in known],
    )


def _budgets(used: Mapping[tuple[str, str], tuple[int, int]], name: str, text: str, place: int) -> Measure:
    values = [(key, float(pair[place])) for key, pair in used.items()]
    return Measure(name=name, help=text, kind=Kind.GAUGE, labels=_BUDGET, values=values)


def _counts(name: str, text: str, label: str, counts: Mapping[str, int]) -> Measure:
    values = [((key,), float(value)) for key, value in counts.items()]
    return Measure(name=name, help=text, kind=Kind.COUNTER, labels=(label,), values=values)


def _span(per: timedelta) -> str:
    seconds = int(per.total_seconds())
    return f"{seconds // 3600}h" if seconds % 3600 == 0 else f"{seconds // 60}m" if seconds % 60 == 0 else f"{seconds}s"
