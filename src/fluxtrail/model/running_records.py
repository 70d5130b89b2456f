"""What the ledger keeps of the last stage: workloads that Flux applied, what a sync changed, and who went on with it.

As in `records.py`.
"""

from datetime import datetime
from typing import NewType

from fluxtrail.model.moment import Moment
from fluxtrail.model.observation import ClusterUid, ObjectKey, ObjectUid
from fluxtrail.model.records import Record, SyncId, TargetId
from fluxtrail.model.rollout import RolloutCause, RolloutState

WorkloadId = NewType("WorkloadId", int)


class WorkloadRecord(Record, frozen=True, kw_only=True):
    """A workload that Flux applied, as last judged. One row per object (cluster, key, uid)."""

    id: WorkloadId
    cluster: ClusterUid
    key: ObjectKey
    uid: ObjectUid
    target_id: TargetId
    """Whose inventory it is in."""
    generation: int
    """As read after the newest sync: what the next sync's changes are told from."""
    touched_at: datetime | None
    """As `Workload.touched_at`, read with it."""
    images: dict[str, str] = {}
    """By container, as its template has it: read with the generation."""
    digests: dict[str, str] = {}
    """By container: the one digest that its updated pods run; none where they differ or have not begun."""
    state: RolloutState
    cause: RolloutCause | None = None
    message: str = ""
    pod: str = ""
    container: str = ""
    since: datetime
    """When state and cause became what they are."""
    rolled_generation: int = 0
    """The newest generation that rolled out, and when it did."""
    rolled: Moment | None = None
    observed_at: datetime
    deleted_at: datetime | None = None


class RolloutRecord(Record, frozen=True, kw_only=True):
    """One workload that a sync changed."""

    sync_id: SyncId
    workload_id: WorkloadId
    generation: int
    """What the sync made it, or a later one: rolled out at this or any later one is rolled out."""
    images_before: dict[str, str] = {}
    """By container, as its template had it before the sync; empty of a new workload."""
    images: dict[str, str] = {}
    """As the sync made them; empty where later ones changed them before anybody looked."""
    digests_before: dict[str, str] = {}
    running: Moment | None = None
    is_dropped: bool = False
    """Nobody waits for it any more: pruned, scaled to zero, suspended, a Job that is gone."""
    is_traced: bool = False
    """The commits that its images bring are dealt with. Written by `note_traced` alone."""


class HandoverRecord(Record, frozen=True, kw_only=True):
    """A HelmRelease that a Kustomization's sync changed: the sync's commits are on their way to the release too."""

    sync_id: SyncId
    """Of the Kustomization."""
    release_id: TargetId
    """Of the HelmRelease."""
    generation: int
    """Of the HelmRelease, as the sync made it; releases of this or a later one carry the sync's commits."""
    taken_by: SyncId | None = None
    """The release's first sync that carries them, where the generation does not say: other values from elsewhere."""
    is_handed: bool = False
    """Its commits have their deliveries on the release: the Kustomization's sync has been attributed."""
