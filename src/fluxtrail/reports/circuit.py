"""Whether a receiver is asked at all: after a failure nothing is claimed until it is time for one probe."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 60.0
JITTER = 0.2
"""Share of the wait that is drawn: many processes lose a receiver in the same moment."""


@dataclass(slots=True)
class Circuit:
    """Times are monotonic seconds."""

    dice: random.Random = field(default_factory=random.Random)
    failures: int = 0
    """In a row."""
    opens_at: float = 0.0

    @property
    def is_closed(self) -> bool:
        """All is well: send as much as there is."""
        return self.failures == 0

    def wait_seconds(self, now: float) -> float:
        """Return for how long nothing may be asked; 0: now."""
        return 0.0 if self.is_closed else max(self.opens_at - now, 0.0)

    def succeed(self) -> None:
        self.failures = 0

    def fail(self, now: float, *, retry_after_seconds: float | None) -> float:
        """Note a failure; returns for how long to wait. The receiver's own wish counts if it is longer."""
        self.failures += 1
        wait = min(FIRST_SECONDS * float(2 ** min(self.failures - 1, 10)), LONGEST_SECONDS)
        wait *= 1 - JITTER * self.dice.random()
        wait = max(wait, retry_after_seconds or 0.0)
        self.opens_at = now + wait
        return wait
