"""CI runs as they are listed, where commits came from before Flux, and what is applied on each cluster."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, Select, func, literal, select, tuple_

from fluxtrail.ledger import schema
from fluxtrail.ledger.columns import Instant, from_micros, to_micros
from fluxtrail.ledger.queries.asking import LIMIT, Asking, find_word
from fluxtrail.ledger.queries.pages import Page, bounded, read_cursor, write_cursor
from fluxtrail.ledger.queries.situation import Situation
from fluxtrail.ledger.queries.telling import find_branches
from fluxtrail.ledger.session import Session, chunks
from fluxtrail.model.ci import CiRole, CiRun, CiState, CiSystem, PullRequest
from fluxtrail.model.ci_views import AppliedHead, Origin, OriginExport, SyncLine
from fluxtrail.model.records import CommitId, ExportEvidence

HEADS = 50_000
"""Targets whose applied commits one answer looks at."""
RUNS_OF_ONE = 200
"""Of one commit, at most; a monorepo's push may set off dozens."""

_R, _C, _E, _P = schema.ci_runs, schema.commits, schema.exports, schema.pull_requests
_A, _T, _S, _REPOSITORIES = schema.aliases, schema.targets, schema.syncs, schema.repositories
_BEHIND_HEX = "g"


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    repository: str | None = None
    """Canonical, or the end of it."""
    sha: str | None = None
    """Whole, or the beginning of one."""
    state: CiState | None = None
    role: CiRole | None = None
    system: CiSystem | None = None


class CiAnswers(Asking):
    async def list_ci_runs(
        self,
        *,
        repository: str | None = None,
        sha: str | None = None,
        state: str | None = None,
        role: str | None = None,
        system: str | None = None,
        limit: int = LIMIT,
        cursor: str | None = None,
    ) -> Page[CiRun]:
        """Return CI runs, what began last first.

        Raises:
            ConfigError: a cursor of another list; a state, role or system that does not exist.
        """
        wanted = RunFilter(
            repository=repository,
            sha=sha,
            state=find_word(CiState, state, "state"),
            role=find_word(CiRole, role, "role"),
            system=find_word(CiSystem, system, "system"),
        )
        async with self._read() as session:
            return await list_ci_runs(session, wanted, limit=limit, cursor=cursor)

    async def origins(self, commits: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Origin]:
        """Return where commits, each a (canonical repository, sha), came from; unknown ones are left out."""
        async with self._situation() as (session, situation):
            return await read_origins(session, situation, commits)

    async def applied_heads(self) -> list[AppliedHead]:
        """Return the commits that are applied on clusters now, by cluster."""
        async with self._situation() as (session, situation):
            return await read_heads(session, situation)

    async def recent_syncs(self, *, since: datetime, limit: int) -> list[SyncLine]:
        """Return the newest syncs of whole commits since then, the newest first."""
        async with self._read() as session:
            return await read_syncs(session, since=since, limit=limit)


async def list_ci_runs(session: Session, wanted: RunFilter, *, limit: int, cursor: str | None) -> Page[CiRun]:
    limit = bounded(limit)
    listed: Select[Any] = select(_R.c.id, _R.c.at, _R.c.facts).order_by(_R.c.at.desc(), _R.c.id.desc()).limit(limit + 1)
    if wanted.repository is not None:
        listed = listed.where(_R.c.repository.in_(await _named(session, wanted.repository)))
    listed = _narrowed(listed, wanted)
    if cursor is not None:
        micros, id_ = read_cursor(cursor, tuple[int, int])
        listed = listed.where(tuple_(_R.c.at, _R.c.id) < tuple_(literal(from_micros(micros), Instant()), id_))
    found = await session.all(listed)
    last = found[limit - 1] if len(found) > limit else None
    following = write_cursor((to_micros(last.at), last.id)) if last is not None else None
    return Page(items=[row.facts for row in found[:limit]], next=following)


async def _named(session: Session, name: str) -> list[str]:
    """Return the repositories of runs that a name means; an index tells each of them by one look."""
    first = select(func.min(_R.c.repository).label("repository")).cte("repositories", recursive=True)
    behind = select(func.min(_R.c.repository)).where(_R.c.repository > first.c.repository).scalar_subquery()
    everyone = first.union_all(select(behind).where(first.c.repository.is_not(None)))
    rows = await session.all(select(everyone.c.repository).where(everyone.c.repository.is_not(None)))
    return [row.repository for row in rows if row.repository == name or row.repository.endswith(f"/{name}")]


def _narrowed(listed: Select[Any], wanted: RunFilter) -> Select[Any]:
    if wanted.sha is not None:
        listed = listed.where(_R.c.sha >= wanted.sha, _R.c.sha < wanted.sha + _BEHIND_HEX)
    for column, value in ((_R.c.state, wanted.state), (_R.c.role, wanted.role), (_R.c.system, wanted.system)):
        if value is not None:
            listed = listed.where(column == value)
    return listed


async def read_origins(
    session: Session, situation: Situation, commits: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Origin]:
    rows = await _commits(session, commits)
    exports = await _exports(session, situation, [row.id for row in rows.values()])
    shas = [*(sha for _, sha in rows), *(export.sha for some in exports.values() for export in some)]
    others = await _aliases(session, [row.id for row in rows.values()])
    runs = await _runs(session, [*shas, *(sha for some in others.values() for sha in some)])
    pulls = await _pulls(session, {name: row.pull_request for name, row in rows.items()})
    branches: dict[CommitId, str] = {}
    for chunk in chunks([CommitId(row.id) for row in rows.values()]):
        branches |= await find_branches(session, chunk)
    found: dict[tuple[str, str], Origin] = {}
    for (repository, sha), row in rows.items():
        theirs = [run for one in (sha, *others.get(row.id, ())) for run in runs.get((repository, one), ())]
        found[repository, sha] = Origin(
            repository=repository,
            sha=sha,
            branch=branches.get(row.id, ""),
            runs=tuple(sorted(theirs, key=lambda run: (run.at, run.run_id))),
            pull_request=pulls.get((repository, row.pull_request)),
            exported_at=row.exported.at if row.exported else None,
            exports=tuple(
                msgspec.structs.replace(export, runs=tuple(runs.get((export.repository, export.sha), ())))
                for export in exports.get(row.id, ())
            ),
        )
    return found


async def _commits(session: Session, commits: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Row[Any]]:
    asked = set(commits)
    found: dict[tuple[str, str], Row[Any]] = {}
    for chunk in chunks(list(dict.fromkeys(sha for _, sha in commits))):
        wanted = (
            select(_C.c.id, _C.c.sha, _C.c.pull_request, _C.c.exported, _REPOSITORIES.c.canonical)
            .join(_REPOSITORIES, _REPOSITORIES.c.id == _C.c.repository_id)
            .where(session.dialect.among(_C.c.sha, chunk))
        )
        for row in await session.all(wanted):
            if (row.canonical, row.sha) in asked:
                found[row.canonical, row.sha] = row
    return found


async def _aliases(session: Session, ids: Sequence[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for chunk in chunks(list(ids)):
        wanted = select(_A.c.commit_id, _A.c.sha).where(session.dialect.among(_A.c.commit_id, chunk)).order_by(_A.c.sha)
        for row in await session.all(wanted):
            found.setdefault(row.commit_id, []).append(row.sha)
    return found


async def _exports(session: Session, situation: Situation, ids: Sequence[int]) -> dict[int, list[OriginExport]]:
    found: dict[int, list[OriginExport]] = {}
    for chunk in chunks(list(ids)):
        wanted = (
            select(_E.c.source_id, _E.c.build_link, _E.c.evidence, _C.c.sha, _C.c.repository_id, _C.c.committed_at)
            .join(_C, _C.c.id == _E.c.carrier_id)
            .where(session.dialect.among(_E.c.source_id, chunk))
            .order_by(_C.c.at, _C.c.id)
        )
        for row in await session.all(wanted):
            export = OriginExport(
                sha=row.sha,
                repository=situation.canonical(row.repository_id),
                committed_at=row.committed_at,
                build_link=row.build_link or "",
                is_stated=row.evidence is ExportEvidence.STATED,
            )
            found.setdefault(row.source_id, []).append(export)
    return found


async def _runs(session: Session, shas: Sequence[str]) -> dict[tuple[str, str], list[CiRun]]:
    found: dict[tuple[str, str], list[CiRun]] = {}
    for chunk in chunks(list(dict.fromkeys(shas))):
        wanted = (
            select(_R.c.facts).where(session.dialect.among(_R.c.sha, chunk)).order_by(_R.c.at.desc(), _R.c.id.desc())
        )
        for row in await session.all(wanted.limit(len(chunk) * RUNS_OF_ONE)):
            found.setdefault((row.facts.repository, row.facts.sha), []).append(row.facts)
    return found


async def _pulls(
    session: Session, numbers: dict[tuple[str, str], int | None]
) -> dict[tuple[str, int | None], PullRequest]:
    asked = {(repository, number) for (repository, _), number in numbers.items() if number is not None}
    found: dict[tuple[str, int | None], PullRequest] = {}
    repositories = sorted({repository for repository, _ in asked})
    for chunk in chunks(sorted({number for _, number in asked})):
        wanted = select(_P.c.repository, _P.c.number, _P.c.facts)
        wanted = wanted.where(  # as the index has them
            session.dialect.among(_P.c.repository, repositories), session.dialect.among(_P.c.number, chunk)
        )
        for row in await session.all(wanted):
            if (row.repository, row.number) in asked:
                found[row.repository, row.number] = row.facts
    return found


async def read_heads(session: Session, situation: Situation) -> list[AppliedHead]:
    wanted = (
        select(_T.c.cluster, _T.c.repository_id, _T.c.applied_sha, _T.c.observed_at, _S.c.applied, _S.c.sha)
        .outerjoin(_S, _S.c.id == _T.c.sync_id)
        .where(_T.c.deleted_at.is_(None), _T.c.applied_sha.is_not(None))
        .order_by(_T.c.id)
        .limit(HEADS)
    )
    heads: dict[tuple[str, str, str], AppliedHead] = {}
    for row in await session.all(wanted):
        is_of_sync = row.applied is not None and row.sha == row.applied_sha
        at = row.applied.at if is_of_sync else row.observed_at
        key = (situation.cluster_name(row.cluster), situation.canonical(row.repository_id), row.applied_sha)
        known = heads.get(key)
        heads[key] = AppliedHead(
            cluster=key[0],
            repository=key[1],
            sha=key[2],
            at=at if known is None else min(at, known.at),
            targets=1 if known is None else known.targets + 1,
        )
    return [heads[key] for key in sorted(heads)]


async def read_syncs(session: Session, *, since: datetime, limit: int) -> list[SyncLine]:
    wanted = (
        select(_S.c.sha, _S.c.reason, _S.c.message, _S.c.outcome, _S.c.started, _S.c.applied, _S.c.healthy, _T.c.kind)
        .join(_T, _T.c.id == _S.c.target_id)
        .where(_S.c.started_at >= since, _S.c.sha.is_not(None))
        .order_by(_S.c.started_at.desc(), _S.c.id.desc())
        .limit(bounded(limit))
    )
    return [
        SyncLine(
            sha=row.sha,
            reason=row.reason or row.outcome.value,
            message=row.message,
            kind=row.kind,
            at=(row.healthy or row.applied or row.started).at,
        )
        for row in await session.all(wanted)
    ]
