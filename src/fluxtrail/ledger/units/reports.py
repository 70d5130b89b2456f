"""A unit's reports: what it makes necessary to say, kept with what made it so."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import and_, case, null

from fluxtrail.ledger import schema
from fluxtrail.ledger.dialect import Dialect, Upsert
from fluxtrail.ledger.units.base import UnitPart
from fluxtrail.model.report import Mode, NewReport, ReportState

_R = schema.reports


class ReportPart(UnitPart):
    async def add_reports(self, reports: Sequence[NewReport]) -> None:
        """Plan what must be said.

        A key of `every` that is known already, sent ones included while they are remembered, is not planned again.
        One of `latest` replaces what was planned under the key; while that is being sent, it is sent afterwards.
        """
        once = [report for report in reports if report.mode is Mode.EVERY]
        newest = [report for report in reports if report.mode is Mode.LATEST]
        newest.sort(key=lambda report: (report.sink, report.key))  # as the outbox locks them
        dialect = self._session.dialect
        await self._session.run(_once(dialect), [self._values(report) for report in once])
        await self._session.run(_newest(dialect), [self._values(report) for report in newest])
        self.touched_sinks.update(report.sink for report in reports)

    def _values(self, report: NewReport) -> dict[str, Any]:
        now = self._now()
        return {
            "sink": report.sink,
            "key": report.key,
            "mode": report.mode,
            "state": ReportState.WAITING,
            "body": report.body,
            "version": 1,
            "attempts": 0,
            "created_at": now,
            "due_at": report.not_before or now,
        }


@cache
def _once(dialect: Dialect) -> Upsert:
    return dialect.upsert(_R).on_conflict_do_nothing(index_elements=["sink", "key"])


@cache
def _newest(dialect: Dialect) -> Upsert:
    statement = dialect.upsert(_R)
    new = statement.excluded
    is_unheard = and_(_R.c.state == ReportState.WAITING, _R.c.owner.is_(None))
    is_put_off = and_(is_unheard, _R.c.answer != "", _R.c.due_at > new.due_at)
    return statement.on_conflict_do_update(
        index_elements=["sink", "key"],
        set_={
            "mode": new.mode,
            "state": new.state,
            "body": new.body,
            "version": _R.c.version + 1,
            "attempts": 0,
            # What nobody has heard of yet is as old as it is; a receiver that asked for a pause gets it, however often
            # something is planned meanwhile. What waits for our own reasons (it has no answer) waits no more.
            "created_at": case((is_unheard, _R.c.created_at), else_=new.created_at),
            "due_at": case((is_put_off, _R.c.due_at), else_=new.due_at),
            "answer": case((is_put_off, _R.c.answer), else_=null()),
            "ended_at": None,
        },
    )
