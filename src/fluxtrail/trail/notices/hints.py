"""Hints: what anybody told us makes us look sooner, and never believe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from fluxtrail.model.errors import WireError
from fluxtrail.model.notices import (
    AnyNotice,
    EventNotice,
    FluxNotice,
    KeptNotice,
    PullRequestNotice,
    PushNotice,
)
from fluxtrail.model.records import RepositoryId
from fluxtrail.model.repository import parse_repository
from fluxtrail.trail.registry import Registry


class Hinter:
    """Looks at branches and clusters that notices are about."""

    def __init__(
        self,
        registry: Registry,
        *,
        poke: Callable[[RepositoryId], None],
        look: Callable[[FluxNotice, str], None],
        clusters: Mapping[str, str] = {},
    ) -> None:
        """Args:
        poke: look at a repository's branches now.
        look: see that the watch over an object is alive, in the cluster of this name; in all where it is empty.
        clusters: by sender, the one cluster that it speaks of.
        """
        self._registry = registry
        self._poke = poke
        self._look = look
        self._clusters = clusters

    async def handle(self, notices: Sequence[KeptNotice]) -> None:
        for repository in dict.fromkeys(item for notice in notices for item in self._repositories(notice.said)):
            self._poke(repository)
        objects: dict[tuple[str, ...], tuple[FluxNotice, str]] = {}
        for notice in notices:
            said = notice.said
            if isinstance(said, FluxNotice):
                cluster = self._clusters.get(notice.sender, "")
                objects[cluster, said.kind, said.namespace, said.name] = said, cluster
        for said, cluster in objects.values():
            self._look(said, cluster)

    def _repositories(self, said: AnyNotice) -> Iterable[RepositoryId]:
        """Return the followed repositories that a notice says have changed."""
        match said:
            case PushNotice() | PullRequestNotice() | EventNotice():
                return self._named(said.repository)
            case FluxNotice():
                return self._fetched(said)
            case _:
                return ()

    def _named(self, url: str) -> Iterable[RepositoryId]:
        with suppress(WireError):
            canonical = parse_repository(url).canonical
            known = self._registry.repositories.values()
            return [record.id for record in known if record.canonical == canonical]
        return ()

    def _fetched(self, said: FluxNotice) -> Iterable[RepositoryId]:
        """Return what a source fetches from: its branch has moved, if it has fetched something."""
        return [
            source.repository_id
            for source in self._registry.sources.values()
            if source.repository_id is not None
            and source.deleted_at is None
            and (source.key.kind, source.key.namespace, source.key.name) == (said.kind, said.namespace, said.name)
        ]
