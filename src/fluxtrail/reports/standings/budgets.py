"""How much may be written to a system, over all processes: kept in the ledger, below what the system allows.

What is final comes first: what is still on its way may use a part of each window only, so that a burst of commits
never keeps a verdict from being said.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

import structlog

from fluxtrail.model.errors import FluxtrailError, RateLimitedError
from fluxtrail.reports.ports import Clock

log = structlog.get_logger(__name__)

PENDING_SHARE = 0.6
"""Of a window, for what is not final."""
LONGEST_TURN = timedelta(minutes=10)
"""However many wait, each asks again that soon."""
PAUSE_SECONDS = 60.0
"""Where a receiver refuses for a limit, and says no time."""
LONGEST_PAUSE_SECONDS = 3600.0


class Window(NamedTuple):
    """At most so many within any such time."""

    limit: int
    per: timedelta


class Budget(NamedTuple):
    """One installation's allowance."""

    name: str
    """Stable, and no secret: `github.com/acme`."""
    windows: tuple[Window, ...]

    def entries(self) -> list[tuple[str, Window]]:
        """Return under which name the ledger keeps each window."""
        return [(f"{self.name}/{number}", window) for number, window in enumerate(self.windows)]


class Purse(Protocol):
    """The ledger's budgets. Raises StoreError."""

    def spend_each(
        self, budgets: Sequence[tuple[str, int, timedelta]], *, now: datetime
    ) -> Awaitable[timedelta | None]:
        """Spend one of each budget (name, limit, per), or of none; returns None, or how long until there is one."""

    def spent(self, budget: str, *, per: timedelta, now: datetime) -> Awaitable[int]: ...


class BudgetSpentError(FluxtrailError):
    """Nothing may be written until `until`; nobody is at fault."""

    def __init__(self, budget: str, until: datetime, *, answer: str = "") -> None:
        """Args:
        answer: what the receiver said, where it is who asks for a pause.
        """
        super().__init__("its budget is used up for now", retryable=True, subject=budget)
        self.until = until
        self.answer = answer


class _Turn:
    """When the next of those who wait may come: no more at once than there will be room for."""

    def __init__(self) -> None:
        self.at = datetime.min.replace(tzinfo=UTC)
        self.places = 0

    def take(self, window: Window, *, limit: int, free_at: datetime, now: datetime) -> datetime:
        if self.at < now:
            self.at, self.places = free_at, 0
        elif self.places >= limit:
            self.at, self.places = self.at + window.per, 0
        self.at = max(self.at, free_at)
        self.places += 1
        return min(self.at, max(free_at, now + LONGEST_TURN))


class Budgets:
    """Asks before each write."""

    def __init__(self, purse: Purse, clock: Clock) -> None:
        self._purse = purse
        self._clock = clock
        self.spent: dict[str, int] = {}
        """Writes that this process was allowed, by budget."""
        self.refused: dict[str, int] = {}
        self.known: dict[str, Budget] = {}
        """Every budget that something was to be spent of, by name."""
        self._turns: dict[tuple[str, bool], _Turn] = {}
        self._paused: dict[str, datetime] = {}

    async def take(self, budget: Budget, *, is_final: bool) -> None:
        """Take one write from each window; where one has none, none is taken from any.

        Raises:
            BudgetSpentError: one of them is used up.
        """
        self.known[budget.name] = budget
        self.check(budget)
        now = self._clock.now()
        limits = [window.limit if is_final else _share(window) for window in budget.windows]
        wanted = [(name, limit, window.per) for (name, window), limit in zip(budget.entries(), limits, strict=True)]
        wait = await self._purse.spend_each(wanted, now=now)
        if wait is None:
            self.spent[budget.name] = self.spent.get(budget.name, 0) + 1
            return
        self.refused[budget.name] = self.refused.get(budget.name, 0) + 1
        # The window that is over last is the one that there is to wait for.
        limit, window = min(zip(limits, budget.windows, strict=True), key=lambda one: (one[1].per < wait, one[1].per))
        turn = self._turns.setdefault((budget.name, is_final), _Turn())
        free_at = now + max(wait, timedelta(seconds=1))
        raise BudgetSpentError(budget.name, turn.take(window, limit=limit, free_at=free_at, now=now))

    def check(self, budget: Budget) -> None:
        """Raise BudgetSpentError while a pause lasts that was asked for."""
        until = self._paused.get(budget.name)
        if until is not None and until > self._clock.now():
            raise BudgetSpentError(budget.name, until)

    def pause(self, budget: Budget, asked: RateLimitedError) -> BudgetSpentError:
        """Leave everything of a budget alone for as long as was asked for; returns what to raise."""
        seconds = asked.retry_after_seconds if asked.retry_after_seconds is not None else PAUSE_SECONDS
        until = self._clock.now() + timedelta(seconds=min(max(seconds, 1.0), LONGEST_PAUSE_SECONDS))
        self._paused[budget.name] = max(until, self._paused.get(budget.name, until))
        log.warning("limit_reached", budget=budget.name, until=until.isoformat(), error=str(asked))
        return BudgetSpentError(budget.name, until, answer=str(asked))

    async def left(self, budget: Budget) -> int:
        """Return how many final writes there may be now. Raises StoreError."""
        now = self._clock.now()
        spent = [await self._purse.spent(name, per=window.per, now=now) for name, window in budget.entries()]
        return max(min(window.limit - count for window, count in zip(budget.windows, spent, strict=True)), 0)


def _share(window: Window) -> int:
    return max(int(window.limit * PENDING_SHARE), 1)
