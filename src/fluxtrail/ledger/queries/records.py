"""Deployment records as they are listed, counted, and found again by who tells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
    type_coerce,
)

from fluxtrail.ledger import schema
from fluxtrail.ledger.columns import Instant, from_micros, to_micros
from fluxtrail.ledger.queries.pages import Page, bounded, read_cursor, write_cursor
from fluxtrail.ledger.record_rows import COLUMNS, record_of
from fluxtrail.ledger.session import Session, chunks
from fluxtrail.model.deployment import SINK, DeploymentStatus, KeptRecord, Told, report_key
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.report import ReportState
from fluxtrail.model.views import RecordView

_R = schema.deployment_records
_IS_UNTOLD: ColumnElement[bool] = literal_column(schema.UNTOLD)
_IS_UNKNOWN: ColumnElement[bool] = literal_column(schema.UNKNOWN)
_IS_GONE: ColumnElement[bool] = literal_column(schema.GONE)
"""Word for word as the partial indexes say it, or SQLite does not take them: a type would add `= 1`."""


class RecordFilter(msgspec.Struct, frozen=True, kw_only=True):
    cluster: str | None = None
    """Its uid or its name."""
    namespace: str | None = None
    status: DeploymentStatus | None = None
    told: Told | None = None
    text: str | None = None
    """A part of the deployment name, the image's name or its digest, in any case."""


class RecordCount(NamedTuple):
    cluster: ClusterUid
    status: DeploymentStatus
    told: Told
    number: int


async def list_records(session: Session, chosen: RecordFilter, *, limit: int, cursor: str | None) -> Page[RecordView]:
    """Return records, what changed last first."""
    limit = bounded(limit)
    names = await _cluster_names(session)
    found = await session.all(_listed(chosen, names, limit=limit + 1, cursor=cursor))
    shown = [record_of(row) for row in found[:limit]]
    waiting = await _reports_of(session, shown)
    return Page(
        items=[
            _view(record, names, waiting.get(report_key(record.cluster, record.deployment_name))) for record in shown
        ],
        next=write_cursor((to_micros(shown[-1].changed_at), shown[-1].id)) if len(found) > limit else None,
    )


def _listed(chosen: RecordFilter, names: Mapping[str, str], *, limit: int, cursor: str | None) -> Select[Any]:
    """Return the rows of a page.

    By an index where one gives them in their order and most of what it meets is wanted. Else by reading the table once
    from end to end: of 50,000 rows that takes 20 ms, and to look each of them up behind an index five times as long.
    """
    is_sparse = chosen.namespace is not None or chosen.text is not None or chosen.told is Told.TOLD
    at = type_coerce(_R.c.changed_at + literal_column("0"), Instant()) if is_sparse else _R.c.changed_at
    cluster = func.coalesce(_R.c.cluster, "") if is_sparse else _R.c.cluster
    conditions = [*_conditions(chosen), *([] if is_sparse else _hints(chosen))]
    if chosen.cluster is not None:
        uids = {chosen.cluster, *(uid for uid, name in names.items() if name == chosen.cluster)}
        conditions.append(cluster.in_(sorted(uids)))
    if cursor is not None:
        micros, last = read_cursor(cursor, tuple[int, int])
        conditions.append(tuple_(at, _R.c.id) < tuple_(literal(from_micros(micros), Instant()), last))
    ordered = select(_R.c.id).where(*conditions).order_by(at.desc(), _R.c.id.desc()).limit(limit)
    wanted = select(*COLUMNS).where(_R.c.id.in_(ordered.scalar_subquery()))
    return wanted.order_by(_R.c.changed_at.desc(), _R.c.id.desc())


def _conditions(chosen: RecordFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        column == value
        for column, value in (
            (_R.c.namespace, chosen.namespace),
            (_R.c.status, chosen.status),
            (_R.c.told, chosen.told),
        )
        if value is not None
    ]
    return conditions if chosen.text is None else [*conditions, _holds(chosen.text.lower())]


def _hints(chosen: RecordFilter) -> list[ColumnElement[bool]]:
    """Return the conditions of the partial indexes that fit: a database does not see it by a parameter."""
    hints: list[ColumnElement[bool]] = [_IS_GONE] if chosen.status is DeploymentStatus.DECOMMISSIONED else []
    return hints if chosen.told in (None, Told.TOLD) else [*hints, _IS_UNTOLD]


def _holds(part: str) -> ColumnElement[bool]:
    return or_(
        *(func.lower(column).contains(part, autoescape=True) for column in (_R.c.deployment_name, _R.c.name)),
        _R.c.digest.contains(part, autoescape=True),
    )


async def _cluster_names(session: Session) -> dict[str, str]:
    return {row.uid: row.name for row in await session.all(select(schema.clusters.c.uid, schema.clusters.c.name))}


async def _reports_of(session: Session, records: Sequence[KeptRecord]) -> dict[str, Row[Any]]:
    """Return what waits to be sent, or was given up, by its key."""
    table = schema.reports
    columns = (table.c.key, table.c.state, table.c.attempts, table.c.answer)
    found: dict[str, Row[Any]] = {}
    for chunk in chunks([report_key(record.cluster, record.deployment_name) for record in records]):
        wanted = select(*columns).where(table.c.sink == SINK, table.c.key.in_(chunk), table.c.ended_at.is_(None))
        found.update((row.key, row) for row in await session.all(wanted))
    return found


def _view(record: KeptRecord, names: dict[str, str], report: Row[Any] | None) -> RecordView:
    place, content = record.place, record.content
    held = record.told_content if record.told_at is not None else None  # else it was sent, and nobody knows
    state: ReportState | None = report.state if report else None
    return RecordView(
        id=record.id,
        cluster=names.get(record.cluster) or record.cluster,
        cluster_uid=record.cluster,
        deployment_name=record.deployment_name,
        namespace=place.namespace,
        kind=place.kind,
        workload=place.workload,
        container=place.container,
        name=content.name,
        digest=content.digest,
        version=content.version,
        status=content.status.value,
        runtime_risks=list(content.runtime_risks),
        tags=dict(content.tags),
        since=record.since,
        changed_at=record.changed_at,
        told=record.told.value,
        told_digest=held.digest if held else None,
        told_status=held.status.value if held else None,
        told_to=record.told_to,
        told_at=record.told_at,
        tries=record.tries,
        unknown_since=record.unknown_since,
        retry_at=record.retry_at,
        answer=record.answer,
        report=state.value if state else None,
        attempts=report.attempts if report else 0,
        report_answer=(report.answer or "") if report else "",
    )


async def find_due(session: Session, now: datetime, *, limit: int) -> list[KeptRecord]:
    """Return records to ask about again, the longest due first; of each digest of a cluster one at most."""
    first = func.row_number().over(partition_by=(_R.c.digest, _R.c.cluster), order_by=(_R.c.retry_at, _R.c.id))
    due = select(_R.c.id, first.label("place")).where(_IS_UNKNOWN, _R.c.retry_at <= now).subquery()
    wanted = select(*COLUMNS).join(due, due.c.id == _R.c.id).where(due.c.place == 1)
    found = await session.all(wanted.order_by(_R.c.retry_at, _R.c.id).limit(limit))
    return [record_of(row) for row in found]


async def find_of_digests(session: Session, digests: Sequence[str], *, told: Told) -> list[KeptRecord]:
    """Return all records of these digests that stand so, by cluster and deployment name."""
    found: list[KeptRecord] = []
    for chunk in chunks(sorted(set(digests))):
        wanted = select(*COLUMNS).where(_R.c.digest.in_(chunk), _R.c.told == told)
        if told is Told.UNKNOWN:
            wanted = wanted.where(_IS_UNKNOWN)
        found += map(record_of, await session.all(wanted))
    return sorted(found, key=lambda record: (record.cluster, record.deployment_name))


async def find_told_elsewhere(
    session: Session, cluster: ClusterUid, destination: str, *, after: str, limit: int
) -> list[KeptRecord]:
    """Return records of a cluster that GitHub holds under another destination, by deployment name."""
    wanted = (
        select(*COLUMNS)
        .where(_R.c.cluster == cluster, _R.c.deployment_name > after)
        .where(_R.c.told_content.is_not(None), _R.c.told_to != destination)
        .order_by(_R.c.deployment_name)
        .limit(limit)
    )
    return [record_of(row) for row in await session.all(wanted)]


async def find_held_at(session: Session, destination: str, *, but: ClusterUid, limit: int) -> list[KeptRecord]:
    """Return records of other clusters that GitHub holds under a destination, by cluster and deployment name."""
    wanted = (
        select(*COLUMNS)
        .where(_R.c.told_to == destination, _R.c.cluster != but, _R.c.told_content.is_not(None))
        .order_by(_R.c.cluster, _R.c.deployment_name)
        .limit(limit)
    )
    return [record_of(row) for row in await session.all(wanted)]


async def count_records(session: Session) -> list[RecordCount]:
    """Return how many there are, by cluster, status and how they stand."""
    groups = (_R.c.cluster, _R.c.status, _R.c.told)
    wanted = select(*groups, func.count().label("number")).group_by(*groups).order_by(*groups)
    return [RecordCount(ClusterUid(row.cluster), row.status, row.told, row.number) for row in await session.all(wanted)]
