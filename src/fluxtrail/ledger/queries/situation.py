"""How everything stands at the moment of an answer, and what follows from it for a commit that is not there yet."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    Select,
    SmallInteger,
    Table,
    Text,
    cast,
    literal_column,
    null,
    select,
    type_coerce,
    union_all,
)

from fluxtrail.ledger import schema
from fluxtrail.ledger.catalog import Catalog
from fluxtrail.ledger.columns import from_micros
from fluxtrail.ledger.session import Session, chunks
from fluxtrail.model.derive import pending_reason
from fluxtrail.model.errors import WireError
from fluxtrail.model.observation import ClusterUid, ObjectKey
from fluxtrail.model.records import (
    CommitId,
    RepositoryId,
    RepositoryRecord,
    SourceRecord,
    TargetId,
    TargetRecord,
)
from fluxtrail.model.repository import RepositoryUrl, parse_repository
from fluxtrail.model.verdict import WAITING_BY_WILL, PendingReason

Branch = tuple[RepositoryId, str]
"""A branch of a repository."""


class _Part(IntEnum):
    """What a row of the outline is about."""

    CLUSTER = 0
    REPOSITORY = 1
    SOURCE = 2
    TARGET = 3
    PRUNED = 4


def _outline() -> Select[Any]:
    """Select what every answer begins with, in one statement: five cost an answer more than many a list takes."""
    number, words = cast(null(), BigInteger), cast(null(), Text)
    shape: dict[str, ColumnElement[Any]] = {
        "id": number, "number": number, "name": words, "text": words, "branch": words
    }  # fmt: skip

    def part(which: _Part, table: Table, **columns: ColumnElement[Any]) -> Select[Any]:
        cells = [type_coerce(cell, shape[name].type).label(name) for name, cell in (shape | columns).items()]
        return select(literal_column(str(which.value), SmallInteger).label("part"), *cells).select_from(table)

    clusters, repositories, sources = schema.clusters.c, schema.repositories.c, schema.sources.c
    targets, pruned = schema.targets.c, schema.meta.c.pruned_before
    every = union_all(
        part(_Part.CLUSTER, schema.clusters, name=clusters.uid, text=clusters.name),
        part(
            _Part.REPOSITORY, schema.repositories,
            id=repositories.id, name=repositories.canonical, text=repositories.url, branch=repositories.default_branch,
        ),
        part(_Part.SOURCE, schema.sources, id=sources.id, number=sources.stamp),
        part(_Part.TARGET, schema.targets, id=targets.id, number=targets.stamp),
        part(_Part.PRUNED, schema.meta, number=pruned).where(pruned.is_not(None)),
    ).subquery()  # fmt: skip
    return select(every).order_by(every.c.part, every.c.id)


_OUTLINE = _outline()


class Situation:
    """Targets, sources, clusters and repositories in one snapshot; positions on branches when they are asked for."""

    def __init__(
        self,
        session: Session,
        *,
        targets: Mapping[TargetId, TargetRecord],
        sources: Iterable[SourceRecord],
        names: Mapping[ClusterUid, str],
        repositories: Mapping[RepositoryId, RepositoryRecord],
        pruned_before: datetime | None,
    ) -> None:
        self.session = session
        self.targets = targets
        self.names = names
        self.repositories = repositories
        self.pruned_before = pruned_before
        """Deliveries that were settled before this may be gone."""
        self._sources: dict[tuple[ClusterUid, ObjectKey], SourceRecord] = {
            (source.cluster, source.key): source for source in sources if source.deleted_at is None
        }
        self._positions: dict[tuple[Branch, str], int] = {}
        self._asked: set[tuple[Branch, str]] = set()
        self._ends: dict[Branch, int] = {}
        self._places: dict[CommitId, dict[Branch, int]] = {}

    @classmethod
    async def load(cls, session: Session, catalog: Catalog) -> Situation:
        parts: dict[int, list[Row[Any]]] = {part: [] for part in _Part}
        for row in await session.all(_OUTLINE):
            parts[row[0]].append(row)
        return cls(
            session,
            targets=await catalog.targets(session, {row.id: row.number for row in parts[_Part.TARGET]}),
            sources=(await catalog.sources(session, {row.id: row.number for row in parts[_Part.SOURCE]})).values(),
            names={ClusterUid(row.name): row.text for row in parts[_Part.CLUSTER]},
            repositories={RepositoryId(row.id): _repository_of(row) for row in parts[_Part.REPOSITORY]},
            pruned_before=next((from_micros(row.number) for row in parts[_Part.PRUNED]), None),
        )

    def cluster_name(self, uid: ClusterUid) -> str:
        return self.names.get(uid) or uid

    def canonical(self, repository_id: RepositoryId | None) -> str:
        record = self.repositories.get(repository_id) if repository_id is not None else None
        return record.canonical if record else ""

    def commit_url(self, repository_id: RepositoryId, sha: str) -> str | None:
        record = self.repositories.get(repository_id)
        known = _parsed(record.url or f"https://{record.canonical}") if record else None
        return known.commit_url(sha) if known else None

    def source_of(self, target: TargetRecord) -> SourceRecord | None:
        return self._sources.get((target.cluster, target.source))

    def branch_of(self, target: TargetRecord) -> Branch | None:
        """The branch whose order decides on a target: the one followed, else its repository's default."""
        if target.repository_id is None:
            return None
        repository = self.repositories.get(target.repository_id)
        name = target.branch or (repository.default_branch if repository else None)
        return (target.repository_id, name) if name else None

    def followers(self, branches: set[Branch]) -> list[TargetRecord]:
        """The live targets on one of `branches`."""
        return [
            target
            for target in self.targets.values()
            if target.deleted_at is None and self.branch_of(target) in branches
        ]

    # positions

    async def locate(self, targets: Iterable[TargetRecord]) -> None:
        """Find where the baselines, fetched and attempted revisions of these targets stand, in one go."""
        wanted: set[tuple[Branch, str]] = set()
        for target in targets:
            branch = self.branch_of(target)
            if branch is not None:
                shas = (target.baseline_sha, self._fetched_sha(target), target.attempted_sha)
                wanted.update((branch, sha) for sha in shas if sha)
        await self._find_new(wanted)

    async def locate_baselines(self, targets: Iterable[TargetRecord]) -> None:
        """Find where the baselines of these targets stand, in one go."""
        based = ((self.branch_of(target), target.baseline_sha) for target in targets)
        await self._find_new({(branch, sha) for branch, sha in based if branch is not None and sha})

    async def _find_new(self, wanted: set[tuple[Branch, str]]) -> None:
        await self._find_positions(wanted - self._asked)
        self._asked |= wanted

    async def _find_positions(self, wanted: Collection[tuple[Branch, str]]) -> None:
        links, chains, commits = schema.links, schema.chains, schema.commits
        for chunk in chunks(sorted({sha for _, sha in wanted})):
            found = (
                select(commits.c.sha, commits.c.repository_id, chains.c.branch, links.c.position)
                .join(links, links.c.commit_id == commits.c.id)
                .join(chains, chains.c.id == links.c.chain_id)
                .where(
                    self.session.dialect.among(commits.c.sha, chunk), chains.c.repository_id == commits.c.repository_id
                )
                .order_by(links.c.cut_at.is_(None), links.c.position)
            )
            for row in await self.session.all(found):  # where it stands now comes last, and wins over old cuts
                key = (RepositoryId(row.repository_id), row.branch), row.sha
                if key in wanted:
                    self._positions[key] = row.position

    def position(self, target: TargetRecord, sha: str | None) -> int | None:
        """Where a located commit stands (or last stood) on the branch of a target."""
        branch = self.branch_of(target)
        return self._positions.get((branch, sha)) if branch and sha else None

    async def standing(self, commits: Sequence[CommitId]) -> dict[CommitId, dict[Branch, int]]:
        """Return where commits stand now: position by branch; empty for one that stands on none."""
        links, chains = schema.links, schema.chains
        known = self._places
        new = [commit for commit in dict.fromkeys(commits) if commit not in known]
        known.update((commit, {}) for commit in new)
        for chunk in chunks(new):
            wanted = (
                select(links.c.commit_id, links.c.position, chains.c.repository_id, chains.c.branch)
                .join(chains, chains.c.id == links.c.chain_id)
                .where(self.session.dialect.among(links.c.commit_id, chunk), links.c.cut_at.is_(None))
            )
            for row in await self.session.all(wanted):
                known[CommitId(row.commit_id)][row.repository_id, row.branch] = row.position
        return {commit: known[commit] for commit in commits}

    async def is_history(self, places: dict[Branch, int]) -> bool:
        """True if a commit at these places stood on a branch when that was first read: nothing is claimed of it."""
        for branch, position in places.items():
            if position <= await self._history_end(branch):
                return True
        return False

    async def _history_end(self, branch: Branch) -> int:
        """Return where the head of a branch stood when that was first read; -1 where nobody knows."""
        if branch not in self._ends:
            table = schema.branches
            wanted = select(table.c.baseline).where(table.c.repository_id == branch[0], table.c.name == branch[1])
            baseline = await self.session.scalar(wanted)
            if baseline is not None:
                await self._find_positions({(branch, baseline)})
            self._ends[branch] = self._positions.get((branch, baseline), -1)
        return self._ends[branch]

    # what a pending commit waits for

    def reason(self, target: TargetRecord, *, position: int | None, sha: str) -> PendingReason:
        """Return what a commit at `position` of the target's branch waits for; the target must be located."""
        fetched, attempted = self._fetched_sha(target), target.attempted_sha
        return pending_reason(
            target,
            self.source_of(target),
            is_fetched=_reaches(self.position(target, fetched), position) or fetched == sha,
            is_attempted=_reaches(self.position(target, attempted), position) or attempted == sha,
        )

    def waits_by_will(self, target: TargetRecord) -> bool | None:
        """Whether what is pending on a target waits because somebody wants it to; None: only what is not fetched."""
        source = self.source_of(target)
        fetched, unfetched = (
            pending_reason(target, source, is_fetched=is_fetched, is_attempted=False) in WAITING_BY_WILL
            for is_fetched in (True, False)
        )
        return fetched if fetched == unfetched else None

    def fetched_position(self, target: TargetRecord) -> int | None:
        return self.position(target, self._fetched_sha(target))

    def _fetched_sha(self, target: TargetRecord) -> str | None:
        source = self.source_of(target)
        return source.sha if source else None


def _repository_of(row: Row[Any]) -> RepositoryRecord:
    return RepositoryRecord(id=RepositoryId(row.id), canonical=row.name, url=row.text, default_branch=row.branch)


def _reaches(head: int | None, position: int | None) -> bool:
    return head is not None and position is not None and position <= head


@lru_cache(maxsize=1024)
def _parsed(url: str) -> RepositoryUrl | None:
    try:
        return parse_repository(url)
    except WireError:
        return None
