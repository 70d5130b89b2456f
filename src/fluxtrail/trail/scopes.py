"""Which targets a commit may change: the scopes of all targets on one branch, kept while the branch moves.

A lookup costs the depth of the changed paths, whatever the number of targets.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fluxtrail.model.commit import CommitFacts
from fluxtrail.model.errors import WireError
from fluxtrail.model.records import SourceRecord, TargetRecord
from fluxtrail.trail.artifact_paths import ArtifactPaths
from fluxtrail.trail.ports import RepositoryReader
from fluxtrail.trail.scope import KUSTOMIZATION_FILES, Scope, ancestors, normal_path, read_scope

SOURCE_IGNORE = ".sourceignore"
SOURCE_IGNORE_LIMIT_BYTES = 64 * 1024


class ScopeKey(NamedTuple):
    """What decides a scope: targets that share it share the reading of it."""

    path: str
    components: tuple[str, ...]
    ignore: str | None
    sparse_checkout: tuple[str, ...]


def scope_key(target: TargetRecord, source: SourceRecord | None) -> ScopeKey:
    return ScopeKey(
        target.path,
        target.components,
        source.ignore if source else None,
        source.sparse_checkout if source else (),
    )


class Scopes:
    """Scopes as of the newest commit that was asked about. Ask oldest first."""

    def __init__(self) -> None:
        self._scopes: dict[ScopeKey, Scope] = {}
        self._by_directory: defaultdict[str, set[ScopeKey]] = defaultdict(set)
        self._by_file: defaultdict[str, set[ScopeKey]] = defaultdict(set)
        self._complete_for: frozenset[ScopeKey] | None = None
        """The keys asked for last, all of them known: the same object asked again costs nothing."""
        self._artifacts: dict[tuple[str | None, tuple[str, ...]], ArtifactPaths] = {}
        self._source_ignore: str | None = None
        self._has_read_ignore = False

    async def affected(self, reader: RepositoryReader, facts: CommitFacts, keys: Iterable[ScopeKey]) -> set[ScopeKey]:
        """Return those of `keys` whose scope holds a path that the commit changed.

        For commit after commit, hand in the same frozenset: then the number of keys does not count.

        Raises:
            UpstreamError: the repository could not be read.
        """
        wanted = frozenset(keys)
        await self._read_source_ignore(reader, facts)
        if wanted is not self._complete_for:
            await self._read_unknown(reader, facts.sha, wanted)
        if facts.paths_truncated:
            return set(wanted)
        hit = self._find(facts.paths) & wanted
        for key in hit:
            if self._scopes[key].is_shaped_by(facts.paths):
                await self._read(reader, facts.sha, key)
        return {key for key in hit if self._reaches_artifact(key, facts.paths)}

    async def _read_unknown(self, reader: RepositoryReader, sha: str, wanted: frozenset[ScopeKey]) -> None:
        unknown = wanted - self._scopes.keys()
        if len(unknown) > 1:
            paths = [normal_path(key.path) for key in unknown]
            await reader.prefetch(
                (sha, f"{path}/{KUSTOMIZATION_FILES[0]}" if path else KUSTOMIZATION_FILES[0])
                for path in paths
                if path is not None
            )
        for key in unknown:
            await self._read(reader, sha, key)
        self._complete_for = wanted

    def _find(self, paths: Sequence[str]) -> set[ScopeKey]:
        found: set[ScopeKey] = set()
        for path in paths:
            found |= self._by_file.get(path, frozenset())
            for directory in ancestors(path):
                found |= self._by_directory.get(directory, frozenset()) | self._by_file.get(directory, frozenset())
        return found

    def _reaches_artifact(self, key: ScopeKey, paths: Sequence[str]) -> bool:
        # The scope was just read again where the commit shaped it; what it held before counts as touched.
        scope = self._scopes[key]
        artifact = self._artifact(key)
        inside = [path for path in paths if scope.has(path)]
        return not inside or any(artifact.has(path) for path in inside)

    def _artifact(self, key: ScopeKey) -> ArtifactPaths:
        name = (key.ignore, key.sparse_checkout)
        if name not in self._artifacts:
            self._artifacts[name] = ArtifactPaths(
                ignore=key.ignore, source_ignore=self._source_ignore, sparse_checkout=key.sparse_checkout
            )
        return self._artifacts[name]

    async def _read_source_ignore(self, reader: RepositoryReader, facts: CommitFacts) -> None:
        if self._has_read_ignore and SOURCE_IGNORE not in facts.paths:
            return
        try:
            data = await reader.read_file(facts.sha, SOURCE_IGNORE, limit_bytes=SOURCE_IGNORE_LIMIT_BYTES)
        except WireError:
            data = None
        self._source_ignore = data.decode("utf-8", "replace") if data else None
        self._has_read_ignore = True
        self._artifacts.clear()

    async def _read(self, reader: RepositoryReader, sha: str, key: ScopeKey) -> None:
        before = self._scopes.get(key)
        if before is not None:
            for directory in before.directories:
                self._by_directory[directory].discard(key)
            for path in before.files:
                self._by_file[path].discard(key)
        scope = await read_scope(reader, sha, key.path, key.components)
        self._scopes[key] = scope
        for directory in scope.directories:
            self._by_directory[directory].add(key)
        for path in scope.files:
            self._by_file[path].add(key)
