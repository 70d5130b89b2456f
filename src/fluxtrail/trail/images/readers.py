"""Which repositories are read because an image says that it was built from them."""

from __future__ import annotations

from fluxtrail.model.errors import ConfigError, WireError
from fluxtrail.trail.ports import Repositories, RepositoryReader
from fluxtrail.trail.registry import Registry


class SourceReaders:
    """Opens the repositories that are known, and those of the same owners.

    An image that others made names their repository too. Its history is nobody's lead time here, and is not fetched,
    though its host may be asked.
    """

    def __init__(self, registry: Registry, repositories: Repositories) -> None:
        self._registry = registry
        self._repositories = repositories

    def find(self, canonical: str) -> RepositoryReader | None:
        """Return what reads a repository; None where it is a stranger's, or may not be asked."""
        url = self._url_of(canonical)
        if url is None:
            return None
        try:
            return self._repositories.open(url)
        except (ConfigError, WireError):
            return None

    def _url_of(self, canonical: str) -> str | None:
        known = self._registry.find_repository(canonical)
        if known is not None and known.url:
            return known.url
        owner = canonical.rpartition("/")[0]
        if "/" not in owner or "://" in canonical:
            return None
        is_ours = any(
            record.url and record.canonical.rpartition("/")[0] == owner
            for record in self._registry.repositories.values()
        )
        return f"https://{canonical}" if is_ours else None
