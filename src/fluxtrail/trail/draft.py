"""What a batch of observations changes: in the registry at once, in the ledger at commit, undone together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from fluxtrail.model.observation import ClusterUid, ObjectKey
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import (
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
from fluxtrail.model.sources import SourceInput
from fluxtrail.model.verdict import OPEN, Verdict
from fluxtrail.trail.ports import Unit
from fluxtrail.trail.registry import Registry
from fluxtrail.trail.rows import verdict_transition

replace = msgspec.structs.replace

MARK_SLACK = timedelta(seconds=2)
"""A stream mark is our clock at arrival; what it proves, it proves for a little earlier (latency, whole seconds)."""


class Draft:
    """What a batch changes: in the registry at once (the rest of the batch builds on it), for good at commit."""

    def __init__(self, registry: Registry, cluster: ClusterUid, syncs: dict[SyncId, SyncRecord]) -> None:
        """Args:
        syncs: the newest sync of each target of the unit, as it is by now; what is changed is put into it.
        """
        self.cluster = cluster
        self.syncs = syncs
        self.transitions: list[Transition] = []
        self.marks: dict[str, datetime] = {}
        self.urls: set[str] = set()
        self.images: set[tuple[str, str]] = set()
        """(image, digest) that image policies have chosen."""
        self.moved: set[RepositoryId] = set()
        self.releases: set[TargetId] = set()
        """HelmReleases whose syncs changed."""
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
        self.mark(record.key.kind, record.observed_at)

    def put_inputs(self, key: ObjectKey, inputs: tuple[SourceInput, ...]) -> None:
        ref = (self.cluster, key)
        before = self._registry.inputs.get(ref)
        self._undo.append(
            (lambda: self._registry.inputs.update({ref: before}))
            if before is not None
            else (lambda: self._registry.forget_inputs(ref))
        )
        self._registry.inputs[ref] = inputs

    def drop_inputs(self, key: ObjectKey) -> None:
        ref = (self.cluster, key)
        before = self._registry.inputs.get(ref)
        if before is not None:
            self._undo.append(lambda: self._registry.inputs.update({ref: before}))
            self._registry.forget_inputs(ref)

    def forget_names(self, source_id: SourceId) -> None:
        """If this batch is not kept, what the source's revisions are followed as is read from the ledger again."""
        self._undo.append(lambda: self._registry.forget_names(source_id))

    def undo(self) -> None:
        for step in reversed(self._undo):
            step()

    def mark(self, kind: str, at: datetime) -> None:
        self.marks[kind] = max(at, self.marks.get(kind, at))

    def not_before(self, kind: str, target: TargetRecord) -> datetime:
        """Return the instant up to which the target's state is known to be the one that is kept."""
        mark = self._registry.stream_marks.get((self.cluster, kind), target.observed_at)
        return max(mark, target.observed_at) - MARK_SLACK

    def repository_above(self, release: TargetRecord) -> RepositoryId | None:
        """Return where the manifests stand that a release is applied from."""
        parent = self._registry.find_target(self.cluster, release.parent) if release.parent is not None else None
        return parent.repository_id if parent is not None else None

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


async def repoint(unit: Unit, draft: Draft, target: TargetRecord, at: datetime) -> TargetRecord:
    """What was on its way to the target is abandoned; the next applied revision is a new baseline.

    Commits that were handed over to a release stay: one of them may be what re-pointed it.
    """
    if target.key.kind == "HelmRelease" and target.parent is not None:
        await _abandon_chart(unit, draft, target, at)
    else:
        await abandon(unit, draft, target, at)
    draft.note_target(target, at, "repointed")
    return replace(target, awaits_baseline=True)


async def _abandon_chart(unit: Unit, draft: Draft, release: TargetRecord, at: datetime) -> None:
    """Give up the commits of the chart that a release followed until now."""
    rows = await unit.open_deliveries(release.id, verdicts=sorted(OPEN))
    commits = await unit.commits_by_id([row.carrier_id or row.commit_id for row in rows])
    staying = (release.repository_id, draft.repository_above(release))
    gone = [row for row in rows if commits[row.carrier_id or row.commit_id].repository_id not in staying]
    await unit.put_deliveries([replace(row, verdict=Verdict.ABANDONED, since=at, reason="") for row in gone])
    draft.transitions += [verdict_transition(row, Verdict.ABANDONED, at) for row in gone]


async def abandon(unit: Unit, draft: Draft, target: TargetRecord, at: datetime) -> None:
    rows = await unit.open_deliveries(target.id, verdicts=sorted(OPEN))
    await unit.put_deliveries([replace(row, verdict=Verdict.ABANDONED, since=at, reason="") for row in rows])
    draft.transitions += [verdict_transition(row, Verdict.ABANDONED, at) for row in rows]
