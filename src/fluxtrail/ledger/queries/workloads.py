"""Workloads as they are listed and counted: what does not run first.

The list goes state by state, each a range of one index that holds all that is filtered by.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, func, literal_column, select, tuple_

from fluxtrail.ledger import schema
from fluxtrail.ledger.queries.blockers import STATES, workload_text
from fluxtrail.ledger.queries.pages import Page, bounded, read_cursor, write_cursor
from fluxtrail.ledger.queries.situation import Situation
from fluxtrail.ledger.queries.targets import named_targets
from fluxtrail.ledger.session import Session, chunks
from fluxtrail.model.counts import NotRunning
from fluxtrail.model.records import TargetId
from fluxtrail.model.rollout import RolloutCause, RolloutState
from fluxtrail.model.running_records import WorkloadId
from fluxtrail.model.views import WorkloadView

NOT_RUNNING = (RolloutState.FAILED, RolloutState.BLOCKED, RolloutState.PROGRESSING)

_W = schema.workloads
_IS_ALIVE: ColumnElement[bool] = literal_column(schema.ALIVE)
"""Word for word as the partial index says it, or SQLite does not take it."""


class WorkloadFilter(msgspec.Struct, frozen=True, kw_only=True):
    cluster: str | None = None
    """A name or a uid."""
    namespace: str | None = None
    """Its own."""
    target: str | None = None
    """Whose inventory it is in: a name, `kind/name` or `kind/namespace/name`."""
    state: RolloutState | None = None
    cause: RolloutCause | None = None


class _Key(msgspec.Struct, frozen=True, array_like=True):
    state: RolloutState
    namespace: str
    name: str
    id: int


async def list_workloads(
    session: Session, situation: Situation, chosen: WorkloadFilter, *, limit: int, cursor: str | None
) -> Page[WorkloadView]:
    limit = bounded(limit)
    after = None if cursor is None else read_cursor(cursor, _Key)
    states: Sequence[RolloutState] = STATES if chosen.state is None else (chosen.state,)
    if after is not None:
        states = states[states.index(after.state) :] if after.state in states else ()
    conditions = _conditions(situation, chosen)
    keys: list[_Key] = []
    for state in states:
        behind = after if after is not None and after.state is state else None
        keys += await _keys(session, state, conditions, behind, limit + 1 - len(keys))
        if len(keys) > limit:
            break
    shown = keys[:limit]
    rows = await _rows(session, [WorkloadId(key.id) for key in shown])
    return Page(
        items=[_view(rows[key.id], situation) for key in shown],
        next=write_cursor(msgspec.structs.astuple(shown[-1])) if len(keys) > limit else None,
    )


def _conditions(situation: Situation, chosen: WorkloadFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if chosen.namespace is not None:
        conditions.append(_W.c.namespace == chosen.namespace)
    if chosen.cause is not None:
        conditions.append(_W.c.cause == chosen.cause)
    if chosen.cluster is not None:
        named = (uid for uid, name in situation.names.items() if name == chosen.cluster)
        conditions.append(_W.c.cluster.in_(sorted({chosen.cluster, *named})))
    if chosen.target is not None:
        targets = named_targets(situation, cluster=None, namespace=None, target=chosen.target) or []
        conditions.append(_W.c.target_id.in_(targets))
    return conditions


async def _keys(
    session: Session, state: RolloutState, conditions: Sequence[ColumnElement[bool]], after: _Key | None, limit: int
) -> list[_Key]:
    wanted = (
        select(_W.c.state, _W.c.namespace, _W.c.name, _W.c.id)
        .where(_W.c.state == state, _IS_ALIVE, *conditions)
        .order_by(_W.c.namespace, _W.c.name, _W.c.id)
        .limit(limit)
    )
    if after is not None:
        wanted = wanted.where(
            tuple_(_W.c.namespace, _W.c.name, _W.c.id) > tuple_(after.namespace, after.name, after.id)
        )
    return [_Key(row.state, row.namespace, row.name, row.id) for row in await session.all(wanted)]


async def _rows(session: Session, ids: Sequence[WorkloadId]) -> dict[int, Row[Any]]:
    found: dict[int, Row[Any]] = {}
    for chunk in chunks(ids):
        found.update((row.id, row) for row in await session.all(select(_W).where(_W.c.id.in_(chunk))))
    return found


def _view(row: Row[Any], situation: Situation) -> WorkloadView:
    return WorkloadView(
        id=row.id,
        cluster=situation.cluster_name(row.cluster),
        cluster_uid=row.cluster,
        workload=workload_text(row.api_group, row.kind, row.namespace, row.name),
        target=str(situation.targets[row.target_id].key),
        target_id=row.target_id,
        state=row.state.value,
        cause=row.cause.value if row.cause else None,
        message=row.message,
        pod=row.pod,
        container=row.container,
        since=row.since,
        generation=row.generation,
        rolled_generation=row.rolled_generation,
        rolled=row.rolled,
        images=row.images,
        digests=row.digests,
        observed_at=row.observed_at,
    )


async def count_not_running(session: Session, situation: Situation) -> list[NotRunning]:
    """Return how many workloads of live targets do not run, by target and cause; only those that are not zero."""
    groups = (_W.c.target_id, _W.c.cause)
    wanted = select(*groups, func.count().label("number")).where(_W.c.state.in_(NOT_RUNNING), _IS_ALIVE)
    counted: dict[tuple[TargetId, str], int] = {}
    for row in await session.all(wanted.group_by(*groups)):
        if situation.targets[row.target_id].deleted_at is None:
            cause = row.cause.value if row.cause else RolloutState.PROGRESSING.value
            counted[row.target_id, cause] = row.number
    found = []
    for (target_id, cause), number in sorted(counted.items()):
        target = situation.targets[target_id]
        found.append(
            NotRunning(
                cluster=situation.cluster_name(target.cluster),
                namespace=target.key.namespace,
                name=target.key.name,
                kind=target.key.kind,
                cause=cause,
                workloads=number,
            )
        )
    return found
