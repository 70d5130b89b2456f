"""What every part of a unit works with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from sqlalchemy import insert

from fluxtrail.ledger import schema
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

    async def _touch(self, deliveries: Iterable[tuple[CommitId, TargetId]]) -> None:
        """Let the figures look at these again: this process's, and those of whoever else may write."""
        touched = list(dict.fromkeys(deliveries))
        self.touched_deliveries.update(touched)
        if touched and self._session.dialect.is_shared:
            await self._tell_others(touched)

    async def _tell_others(self, touched: Sequence[tuple[CommitId, TargetId]]) -> None:
        """Note what other processes must look at to keep their figures in step."""
        table, now = schema.touches, self._now()
        ids = await self._session.dialect.reserve_ids(self._session, table, len(touched))
        stated = [
            {"id": id_, "at": now, "commit_id": commit_id, "target_id": target_id}
            for id_, (commit_id, target_id) in zip(ids, touched, strict=True)
        ]
        await self._session.run(insert(table), stated)
