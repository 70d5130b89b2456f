"""How many requests an organisation's records may cost an hour, over all processes."""

from __future__ import annotations

from datetime import timedelta

from fluxtrail.model.errors import RateLimitedError
from fluxtrail.reports.deployment_records.ports import Spend
from fluxtrail.reports.ports import Clock

HOUR = timedelta(hours=1)


class HourlyBudget:
    """Kept in the ledger. Ask `admit` before each call; tell `note` of each round trip.

    A call makes more than one round trip where it tries again or polls. Those are known afterwards only, so the next
    call pays for them: the budget is exceeded by one call's repetitions at most.
    """

    def __init__(self, spend: Spend, clock: Clock, *, organization: str, requests_per_hour: int) -> None:
        self._spend = spend
        self._clock = clock
        self.name = f"github.records/{organization}"
        self.limit = requests_per_hour
        self.refused = 0
        """Requests that had to wait."""
        self._owed = 0
        """Round trips that nobody has paid for; negative: admitted and not made yet."""

    def note(self, seconds: float = 0.0) -> None:
        """One round trip was made; fits what clients call with its seconds."""
        del seconds
        self._owed += 1

    async def admit(self) -> None:
        """Pay for one more request, and what is owed.

        Raises:
            RateLimitedError: the hour's requests are used up; `retry_after_seconds` says until when.
        """
        while True:
            wait = await self._spend(self.name, limit=self.limit, per=HOUR, now=self._clock.now())
            if wait is not None:
                self.refused += 1
                raise RateLimitedError(
                    f"the {self.limit} requests an hour of deployment_records.requests_per_hour are used up",
                    retry_after_seconds=max(wait.total_seconds(), 1.0),
                    subject=self.name,
                )
            self._owed -= 1
            if self._owed < 0:
                return
