"""What every part of a unit works with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from fluxtrail.ledger.catalog import Catalog
from fluxtrail.ledger.session import Session
from fluxtrail.model.records import CommitId, TargetId, Transition
from fluxtrail.model.report import NewReport

Plan = Callable[[Sequence[Transition]], Sequence[NewReport]]
"""Says what must be reported of new history, which has its ids; called inside the unit that writes it: no I/O."""


class UnitPart:
    """A share of `SqlUnit`: one session, one clock, and what the unit has written so far."""

    def __init__(
        self, session: Session, *, now: Callable[[], datetime], catalog: Catalog, plan: Plan | None = None
    ) -> None:
        self._session = session
        self._now = now
        self._catalog = catalog
        self._plan = plan
        self.touched_deliveries: set[tuple[CommitId, TargetId]] = set()
        """(commit, target) of every delivery written here: what figures must look at after the commit."""
        self.touched_sinks: set[str] = set()
        """The sinks that were given reports here: who sends them has work after the commit."""
