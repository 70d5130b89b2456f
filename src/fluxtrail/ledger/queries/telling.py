"""What telemetry tells of deliveries and of whole commits: some statements for a batch, none for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, Select, or_, select

from fluxtrail.ledger import schema
from fluxtrail.ledger.queries.last_stage import of_last_stage
from fluxtrail.ledger.queries.unattributed import find_all_unattributed, find_unattributed
from fluxtrail.ledger.session import Session, chunks
from fluxtrail.model.ci import CiRole, CiState
from fluxtrail.model.errors import WireError
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import Attribution, CommitId, SyncId, TargetId
from fluxtrail.model.repository import parse_repository
from fluxtrail.model.telling import (
    CommitTelling,
    DeliveryTelling,
    TellingKey,
    TrackedCommit,
    TrackedRun,
    TrackedSync,
    TrackedTarget,
)
from fluxtrail.model.verdict import Verdict, is_settled

LINKS = 5
"""CI runs that are named of one commit."""

_C, _R, _D, _E = schema.commits, schema.repositories, schema.deliveries, schema.exports
_G, _K, _S = schema.targets, schema.clusters, schema.syncs
_APPLIED, _HEALTHY = schema.syncs.alias("applied_with"), schema.syncs.alias("healthy_with")
_OVER = frozenset({Outcome.SUCCEEDED, Outcome.FAILED})
_UNTOLD = frozenset({Verdict.PENDING, Verdict.UNAFFECTED})


async def read_deliveries(session: Session, keys: Sequence[TellingKey]) -> dict[TellingKey, DeliveryTelling]:
    """Return what there is to tell of these deliveries; those that are gone are left out."""
    found: dict[TellingKey, DeliveryTelling] = {}
    for chunk in chunks(list(dict.fromkeys(keys))):
        pairs = list(dict.fromkeys((key.commit_id, key.target_id) for key in chunk))
        given = session.dialect.key_table(pairs).subquery("wanted")
        joined = _deliveries().join(
            given, (given.c.commit_id == _D.c.commit_id) & (given.c.target_id == _D.c.target_id)
        )
        rows = {(row.commit_id, row.target_id): row for row in await session.all(joined)}
        commits = await _commits(session, _ids_of(rows.values()))
        syncs = await _syncs(session, [key.sync_id for key in chunk if key.sync_id is not None])
        is_lost = any(row.verdict is Verdict.LOST for row in rows.values())
        unsure = await find_all_unattributed(session) if is_lost else frozenset[int]()
        for key in chunk:
            row = rows.get((key.commit_id, key.target_id))
            if row is not None and key.commit_id in commits:
                sync = syncs.get(key.sync_id) if key.sync_id is not None else None
                found[key] = _delivery_of(row, commits, sync, is_unsure=row.target_id in unsure)
    return found


async def read_commits(
    session: Session, commits: Sequence[CommitId], *, now: datetime, settle_after: timedelta
) -> dict[CommitId, CommitTelling]:
    """Return these commits with how they stand everywhere; those that are gone are left out."""
    found: dict[CommitId, CommitTelling] = {}
    for chunk in chunks(list(dict.fromkeys(commits))):
        tracked = await _commits(session, chunk)
        standing = await _standing(session, chunk)
        links = await _build_links(session, chunk)
        is_lost = any(row.verdict is Verdict.LOST for rows in standing.values() for row in rows)
        unsure = await find_unattributed(session, now) if is_lost else frozenset[int]()
        for id_, commit in tracked.items():
            rows = standing.get(id_, [])
            told = [row.since for row in rows if row.verdict not in _UNTOLD]
            verdicts = [row.verdict for row in rows]
            found[id_] = CommitTelling(
                commit=commit,
                verdicts={verdict: verdicts.count(verdict) for verdict in Verdict if verdict in verdicts},
                is_settled=all(
                    is_settled(row.verdict, since=row.since, now=now, settle_after=settle_after)
                    and not (row.verdict is Verdict.LOST and row.target_id in unsure)
                    for row in rows
                ),
                last_at=max(told, default=None),
                build_links=tuple(links.get(id_, ())),
            )
    return found


def _deliveries() -> Select[Any]:
    return (
        select(
            _D,
            _E.c.stated_at,
            _E.c.build_link,
            _APPLIED.c.fetched,
            _APPLIED.c.applied,
            _APPLIED.c.succeeded.label("applied_succeeded"),
            of_last_stage("running", _APPLIED, _HEALTHY).label("running"),
            _HEALTHY.c.healthy,
            _HEALTHY.c.succeeded,
            _G.c.cluster,
            _G.c.api_group,
            _G.c.kind,
            _G.c.namespace,
            _G.c.name,
            _G.c.source,
            _K.c.name.label("cluster_name"),
        )
        .join(_G, _G.c.id == _D.c.target_id)
        .outerjoin(_K, _K.c.uid == _G.c.cluster)
        .outerjoin(_E, (_E.c.carrier_id == _D.c.carrier_id) & (_E.c.source_id == _D.c.commit_id))
        .outerjoin(_APPLIED, _APPLIED.c.id == _D.c.applied_sync)
        .outerjoin(_HEALTHY, _HEALTHY.c.id == _D.c.healthy_sync)
    )


def _ids_of(rows: Iterable[Row[Any]]) -> list[CommitId]:
    return [id_ for row in rows for id_ in (row.commit_id, row.carrier_id) if id_ is not None]


def _delivery_of(
    row: Row[Any], commits: Mapping[CommitId, TrackedCommit], sync: TrackedSync | None, *, is_unsure: bool
) -> DeliveryTelling:
    return DeliveryTelling(
        commit=commits[row.commit_id],
        target=TrackedTarget(
            id=TargetId(row.target_id),
            cluster_uid=row.cluster,
            cluster=row.cluster_name or row.cluster,
            group=row.api_group,
            kind=row.kind,
            namespace=row.namespace,
            name=row.name,
            source_kind=row.source.kind,
            source_name=row.source.name,
        ),
        sync=sync,
        verdict=row.verdict,
        carrier=commits.get(row.carrier_id),
        stated_at=row.stated_at,
        build_link=row.build_link,
        applied_sync=row.applied_sync,
        healthy_sync=row.healthy_sync,
        fetched=row.fetched,
        applied=row.applied,
        healthy=row.healthy,
        succeeded=row.succeeded or row.applied_succeeded,
        running=row.running,
        is_scope_unknown=row.is_scope_unknown,
        is_unsure=is_unsure and row.verdict is Verdict.LOST,
    )


async def _commits(session: Session, ids: Sequence[CommitId]) -> dict[CommitId, TrackedCommit]:
    found: dict[CommitId, TrackedCommit] = {}
    for chunk in chunks(list(dict.fromkeys(ids))):
        branches = await find_branches(session, chunk)
        wanted = select(_C, _R.c.canonical, _R.c.url).join(_R, _R.c.id == _C.c.repository_id).where(_C.c.id.in_(chunk))
        rows = await session.all(wanted)
        runs = await _runs(session, [row for row in rows if row.built is not None])
        for row in rows:
            found[CommitId(row.id)] = TrackedCommit(
                id=CommitId(row.id),
                sha=row.sha,
                repository=row.canonical,
                repository_url=_web_url(row.url, row.canonical),
                branch=branches.get(row.id),
                subject=row.subject,
                pull_request=row.pull_request,
                is_carrier=row.is_carrier,
                committed_at=row.committed_at,
                merged=row.merged,
                built=row.built,
                built_by=runs.get(CommitId(row.id)),
            )
    return found


async def _runs(session: Session, rows: Sequence[Row[Any]]) -> dict[CommitId, TrackedRun]:
    """Return the run of each of these commits that ended when it was built."""
    runs = schema.ci_runs.c
    wanted = select(runs.facts).where(
        runs.sha.in_([row.sha for row in rows]), runs.role == CiRole.BUILD, runs.state == CiState.SUCCEEDED
    )
    built = {(row.canonical, row.sha, row.built.at): CommitId(row.id) for row in rows}
    found: dict[CommitId, TrackedRun] = {}
    for run in [row.facts for row in await session.all(wanted.order_by(runs.id))] if built else ():
        id_ = built.get((run.repository, run.sha, run.finished_at))
        if id_ is not None:
            found[id_] = TrackedRun(url=run.url, pipeline=run.pipeline, run_id=run.run_id, attempt=run.attempt)
    return found


async def find_branches(session: Session, ids: Sequence[CommitId]) -> dict[CommitId, str]:
    """Return a branch that each commit stands on; the one that was followed first, if there are several."""
    links, chains = schema.links, schema.chains
    wanted = (
        select(links.c.commit_id, chains.c.branch)
        .join(chains, chains.c.id == links.c.chain_id)
        .where(session.dialect.among(links.c.commit_id, ids), links.c.cut_at.is_(None))
        .order_by(chains.c.id.desc())
    )
    return {CommitId(row.commit_id): row.branch for row in await session.all(wanted)}


async def _syncs(session: Session, ids: Sequence[SyncId]) -> dict[SyncId, TrackedSync]:
    found: dict[SyncId, TrackedSync] = {}
    for chunk in chunks(list(dict.fromkeys(ids))):
        wanted = select(_S, _G.c.sync_id.label("newest"), _G.c.deleted_at.label("target_deleted_at"))
        wanted = wanted.join(_G, _G.c.id == _S.c.target_id).where(_S.c.id.in_(chunk))
        for row in await session.all(wanted):
            found[SyncId(row.id)] = TrackedSync(
                id=SyncId(row.id),
                revision=row.revision,
                sha=row.sha,
                outcome=row.outcome,
                reason=row.reason,
                message=row.message,
                started=row.started,
                applied=row.applied,
                succeeded=row.succeeded,
                failed=row.failed,
                is_over=_is_over(row),
            )
    return found


def _is_over(row: Row[Any]) -> bool:
    has_ended = row.outcome in _OVER or row.newest != row.id or row.target_deleted_at is not None
    return has_ended and (row.attributed_version >= row.version or row.attribution is Attribution.GAP)


async def _standing(session: Session, ids: Sequence[CommitId]) -> dict[CommitId, list[Row[Any]]]:
    found: dict[CommitId, list[Row[Any]]] = {}
    wanted = select(_D.c.commit_id, _D.c.target_id, _D.c.verdict, _D.c.since).where(_D.c.commit_id.in_(ids))
    for row in await session.all(wanted):
        found.setdefault(CommitId(row.commit_id), []).append(row)
    return found


async def _build_links(session: Session, ids: Sequence[CommitId]) -> dict[CommitId, list[str]]:
    found: dict[CommitId, list[str]] = {}
    wanted = select(_E).where(or_(_E.c.source_id.in_(ids), _E.c.carrier_id.in_(ids)), _E.c.build_link.is_not(None))
    for row in await session.all(wanted.order_by(_E.c.carrier_id, _E.c.source_id)):
        for id_ in {CommitId(row.source_id), CommitId(row.carrier_id)}:
            links = found.setdefault(id_, [])
            if row.build_link not in links and len(links) < LINKS:
                links.append(row.build_link)
    return found


@lru_cache(maxsize=1024)
def _web_url(url: str, canonical: str) -> str:
    """Return a repository's page for people, or the address of a place of artifacts, which has none."""
    if "://" in canonical:
        return canonical.partition("#")[0]
    try:
        return parse_repository(url or f"https://{canonical}").web_url or ""
    except WireError:
        return ""
