"""What the trail holds in memory: the newest records of clusters' objects and of branches, by the keys it asks for.

A cache of the ledger, filled at start, and changed only together with a committed unit; nothing is known here that is
not in the ledger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from fluxtrail.model.flux import Snapshot
from fluxtrail.model.observation import ClusterUid, ObjectKey, ObjectUid, Seen
from fluxtrail.model.records import (
    BranchRecord,
    RepositoryId,
    RepositoryRecord,
    SourceId,
    SourceRecord,
    TargetId,
    TargetRecord,
)
from fluxtrail.model.releases import HelmRelease
from fluxtrail.model.sources import SourceInput
from fluxtrail.trail.ports import Ledger, Unit

AUTOMATIONS_NOTE = "image_automations"
REMEMBERED = 8
"""Versions of a HelmRelease's spec: more are not made between two looks at it."""

BranchKey = tuple[RepositoryId, str]
ObjectRef = tuple[ClusterUid, ObjectKey]


class SeenRelease(NamedTuple):
    """A version of a HelmRelease's spec."""

    uid: ObjectUid
    generation: int
    touched_at: datetime | None
    """When Flux last applied it."""
    seen_at: datetime
    is_watched: bool = True
    """False of what was read: it may have been so for long."""


class _Automation(msgspec.Struct, frozen=True, array_like=True):
    """An image automation, as it is kept."""

    cluster: ClusterUid
    key: ObjectKey
    source: ObjectKey
    email: str


def _read_automations(note: str | None) -> dict[ObjectRef, tuple[ObjectKey, str]]:
    kept = msgspec.json.decode(note, type=list[_Automation]) if note else []
    return {(item.cluster, item.key): (item.source, item.email) for item in kept}


class Registry:
    def __init__(self) -> None:
        self.sources: dict[ObjectRef, SourceRecord] = {}
        self.branches: dict[BranchKey, BranchRecord] = {}
        self.repositories: dict[RepositoryId, RepositoryRecord] = {}
        self.fetched_at: dict[SourceId, datetime] = {}
        """When each source had fetched its present revision, as far as it was seen since the start."""
        self.stream_marks: dict[tuple[ClusterUid, str], datetime] = {}
        self.inputs: dict[ObjectRef, tuple[SourceInput, ...]] = {}
        """What ExternalArtifacts are made from, as their generators say; seen again after each start."""
        self.inventories: dict[ObjectRef, tuple[ObjectKey, ...]] = {}
        """What each target's inventory has that may run something; seen again after each start."""
        self.histories: dict[ObjectRef, tuple[Snapshot, ...]] = {}
        """Each Kustomization's history, as it was last seen; seen again after each start."""
        self.shas: dict[SourceId, dict[str, str]] = {}
        """What the newest revisions of sources without commits of their own are followed as, in the order they came."""
        self.automations: dict[ObjectRef, tuple[ObjectKey, str]] = {}
        """Of each image automation the source that it pushes to and its commits' author. Kept over a restart: a branch
        may be read before it is seen again."""
        self.released: defaultdict[ObjectRef, list[SeenRelease]] = defaultdict(list)
        """The newest versions of each HelmRelease's spec, oldest first; seen again after each start."""
        self.moves: defaultdict[SourceId, int] = defaultdict(int)
        """How often each source was seen at another revision since the start."""
        self._targets: dict[ObjectRef, TargetRecord] = {}
        self._by_id: dict[TargetId, ObjectRef] = {}
        self._on_branch: defaultdict[BranchKey, set[ObjectRef]] = defaultdict(set)
        self._of_source: defaultdict[ObjectRef, set[ObjectRef]] = defaultdict(set)
        self._by_canonical: dict[str, RepositoryId] = {}

    async def load(self, ledger: Ledger) -> None:
        async with ledger.unit() as unit:
            self.put_repositories(await unit.repositories())
            for branch in await unit.branches():
                self.put_branch(branch)
            for source in await unit.sources():
                self.put_source(source)
            for target in await unit.targets():
                self.put_target(target)
            self.stream_marks = dict(await unit.stream_marks())
            self.automations = _read_automations(await unit.get_note(AUTOMATIONS_NOTE))

    async def keep_automation(self, unit: Unit, ref: ObjectRef, automation: tuple[ObjectKey, str] | None) -> None:
        """Take note of what an image automation is now; None: nothing is known of it, or it is gone."""
        if self.automations.get(ref) == automation:
            return
        self.automations.pop(ref, None)
        if automation is not None:
            self.automations[ref] = automation
        kept = [_Automation(*ref, *item) for ref, item in self.automations.items()]
        await unit.put_note(AUTOMATIONS_NOTE, msgspec.json.encode(kept).decode())

    # repositories and branches

    def put_repositories(self, records: Iterable[RepositoryRecord]) -> None:
        for record in records:
            self.repositories[record.id] = record
            self._by_canonical[record.canonical] = record.id

    def forget_repository(self, record: RepositoryRecord) -> None:
        self.repositories.pop(record.id, None)
        self._by_canonical.pop(record.canonical, None)

    def find_repository(self, canonical: str) -> RepositoryRecord | None:
        found = self._by_canonical.get(canonical)
        return None if found is None else self.repositories[found]

    def automation_authors(self, repository_id: RepositoryId) -> frozenset[str]:
        """Return as whom image automation commits to a repository: e-mail addresses in lower case."""
        found = set()
        for (cluster, _), (key, email) in self.automations.items():
            source = self.sources.get((cluster, key))
            if source is not None and source.repository_id == repository_id:
                found.add(email)
        return frozenset(found)

    def put_branch(self, record: BranchRecord) -> None:
        self.branches[record.repository_id, record.name] = record

    # sources and targets

    def put_source(self, record: SourceRecord) -> None:
        self.sources[record.cluster, record.key] = record

    def forget_source(self, record: SourceRecord) -> None:
        self.sources.pop((record.cluster, record.key), None)

    def forget_inputs(self, ref: ObjectRef) -> None:
        self.inputs.pop(ref, None)

    def forget_names(self, source_id: SourceId) -> None:
        self.shas.pop(source_id, None)

    def forget_target(self, record: TargetRecord) -> None:
        ref = (record.cluster, record.key)
        before = self._targets.pop(ref, None)
        if before is not None:
            self._unlink(ref, before)
            self._by_id.pop(before.id, None)

    def find_target(self, cluster: ClusterUid, key: ObjectKey) -> TargetRecord | None:
        return self._targets.get((cluster, key))

    def target(self, target_id: TargetId) -> TargetRecord | None:
        ref = self._by_id.get(target_id)
        return None if ref is None else self._targets[ref]

    def put_target(self, record: TargetRecord) -> None:
        ref = (record.cluster, record.key)
        before = self._targets.get(ref)
        if before is not None:
            self._unlink(ref, before)
        self._targets[ref] = record
        self._by_id[record.id] = ref
        if record.deleted_at is None:
            self._of_source[record.cluster, record.source].add(ref)
            if record.repository_id is not None and record.branch is not None:
                self._on_branch[record.repository_id, record.branch].add(ref)

    def _unlink(self, ref: ObjectRef, record: TargetRecord) -> None:
        self._of_source[record.cluster, record.source].discard(ref)
        if record.repository_id is not None and record.branch is not None:
            self._on_branch[record.repository_id, record.branch].discard(ref)

    @property
    def targets(self) -> Sequence[TargetRecord]:
        return list(self._targets.values())

    def note_release(self, cluster: ClusterUid, seen: Seen[HelmRelease]) -> None:
        """Remember a version of a HelmRelease's spec as it was first seen."""
        item, known = seen.object, self.released[cluster, seen.key]
        if not known or (known[-1].uid, known[-1].generation) != (item.uid, item.generation):
            known.append(SeenRelease(item.uid, item.generation, item.touched_at, seen.observed_at))
            del known[:-REMEMBERED]

    def targets_of_source(self, cluster: ClusterUid, source: ObjectKey) -> list[TargetRecord]:
        return [self._targets[ref] for ref in self._of_source.get((cluster, source), ())]

    def targets_on(self, branch: BranchKey) -> list[TargetRecord]:
        """Live targets whose manifests come from the branch."""
        return [self._targets[ref] for ref in self._on_branch.get(branch, ())]

    def source_of(self, target: TargetRecord) -> SourceRecord | None:
        return self.sources.get((target.cluster, target.source))

    def sources_on(self, branch: BranchKey) -> list[SourceRecord]:
        return [
            source
            for source in self.sources.values()
            if source.deleted_at is None and (source.repository_id, source.branch) == branch
        ]
