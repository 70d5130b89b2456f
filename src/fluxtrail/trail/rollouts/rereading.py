"""What a sync changed, read again after it was applied: which workloads have another spec than after the sync before.

A watch brings each kind in a stream of its own, so when a sync is seen to be applied, nothing says that its workloads
have been seen too. Each is therefore looked at once, past the watch: its generation then is what has to roll out.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
import structlog

from fluxtrail.model.errors import AuthError, FluxtrailError, WireError
from fluxtrail.model.flux import HELM_GROUP
from fluxtrail.model.moment import Precision
from fluxtrail.model.observation import ClusterUid, ObjectKey, ObjectUid
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import SyncId, SyncRecord, TargetId, TargetRecord
from fluxtrail.model.releases import HelmRelease
from fluxtrail.model.revision import same_content
from fluxtrail.model.rollout import RunningState
from fluxtrail.model.running_records import HandoverRecord, RolloutRecord, WorkloadRecord
from fluxtrail.model.workloads import BATCH_GROUP, Pod, Workload
from fluxtrail.trail.missed import SUCCEEDED_STATUS
from fluxtrail.trail.ports import Clock
from fluxtrail.trail.registry import Registry, SeenRelease
from fluxtrail.trail.rollouts.census import WorkloadCensus, images_of
from fluxtrail.trail.rollouts.claims import Change, Claim, find_doubtful, is_shared
from fluxtrail.trail.rollouts.ports import Rereader
from fluxtrail.trail.rollouts.rules import is_changed
from fluxtrail.trail.rollouts.versions import CLOCK_SLACK, Thing, Version, find_version, touched_at
from fluxtrail.trail.workloads.anchors import FAMILIAR
from fluxtrail.trail.workloads.view import WorkloadView

log = structlog.get_logger(__name__)
replace = msgspec.structs.replace

RETRY_SECONDS = 1.0
REFUSED_SECONDS = 30.0
PATIENCE = timedelta(minutes=10)
"""How long what a sync changed is tried to be read. What is not known then, stays unknown."""
RELEASE_PATIENCE = timedelta(seconds=10)
"""How long a HelmRelease of the inventory is waited for whose own stream has not brought it yet."""

NEXT_PATIENCE = timedelta(seconds=10)
"""How long the next sync is waited for, where what was read may be of its making."""


_UNDECODABLE = "undecodable"
_NEVER_RUN = frozenset({(BATCH_GROUP, "CronJob"), (HELM_GROUP, "HelmRelease")})
"""Kinds of which nothing is waited for to run."""


class Reread(msgspec.Struct, frozen=True, kw_only=True):
    """What the unread syncs of one target changed."""

    syncs: Sequence[SyncRecord]
    state: RunningState | None = None
    """Set where there is nothing to wait for."""
    read: Sequence[WorkloadRecord] = ()
    """Records as the last of the syncs left them, changed or not."""
    changed: Sequence[Change] = ()
    handovers: Sequence[HandoverRecord] = ()
    doubtful: frozenset[SyncId] = frozenset()
    """Syncs of which nobody can say what they changed, and so when that ran."""


class Turn(NamedTuple):
    """A sync that may have changed something."""

    sync: SyncRecord
    later: SyncRecord | None
    """The target's next one that may have, as far as it is known."""
    later_began: datetime | None
    """Before this, that had applied nothing; None where nobody says how long it took."""


class Base(NamedTuple):
    """What is known of a workload as the sync before the first of these left it."""

    record: WorkloadRecord
    is_there: bool
    """False of one that was made since."""
    seen: WorkloadRecord
    """As it was seen first, though that may have been later."""


class Unreadable(Exception):  # noqa: N818 - not an error: a reason to wait
    """Cannot be read now; try again after these seconds."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds


class Rereading:
    """One cluster's.

    Args:
        generation_of_release: up to which generation of a HelmRelease commits were handed over to it; 0 for none.
        find_before: the sync of the same target before one.
    """

    def __init__(
        self,
        cluster: ClusterUid,
        *,
        view: WorkloadView,
        census: WorkloadCensus,
        registry: Registry,
        rereader: Rereader,
        clock: Clock,
        generation_of_release: Callable[[TargetId], int],
        find_sync: Callable[[SyncId], Awaitable[SyncRecord | None]],
        find_before: Callable[[SyncRecord], Awaitable[SyncRecord | None]],
    ) -> None:
        self._cluster = cluster
        self._view = view
        self._census = census
        self._registry = registry
        self._rereader = rereader
        self._clock = clock
        self._generation_of_release = generation_of_release
        self._find_sync = find_sync
        self._find_before = find_before
        self._began_at = clock.now()
        """What is waited for since before, may come as after any start."""

    async def read(self, target_id: TargetId, syncs: Sequence[SyncRecord]) -> Reread:
        """Return what these syncs of one target changed; together, since nobody looked between them.

        Raises:
            Unreadable: not now.
        """
        target = self._registry.target(target_id)
        if target is None or target.deleted_at is not None or target.lands_on != self._cluster:
            # Where manifests land on another cluster, nobody knows which one of ours that is.
            return Reread(syncs=syncs, state=RunningState.UNKNOWN)
        following = await self._following(target, syncs)
        turns = await self._turns(target, syncs, following)
        if not turns:
            return Reread(syncs=syncs, state=RunningState.ABSENT)
        if (self._cluster, target.key) not in self._registry.inventories:
            if self._is_too_late(syncs, PATIENCE):
                return Reread(syncs=syncs, state=RunningState.UNKNOWN)
            raise Unreadable  # its own stream is about to bring it, after a start
        before = await self._find_before(turns[0].sync) or turns[0].sync
        try:
            return await self._read(target, syncs, turns, before, following)
        except FluxtrailError as exc:
            if self._is_too_late(syncs, PATIENCE):
                log.warning("workloads not read", target=str(target.key), error=str(exc))
                return Reread(syncs=syncs, state=RunningState.UNKNOWN)
            # A right may come, and a token is renewed; it is only not asked for as often.
            raise Unreadable(REFUSED_SECONDS if isinstance(exc, AuthError) else RETRY_SECONDS) from exc

    async def _read(
        self,
        target: TargetRecord,
        syncs: Sequence[SyncRecord],
        turns: Sequence[Turn],
        before: SyncRecord,
        following: SyncRecord | None,
    ) -> Reread:
        keys = self._keys_of(target)
        found = await asyncio.gather(*(self._read_one(key) for key in keys if self._is_seen(key)))
        is_blind = len(found) < len(keys) or _UNDECODABLE in found
        read: list[WorkloadRecord] = []
        changed: list[Change] = []
        shared: list[Change] = []
        handovers: list[HandoverRecord] = []
        for thing in found:
            if isinstance(thing, HelmRelease):
                handovers += self._handovers(thing, turns, before)
            elif isinstance(thing, Workload | Pod):
                left, claims = self._claims(self._base(target, thing, before), thing, turns, following)
                read.append(left)
                for claim in claims:
                    (shared if is_shared(claim, claims) else changed).append(claim.change)
        if is_blind:
            # What cannot be seen to roll out may be among what changed.
            return Reread(syncs=syncs, state=RunningState.UNKNOWN, handovers=handovers)
        doubtful = find_doubtful(syncs, changed, shared)
        kept = [change for change in (*changed, *shared) if change.sync_id not in doubtful]
        return Reread(syncs=syncs, read=read, changed=kept, handovers=handovers, doubtful=doubtful)

    def _is_seen(self, key: ObjectKey) -> bool:
        return (key.group, key.kind) in _NEVER_RUN or self._view.watches(key)

    async def _read_one(self, key: ObjectKey) -> Workload | Pod | HelmRelease | str | None:
        """One object that we cannot make sense of must not stop the others."""
        try:
            return await self._rereader.read(key)
        except WireError as exc:
            log.warning("object not read again", object=str(key), error=str(exc))
            return _UNDECODABLE
        except AuthError:
            if key.kind == "HelmRelease":
                return None  # releases that may not be read are not followed
            raise

    async def _turns(
        self, target: TargetRecord, syncs: Sequence[SyncRecord], following: SyncRecord | None
    ) -> list[Turn]:
        """Return those of the syncs that may have changed something, each with the one after it."""
        found = []
        for before, sync in itertools.pairwise([None, *syncs]):
            if sync is not None and not _changed_nothing(sync) and not await self._left_the_same(target, before, sync):
                found.append(sync)
        if following is not None and _changed_nothing(following):
            following = None
        pairs = zip(found, [*found[1:], following], strict=False)
        return [Turn(sync, later, self._began(target, later)) for sync, later in pairs]

    def _began(self, target: TargetRecord, sync: SyncRecord | None) -> datetime | None:
        """Return before when a Kustomization's sync that has ended had applied nothing, by its history.

        That says how long its last reconciliation took, and where there was more than one: about how long the first.
        """
        applied = sync.applied if sync is not None else None
        if sync is None or applied is None or sync.outcome is not Outcome.SUCCEEDED:
            return None
        history = self._registry.histories.get((self._cluster, target.key), ())
        gave = [item for item in history if item.status == SUCCEEDED_STATUS and item.digest == sync.manifests_digest]
        if not gave or gave[0].took_seconds is None or not same_content(gave[0].revision, sync.revision):
            return None
        if gave[0].total == 1:
            return gave[0].last_began
        return None if sync.healthy is not None else applied.earliest - timedelta(seconds=gave[0].took_seconds)

    async def _left_the_same(self, target: TargetRecord, before: SyncRecord | None, sync: SyncRecord) -> bool:
        """Whether a sync that nobody watched gave the manifests that were there when the one before it had ended.

        Others may have come and gone between the two, so that it is not said to have changed nothing; but what is
        there since the same second is rather of the sync after it, which has other manifests.
        """
        if target.key.kind != "Kustomization" or sync.started.precision is not Precision.ESTIMATED:
            return False
        before = before or await self._find_before(sync)
        return before is not None and _gave(before) is not None and _gave(before) == _gave(sync)

    async def _following(self, target: TargetRecord, syncs: Sequence[SyncRecord]) -> SyncRecord | None:
        """Return the newest sync of the target where that is none of these."""
        now = self._registry.target(target.id) or target
        if now.sync_id is None or now.sync_id in {sync.id for sync in syncs}:
            return None
        return await self._find_sync(now.sync_id)

    def _keys_of(self, target: TargetRecord) -> list[ObjectKey]:
        """Return what a target's inventory has that may run something, or release it.

        Only of a release of before Flux 2.8, which has none, by labels: those anybody may give an object.
        """
        keys: Sequence[ObjectKey] = self._registry.inventories.get((self._cluster, target.key), ())
        if not keys and target.key.kind == "HelmRelease":
            keys = [item.key for item in self._view.index.workloads_of(target.key)]
        return [key for key in dict.fromkeys(keys) if self._may_run(key)]

    def _may_run(self, key: ObjectKey) -> bool:
        kind = (key.group, key.kind)
        return kind in FAMILIAR or kind == (HELM_GROUP, "HelmRelease") or self._view.is_custom(*kind)

    def _base(self, target: TargetRecord, thing: Thing, before: SyncRecord) -> Base:
        """Return what is known of a workload as the sync before these left it.

        Where it was seen first after one of these had been applied, as after a start, that is only which generation.
        """
        if isinstance(thing, Workload) and (thing.key.group, thing.key.kind) not in FAMILIAR:
            self._census.note_read(thing)
        kept = self._census.record(thing.uid)
        record = seen = replace(kept or self._census.first_record(thing, target.id), target_id=target.id)
        if record.generation and _is_made_since(record.touched_at, before):
            is_there = not _is_made_since(thing.created_at, before)
            if record.generation > 1 or not is_there:  # else other labels only: those are no new generation
                generation = record.generation - 1 if is_there else 0
                record = replace(record, generation=generation, touched_at=None, images={}, digests={})
            return Base(record, is_there, seen)
        return Base(record, kept is not None or not self._census.is_new(thing), seen)

    def _claims(
        self, start: Base, thing: Thing, turns: Sequence[Turn], following: SyncRecord | None
    ) -> tuple[WorkloadRecord, list[Claim]]:
        """Return a workload as the last of these syncs left it, and what each of them made of it, or may have."""
        base, is_there, seen = start
        left, last = base, base.generation
        known = self._census.versions.known_with(thing, self._clock.now())
        claims: list[Claim] = []
        for sync, later, later_began in turns:
            found = find_version(known, base.generation, sync, later, following_began=later_began)
            if found is None:
                continue
            if not found.is_certain and later is None and not self._is_too_late([sync], NEXT_PATIENCE):
                raise Unreadable  # a sync that is not heard of yet may have made it
            left = _left_at(base, found.version)
            before = base if is_there else None
            if is_changed(before, found.version.thing):
                # Each that changed it made one more: of what nobody saw, the first that it may have been.
                last = left.generation if found.is_certain else min(last + 1, left.generation)
                after = replace(left, images={}) if _is_made_after(found.version, sync, CLOCK_SLACK) else left
                change = Change(sync_id=sync.id, uid=thing.uid, before=before, after=after, generation=last)
                is_own = found.is_certain or not _is_made_after(found.version, sync, timedelta())
                claims.append(Claim(change, found.version.generation, base.generation, is_own))
            if found.is_certain:
                base, is_there = left, True
        if left is start.record:
            return seen, claims
        # What the next sync may have made, is left for it to find; it can tell whether it is too old to be its own.
        return (base if following is not None or left.touched_at is not None else left), claims

    def _handovers(self, release: HelmRelease, turns: Sequence[Turn], before: SyncRecord) -> list[HandoverRecord]:
        """Return which of these syncs changed a HelmRelease, and to which generation."""
        target = self._registry.find_target(self._cluster, release.key)
        if target is None or target.uid != release.uid:
            if self._is_too_late([turn.sync for turn in turns], RELEASE_PATIENCE):
                return []
            raise Unreadable  # its own stream is about to bring it
        known = self._versions_of(release)
        base = max(_first_left(target.first_generation, known, before), self._generation_of_release(target.id))
        handovers = []
        for sync, later, later_began in turns:
            found = find_version(known, base, sync, later, following_began=later_began)
            if found is None:
                continue
            if not found.is_certain and later is None and not self._is_too_late([sync], NEXT_PATIENCE):
                raise Unreadable  # a sync that is not heard of yet may have made it
            base = found.version.generation
            handovers.append(HandoverRecord(sync_id=sync.id, release_id=target.id, generation=base))
        return handovers

    def _versions_of(self, release: HelmRelease) -> list[SeenRelease]:
        """Return the versions that were seen, with the one that was read just now."""
        seen = [item for item in self._registry.released[self._cluster, release.key] if item.uid == release.uid]
        if all(item.generation != release.generation for item in seen):
            now = self._clock.now()
            seen.append(SeenRelease(release.uid, release.generation, release.touched_at, now, is_watched=False))
        return seen

    def _is_too_late(self, syncs: Sequence[SyncRecord], patience: timedelta) -> bool:
        now = self._clock.now()
        return all(sync.applied is None or now - max(sync.applied.latest, self._began_at) > patience for sync in syncs)


def _is_made_since(moment: datetime | None, before: SyncRecord) -> bool:
    """Whether Flux made something after a sync had been applied, so that a later one did."""
    return moment is not None and before.applied is not None and moment > before.applied.latest + CLOCK_SLACK


def _first_left(first: int, known: Sequence[SeenRelease], before: SyncRecord) -> int:
    """Return the generation of a HelmRelease that a sync left, given the one at which it was seen first."""
    is_later = any(item.generation == first and _is_made_since(item.touched_at, before) for item in known)
    return first - 1 if is_later and first > 1 else first


def _changed_nothing(sync: SyncRecord) -> bool:
    """Whether nothing of a sync is to run: it left things as they were, or was itself taken back."""
    return sync.is_remediated or (sync.is_unchanged and sync.outcome is Outcome.SUCCEEDED)


def _is_made_after(version: Version, sync: SyncRecord, slack: timedelta) -> bool:
    """Whether a version is not what a sync made: what that was, a later sync has changed before anybody saw it."""
    touched = version.touched_at
    return touched is not None and sync.applied is not None and touched > sync.applied.latest + slack


def _gave(sync: SyncRecord) -> tuple[str, int] | None:
    """Return what a Kustomization's sync left: the digest of its manifests, and of which spec they were made."""
    if sync.outcome is not Outcome.SUCCEEDED or sync.manifests_digest is None:
        return None
    return sync.manifests_digest, sync.generation


def _left_at(record: WorkloadRecord, version: Version) -> WorkloadRecord:
    thing = version.thing
    return replace(record, generation=version.generation, touched_at=touched_at(thing), images=images_of(thing))


def rollouts_of(reread: Reread, kept: Mapping[ObjectUid, WorkloadRecord]) -> list[RolloutRecord]:
    """Return a row for each sync and each workload that it changed.

    Args:
        kept: the records of `read` with their ids.
    """
    return [
        RolloutRecord(
            sync_id=change.sync_id,
            workload_id=kept[change.uid].id,
            generation=change.generation,
            images_before=change.before.images if change.before else {},
            images=change.after.images,
            digests_before=change.before.digests if change.before else {},
        )
        for change in reread.changed
    ]
