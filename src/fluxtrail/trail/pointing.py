"""Where the changes of a source stand: in git, or, of artifacts of unknown origin, in a place of their own."""

from __future__ import annotations

import re
from collections import defaultdict

import msgspec
import structlog

from fluxtrail.model.errors import WireError
from fluxtrail.model.observation import ClusterUid, ObjectKey, Seen
from fluxtrail.model.records import UNSAVED, RepositoryId, RepositoryRecord, SourceRecord
from fluxtrail.model.repository import parse_repository
from fluxtrail.model.revision import Revision, find_revision
from fluxtrail.model.sources import (
    CHART_KIND,
    CHART_PLACE_KIND,
    ArtifactSource,
    GitRepository,
    SourceInput,
    canonical_place,
    chart_place,
    url_to_ask,
)
from fluxtrail.trail.draft import Draft
from fluxtrail.trail.ports import Unit
from fluxtrail.trail.registry import ObjectRef, Registry

log = structlog.get_logger(__name__)

_VERSION_TAG = re.compile(r"v?\d+(\.\d+)*([-+].*)?\Z")


class Pointing(msgspec.Struct, frozen=True, kw_only=True):
    """Where the changes of a source stand."""

    repository: RepositoryRecord | None = None
    branch: str | None = None
    follows_tags: bool = False
    origin: str | None = None
    """The revision that its present artifact is followed by, in place of the artifact's own."""


class Unplaced:
    """Artifacts that name a commit of a repository nobody knows (yet), as last seen.

    Streams have no order between them: at the start an artifact may be seen before what it is made from.
    """

    def __init__(self) -> None:
        self._seen: dict[ObjectRef, Seen[ArtifactSource]] = {}
        self._waiting: defaultdict[tuple[ClusterUid, str], set[ObjectKey]] = defaultdict(set)

    def note(self, cluster: ClusterUid, seen: Seen[ArtifactSource], pointing: Pointing, wanted: str | None) -> None:
        is_placed = pointing.repository is not None and not pointing.repository.is_artifact
        if is_placed or wanted is None:
            self.forget(cluster, seen.key)
            return
        self._seen[cluster, seen.key] = seen
        self._waiting[cluster, wanted].add(seen.key)

    def forget(self, cluster: ClusterUid, key: ObjectKey) -> None:
        self._seen.pop((cluster, key), None)

    def take(self, cluster: ClusterUid, known: str) -> list[Seen[ArtifactSource]]:
        """Return the artifacts that waited for something that is known now."""
        keys = self._waiting.pop((cluster, known), set())
        return [self._seen[cluster, key] for key in sorted(keys) if (cluster, key) in self._seen]


class Pointer:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def of_git(self, unit: Unit, draft: Draft, item: GitRepository) -> Pointing:
        repository = await self._git_repository(unit, draft, item.url)
        return Pointing(repository=repository, branch=item.ref.followed_branch, follows_tags=item.ref.follows_tags)

    async def of_artifact(
        self, unit: Unit, draft: Draft, item: ArtifactSource, inputs: tuple[SourceInput, ...]
    ) -> Pointing:
        if item.key.kind == CHART_PLACE_KIND:
            return Pointing()
        if item.key.kind == CHART_KIND:
            return await self._of_chart(unit, draft, item)
        if asked := url_to_ask(item.url, is_insecure=item.is_insecure):
            draft.urls.add(asked)
        if item.revision is None:
            return self._as_before(draft, item)
        origin = commit_of(item)
        repository = self._origin_repository(draft, item, inputs) if origin is not None else None
        if origin is not None and repository is not None:
            branch, follows_tags = branch_of(origin.pointer)
            return Pointing(repository=repository, branch=branch, follows_tags=follows_tags, origin=origin.text)
        place = item.url or f"artifact://{draft.cluster}/{item.key.namespace}/{item.key.name}"
        repository = await self._put_repository(unit, draft, canonical_place(place), "")
        return Pointing(repository=repository, branch=item.pointer)

    async def _of_chart(self, unit: Unit, draft: Draft, item: ArtifactSource) -> Pointing:
        """A chart from git is followed by the commit it was built from; another one as a version in its place.

        Versions of one place come on a line for each HelmChart: which of them it takes is for its own spec to say.
        """
        made_from = self._registry.sources.get((draft.cluster, item.made_from)) if item.made_from else None
        if made_from is None or item.revision is None:
            return self._as_before(draft, item)
        if made_from.key.kind == "GitRepository":
            return self._of_chart_in_git(draft, item, made_from)
        repository = await self._put_repository(unit, draft, chart_place(made_from.url, item.chart), "")
        return Pointing(repository=repository, branch=f"{item.key.namespace}/{item.key.name}@{draft.cluster}")

    def _of_chart_in_git(self, draft: Draft, item: ArtifactSource, made_from: SourceRecord) -> Pointing:
        before = self._registry.sources.get((draft.cluster, item.key))
        origin = commit_of(item)
        if made_from.repository_id is None:
            return self._as_before(draft, item)
        text = origin.text if origin is not None else None
        if before is not None and _is_same_build(before, item, made_from):
            text = f"sha1:{before.sha}"
        if text is None:
            return self._as_before(draft, item)
        return Pointing(
            repository=self._registry.repositories[made_from.repository_id],
            branch=made_from.branch,
            follows_tags=made_from.follows_tags,
            origin=text,
        )

    def _as_before(self, draft: Draft, item: ArtifactSource) -> Pointing:
        """A source whose storage was lost is without its artifact for a while: that says nothing of where it points."""
        before = self._registry.sources.get((draft.cluster, item.key))
        if before is None or before.repository_id is None or before.url != item.url:
            return Pointing()
        repository = self._registry.repositories[before.repository_id]
        return Pointing(repository=repository, branch=before.branch, follows_tags=before.follows_tags)

    def wanted_by(self, item: ArtifactSource, inputs: tuple[SourceInput, ...]) -> str | None:
        """Return what has to be known for an artifact to be followed by its commit: a repository, or a source."""
        if item.key.kind == CHART_KIND and item.made_from is not None:
            return str(item.made_from)
        if commit_of(item) is None:
            return None
        if item.origin_url:
            return _canonical(item.origin_url)
        return str((inputs[0] if len(inputs) == 1 else SourceInput(item.key)).key)

    def known_with(self, source: SourceRecord) -> list[str]:
        """Return what is known with a source, in the words of `wanted_by`."""
        known = [str(source.key)]
        if source.repository_id is not None:
            known.append(self._registry.repositories[source.repository_id].canonical)
        return known

    def _origin_repository(
        self, draft: Draft, item: ArtifactSource, inputs: tuple[SourceInput, ...]
    ) -> RepositoryRecord | None:
        """Return a repository that the settings state or a source watches: an annotation alone admits nothing."""
        found: RepositoryRecord | None = None
        if len(inputs) < 2 and item.origin_url:
            found = self._registry.find_repository(_canonical(item.origin_url) or "")
        elif len(inputs) == 1 and item.key.kind == "ExternalArtifact":
            made_from = self._registry.sources.get((draft.cluster, inputs[0].key))
            if made_from is not None and made_from.repository_id is not None:
                found = self._registry.repositories[made_from.repository_id]
        return found if found is not None and found.url and not found.is_artifact else None

    async def _git_repository(self, unit: Unit, draft: Draft, url: str) -> RepositoryRecord | None:
        try:
            parsed = parse_repository(url)
        except WireError as exc:
            log.warning("source without a usable url", cluster=draft.cluster, error=str(exc))
            return None
        draft.urls.add(url)
        return await self._put_repository(unit, draft, parsed.canonical, parsed.fetch_url)

    async def _put_repository(self, unit: Unit, draft: Draft, canonical: str, url: str) -> RepositoryRecord:
        known = self._registry.find_repository(canonical)
        if known is not None and (known.url or not url):
            return known
        record = RepositoryRecord(id=RepositoryId(UNSAVED), canonical=canonical, url=url)
        record = await unit.put_repository(record)
        draft.put_repository(record, known)
        return record


def _is_same_build(before: SourceRecord, item: ArtifactSource, made_from: SourceRecord) -> bool:
    """True if an artifact was known before: a source that moves on without a new version gives no new chart."""
    is_same = (before.revision, before.digest) == (item.revision, item.digest)
    return is_same and before.repository_id == made_from.repository_id and before.sha is not None


def commit_of(item: ArtifactSource) -> Revision | None:
    """Return the commit that an artifact says it was made from: its origin's, or the one whose revision it bears."""
    for text in (item.origin, item.revision):
        parsed = find_revision(text)
        if parsed is not None and parsed.commit_sha:
            return parsed
    return None


def _canonical(url: str) -> str | None:
    try:
        return parse_repository(url).canonical
    except WireError:
        return None


def branch_of(pointer: str | None) -> tuple[str | None, bool]:
    """Return (branch, whether tags are followed) of a revision's pointer: `main`, `refs/heads/x`, `v1.2.3`."""
    if pointer in (None, "HEAD"):
        return None, False
    if pointer.startswith("refs/tags/") or _VERSION_TAG.match(pointer):
        return None, True
    return pointer.removeprefix("refs/heads/"), False
