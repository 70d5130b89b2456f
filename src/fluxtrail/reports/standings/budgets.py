"""How much may be written to a system, over all processes: kept in the ledger, below what the system allows.

What is final comes first: what is still on its way may use a part of each window only, so that a burst of commits
never keeps a verdict from being said.
"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from fluxtrail.model.errors import FluxtrailError
from fluxtrail.reports.ports import Clock

PENDING_SHARE = 0.6
"""Of a window, for what is not final."""


class Window(NamedTuple):
    """At most so many within any such time."""

    limit: int
    per: timedelta


class Budget(NamedTuple):
    """One installation's allowance."""

    name: str
    """Stable, and no secret: `github.com/acme`."""
    windows: tuple[Window, ...]


class Purse(Protocol):
    """The ledger's budgets. Raises StoreError."""

    def spend(self, budget: str, *, limit: int, per: timedelta, now: datetime) -> Awaitable[timedelta | None]:
        """Spend one; returns None, or how long until there is one."""

    def spent(self, budget: str, *, per: timedelta, now: datetime) -> Awaitable[int]: ...


class BudgetSpentError(FluxtrailError):
    """Nothing may be written until `until`; nobody is at fault."""

    def __init__(self, budget: str, until: datetime) -> None:
        super().__init__("its budget is used up for now", retryable=True, subject=budget)
        self.until = until


class Budgets:
    """Asks before each write."""

    def __init__(self, purse: Purse, clock: Clock) -> None:
        self._purse = purse
        self._clock = clock
        self.spent: dict[str, int] = {}
        """Writes that this process was allowed, by budget."""
        self.refused: dict[str, int] = {}

    async def take(self, budget: Budget, *, is_final: bool) -> None:
        """Take one write from each window.

        Raises:
            BudgetSpentError: one of them is used up.
        """
        now = self._clock.now()
        for number, window in enumerate(budget.windows):
            limit = window.limit if is_final else max(int(window.limit * PENDING_SHARE), 1)
            wait = await self._purse.spend(f"{budget.name}/{number}", limit=limit, per=window.per, now=now)
            if wait is not None:
                self.refused[budget.name] = self.refused.get(budget.name, 0) + 1
                raise BudgetSpentError(budget.name, now + max(wait, timedelta(seconds=1)))
        self.spent[budget.name] = self.spent.get(budget.name, 0) + 1

    async def left(self, budget: Budget) -> int:
        """Return how many final writes there may be now. Raises StoreError."""
        now = self._clock.now()
        spent = [
            await self._purse.spent(f"{budget.name}/{number}", per=window.per, now=now)
            for number, window in enumerate(budget.windows)
        ]
        return max(min(window.limit - count for window, count in zip(budget.windows, spent, strict=True)), 0)
