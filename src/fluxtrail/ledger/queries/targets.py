"""Targets, clusters, and what is on its way to them."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, func, select

from fluxtrail.ledger import rows, schema
from fluxtrail.ledger.columns import to_micros
from fluxtrail.ledger.queries.blockers import find_blockers
from fluxtrail.ledger.queries.pages import Page, bounded, read_cursor, write_cursor
from fluxtrail.ledger.queries.resolving import find_targets
from fluxtrail.ledger.queries.situation import Situation
from fluxtrail.ledger.session import Session, chunks
from fluxtrail.model.derive import not_ready_text
from fluxtrail.model.observation import is_told_cluster
from fluxtrail.model.records import SyncRecord, TargetId, TargetRecord
from fluxtrail.model.rollout import RunningState
from fluxtrail.model.verdict import OPEN, Verdict
from fluxtrail.model.views import BlockerView, ClusterView, SyncView, TargetView

SYNCS_SHOWN = 20
_LAST = 2**62

_C = schema.commits
_D = schema.deliveries


class OnItsWay(msgspec.Struct, kw_only=True):
    """What is open on one target now."""

    pending: int = 0
    """Whatever it waits for."""
    failed: int = 0
    oldest_since: datetime | None = None
    """When the oldest pending commit was merged; what waits by somebody's will does not count."""


def named_targets(
    situation: Situation, *, cluster: str | None, namespace: str | None, target: str | None
) -> list[TargetId] | None:
    """Return the targets, deleted ones too, that a filter means; None where it names none of the three."""
    if cluster is None and namespace is None and target is None:
        return None
    candidates = list(situation.targets.values()) if target is None else find_targets(situation, target, deleted=True)
    return [
        record.id
        for record in candidates
        if (cluster is None or cluster in (record.cluster, situation.cluster_name(record.cluster)))
        and (namespace is None or record.key.namespace == namespace)
    ]


async def list_targets(
    session: Session,
    situation: Situation,
    *,
    now: datetime,
    cluster: str | None,
    namespace: str | None,
    target: str | None,
    sort: str | None,
    limit: int,
    cursor: str | None,
) -> Page[TargetView]:
    """Return live targets by cluster, namespace and name.

    Args:
        sort: what comes first: the most `pending` or `failed`, or whose `oldest` waits longest.
    """
    limit = bounded(limit)
    chosen = named_targets(situation, cluster=cluster, namespace=namespace, target=target)
    known = situation.targets.values() if chosen is None else [situation.targets[id_] for id_ in chosen]
    live = [record for record in known if record.deleted_at is None]
    waiting = await on_its_way(session, situation, None) if sort is not None else {}
    ordered = sorted(
        ((_rank(sort, waiting.get(record.id, OnItsWay())), *_order(situation, record)), record) for record in live
    )
    if cursor is not None:
        after = read_cursor(cursor, tuple[int, str, str, str, str, int])
        ordered = [entry for entry in ordered if entry[0] > after]
    shown = [record for _, record in ordered[:limit]]
    views = await target_views(session, situation, shown, now=now)
    return Page(items=views, next=write_cursor(ordered[limit - 1][0]) if len(ordered) > limit else None)


def _order(situation: Situation, record: TargetRecord) -> tuple[str, str, str, str, int]:
    key = record.key
    return situation.cluster_name(record.cluster), key.namespace, key.name, key.kind, record.id


def _rank(sort: str | None, counted: OnItsWay) -> int:
    """Return what is sorted by before names: less comes first."""
    if sort == "pending":
        return -counted.pending
    if sort == "failed":
        return -counted.failed
    if sort == "oldest":
        return to_micros(counted.oldest_since) if counted.oldest_since is not None else _LAST
    return 0


async def target_views(
    session: Session, situation: Situation, targets: list[TargetRecord], *, now: datetime
) -> list[TargetView]:
    """Return the views of targets, in their order."""
    waiting = await on_its_way(session, situation, [target.id for target in targets])
    views = []
    for target in targets:
        counted = waiting.get(target.id, OnItsWay())
        oldest = counted.oldest_since
        views.append(
            TargetView(
                id=target.id,
                cluster=situation.cluster_name(target.cluster),
                cluster_uid=target.cluster,
                target=str(target.key),
                lands_on=target.lands_on,
                source=str(target.source),
                repository=situation.canonical(target.repository_id) or None,
                branch=target.branch,
                path=target.path,
                applied=target.applied,
                attempted=target.attempted,
                phase=target.phase.value,
                reason=target.reason,
                message=target.message or ("" if target.applied else not_ready_text(target)),
                is_suspended=target.is_suspended,
                pending=counted.pending,
                failed=counted.failed,
                oldest_pending_seconds=max((now - oldest).total_seconds(), 0.0) if oldest else None,
                observed_at=target.observed_at,
                deleted_at=target.deleted_at,
            )
        )
    return views


async def find_target(
    session: Session, situation: Situation, target_id: int, *, now: datetime
) -> tuple[TargetView, list[SyncView]] | None:
    """Return a target with its newest syncs, or None."""
    target = situation.targets.get(TargetId(target_id))
    if target is None:
        return None
    table = schema.syncs
    wanted = select(table).where(table.c.target_id == target.id).order_by(table.c.id.desc()).limit(SYNCS_SHOWN)
    syncs = [rows.sync_of(row) for row in await session.all(wanted)]
    blockers = await find_blockers(session, [s.id for s in syncs if s.running_state is RunningState.WAITING])
    views = [_sync_view(sync, blockers.get(sync.id, [])) for sync in syncs]
    return (await target_views(session, situation, [target], now=now))[0], views


def _sync_view(sync: SyncRecord, blockers: list[BlockerView]) -> SyncView:
    return SyncView(
        id=sync.id,
        revision=sync.revision,
        cause=sync.cause.value,
        outcome=sync.outcome.value,
        reason=sync.reason,
        message=sync.message,
        previous=sync.previous,
        attribution=sync.attribution.value,
        attribution_problem=sync.attribution_problem,
        is_unchanged=sync.is_unchanged,
        started=sync.started,
        fetched=sync.fetched,
        applied=sync.applied,
        healthy=sync.healthy,
        running=sync.running,
        running_state=sync.running_state.value if sync.applied is not None else "",
        action=sync.action,
        is_remediated=sync.is_remediated,
        blockers=blockers,
    )


async def on_its_way(
    session: Session, situation: Situation, targets: list[TargetId] | None
) -> dict[TargetId, OnItsWay]:
    """Return what is open, by target; of all of them for None. Nothing is kept for a target with nothing open."""
    counted: dict[TargetId, OnItsWay] = {}
    for chunk in [None] if targets is None else list(chunks(targets)):
        wanted = (
            select(_D.c.target_id, _D.c.verdict, func.count().label("number"))
            .where(_D.c.verdict.in_(sorted(OPEN)), *_among(chunk))
            .group_by(_D.c.target_id, _D.c.verdict)
        )
        for row in await session.all(wanted):
            entry = counted.setdefault(row.target_id, OnItsWay())
            if row.verdict is Verdict.PENDING:
                entry.pending = row.number
            else:
                entry.failed = row.number
    await _add_oldest(session, situation, counted)
    return counted


def _among(targets: Any) -> tuple[ColumnElement[bool], ...]:
    return () if targets is None else (_D.c.target_id.in_(targets),)


async def _add_oldest(session: Session, situation: Situation, counted: dict[TargetId, OnItsWay]) -> None:
    will = {id_: situation.waits_by_will(situation.targets[id_]) for id_, entry in counted.items() if entry.pending}
    for chunk in chunks([id_ for id_, by_will in will.items() if by_will is False]):
        wanted = (
            select(_D.c.target_id, func.min(_C.c.at).label("oldest"))
            .join(_C, _C.c.id == _D.c.commit_id)
            .where(_D.c.verdict == Verdict.PENDING, _D.c.target_id.in_(chunk))
            .group_by(_D.c.target_id)
        )
        for row in await session.all(wanted):
            counted[row.target_id].oldest_since = row.oldest
    unclear = [situation.targets[id_] for id_, by_will in will.items() if by_will is None]
    await situation.locate(unclear)
    for target in unclear:
        counted[target.id].oldest_since = await _oldest_fetched(session, situation, target)


async def _oldest_fetched(session: Session, situation: Situation, target: TargetRecord) -> datetime | None:
    """When the oldest commit was merged that is pending though the source has fetched it."""
    fetched, branch = situation.fetched_position(target), situation.branch_of(target)
    if fetched is None or branch is None:
        return None
    links, chains = schema.links, schema.chains
    wanted = (
        select(func.min(_C.c.at))
        .select_from(_D)
        .join(_C, _C.c.id == _D.c.commit_id)
        .join(links, links.c.commit_id == func.coalesce(_D.c.carrier_id, _D.c.commit_id))
        .join(chains, chains.c.id == links.c.chain_id)
        .where(_D.c.target_id == target.id, _D.c.verdict == Verdict.PENDING)
        .where(links.c.cut_at.is_(None), links.c.position <= fetched)
        .where(chains.c.repository_id == branch[0], chains.c.branch == branch[1])
    )
    found: datetime | None = await session.scalar(wanted)
    return found


async def list_clusters(session: Session, situation: Situation) -> list[ClusterView]:
    """Return clusters by name. A cluster is current up to the oldest of its streams' marks."""
    marks = schema.stream_marks
    found = await session.all(
        select(marks.c.cluster, func.min(marks.c.current_at).label("at")).group_by(marks.c.cluster)
    )
    current = {row.cluster: row.at for row in found}
    waiting = await on_its_way(session, situation, None)
    by_cluster: dict[str, list[TargetId]] = {}
    for target in situation.targets.values():
        if target.deleted_at is None:
            by_cluster.setdefault(target.cluster, []).append(target.id)
    views = []
    for uid, name in situation.names.items():
        live = by_cluster.get(uid, [])
        open_there = [waiting[id_] for id_ in live if id_ in waiting]
        views.append(
            ClusterView(
                uid=uid,
                name=name,
                targets=len(live),
                pending=sum(entry.pending for entry in open_there),
                failed=sum(entry.failed for entry in open_there),
                current_at=current.get(uid),
                known_by="events" if is_told_cluster(uid) else "watch",
            )
        )
    return sorted(views, key=lambda view: (view.name, view.uid))
