"""What kustomize-controller writes, one status write at a time, and somebody who keeps what `judge` makes of it.

The order of writes is that of kustomize-controller 1.9: conditions first, the other fields in a write of their own.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from fluxtrail.model.flux import KUSTOMIZE_GROUP, SOURCE_GROUP, Condition, Kustomization, Snapshot
from fluxtrail.model.observation import ClusterUid, ObjectKey, ObjectUid
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import RepositoryId, SourceRecord, SyncId, SyncRecord, TargetId, TargetRecord
from fluxtrail.trail.judge import judge
from fluxtrail.trail.judgement import Look

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SLACK = timedelta(seconds=2)
CLUSTER = ClusterUid("c1")
KEY = ObjectKey(KUSTOMIZE_GROUP, "Kustomization", "flux-system", "apps")
SOURCE = ObjectKey(SOURCE_GROUP, "GitRepository", "flux-system", "fleet")

replace = msgspec.structs.replace


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def sha(number: int) -> str:
    return f"{number:040x}"


def rev(number: int, branch: str = "main") -> str:
    return f"{branch}@sha1:{sha(number)}"


def digest(name: str) -> str:
    return f"sha256:{name.encode().hex():0<64}"


class Write(NamedTuple):
    at: datetime
    object: Kustomization


class Controller:
    """One Kustomization as its controller writes it. Each write takes 0.1 s; `wait` lets time pass."""

    def __init__(self, *, has_checks: bool = False, has_history: bool = True) -> None:
        self.now = NOON
        self.writes: list[Write] = []
        self.object = Kustomization(
            key=KEY,
            uid=ObjectUid("u1"),
            generation=1,
            observed_generation=-1,
            is_deleting=False,
            is_suspended=False,
            path="./apps",
            components=(),
            source=SOURCE,
            kube_config=None,
            depends_on=(),
            has_checks=has_checks,
            last_applied=None,
            last_applied_origin=None,
            last_attempted=None,
            conditions=(),
            history=(),
        )
        self.has_history = has_history
        self.took_seconds: float | None = None
        """What the history says of how long each reconciliation took."""

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def write(self, **changes: Any) -> datetime:
        """Write fields; returns when."""
        self.now += timedelta(seconds=0.1)
        self.object = replace(self.object, **changes)
        self.writes.append(Write(self.now, self.object))
        return self.now

    def _conditions(self, *changed: tuple[str, str, str, str], drop: str = "") -> datetime:
        now = (self.now + timedelta(seconds=0.1)).replace(microsecond=0)
        kept = {item.type: item for item in self.object.conditions if item.type != drop}
        for kind, status, reason, message in changed:
            before = kept.get(kind)
            is_same = before is not None and (before.status, before.reason, before.message) == (status, reason, message)
            kept[kind] = before if before and is_same else Condition(kind, status, reason, message, now)
        return self.write(conditions=tuple(kept.values()))

    def step(self, what: str, revision: str) -> datetime:
        conditions = [("Reconciling", "True", "Progressing", f"{what} for revision {revision}")]
        if what == "Fetching manifests":
            conditions.append(("Ready", "Unknown", "Progressing", "Reconciliation in progress"))
        return self._conditions(*conditions)

    def begin(self, revision: str) -> None:
        self.step("Fetching manifests", revision)
        self.step("Building manifests", revision)
        if self.object.last_attempted != revision:
            self.write(last_attempted=revision)

    def check(self, revision: str) -> datetime:
        return self._conditions(
            (
                "Reconciling",
                "True",
                "Progressing",
                f"Running health checks for revision {revision} with a timeout of 30s",
            ),
            ("Healthy", "Unknown", "Progressing", "Running health checks"),
        )

    def apply(self, revision: str) -> datetime | None:
        """Build and apply; returns when the health checks begin, where there are any."""
        self.begin(revision)
        self.step("Detecting drift", revision)
        return self.check(revision) if self.object.has_checks else None

    def end_well(self, revision: str, made: str) -> datetime:
        """Write the success; returns when Ready became True."""
        ready = self._conditions(
            ("Ready", "True", "ReconciliationSucceeded", f"Applied revision: {revision}"), drop="Reconciling"
        )
        self.write(
            last_applied=revision,
            observed_generation=self.object.generation,
            history=self._history(made, "ReconciliationSucceeded", revision),
        )
        return ready

    def succeed(self, revision: str, made: str = "d") -> datetime:
        self.apply(revision)
        return self.end_well(revision, made)

    def end_badly(self, revision: str, reason: str, message: str = "it broke", made: str | None = None) -> datetime:
        step = next(item.message for item in self.object.conditions if item.type == "Reconciling")
        failed = self._conditions(
            ("Reconciling", "True", "ProgressingWithRetry", step), ("Ready", "False", reason, message)
        )
        if made is not None:
            self.write(history=self._history(made, reason, revision))
        return failed

    def fail_build(self, revision: str) -> datetime:
        self.begin(revision)
        return self.end_badly(revision, "BuildFailed")

    def fail_artifact(self, revision: str) -> datetime:
        self.step("Fetching manifests", revision)
        return self.end_badly(revision, "ArtifactFailed", "kustomization path not found")

    def fail_health(self, revision: str, made: str = "bad", after: float = 30) -> datetime:
        self.apply(revision)
        self.wait(after)
        return self.end_badly(revision, "HealthCheckFailed", "timeout waiting for: [Deployment/d]", made)

    def wait_for_dependency(self) -> datetime:
        return self._conditions(
            ("Ready", "False", "DependencyNotReady", "dependency 'flux-system/config' is not ready")
        )

    def suspend(self, is_suspended: bool = True) -> None:
        self.write(is_suspended=is_suspended, generation=self.object.generation + 1)

    def _history(self, made: str, status: str, revision: str) -> tuple[Snapshot, ...]:
        if not self.has_history:
            return ()
        now = (self.now + timedelta(seconds=0.1)).replace(microsecond=0)
        wanted = digest(made)
        old = next((item for item in self.object.history if (item.digest, item.status) == (wanted, status)), None)
        new = Snapshot(
            digest=wanted,
            status=status,
            first_reconciled=old.first_reconciled if old else now,
            last_reconciled=now,
            total=old.total + 1 if old else 1,
            revision=revision,
            took_seconds=self.took_seconds,
        )
        return (new, *(item for item in self.object.history if item is not old))[:5]


class Keeper:
    """Keeps a target and its syncs as the follower does."""

    def __init__(self, source: SourceRecord | None = None) -> None:
        self.target: TargetRecord | None = None
        self.syncs: dict[SyncId, SyncRecord] = {}
        self.source = source
        self.mark: datetime | None = None

    def see(self, write: Write, *, was_held: bool) -> list[SyncRecord]:
        """Judge one look and keep what comes of it; returns the syncs that are new or changed."""
        is_first = self.target is None
        before = self._refreshed(write)
        look = Look(
            observed_at=write.at,
            was_held=was_held and not is_first,
            not_before=None if is_first else max(before.observed_at, self.mark or before.observed_at) - SLACK,
            source=self.source,
        )
        judgement = judge(before, self.syncs.get(before.sync_id) if before.sync_id else None, write.object, look)
        self.target, saved = judgement.target, []
        for sync in judgement.syncs:
            kept = sync if sync.id else replace(sync, id=SyncId(len(self.syncs) + 1))
            self.syncs[kept.id] = kept
            self.target = replace(self.target, sync_id=kept.id)
            saved.append(kept)
        return saved

    def _refreshed(self, write: Write) -> TargetRecord:
        item = write.object
        if self.target is None:
            return new_target(item, write.at)
        moved = (self.target.path, self.target.source) != (item.path, item.source)
        return replace(
            self.target,
            path=item.path,
            source=item.source,
            generation=item.generation,
            is_suspended=item.is_suspended,
            has_checks=item.has_checks,
            awaits_baseline=self.target.awaits_baseline or moved,
        )

    def watch(self, writes: Collection[Write], *, dropped: Collection[int] = ()) -> None:
        """See writes one by one without a gap, but for those dropped: what follows one of them was not held."""
        is_held = True
        for index, write in enumerate(writes):
            if index in dropped:
                is_held = False
                continue
            self.see(write, was_held=is_held)
            is_held = True

    @property
    def last(self) -> SyncRecord:
        assert self.target is not None
        assert self.target.sync_id is not None
        return self.syncs[self.target.sync_id]

    @property
    def kept(self) -> TargetRecord:
        assert self.target is not None
        return self.target


def new_target(item: Kustomization, seen_at: datetime) -> TargetRecord:
    return TargetRecord(
        id=TargetId(1),
        cluster=CLUSTER,
        key=item.key,
        uid=item.uid,
        lands_on=CLUSTER,
        source=item.source,
        repository_id=RepositoryId(1),
        branch="main",
        follows_tags=False,
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
        first_seen_at=seen_at,
        observed_at=seen_at,
    )


def settled(
    flux: Controller, revision: str = rev(1), made: str = "d1", *, source: SourceRecord | None = None
) -> Keeper:
    """Return a keeper that first saw the target long after it had applied `revision`."""
    flux.succeed(revision, made)
    flux.wait(600)
    keeper = Keeper(source)
    keeper.see(Write(flux.now, flux.object), was_held=False)
    flux.writes.clear()
    flux.wait(60)
    return keeper
