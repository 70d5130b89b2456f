"""Keeps the commits that targets have applied in the clones, whatever a force-push does to the branch."""

from __future__ import annotations

import structlog

from fluxtrail.model.derive import applied_sha
from fluxtrail.model.errors import FluxtrailError
from fluxtrail.model.records import RepositoryId, RepositoryRecord
from fluxtrail.trail.ports import RepositoryReader
from fluxtrail.trail.registry import Registry

log = structlog.get_logger(__name__)


class Pins:
    """One ref for each commit that is applied somewhere, or that a range will start from; gone when none is."""

    def __init__(self, *, registry: Registry) -> None:
        self._registry = registry
        self._pinned: dict[RepositoryId, set[str]] = {}

    async def renew(self, repository: RepositoryRecord, reader: RepositoryReader) -> None:
        """Bring the refs in line with what is applied. A pin that fails is tried again with the next sync."""
        wanted = {
            sha
            for target in self._registry.targets
            if target.repository_id == repository.id and target.deleted_at is None and (sha := applied_sha(target))
        }
        pinned = self._pinned.setdefault(repository.id, set())
        try:
            for sha in sorted(wanted - pinned):
                if await reader.has(sha):
                    await reader.pin(f"applied/{sha}", sha)
                    pinned.add(sha)
            for sha in sorted(pinned - wanted):
                await reader.unpin(f"applied/{sha}")
                pinned.discard(sha)
        except FluxtrailError as exc:
            log.warning("commit not pinned", repository=repository.canonical, error=str(exc))
