"""Keeps the commits that targets have applied in the clones, whatever a force-push does to the branch."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from fluxtrail.model.errors import FluxtrailError
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import RepositoryId, RepositoryRecord, SyncRecord
from fluxtrail.trail.ports import Clock, RepositoryReader
from fluxtrail.trail.registry import Registry

log = structlog.get_logger(__name__)

RELEASE_SECONDS = 300.0


class Pins:
    """One ref for each commit that is applied somewhere; it goes some time after the last target has left it."""

    def __init__(self, *, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._pinned: dict[RepositoryId, set[str]] = {}
        self._release_at: dict[RepositoryId, float] = {}

    async def renew(self, repository: RepositoryRecord, reader: RepositoryReader, syncs: Sequence[SyncRecord]) -> None:
        """Pin what these syncs applied, and now and then release what nobody applies. A failure costs the pin only."""
        pinned = self._pinned.setdefault(repository.id, set())
        applied = {sync.sha for sync in syncs if sync.sha and sync.outcome is Outcome.SUCCEEDED}
        try:
            for sha in sorted(applied - pinned):
                if await reader.has(sha):
                    await reader.pin(f"applied/{sha}", sha)
                    pinned.add(sha)
            for sha in self._left(repository, pinned):
                await reader.unpin(f"applied/{sha}")
                pinned.discard(sha)
        except FluxtrailError as exc:
            log.warning("commit not pinned", repository=repository.canonical, error=str(exc))

    def _left(self, repository: RepositoryRecord, pinned: set[str]) -> list[str]:
        now = self._clock.monotonic()
        if self._release_at.setdefault(repository.id, now + RELEASE_SECONDS) > now:
            return []
        self._release_at[repository.id] = now + RELEASE_SECONDS
        held = {
            target.applied_sha
            for target in self._registry.targets
            if target.repository_id == repository.id and target.deleted_at is None
        }
        return sorted(pinned - held)
