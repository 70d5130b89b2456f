"""A unit's CI runs and pull requests, and what they say of commits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import bindparam, delete, literal_column, select, update

from fluxtrail.ledger import rows, schema
from fluxtrail.ledger.dialect import Dialect, Upsert
from fluxtrail.ledger.session import chunks
from fluxtrail.ledger.units.base import UnitPart
from fluxtrail.model.ci import (
    SHORT_SHA,
    CiKey,
    CiRole,
    CiRun,
    CiSystem,
    Delivered,
    PullRequest,
    Standing,
)
from fluxtrail.model.ci_merging import keep_details, merge_runs
from fluxtrail.model.moment import Moment
from fluxtrail.model.records import CommitId, CommitRecord, RepositoryId

_R, _P, _C = schema.ci_runs, schema.pull_requests, schema.commits
_A, _E, _D, _S = schema.aliases, schema.exports, schema.deliveries, schema.syncs
_KEY = (_R.c.system, _R.c.host, _R.c.project, _R.c.run_id, _R.c.role, _R.c.sha)
_OPEN = (
    select(_R.c.facts)
    .where(literal_column(f"({schema.OPEN_RUN})"), _R.c.repository == bindparam("repository_"))
    .where(_R.c.at >= bindparam("since"))
    .order_by(_R.c.at)
    .limit(bindparam("limit_"))
)
_SET_BUILT = update(_C).where(_C.c.id == bindparam("id_"))
_SET_BUILT = _SET_BUILT.values(
    built=bindparam("built_"), build_state=bindparam("state_"), exported=bindparam("exported_")
)


class CiPart(UnitPart):
    async def put_ci_runs(self, runs: Sequence[CiRun], known: Sequence[CiRun] | None = None) -> list[CiRun]:
        """Keep what is newer or better known than what is there; returns those that changed something.

        Args:
            known: those of them that are kept, where they are read in this unit already.
        """
        if known is None:
            known = await self.known_runs([run.key for run in runs])
        held = {run.key: run for run in known}
        changed = merge_runs(known, [keep_details(run, held.get(run.key)) for run in runs])
        await self._session.run(_put_runs(self._session.dialect), [_run_values(run) for run in changed])
        return changed

    async def ci_runs_of(self, repository: str, shas: Sequence[str]) -> dict[str, list[CiRun]]:
        """Return the runs of these commits of a (canonical) repository by sha, the first begun first."""
        found: dict[str, list[CiRun]] = {}
        for chunk in chunks(list(dict.fromkeys(shas))):
            wanted = select(_R.c.facts).where(_R.c.sha.in_(chunk), _R.c.repository == repository)
            for row in await self._session.all(wanted.order_by(_R.c.at, _R.c.id)):
                found.setdefault(row.facts.sha, []).append(row.facts)
        return found

    async def open_ci_runs(self, repository: str, *, since: datetime, limit: int) -> list[CiRun]:
        """Return runs that are not over, the oldest first; those that began before `since` are given up."""
        values = {"repository_": repository, "since": since, "limit_": limit}
        return [row.facts for row in await self._session.all(_OPEN, values)]

    async def runs_naming(self, carriers: Sequence[str]) -> list[CiRun]:
        """Return the runs that may have exported something as one of these commits of a manifests repository, the
        first begun first: what each names begins with the same digits.
        """
        found: list[CiRun] = []
        for chunk in chunks(sorted({sha[:SHORT_SHA] for sha in carriers})):
            wanted = select(_R.c.facts).where(_R.c.carrier.in_(chunk)).order_by(_R.c.at, _R.c.id)
            found += [row.facts for row in await self._session.all(wanted)]
        return [run for run in found if any(sha.startswith(run.carrier_sha) for sha in carriers)]

    async def recent_commits(self, repository_id: RepositoryId, *, since: datetime, limit: int) -> list[CommitRecord]:
        """Return a repository's commits since then that are no carriers, the newest first."""
        wanted = select(_C).where(_C.c.repository_id == repository_id, _C.c.at >= since, _C.c.is_carrier.is_(False))
        found = await self._session.all(wanted.order_by(_C.c.at.desc(), _C.c.id.desc()).limit(limit))
        return [rows.commit_of(row) for row in found]

    async def built_commits(self, repository: str, shas: Sequence[str]) -> list[CommitRecord]:
        """Return the commits of a (canonical) repository that these are, or are aliases of."""
        found: dict[CommitId, CommitRecord] = {}
        canonical = schema.repositories.c.canonical
        for chunk in chunks(list(dict.fromkeys(shas))):
            of_it = select(_C).join(schema.repositories, schema.repositories.c.id == _C.c.repository_id)
            own = of_it.where(canonical == repository, _C.c.sha.in_(chunk))
            others = of_it.join(_A, _A.c.commit_id == _C.c.id).where(canonical == repository, _A.c.sha.in_(chunk))
            for wanted in (own, others):
                found.update((CommitId(row.id), rows.commit_of(row)) for row in await self._session.all(wanted))
        return [found[id_] for id_ in sorted(found)]

    async def aliases_of(self, commits: Sequence[CommitId]) -> dict[CommitId, list[str]]:
        """Return what else leads to these commits."""
        found: dict[CommitId, list[str]] = {}
        for chunk in chunks(list(dict.fromkeys(commits))):
            wanted = select(_A.c.commit_id, _A.c.sha).where(_A.c.commit_id.in_(chunk)).order_by(_A.c.sha)
            for row in await self._session.all(wanted):
                found.setdefault(CommitId(row.commit_id), []).append(row.sha)
        return found

    async def places_of(self, commits: Sequence[CommitId]) -> list[dict[str, int]]:
        """Return where these commits stand now, by sha: one answer for each branch."""
        links = schema.links
        found: defaultdict[int, dict[str, int]] = defaultdict(dict)
        for chunk in chunks(list(dict.fromkeys(commits))):
            wanted = (
                select(links.c.chain_id, links.c.position, _C.c.sha)
                .join(_C, _C.c.id == links.c.commit_id)
                .where(links.c.commit_id.in_(chunk), links.c.cut_at.is_(None))
            )
            for row in await self._session.all(wanted):
                found[row.chain_id][row.sha] = row.position
        return [found[chain_id] for chain_id in sorted(found)]

    async def delivered_of(self, commits: Sequence[CommitId]) -> dict[CommitId, Delivered]:
        """Return when these were first exported, or else first applied, and what the export says of its run."""
        found: dict[CommitId, Delivered] = {}
        for chunk in chunks(list(dict.fromkeys(commits))):
            applied = (
                select(_D.c.commit_id, _S.c.applied)
                .join(_S, _S.c.id == _D.c.applied_sync)
                .where(_D.c.commit_id.in_(chunk))
            )
            _keep_earliest(found, [(row.commit_id, row.applied, "") for row in await self._session.all(applied)])
            exported = (
                select(_E.c.source_id, _E.c.build_link, _C.c.merged)
                .join(_C, _C.c.id == _E.c.carrier_id)
                .where(_E.c.source_id.in_(chunk))
            )
            exports = await self._session.all(exported)
            for row in exports:
                found.pop(CommitId(row.source_id), None)
            _keep_earliest(
                found, [(row.source_id, row.merged, row.build_link or "") for row in exports], is_exported=True
            )
        return found

    async def put_builds(self, builds: Mapping[CommitId, Standing]) -> None:
        """State what runs say of commits; replaces what was stated."""
        stated = [
            {"id_": id_, "built_": says.built, "state_": says.build_state, "exported_": says.exported}
            for id_, says in sorted(builds.items())
        ]
        await self._session.run(_SET_BUILT, stated)

    async def put_pull_requests(self, facts: Sequence[PullRequest]) -> None:
        """Insert or replace by (repository, number)."""
        now = self._now()
        stated = {(pull.repository, pull.number): pull for pull in facts}
        values = [
            {"repository": repository, "number": number, "looked_at": now, "facts": stated[repository, number]}
            for repository, number in sorted(stated)
        ]
        await self._session.run(_put_pulls(self._session.dialect), values)

    async def pull_requests_of(
        self, repository: str, numbers: Sequence[int]
    ) -> dict[int, tuple[PullRequest, datetime]]:
        """Return what is known of these, and when they were looked at."""
        found: dict[int, tuple[PullRequest, datetime]] = {}
        for chunk in chunks(list(dict.fromkeys(numbers))):
            wanted = select(_P).where(_P.c.repository == repository, _P.c.number.in_(chunk))
            found.update((row.number, (row.facts, row.looked_at)) for row in await self._session.all(wanted))
        return found

    async def prune_ci(self, before: datetime, limit: int) -> int:
        """Forget runs that began, and pull requests that were looked at, before; returns how many were taken."""
        runs = select(_R.c.id).where(_R.c.at < before).order_by(_R.c.at, _R.c.id).limit(limit)
        ids = [row.id for row in await self._session.all(runs)]
        for chunk in chunks(ids):
            await self._session.run(delete(_R).where(_R.c.id.in_(chunk)))
        pulls = (
            select(_P.c.repository, _P.c.number).where(_P.c.looked_at < before).order_by(_P.c.looked_at).limit(limit)
        )
        taken = [{"r": row.repository, "n": row.number} for row in await self._session.all(pulls)]
        same = (_P.c.repository == bindparam("r"), _P.c.number == bindparam("n"))
        await self._session.run(delete(_P).where(*same), taken)
        return max(len(ids), len(taken))

    async def known_runs(self, keys: Sequence[CiKey]) -> list[CiRun]:
        """Return those of these runs that are kept; those of one project are looked up at once, by its index."""
        wanted = set(keys)
        numbers: defaultdict[tuple[CiSystem, str, str], set[str]] = defaultdict(set)
        for key in keys:
            numbers[key.system, key.host, key.project].add(key.run_id)
        found: list[CiRun] = []
        for (system, host, project), theirs in sorted(numbers.items()):
            of_it = select(_R.c.facts).where(_R.c.system == system, _R.c.host == host, _R.c.project == project)
            for chunk in chunks(sorted(theirs)):
                held = await self._session.all(of_it.where(_R.c.run_id.in_(chunk)).order_by(_R.c.id))
                found += [row.facts for row in held if row.facts.key in wanted]
        return found


def _keep_earliest(
    found: dict[CommitId, Delivered], told: Sequence[tuple[int, Moment | None, str]], *, is_exported: bool = False
) -> None:
    for id_, moment, link in told:
        known = found.get(CommitId(id_))
        if moment is None or (known is not None and known.at is not None and known.at <= moment.at):
            continue
        found[CommitId(id_)] = Delivered(moment.at, link, is_exported)


def _run_values(run: CiRun) -> dict[str, Any]:
    names = ("system", "host", "project", "run_id", "role", "sha", "repository", "state", "evidence", "at")
    carrier = run.carrier_sha[:SHORT_SHA] if run.role is CiRole.EXPORT else ""
    return {name: getattr(run, name) for name in names} | {"facts": run, "carrier": carrier or None}


@cache
def _put_runs(dialect: Dialect) -> Upsert:
    statement = dialect.upsert(_R)
    new = statement.excluded
    names = ("repository", "state", "evidence", "at", "facts", "carrier")
    return statement.on_conflict_do_update(
        index_elements=[column.name for column in _KEY], set_={name: new[name] for name in names}
    )


@cache
def _put_pulls(dialect: Dialect) -> Upsert:
    statement = dialect.upsert(_P)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["repository", "number"], set_={"looked_at": new.looked_at, "facts": new.facts}
    )
