"""The outbox: reports on their way out, leased to one process at a time while it sends them.

Nothing is locked during a call to the outside. Who claims a report has it until the lease ends; whoever dies meanwhile
loses it to the next who claims. So a report goes out at least once, and what is said of it counts only from who
holds the lease. Leases and budgets go by the clocks of the processes: they must agree to well below a lease.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Integer, bindparam, delete, func, insert, or_, select, text, update

from fluxtrail.ledger import rows, schema
from fluxtrail.ledger.engine import Engine, writing
from fluxtrail.ledger.faults import again
from fluxtrail.ledger.queries.pages import Page
from fluxtrail.ledger.queries.reports import count_reports, list_reports
from fluxtrail.ledger.session import Session, chunks
from fluxtrail.model.redaction import redact
from fluxtrail.model.report import ClaimedReport, Mode, ReportId, ReportState, ReportView, SinkCounts

_R = schema.reports
_B = schema.budgets

_FREE: dict[str, Any] = {"owner": None, "leased_until": None}
_HELD = (_R.c.id == bindparam("id_"), _R.c.owner == bindparam("owner_"), _R.c.state == ReportState.WAITING)
_IS_SAME = _R.c.version == bindparam("version_")
_FORGET = delete(_R).where(*_HELD, _IS_SAME)
_REMEMBER = (
    update(_R)
    .where(*_HELD, _IS_SAME)
    .values(
        **_FREE,
        state=ReportState.SENT,
        body=b"",
        answer=None,
        ended_at=bindparam("now_", type_=_R.c.ended_at.type),
    )
)
_GIVE_BACK = update(_R).where(*_HELD).values(**_FREE)
_UNTIL: dict[str, Any] = {"due_at": bindparam("until_", type_=_R.c.due_at.type)}
_REFUSED = update(_R).where(*_HELD).values(**_FREE, **_UNTIL, answer=bindparam("answer_"))
_POSTPONE = update(_R).where(*_HELD, _IS_SAME).values(**_FREE, **_UNTIL, answer=bindparam("answer_"))
_BURY = update(_R).where(*_HELD, _IS_SAME).values(**_FREE, state=ReportState.DEAD, answer=bindparam("answer_"))
_IS_FREE = or_(_R.c.leased_until.is_(None), _R.c.leased_until <= bindparam("now_"))
_CLAIM = (
    select(*(_R.c[name] for name in rows.CLAIMED), _R.c.due_at)
    .where(_R.c.sink == bindparam("sink_"), text("state = 'waiting'"))  # as its index says it
    .where(_R.c.due_at <= bindparam("now_"), _IS_FREE)
    .order_by(_R.c.due_at, _R.c.id)
    .limit(bindparam("limit_", type_=Integer))
    .with_for_update(skip_locked=True)
)
_TAKE = (
    update(_R)
    .where(_R.c.id.in_(bindparam("ids", expanding=True)))
    .values(owner=bindparam("owner_"), leased_until=bindparam("until_"), attempts=_R.c.attempts + 1)
)


class Outbox:
    """Every method is a transaction of its own, and raises StoreError where the ledger cannot be read or written."""

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self._engine = engine
        self._now = now

    @again
    async def claim(self, sinks: Sequence[str], *, owner: str, limit: int, lease: timedelta) -> list[ClaimedReport]:
        """Lease reports that are due and that nobody holds, the longest due first.

        Args:
            owner: another one for each process, and for each start of it.
            lease: longer than any attempt takes; who is late may find that another has sent it too.
        """
        now = self._now()
        async with writing(self._engine) as session:
            found: list[Any] = []
            for sink in dict.fromkeys(sinks):
                found += await session.all(_CLAIM, {"sink_": sink, "now_": now, "limit_": limit})
            chosen = sorted(found, key=lambda row: (row.due_at, row.id))[:limit]
            for chunk in chunks([row.id for row in chosen]):
                await session.run(_TAKE, {"ids": chunk, "owner_": owner, "until_": now + lease})
        return [rows.claimed_report_of(row, owner=owner) for row in chosen]

    @again
    async def acknowledge(self, reports: Sequence[ClaimedReport]) -> None:
        """Note that they were sent. Of `latest`, what was planned again meanwhile is still to be sent."""
        latest = [report for report in _in_order(reports) if report.mode is Mode.LATEST]
        every = [report for report in _in_order(reports) if report.mode is Mode.EVERY]
        async with writing(self._engine, gives_way=True) as session:
            await session.run(_FORGET, [_versioned(report) for report in latest])
            await session.run(_GIVE_BACK, [_held(report) for report in latest])
            await session.run(_REMEMBER, [_versioned(report) | {"now_": self._now()} for report in every])

    @again
    async def postpone(self, reports: Sequence[ClaimedReport], *, until: datetime, answer: str) -> None:
        """Give them back, not to be tried before `until`.

        Args:
            answer: why the receiver wants that; it holds for what was planned under the key meanwhile, too. Empty where
                the reason is our own, and this report's: what was planned meanwhile does not wait.
        """
        said = {"until_": until, "answer_": redact(answer)}
        async with writing(self._engine, gives_way=True) as session:
            if answer:
                await session.run(_REFUSED, [_held(report) | said for report in _in_order(reports)])
                return
            await session.run(_POSTPONE, [_versioned(report) | said for report in _in_order(reports)])
            await session.run(_GIVE_BACK, [_held(report) for report in _in_order(reports)])

    @again
    async def bury(self, reports: Sequence[ClaimedReport], *, answer: str) -> None:
        """Give up on them: dead letters, which keep the answer. What was planned again meanwhile lives on."""
        said = redact(answer)
        async with writing(self._engine, gives_way=True) as session:
            await session.run(_BURY, [_versioned(report) | {"answer_": said} for report in _in_order(reports)])
            await session.run(_GIVE_BACK, [_held(report) for report in _in_order(reports)])

    @again
    async def replay(self, ids: Sequence[ReportId]) -> int:
        """Let dead letters be sent again, now; returns how many were dead."""
        back = {"state": ReportState.WAITING, "attempts": 0, "due_at": self._now()}
        async with writing(self._engine, gives_way=True) as session:
            return await _change(session, ids, _R.c.state == ReportState.DEAD, back)

    @again
    async def drop(self, ids: Sequence[ReportId]) -> int:
        """Never send these, dead or waiting; returns how many there were. What is being sent may still arrive."""
        gone = {**_FREE, "state": ReportState.DROPPED, "body": b"", "ended_at": self._now()}
        async with writing(self._engine, gives_way=True) as session:
            return await _change(session, ids, _R.c.ended_at.is_(None), gone)

    async def counts(self) -> dict[str, SinkCounts]:
        """Return what has not been sent, by sink; none for a sink without any."""
        async with self._engine.read() as session:
            return await count_reports(session)

    async def list(
        self,
        *,
        state: ReportState | None = None,
        sink: str | None = None,
        sha: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[ReportView]:
        """Return reports, the last planned first.

        Args:
            sha: whole, of the commit that they are about.

        Raises:
            ConfigError: a cursor that is none of this list.
        """
        async with self._engine.read() as session:
            return await list_reports(session, state=state, sink=sink, sha=sha, limit=limit, cursor=cursor)

    async def spend(self, budget: str, *, limit: int, per: timedelta, now: datetime) -> timedelta | None:
        """Spend one of a budget that all processes share: never more than `limit` within any `per`.

        Returns:
            None when one was spent, else how long until there is one.
        """
        return await self.spend_each([(budget, limit, per)], now=now)

    @again
    async def spend_each(self, budgets: Sequence[tuple[str, int, timedelta]], *, now: datetime) -> timedelta | None:
        """Spend one of each of these budgets (name, limit, per), or of none where one has none left.

        Returns:
            None when they were spent, else how long until there is one of each.
        """
        none_ever = [per for _, limit, per in budgets if limit < 1]
        if none_ever:
            return max(none_ever)
        async with writing(self._engine) as session:
            waits = [await _wait(session, *budget, now=now) for budget in sorted(budgets)]
            wait = max((wait for wait in waits if wait is not None), default=None)
            if wait is None:
                await session.run(insert(_B), [{"budget": budget, "spent_at": now} for budget, _, _ in budgets])
            return wait

    async def spent(self, budget: str, *, per: timedelta, now: datetime) -> int:
        """Return how much of a budget was spent within the last `per`."""
        wanted = select(func.count()).where(_B.c.budget == budget, _B.c.spent_at > now - per)
        async with self._engine.read() as session:
            return int(await session.scalar(wanted) or 0)


async def _wait(session: Session, budget: str, limit: int, per: timedelta, *, now: datetime) -> timedelta | None:
    """Return how long until there is one of a budget; None where there is one."""
    await session.dialect.lock(session, f"budget {budget}")
    await session.run(delete(_B).where(_B.c.budget == budget, _B.c.spent_at <= now - per))
    spent = select(_B.c.spent_at).where(_B.c.budget == budget)
    last = await session.scalar(spent.order_by(_B.c.spent_at.desc(), _B.c.id.desc()).offset(limit - 1).limit(1))
    return last + per - now if last is not None else None


async def _change(
    session: Session, ids: Sequence[ReportId], condition: ColumnElement[bool], values: dict[str, Any]
) -> int:
    changed = 0
    for chunk in chunks(list(dict.fromkeys(ids))):
        in_order = select(_R.c.id).where(_R.c.id.in_(chunk), condition).order_by(_R.c.sink, _R.c.key)
        await session.all(in_order.with_for_update())
        changed += await session.run(update(_R).where(_R.c.id.in_(chunk), condition).values(values))
    return changed


def _in_order(reports: Sequence[ClaimedReport]) -> list[ClaimedReport]:
    """The order in which units touch reports too: who locks rows in one order never waits in a circle."""
    return sorted(reports, key=lambda report: (report.sink, report.key))


def _held(report: ClaimedReport) -> dict[str, Any]:
    return {"id_": report.id, "owner_": report.owner}


def _versioned(report: ClaimedReport) -> dict[str, Any]:
    return _held(report) | {"version_": report.version}
