"""Follows clusters' objects: on each observation, compare with what is kept, judge, and record. No git, no waiting.

Observations come in the order of their stream, in batches; a batch is one unit of the ledger. What follows from a
sync (which commits it carried) is the attributor's job, woken afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog

from fluxtrail.model.errors import FluxtrailError, WireError
from fluxtrail.model.flux import GitRepository, Kustomization
from fluxtrail.model.moment import Evidence, Moment, bracket, exact
from fluxtrail.model.observation import ClusterUid, Current, Gone, Listed, ObjectKey, Observation, Seen, Unavailable
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import (
    UNSAVED,
    RepositoryId,
    RepositoryRecord,
    SourceId,
    SourceRecord,
    SyncId,
    SyncRecord,
    TargetId,
    TargetRecord,
    Transition,
    TransitionKind,
)
from fluxtrail.model.repository import parse_repository
from fluxtrail.model.verdict import OPEN, Verdict
from fluxtrail.trail.judge import Look, judge
from fluxtrail.trail.ports import Ledger, Unit
from fluxtrail.trail.recorder import verdict_transition
from fluxtrail.trail.registry import Registry

log = structlog.get_logger(__name__)
replace = msgspec.structs.replace

BATCH = 500
MARK_SLACK = timedelta(seconds=2)
"""A stream mark is our clock at arrival; what it proves, it proves for a little earlier (latency, whole seconds)."""


class Follower:
    def __init__(
        self,
        *,
        registry: Registry,
        ledger: Ledger,
        on_sync: Callable[[], None],
        on_source: Callable[[str], None],
        on_move: Callable[[RepositoryId], None],
    ) -> None:
        """Args:
        on_sync: a sync began or went on: attribution has work.
        on_source: a source with this URL is watched: its host may be asked.
        on_move: a source fetched something new: the branch probably moved.
        """
        self._registry = registry
        self._ledger = ledger
        self._on_sync = on_sync
        self._on_source = on_source
        self._on_move = on_move
        self._lock = asyncio.Lock()
        self.unfollowed = 0
        """Objects that could not be judged, since the start: each is a fault of ours, and logged."""

    async def observe(self, cluster: ClusterUid, observations: Sequence[Observation[Any]]) -> None:
        """Record a batch of one stream. Returns when it is kept; raises StoreError if it is not."""
        async with self._lock:
            for start in range(0, len(observations), BATCH):
                await self._keep(cluster, observations[start : start + BATCH])

    async def _keep(self, cluster: ClusterUid, batch: Sequence[Observation[Any]]) -> None:
        draft = _Draft(self._registry, cluster)
        try:
            async with self._ledger.unit() as unit:
                draft.syncs = await unit.syncs(self._newest_syncs(cluster, batch))
                for observation in batch:
                    await self._take_safely(unit, draft, observation)
                for kind, mark in draft.marks.items():
                    await unit.put_stream_mark(cluster, kind, mark)
                await unit.add_transitions(draft.transitions)
        except BaseException:
            draft.undo()
            raise
        for kind, mark in draft.marks.items():
            self._registry.stream_marks[cluster, kind] = mark
        for url in draft.urls:
            self._on_source(url)
        if draft.has_syncs:
            self._on_sync()
        for repository_id in draft.moved:
            self._on_move(repository_id)

    def _newest_syncs(self, cluster: ClusterUid, batch: Sequence[Observation[Any]]) -> list[SyncId]:
        """Return the newest syncs of all targets of a batch: read together, they are one query."""
        seen = (item.key for item in batch if isinstance(item, Seen))
        targets = (self._registry.find_target(cluster, key) for key in seen)
        return [target.sync_id for target in targets if target is not None and target.sync_id is not None]

    async def _take_safely(self, unit: Unit, draft: _Draft, observation: Observation[Any]) -> None:
        """One object that we cannot make sense of must not stop the others of its cluster."""
        try:
            await self._take(unit, draft, observation)
        except FluxtrailError:
            raise
        except Exception:
            self.unfollowed += 1
            log.exception("object not followed", cluster=draft.cluster, object=str(getattr(observation, "key", "")))

    async def _take(self, unit: Unit, draft: _Draft, observation: Observation[Any]) -> None:
        match observation:
            case Seen(object=GitRepository()):
                await self._see_source(unit, draft, observation)
            case Seen(object=Kustomization()):
                await self._see_target(unit, draft, observation)
            case Gone(key=ObjectKey(kind="Kustomization")):
                await self._lose_target(unit, draft, observation)
            case Gone():
                await self._lose_source(unit, draft, observation)
            case Listed() | Current():
                draft.mark(observation.kind, observation.observed_at)
            case Unavailable():
                log.warning("kind unavailable", kind=observation.kind, reason=observation.reason)

    # -- sources -------------------------------------------------------------------------------------------------

    async def _see_source(self, unit: Unit, draft: _Draft, seen: Seen[GitRepository]) -> None:
        item = seen.object
        before = self._registry.sources.get((draft.cluster, item.key))
        repository = await self._repository(unit, draft, item.url)
        failure = item.find_condition("FetchFailed") or item.find_condition("Ready")
        record = SourceRecord(
            id=before.id if before else SourceId(UNSAVED),
            cluster=draft.cluster,
            key=item.key,
            uid=item.uid,
            url=item.url,
            repository_id=repository.id if repository else None,
            branch=item.ref.followed_branch,
            follows_tags=item.ref.follows_tags,
            is_suspended=item.is_suspended,
            ignore=item.ignore,
            sparse_checkout=item.sparse_checkout,
            revision=item.revision,
            digest=item.digest,
            problem=failure.message if failure and _is_failing(failure.type, failure.status) else None,
            observed_at=seen.observed_at,
        )
        if before is None or replace(before, observed_at=record.observed_at) != record:
            record = await unit.put_source(record)
        if item.revision and item.updated_at:
            fetched = self._fetch_moment(draft, before, seen, item.updated_at)
            first = await unit.note_fetch(record.id, item.revision, item.digest or "", fetched)
            self._registry.fetched_at[record.id] = first.at
        # Only now, with nothing awaited in between: a revision and the time of another must never be seen together.
        draft.put_source(record)
        if repository is not None and (before is None or before.revision != record.revision):
            draft.moved.add(repository.id)
        await self._retarget(unit, draft, record, repository)

    def _fetch_moment(
        self, draft: _Draft, before: SourceRecord | None, seen: Seen[GitRepository], updated_at: datetime
    ) -> Moment:
        """Date a fetch. What was fetched while nobody watched may have been stored again since: only a bracket."""
        mark = self._registry.stream_marks.get((draft.cluster, "GitRepository"))
        if seen.was_held or before is None or before.revision == seen.object.revision or mark is None:
            return exact(updated_at, Evidence.ARTIFACT)
        return bracket(mark - MARK_SLACK, updated_at, evidence=Evidence.ARTIFACT)

    async def _repository(self, unit: Unit, draft: _Draft, url: str) -> RepositoryRecord | None:
        try:
            canonical = parse_repository(url).canonical
        except WireError as exc:
            log.warning("source without a usable url", cluster=draft.cluster, error=str(exc))
            return None
        draft.urls.add(url)
        known = self._registry.find_repository(canonical)
        if known is not None and known.url:
            return known
        record = await unit.put_repository(
            RepositoryRecord(id=RepositoryId(UNSAVED), canonical=canonical, url=parse_repository(url).fetch_url)
        )
        draft.put_repository(record, known)
        return record

    async def _retarget(
        self, unit: Unit, draft: _Draft, source: SourceRecord, repository: RepositoryRecord | None
    ) -> None:
        """Bring the source's targets in line with where it points now."""
        repository_id = repository.id if repository else None
        branch = source.branch or (repository.default_branch if repository else None)
        for target in self._registry.targets_of_source(draft.cluster, source.key):
            if (target.repository_id, target.branch, target.follows_tags) == (
                repository_id,
                branch,
                source.follows_tags,
            ):
                continue
            is_first = target.repository_id is None or target.branch is None
            moved = replace(target, repository_id=repository_id, branch=branch, follows_tags=source.follows_tags)
            if not is_first and (target.repository_id, target.branch) != (repository_id, branch):
                moved = await self._repoint(unit, draft, moved, source.observed_at)
            draft.put_target(await unit.put_target(moved))

    async def _lose_source(self, unit: Unit, draft: _Draft, gone: Gone) -> None:
        before = self._registry.sources.get((draft.cluster, gone.key))
        if before is not None and before.deleted_at is None:
            draft.put_source(await unit.put_source(replace(before, deleted_at=gone.observed_at)))

    # -- targets -------------------------------------------------------------------------------------------------

    async def _see_target(self, unit: Unit, draft: _Draft, seen: Seen[Kustomization]) -> None:
        item = seen.object
        before = self._registry.find_target(draft.cluster, item.key)
        kept = await self._prepare_target(unit, draft, before, seen)
        last = draft.syncs.get(kept.sync_id) if kept.sync_id else None
        look = Look(
            observed_at=seen.observed_at,
            was_held=seen.was_held and before is not None,
            not_before=draft.not_before("Kustomization", kept) if before is not None else None,
            source=self._registry.source_of(kept),
        )
        judgement = judge(kept, last, item, look)
        target = judgement.target
        for sync in judgement.syncs:
            saved = await unit.put_sync(sync)
            draft.syncs[saved.id] = saved
            draft.note_sync(target, last if last and last.id == saved.id else None, saved, seen.observed_at)
            target = replace(target, sync_id=saved.id)
        draft.note_phase(before, target, seen.observed_at)
        if before is None or judgement.syncs or replace(before, observed_at=target.observed_at) != target:
            target = await unit.put_target(target)
        draft.put_target(target)

    async def _prepare_target(
        self, unit: Unit, draft: _Draft, before: TargetRecord | None, seen: Seen[Kustomization]
    ) -> TargetRecord:
        """Return the target with the spec's fields as they are now; re-pointed where it follows something else."""
        item = seen.object
        source = self._registry.sources.get((draft.cluster, item.source))
        if before is None:
            return await unit.put_target(self._new_target(draft.cluster, seen, source))
        after = replace(
            before,
            uid=item.uid,
            lands_on=_lands_on(draft.cluster, item),
            source=item.source,
            path=item.path,
            components=item.components,
            generation=item.generation,
            is_suspended=item.is_suspended,
            has_checks=item.has_checks,
            applied_generation=_applied_generation(before, item),
            deleted_at=None,
        )
        if before.source != item.source:
            after = replace(after, **self._pointing(source))
        is_another = before.uid != item.uid or before.deleted_at is not None
        if is_another or (before.source, before.path, before.components) != (item.source, item.path, item.components):
            after = await self._repoint(unit, draft, after, seen.observed_at)
            if is_another:
                after = replace(after, applied=None, applied_digest=None, applied_generation=None, sync_id=None)
        return after

    def _new_target(self, cluster: ClusterUid, seen: Seen[Kustomization], source: SourceRecord | None) -> TargetRecord:
        item = seen.object
        pointing: dict[str, Any] = self._pointing(source)
        return TargetRecord(
            id=TargetId(UNSAVED),
            cluster=cluster,
            key=item.key,
            uid=item.uid,
            lands_on=_lands_on(cluster, item),
            source=item.source,
            path=item.path,
            components=item.components,
            generation=item.generation,
            is_suspended=item.is_suspended,
            has_checks=item.has_checks,
            attempted=None,
            applied=None,
            applied_digest=None,
            applied_generation=None,
            phase=Outcome.UNKNOWN,
            reason="",
            message="",
            phase_since=None,
            baseline_sha=None,
            awaits_baseline=True,
            sync_id=None,
            first_seen_at=seen.observed_at,
            observed_at=seen.observed_at,
            **pointing,
        )

    def _pointing(self, source: SourceRecord | None) -> dict[str, Any]:
        if source is None or source.repository_id is None:
            return {"repository_id": None, "branch": None, "follows_tags": bool(source and source.follows_tags)}
        repository = self._registry.repositories[source.repository_id]
        return {
            "repository_id": source.repository_id,
            "branch": source.branch or repository.default_branch,
            "follows_tags": source.follows_tags,
        }

    async def _repoint(self, unit: Unit, draft: _Draft, target: TargetRecord, at: datetime) -> TargetRecord:
        """What was on its way to the target is abandoned; the next applied revision is a new baseline."""
        await self._abandon(unit, draft, target, at)
        draft.note_target(target, at, "repointed")
        return replace(target, awaits_baseline=True)

    async def _lose_target(self, unit: Unit, draft: _Draft, gone: Gone) -> None:
        before = self._registry.find_target(draft.cluster, gone.key)
        if before is None or before.deleted_at is not None:
            return
        await self._abandon(unit, draft, before, gone.observed_at)
        draft.note_target(before, gone.observed_at, "deleted")
        draft.put_target(await unit.put_target(replace(before, deleted_at=gone.observed_at)))

    async def _abandon(self, unit: Unit, draft: _Draft, target: TargetRecord, at: datetime) -> None:
        rows = await unit.open_deliveries(target.id, verdicts=sorted(OPEN))
        await unit.put_deliveries([replace(row, verdict=Verdict.ABANDONED, since=at, reason="") for row in rows])
        draft.transitions += [verdict_transition(row, Verdict.ABANDONED, at) for row in rows]


class _Draft:
    """What a batch changes: in the registry at once (the rest of the batch builds on it), for good at commit."""

    def __init__(self, registry: Registry, cluster: ClusterUid) -> None:
        self.cluster = cluster
        self.transitions: list[Transition] = []
        self.marks: dict[str, datetime] = {}
        self.urls: set[str] = set()
        self.moved: set[RepositoryId] = set()
        self.syncs: dict[SyncId, SyncRecord] = {}
        """The newest sync of each target of the batch, as it is by now."""
        self.has_syncs = False
        self._registry = registry
        self._undo: list[Callable[[], None]] = []

    def put_repository(self, record: RepositoryRecord, before: RepositoryRecord | None) -> None:
        self._undo.append(
            (lambda: self._registry.put_repositories([before]))
            if before is not None
            else (lambda: self._registry.forget_repository(record))
        )
        self._registry.put_repositories([record])

    def put_source(self, record: SourceRecord) -> None:
        ref = (record.cluster, record.key)
        before = self._registry.sources.get(ref)
        self._undo.append(
            (lambda: self._registry.put_source(before))
            if before is not None
            else (lambda: self._registry.forget_source(record))
        )
        self._registry.put_source(record)

    def put_target(self, record: TargetRecord) -> None:
        before = self._registry.find_target(record.cluster, record.key)
        self._undo.append(
            (lambda: self._registry.put_target(before))
            if before is not None
            else (lambda: self._registry.forget_target(record))
        )
        self._registry.put_target(record)
        self.mark("Kustomization", record.observed_at)

    def undo(self) -> None:
        for step in reversed(self._undo):
            step()

    def mark(self, kind: str, at: datetime) -> None:
        self.marks[kind] = max(at, self.marks.get(kind, at))

    def not_before(self, kind: str, target: TargetRecord) -> datetime:
        """Return the instant up to which the target's state is known to be the one that is kept."""
        mark = self._registry.stream_marks.get((self.cluster, kind), target.observed_at)
        return max(mark, target.observed_at) - MARK_SLACK

    def note_sync(self, target: TargetRecord, before: SyncRecord | None, after: SyncRecord, at: datetime) -> None:
        self.has_syncs = True
        if before is not None and before.outcome is after.outcome:
            return
        self.transitions.append(
            Transition(
                at=at,
                kind=TransitionKind.SYNC,
                target_id=target.id,
                sync_id=after.id,
                before=before.outcome.value if before else "",
                after=after.outcome.value,
                detail={"revision": after.revision, "cause": after.cause.value},
            )
        )

    def note_target(self, target: TargetRecord, at: datetime, what: str, before: str = "") -> None:
        self.transitions.append(
            Transition(at=at, kind=TransitionKind.TARGET, target_id=target.id, before=before, after=what)
        )

    def note_phase(self, before: TargetRecord | None, after: TargetRecord, at: datetime) -> None:
        if before is not None and before.is_suspended != after.is_suspended:
            self.note_target(after, at, "suspended" if after.is_suspended else "resumed")
        if after.phase is Outcome.WAITING and (before is None or before.phase is not Outcome.WAITING):
            self.note_target(after, at, "waiting", before.phase.value if before else "")


def _applied_generation(before: TargetRecord, item: Kustomization) -> int | None:
    """Suspending and resuming are a generation of their own, and change nothing of what is made."""
    is_switched = before.is_suspended != item.is_suspended and item.generation == before.generation + 1
    return (
        item.generation if is_switched and before.applied_generation == before.generation else before.applied_generation
    )


def _is_failing(kind: str, status: str) -> bool:
    return status == ("True" if kind == "FetchFailed" else "False")


def _lands_on(cluster: ClusterUid, item: Kustomization) -> str:
    return f"{cluster}/{item.kube_config}" if item.kube_config else cluster
