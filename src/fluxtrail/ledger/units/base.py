"""What every part of a unit works with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from fluxtrail.ledger.catalog import Catalog
from fluxtrail.ledger.session import Session
from fluxtrail.model.records import CommitId, TargetId


class UnitPart:
    """A share of `SqlUnit`: one session, one clock, and what the unit has written so far."""

    def __init__(self, session: Session, *, now: Callable[[], datetime], catalog: Catalog) -> None:
        self._session = session
        self._now = now
        self._catalog = catalog
        self.touched_deliveries: set[tuple[CommitId, TargetId]] = set()
        """(commit, target) of every delivery written here: what figures must look at after the commit."""
