"""Evidence: what a known sender has signed about the one cluster that it speaks of, where nobody watches that cluster.

Events are put together to what the objects' status would be, and followed like those of any cluster: by the same judge,
with the same attribution and verdicts. What an event does not tell is not known: no workloads, so nothing is `running`
there; no digest of manifests, so what a commit affects is found by its paths alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog

from fluxtrail.model.flux import SOURCE_GROUP, Kustomization
from fluxtrail.model.notice_commits import metadata_value
from fluxtrail.model.notices import FluxNotice, KeptNotice
from fluxtrail.model.observation import (
    TOLD_PREFIX,
    ClusterUid,
    Gone,
    ObjectKey,
    ObjectUid,
    Observation,
    Seen,
    is_told_cluster,
    told_cluster,
)
from fluxtrail.model.records import SourceRecord, TargetRecord
from fluxtrail.model.revision import Revision, find_revision
from fluxtrail.model.sources import GitRef, GitRepository
from fluxtrail.trail.notices.told import (
    NEW_ARTIFACT,
    SOURCE_KINDS,
    Heard,
    Told,
    find_commit_revision,
    find_heard,
    kustomization_key,
    picture,
    recall,
)
from fluxtrail.trail.pointing import branch_of
from fluxtrail.trail.ports import Ledger
from fluxtrail.trail.registry import ObjectRef, Registry
from fluxtrail.trail.scope import normal_path

log = structlog.get_logger(__name__)

SOURCE_NAMESPACE = "hooks"
HOLD_SECONDS = 2.0
"""How long an event waits for those before it: Flux posts each on its own, and in no order."""
MOST_AHEAD = timedelta(minutes=5)
"""An event from further in the future would keep out all that come until then."""
MOST_WARNED = 1000
MOST_REMEMBERED = 50_000
"""Objects."""

Observe = Callable[[ClusterUid, Sequence[Observation[Any]]], Awaitable[None]]


class Speaker(msgspec.Struct, frozen=True, kw_only=True):
    """A sender that speaks of a cluster."""

    name: str
    cluster: str
    repository: str = ""
    """Canonical: whose commits it names. Without one its events are hints."""
    path: str = ""
    """Where its targets' manifests come from, where an event does not say; empty is the whole repository."""


class _Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One event that counts."""

    speaker: Speaker
    said: FluxNotice
    at: datetime
    received_at: datetime
    revision: Revision
    heard: Heard | None
    """None of a source's event."""

    @property
    def cluster(self) -> ClusterUid:
        return told_cluster(self.speaker.cluster)

    @property
    def place(self) -> tuple[Any, ...]:
        """The order in which statements are heard, whatever order they came in: what was fetched, then applied."""
        rest = self.heard.place[1:] if self.heard is not None else (-1, self.revision.text, "")
        return self.at, *rest, self.said.namespace, self.said.name


class EvidenceTaker:
    """Takes notices as evidence, as far as they are. Hand it those that belong together at once: it sorts them."""

    def __init__(
        self,
        registry: Registry,
        ledger: Ledger,
        observe: Observe,
        *,
        speakers: Iterable[Speaker],
        is_watched: Callable[[str], bool],
    ) -> None:
        """Args:
        observe: follows a cluster's objects.
        is_watched: whether somebody watches the cluster of this name: then nobody has to tell of it.
        """
        self._registry = registry
        self._ledger = ledger
        self._observe = observe
        self._speakers: Mapping[str, Speaker] = {item.name: item for item in speakers if item.cluster}
        self._is_watched = is_watched
        self._told: dict[ObjectRef, Told] = {}
        self._fetched: dict[ObjectRef, datetime] = {}
        """When each source fetched what it has, as told."""
        self._named: set[ClusterUid] = set()
        self._warned: set[tuple[str, ...]] = set()

    def is_concerned(self, notice: KeptNotice) -> bool:
        """True of what may be evidence; whether it is, is found when it is handled."""
        speaker = self._speakers.get(notice.sender)
        return (
            speaker is not None
            and notice.is_signed
            and isinstance(notice.said, FluxNotice)
            and not self._is_watched(speaker.cluster)
        )

    async def retire(self) -> None:
        """Let go of what was told of clusters that are watched by now. Raises StoreError."""
        gone: defaultdict[ClusterUid, list[Gone]] = defaultdict(list)
        held: list[TargetRecord | SourceRecord] = [*self._registry.targets, *self._registry.sources.values()]
        for record in held:
            name = record.cluster.removeprefix(TOLD_PREFIX)
            if is_told_cluster(record.cluster) and record.deleted_at is None and self._is_watched(name):
                gone[record.cluster].append(Gone(key=record.key, uid=record.uid, observed_at=record.observed_at))
        for cluster, lost in gone.items():
            log.info("cluster is watched now, and not told of any more", cluster=cluster, objects=len(lost))
            await self._observe(cluster, lost)

    async def handle(self, notices: Sequence[KeptNotice]) -> None:
        """Raises StoreError: nothing is remembered of them then."""
        found = [item for notice in notices if (item := self._find(notice)) is not None]
        by_cluster: defaultdict[ClusterUid, list[_Statement]] = defaultdict(list)
        for item in sorted(found, key=lambda item: item.place):
            by_cluster[item.cluster].append(item)
        for cluster, statements in by_cluster.items():
            await self._take(cluster, statements)

    # -- what counts ---------------------------------------------------------------------------------------------

    def _find(self, notice: KeptNotice) -> _Statement | None:
        said = notice.said
        if not self.is_concerned(notice) or not isinstance(said, FluxNotice) or said.at is None:
            return None
        speaker = self._speakers[notice.sender]
        heard = find_heard(said)
        is_fetch = said.kind in SOURCE_KINDS and said.reason == NEW_ARTIFACT
        revision = find_commit_revision(said)
        if revision is None or (heard is None and not is_fetch) or not self._may_speak(speaker, notice, said):
            return None
        return _Statement(
            speaker=speaker, said=said, at=said.at, received_at=notice.received_at, revision=revision, heard=heard
        )

    def _may_speak(self, speaker: Speaker, notice: KeptNotice, said: FluxNotice) -> bool:
        named = metadata_value(said, "cluster")
        if named not in ("", speaker.cluster):
            self._warn("notice_of_another_cluster", speaker, named, remedy="let that cluster have a sender of its own")
            return False
        if not speaker.repository:
            self._warn("sender_without_repository", speaker, "", remedy="state hooks.senders.repository")
            return False
        if said.at is not None and said.at > notice.received_at + MOST_AHEAD:
            self._warn("notice_from_the_future", speaker, "", remedy="set the clock of the cluster")
            return False
        return True

    def _warn(self, event: str, speaker: Speaker, named: str, *, remedy: str) -> None:
        """Say it once: an event comes again and again."""
        about = (event, speaker.name, named)
        if about in self._warned or len(self._warned) >= MOST_WARNED:
            return
        self._warned.add(about)
        log.warning(event, sender=speaker.name, cluster=speaker.cluster, named=named, used_as="hint", remedy=remedy)

    # -- what follows --------------------------------------------------------------------------------------------

    async def _take(self, cluster: ClusterUid, statements: Sequence[_Statement]) -> None:
        batch = _Batch(self._registry, cluster, self._told, await self._fetches(cluster, statements))
        for item in statements:
            batch.add(item)
        if batch.observations:
            if cluster not in self._named:
                async with self._ledger.unit() as unit:
                    await unit.put_cluster(cluster, statements[0].speaker.cluster, statements[-1].received_at)
                self._named.add(cluster)
            await self._observe(cluster, batch.observations)
        if len(self._told) > MOST_REMEMBERED:
            self._told.clear()  # the ledger has what matters of it
        self._told.update(batch.told)
        self._fetched.update(batch.fetched)

    async def _fetches(self, cluster: ClusterUid, statements: Sequence[_Statement]) -> dict[ObjectRef, datetime]:
        """Return when each source fetched what it has; the first time after a start it is the ledger that knows."""
        for key in {source_key(item.speaker, item.revision) for item in statements}:
            source = self._registry.sources.get((cluster, key))
            if source is None or source.revision is None or (cluster, key) in self._fetched:
                continue
            async with self._ledger.unit() as unit:
                known = await unit.fetches([source.id], revision=source.revision)
            if known:
                self._fetched[cluster, key] = known[-1].fetched.at
        return self._fetched


class _Batch:
    """What some statements of one cluster come to, on top of what was told before."""

    def __init__(
        self,
        registry: Registry,
        cluster: ClusterUid,
        told: Mapping[ObjectRef, Told],
        fetched: Mapping[ObjectRef, datetime],
    ) -> None:
        self.observations: list[Seen[Any]] = []
        self.told: dict[ObjectRef, Told] = {}
        self.fetched: dict[ObjectRef, datetime] = {}
        self._registry = registry
        self._cluster = cluster
        self._told_before = told
        self._fetched_before = fetched
        self._sources: set[ObjectKey] = set()
        """Those that come with the batch."""
        self._pictures: dict[ObjectKey, Kustomization] = {}

    def add(self, item: _Statement) -> None:
        if item.heard is None:
            self._add_fetch(item)
        else:
            self._add_heard(item, item.heard)

    def _add_fetch(self, item: _Statement) -> None:
        key = source_key(item.speaker, item.revision)
        ref = (self._cluster, key)
        known = self.fetched.get(ref, self._fetched_before.get(ref))
        if known is None or item.at > known:
            self.fetched[ref] = item.at
            self._see_source(item, key, item.revision, is_fetched=True)

    def _add_heard(self, item: _Statement, heard: Heard) -> None:
        key = kustomization_key(item.said)
        ref = (self._cluster, key)
        target = self._registry.find_target(self._cluster, key)
        before = self.told.get(ref) or self._told_before.get(ref) or recall(target)
        after = before.hear(heard)
        self.told[ref] = after
        for step in after.news_after(before):
            revision = _revision_of(step) or item.revision
            source = source_key(item.speaker, revision)
            if source not in self._sources and (self._cluster, source) not in self._registry.sources:
                self._see_source(item, source, revision, is_fetched=False)
            made = self._picture(item, step, key, source)
            if made is not None:
                self._pictures[key] = made
                self._see(item, key, made)

    def _picture(self, item: _Statement, told: Told, key: ObjectKey, source: ObjectKey) -> Kustomization | None:
        """Return the object as told; a generation later where it is made from something else now."""
        target = self._registry.find_target(self._cluster, key)
        before = self._pictures.get(key) or target
        path = normal_path(metadata_value(item.said, "path") or item.speaker.path or "./") or "./"
        generation = before.generation if before is not None else 1
        if before is not None and (before.path, before.source) != (path, source):
            generation += 1
        uid = item.said.uid or (before.uid if before is not None else "")
        return picture(told, key, uid=uid, generation=generation, path=path, source=source)

    def _see_source(self, item: _Statement, key: ObjectKey, revision: Revision, *, is_fetched: bool) -> None:
        self._sources.add(key)
        canonical = item.speaker.repository
        known = self._registry.find_repository(canonical)
        made = GitRepository(
            key=key,
            uid=ObjectUid(""),
            generation=1,
            is_deleting=False,
            is_suspended=False,
            url=known.url if known is not None and known.url else _url_of(canonical),
            ref=_ref_of(revision),
            ignore=None,
            sparse_checkout=(),
            includes=(),
            included=(),
            revision=revision.text if is_fetched else None,
            digest=None,
            updated_at=item.at if is_fetched else None,
            conditions=(),
        )
        self._see(item, key, made)

    def _see(self, item: _Statement, key: ObjectKey, made: GitRepository | Kustomization) -> None:
        at = item.received_at
        self.observations.append(Seen(key=key, object=made, observed_at=at, was_held=True, is_told=True))


def _revision_of(told: Told) -> Revision | None:
    return find_revision(told.newest.revision) if told.newest is not None else None


def source_key(speaker: Speaker, revision: Revision) -> ObjectKey:
    """Return the source that a revision was fetched by: events do not name it, so it is one for each line."""
    branch, follows_tags = branch_of(revision.pointer)
    line = branch or ("tags" if follows_tags else "HEAD")
    return ObjectKey(SOURCE_GROUP, "GitRepository", SOURCE_NAMESPACE, f"{speaker.repository}@{line}")


def _url_of(canonical: str) -> str:
    """Return how a repository is fetched that nobody has given an address of; `repositories` states another way."""
    path = canonical.removeprefix("file:")
    return f"https://{canonical}" if path == canonical else f"file://{path}"


def _ref_of(revision: Revision) -> GitRef:
    branch, follows_tags = branch_of(revision.pointer)
    if branch is not None:
        return GitRef(branch=branch)
    if follows_tags:
        return GitRef(semver="*")
    return GitRef(commit=revision.hash)  # which branch that is on, is for the repository to say
