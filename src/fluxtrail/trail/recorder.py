"""Records the commits of a followed branch as soon as it moves, and which targets they may change.

One commit's record, its place on the branch, its aliases, its exports and its pending deliveries are kept in one
unit: a commit that is in the ledger has been scoped.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
import structlog

from fluxtrail.model.commit import CommitFacts
from fluxtrail.model.records import (
    UNSAVED,
    AliasKind,
    BranchRecord,
    CommitId,
    CommitRecord,
    DeliveryRecord,
    RepositoryRecord,
    TargetId,
    TargetRecord,
    Transition,
    TransitionKind,
)
from fluxtrail.model.verdict import OPEN, Verdict
from fluxtrail.trail.ci.linking import link_sources
from fluxtrail.trail.exports import ExportBook
from fluxtrail.trail.merged import from_branch, from_pull_request
from fluxtrail.trail.merges import ALIAS_LIMIT, Merge, find_merges
from fluxtrail.trail.moves import Advance, read_advance
from fluxtrail.trail.outcomes import note_learnt_reverts
from fluxtrail.trail.ports import Clock, Forges, Ledger, Repositories, RepositoryReader, Unit
from fluxtrail.trail.registry import BranchKey, Registry
from fluxtrail.trail.rows import keep_rows, pending_rows, reconcile, verdict_transition
from fluxtrail.trail.scopes import ScopeKey, Scopes, scope_key

log = structlog.get_logger(__name__)
replace = msgspec.structs.replace

DEFAULT_BRANCH = "main"


class Recorder:
    def __init__(
        self,
        *,
        registry: Registry,
        ledger: Ledger,
        repositories: Repositories,
        forges: Forges,
        exports: ExportBook,
        clock: Clock,
        watch_gap: timedelta,
    ) -> None:
        """Args:
        watch_gap: looks closer together than this count as watching the branch.
        """
        self._registry = registry
        self._ledger = ledger
        self._repositories = repositories
        self._forges = forges
        self._exports = exports
        self._clock = clock
        self._watch_gap = watch_gap
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._scopes: defaultdict[BranchKey, Scopes] = defaultdict(Scopes)

    def lock(self, repository: RepositoryRecord) -> asyncio.Lock:
        """What reads a repository's history and writes what follows from it holds this."""
        return self._locks[repository.id]

    def scopes(self, branch: BranchKey) -> Scopes:
        return self._scopes[branch]

    async def advance(self, repository: RepositoryRecord, branch: str, *, want: Sequence[str] = ()) -> BranchRecord:
        """Fetch, and record what is new on the branch. The caller holds the repository's lock.

        Raises:
            FluxtrailError: the repository cannot be read; nothing was recorded.
        """
        reader = self._repositories.open(repository.url)
        # What is pushed while git asks may be missing from its answer: a look is as old as its question.
        asked_at = self._clock.now()
        heads = await reader.refresh(want=want)
        seen_at = self._clock.now()
        head = heads.branches.get(branch)
        known = self._registry.branches.get((repository.id, branch)) or BranchRecord(
            repository_id=repository.id, name=branch, head=None, looked_at=None
        )
        if head is None:
            return await self._note_look(known, asked_at, problem=f"the repository has no branch {branch!r}")
        if head == known.head:
            return await self._note_look(known, asked_at, problem=None)
        move = await read_advance(reader, known.head, head)
        return await self._record(repository, reader, known, move, asked_at=asked_at, seen_at=seen_at)

    async def _note_look(self, known: BranchRecord, asked_at: datetime, *, problem: str | None) -> BranchRecord:
        record = replace(known, looked_at=asked_at, problem=problem)
        async with self._ledger.unit() as unit:
            await unit.put_branch(record)
        self._registry.put_branch(record)
        return record

    # -- reading, before anything is written ---------------------------------------------------------------------

    async def _record(
        self,
        repository: RepositoryRecord,
        reader: RepositoryReader,
        known: BranchRecord,
        move: Advance,
        *,
        asked_at: datetime,
        seen_at: datetime,
    ) -> BranchRecord:
        branch = (repository.id, known.name)
        is_first = known.head is None
        merges = {} if is_first else await find_merges(self._forges, repository, move.commits)
        aliases = {} if is_first else await self._read_aliases(reader, move.commits)
        exports = {} if is_first else await self._exports.read(repository, reader, move.commits, now=seen_at)
        # Unrelated history claims nothing, like a branch that is read for the first time.
        affected = {} if move.fork is None else await self._affected(branch, reader, move.commits)
        fetched = self._fetch_times(branch, move.commits)
        automation = self._registry.automation_authors(repository.id)
        records = [
            self._commit_record(
                repository,
                known,
                facts,
                seen_at,
                fetched.get(facts.sha),
                merges.get(facts.sha),
                facts.sha in exports or (facts.author_email or "").lower() in automation,
            )
            for facts in move.commits
        ]
        baseline = move.head if is_first else known.baseline
        after = replace(known, head=move.head, looked_at=asked_at, baseline=baseline, problem=None)
        async with self._ledger.unit() as unit:
            returning = await self._cut(unit, repository, known, move, seen_at) if move.is_rewritten else set()
            there = await unit.commits_by_sha(repository.id, [record.sha for record in records])
            saved = await unit.put_commits([reconcile(there.get(record.sha), record) for record in records])
            await unit.extend_chain(repository.id, known.name, [record.id for record in saved])
            await self._keep_aliases(unit, repository, saved, aliases, merges)
            made = await self._exports.keep(unit, repository, saved, exports, now=seen_at)
            targets = {target.id: target for target in self._registry.targets_on(branch)}
            await self._keep_pending(unit, saved, affected, targets, made, returning)
            learnt = [record for record in saved if record.reverts and record.sha in there]
            await link_sources(unit, repository, saved, now=seen_at)
            await note_learnt_reverts(unit, learnt, self._registry.target, now=seen_at)
            await unit.put_branch(after)
            if not is_first:
                await unit.add_transitions(
                    [
                        Transition(at=seen_at, kind=TransitionKind.COMMIT_SEEN, commit_id=record.id, after=record.sha)
                        for record in saved
                    ]
                )
        self._registry.put_branch(after)
        log.info(
            "branch moved",
            repository=repository.canonical,
            branch=known.name,
            commits=len(records),
            rewritten=move.is_rewritten,
        )
        return after

    def _commit_record(
        self,
        repository: RepositoryRecord,
        known: BranchRecord,
        facts: CommitFacts,
        seen_at: datetime,
        fetched_at: datetime | None,
        merge: Merge | None,
        is_carrier: bool,
    ) -> CommitRecord:
        merged = from_branch(
            facts.committed_at,
            looked_at=known.looked_at,
            seen_at=seen_at,
            fetched_at=fetched_at,
            was_watched=known.looked_at is not None and seen_at - known.looked_at <= self._watch_gap,
        )
        if merge is not None:
            merged = from_pull_request(merge.merged_at)
        return CommitRecord(
            id=CommitId(UNSAVED),
            repository_id=repository.id,
            sha=facts.sha,
            subject=facts.subject,
            author=facts.author,
            committed_at=facts.committed_at,
            merged=merged,
            pull_request=merge.number if merge else facts.pull_request,
            reverts=facts.reverts,
            is_carrier=is_carrier,
        )

    def _fetch_times(self, branch: BranchKey, commits: Sequence[CommitFacts]) -> dict[str, datetime]:
        """Return when Flux had fetched each commit of a move or a later one of it, where we saw that it did."""
        fetched: dict[str, datetime] = {}
        for source in self._registry.sources_on(branch):
            at = self._registry.fetched_at.get(source.id)
            if source.sha is not None and at is not None:
                fetched[source.sha] = min(at, fetched.get(source.sha, at))
        found: dict[str, datetime] = {}
        earliest: datetime | None = None
        for facts in reversed(commits):
            earliest = min(filter(None, (earliest, fetched.get(facts.sha))), default=None)
            if earliest is not None:
                found[facts.sha] = earliest
        return found

    async def _read_aliases(self, reader: RepositoryReader, commits: Sequence[CommitFacts]) -> dict[str, list[str]]:
        return {
            facts.sha: (await reader.merged_commits(facts.sha))[:ALIAS_LIMIT] for facts in commits if facts.is_merge
        }

    async def _affected(
        self, branch: BranchKey, reader: RepositoryReader, commits: Sequence[CommitFacts]
    ) -> dict[str, set[TargetId]]:
        """Return the targets in scope of each commit, those too that have applied nothing yet."""
        targets = self._registry.targets_on(branch)
        keyed: defaultdict[ScopeKey, set[TargetId]] = defaultdict(set)
        for target in targets:
            keyed[scope_key(target, self._registry.source_of(target))].add(target.id)
        keys = frozenset(keyed)
        found: dict[str, set[TargetId]] = {}
        for facts in commits:
            hit = await self._scopes[branch].affected(reader, facts, keys)
            found[facts.sha] = {target_id for key in hit for target_id in keyed[key]}
        return found

    # -- writing -------------------------------------------------------------------------------------------------

    async def _cut(
        self, unit: Unit, repository: RepositoryRecord, known: BranchRecord, move: Advance, seen_at: datetime
    ) -> set[str]:
        """Take rewritten history off the branch: what was never delivered of it is lost.

        Returns the shas of what was taken off and comes back with the same move.
        """
        fork = None
        if move.fork is not None and await unit.chain_position(repository.id, known.name, move.fork) is not None:
            fork = (await unit.commits_by_sha(repository.id, [move.fork]))[move.fork].id
        cut = await unit.cut_chain(repository.id, known.name, after=fork)
        shas = {commit: record.sha for commit, record in (await unit.commits_by_id(cut)).items()}
        returning = {facts.sha for facts in move.commits} & set(shas.values())
        gone = [commit for commit in cut if shas[commit] not in returning]
        rows = await unit.deliveries_of(gone)
        rows += await self._exports.carried(unit, gone)
        lost = [row for row in rows if row.verdict in OPEN]
        await unit.put_deliveries([replace(row, verdict=Verdict.LOST, since=seen_at, reason="") for row in lost])
        await unit.add_transitions(
            [
                Transition(
                    at=seen_at,
                    kind=TransitionKind.BRANCH_REWRITTEN,
                    before=known.head or "",
                    after=move.head,
                    detail={"repository": repository.canonical, "branch": known.name, "commits": str(len(gone))},
                ),
                *(verdict_transition(row, Verdict.LOST, seen_at) for row in lost),
            ]
        )
        return returning

    async def _keep_aliases(
        self,
        unit: Unit,
        repository: RepositoryRecord,
        saved: Sequence[CommitRecord],
        aliases: dict[str, list[str]],
        merges: dict[str, Merge],
    ) -> None:
        for record in saved:
            merged = [sha for sha in aliases.get(record.sha, ()) if sha != record.sha]
            if merged:
                await unit.put_aliases(repository.id, record.id, AliasKind.MERGED, merged)
            merge = merges.get(record.sha)
            squashed = [sha for sha in merge.commits if sha not in (record.sha, *merged)] if merge else []
            if squashed:
                await unit.put_aliases(repository.id, record.id, AliasKind.PULL_REQUEST, squashed)

    async def _keep_pending(
        self,
        unit: Unit,
        saved: Sequence[CommitRecord],
        affected: dict[str, set[TargetId]],
        targets: dict[TargetId, TargetRecord],
        exports: Mapping[CommitId, Sequence[CommitId]],
        returning: Collection[str],
    ) -> None:
        """Make the pending deliveries of new commits, and of the source commits that a carrier exports.

        A commit that was on the branch before only has its lost deliveries opened again.
        """
        rows: list[DeliveryRecord] = []
        reopened: list[DeliveryRecord] = []
        for record in saved:
            made = reopened if record.sha in returning else rows
            for target_id in affected.get(record.sha, ()):
                target = targets.get(target_id)
                if target is None:
                    continue  # deleted or re-pointed while we read
                made += pending_rows(record, target_id, exports.get(record.id, ()), self._clock.now())
        await keep_rows(unit, rows)
        await keep_rows(unit, reopened, only_known=True)
