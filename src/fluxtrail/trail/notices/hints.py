"""Hints: what anybody told us makes us look sooner, and never believe."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress

from fluxtrail.model.errors import WireError
from fluxtrail.model.notices import (
    AnyNotice,
    EventNotice,
    FluxNotice,
    KeptNotice,
    PullRequestNotice,
    PushNotice,
    RunNotice,
)
from fluxtrail.model.records import RepositoryId, TargetRecord
from fluxtrail.model.repository import parse_repository
from fluxtrail.trail.notices.told import find_commit_revision
from fluxtrail.trail.registry import Registry

OF_CI = RunNotice | PushNotice | PullRequestNotice | EventNotice
"""What may come of a run, or set one off."""
_Name = tuple[str, str, str]
"""Kind, namespace, name."""


class Hinter:
    """Looks at branches and clusters that notices are about."""

    def __init__(
        self,
        registry: Registry,
        *,
        poke: Callable[[RepositoryId], None],
        look: Callable[[FluxNotice, str], None],
        clusters: Mapping[str, str] = {},
        look_at_ci: Callable[[RepositoryId], None] = lambda _: None,
        builders: Callable[[str], str] = lambda _: "",
        names: Mapping[str, str] = {},
    ) -> None:
        """Args:
        poke: look at a repository's branches now.
        look_at_ci: look at the runs of a repository's pipelines now.
        look: see that the watch over an object is alive, in the cluster of this name; in all where it is empty.
        clusters: by sender, the one cluster that it speaks of.
        builders: the project of another system that builds a repository, both by canonical names; or nothing.
        names: by what forges call repositories that are fetched elsewhere (in lower case), the canonical names under
            which these are followed.
        """
        self._registry = registry
        self._poke = poke
        self._look = look
        self._clusters = clusters
        self._look_at_ci = look_at_ci
        self._builders = builders
        self._names = names

    async def handle(self, notices: Sequence[KeptNotice]) -> None:
        targets = self._targets() if any(isinstance(notice.said, FluxNotice) for notice in notices) else {}
        for repository in dict.fromkeys(
            item for notice in notices for item in self._repositories(notice.said, targets)
        ):
            self._poke(repository)
        for repository in dict.fromkeys(item for notice in notices for item in self._built(notice.said)):
            self._look_at_ci(repository)
        objects: dict[tuple[str, ...], tuple[FluxNotice, str]] = {}
        for notice in notices:
            said = notice.said
            if isinstance(said, FluxNotice):
                cluster = self._clusters.get(notice.sender, "")
                objects[cluster, said.kind, said.namespace, said.name] = said, cluster
        for said, cluster in objects.values():
            self._look(said, cluster)

    def _targets(self) -> Mapping[_Name, Sequence[TargetRecord]]:
        """Return the live targets by name, those of all clusters."""
        found: defaultdict[_Name, list[TargetRecord]] = defaultdict(list)
        for target in self._registry.targets:
            if target.deleted_at is None:
                found[target.key.kind, target.key.namespace, target.key.name].append(target)
        return found

    def _repositories(self, said: AnyNotice, targets: Mapping[_Name, Sequence[TargetRecord]]) -> Iterable[RepositoryId]:
        """Return the followed repositories that a notice says have changed."""
        match said:
            case PushNotice() | PullRequestNotice() | EventNotice():
                return self._named(said.repository)
            case FluxNotice():
                return [*self._fetched(said), *self._applied(said, targets)]
            case _:
                return ()

    def _built(self, said: AnyNotice) -> Iterable[RepositoryId]:
        """Return the followed repositories of whose pipelines a notice tells."""
        if not isinstance(said, OF_CI):
            return ()
        return self._within(said) if isinstance(said, RunNotice) and said.is_part else self._named(said.repository)

    def _within(self, said: RunNotice) -> Iterable[RepositoryId]:
        """Return what is built in a project; where its commit is a head that is known, that alone."""
        heads = {key[0] for key, record in self._registry.branches.items() if said.sha and record.head == said.sha}
        part = said.repository.partition("://")[2].lower().rstrip("/") + "/"
        return [
            record.id
            for record in self._registry.repositories.values()
            if any(f"{name}/".lower().startswith(part) for name in (record.canonical, self._builders(record.canonical)))
            and (not heads or record.id in heads)
        ]

    def _named(self, url: str) -> Iterable[RepositoryId]:
        with suppress(WireError):
            canonical = parse_repository(url).canonical
            wanted = (canonical, self._names.get(canonical.lower(), canonical))
            return [record.id for record in self._registry.repositories.values() if record.canonical in wanted]
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

    def _applied(self, said: FluxNotice, targets: Mapping[_Name, Sequence[TargetRecord]]) -> Iterable[RepositoryId]:
        """Return where a target's commits come from, if it works on one that nobody here has seen: the branch moved.

        Flux repeats itself in each interval: what is known is no reason to ask a forge.
        """
        revision = find_commit_revision(said)
        sha = revision.commit_sha if revision is not None else None
        return [
            target.repository_id
            for target in targets.get((said.kind, said.namespace, said.name), ())
            if sha is not None and target.repository_id is not None and sha not in self._known(target)
        ]

    def _known(self, target: TargetRecord) -> Collection[str | None]:
        repository, source = target.repository_id, self._registry.source_of(target)
        heads = {record.head for key, record in self._registry.branches.items() if key[0] == repository}
        return {target.applied_sha, target.attempted_sha, source.sha if source is not None else None, *heads}
