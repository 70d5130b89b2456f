"""What every judge of targets begins with and ends with: how an object was seen, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from fluxtrail.model.records import Cause, SourceRecord, SyncRecord, TargetRecord
from fluxtrail.model.revision import find_revision

replace = msgspec.structs.replace


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """How an object was seen."""

    observed_at: datetime
    was_held: bool
    not_before: datetime | None
    """What changed since the last look changed after this; None if there was no last look."""
    is_told: bool = False
    """A known sender told of it, and that only what happened, each with its own time."""
    source: SourceRecord | None = None
    shas: Mapping[str, str] = {}
    """What revisions that name no commit themselves are followed as."""

    def sha_of(self, revision: str | None) -> str | None:
        """Return what a revision is followed as, or None where that is not known (yet)."""
        parsed = find_revision(revision)
        return (parsed.commit_sha if parsed else None) or self.shas.get(revision or "")


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    target: TargetRecord
    syncs: tuple[SyncRecord, ...] = ()
    """Syncs that are new (id 0) or changed, oldest first. Unchanged ones are not repeated."""


def note_success(
    target: TargetRecord, sync: SyncRecord, *, applied: str | None = None, generation: int | None = None
) -> TargetRecord:
    """Return a target that has what a sync applied; by default in the sync's words."""
    changes: dict[str, object] = {
        "applied": applied or sync.revision,
        "applied_sha": sync.sha,
        "applied_digest": sync.manifests_digest,
        "applied_generation": sync.generation if generation is None else generation,
    }
    if sync.cause is Cause.BASELINE:
        changes |= {"baseline_sha": sync.sha, "awaits_baseline": False}
    return replace(target, **changes)


def grown(syncs: Sequence[SyncRecord], kept: SyncRecord | None) -> tuple[SyncRecord, ...]:
    """Return each sync once, in its last state. A kept one gets a new version, so that attribution looks again."""
    latest: dict[int, SyncRecord] = {}
    for index, sync in enumerate(syncs):
        latest[sync.id or -1 - index] = sync
    return tuple(
        replace(sync, version=kept.version + 1) if kept is not None and sync.id == kept.id else sync
        for sync in latest.values()
    )
