"""What following a commit needs of the outside, as Protocols: the ledger, repositories, forges, time.

The trail decides; these remember, fetch and look up. None of them holds a rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from fluxtrail.model.ci import CiRun
from fluxtrail.model.commit import CommitFacts
from fluxtrail.model.moment import Moment
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.records import (
    AliasKind,
    BranchRecord,
    CommitId,
    CommitRecord,
    DeliveryRecord,
    ExportRecord,
    FetchRecord,
    RepositoryId,
    RepositoryRecord,
    SourceId,
    SourceRecord,
    SyncId,
    SyncRecord,
    TargetId,
    TargetRecord,
    Transition,
)
from fluxtrail.model.verdict import Verdict


class Clock(Protocol):
    """The only way to time. `now` is aware UTC."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class Unit(Protocol):
    """One transaction: reads see its own writes, everything is kept or nothing is.

    Never hold one across a call to the outside (git, HTTP): there is one writer.
    """

    # clusters and streams
    async def put_cluster(self, uid: ClusterUid, name: str, seen_at: datetime) -> None: ...

    async def put_stream_marks(self, marks: Mapping[tuple[ClusterUid, str], datetime]) -> None:
        """Note up to when everything of a cluster's kind is in the ledger. Never moves back."""

    async def stream_marks(self) -> Mapping[tuple[ClusterUid, str], datetime]: ...

    # repositories, branches, commits
    async def put_repository(self, record: RepositoryRecord) -> RepositoryRecord:
        """Insert, or update by `canonical`; returns it with its id."""

    async def repositories(self) -> list[RepositoryRecord]: ...

    async def put_branch(self, record: BranchRecord) -> None: ...

    async def branches(self) -> list[BranchRecord]: ...

    async def put_commits(self, records: Sequence[CommitRecord]) -> list[CommitRecord]:
        """Insert, or update by (repository, sha); returns them in the same order with their ids.

        An update never replaces a `merged` that is final, and never forgets what is known for None or "".
        """

    async def commits_by_sha(self, repository_id: RepositoryId, shas: Sequence[str]) -> dict[str, CommitRecord]: ...

    async def commits_by_id(self, ids: Sequence[CommitId]) -> dict[CommitId, CommitRecord]: ...

    async def extend_chain(self, repository_id: RepositoryId, branch: str, commits: Sequence[CommitId]) -> None:
        """Append first-parent commits, oldest first. Positions grow for ever; a commit that was cut and comes
        back gets a new one.
        """

    async def cut_chain(self, repository_id: RepositoryId, branch: str, *, after: CommitId | None) -> list[CommitId]:
        """Take what stands behind `after` (None: everything) off the branch; returns it, oldest first."""

    async def chain_position(self, repository_id: RepositoryId, branch: str, sha: str) -> int | None:
        """Where a commit stands on the branch now, or None if it does not (any more)."""

    async def chain_positions(self, repository_id: RepositoryId, branch: str, shas: Sequence[str]) -> dict[str, int]:
        """The same for many; those that do not stand on it are left out."""

    async def chain_slice(
        self, repository_id: RepositoryId, branch: str, *, after: int | None, through: int | None, limit: int
    ) -> list[CommitRecord]:
        """Commits at positions in (`after`, `through`], oldest first."""

    async def reverters(
        self, repository_id: RepositoryId, branch: str, *, after: int, through: int
    ) -> list[tuple[int, CommitRecord]]:
        """Commits whose message reverts others, with the position that contains them, oldest first.

        They stand on the branch at positions in (`after`, `through`], or were exported by what stands there.
        """

    async def put_aliases(
        self, repository_id: RepositoryId, commit_id: CommitId, kind: AliasKind, shas: Sequence[str]
    ) -> None: ...

    async def commits_beginning(self, repositories: Sequence[str], beginning: str) -> list[tuple[str, CommitRecord]]:
        """The first commits of these (canonical) repositories whose sha, or an alias's, begins so; by that sha."""

    async def commits_named(self, repositories: Sequence[str], shas: Sequence[str]) -> list[tuple[str, CommitRecord]]:
        """The commits of these (canonical) repositories that these whole shas are, or are aliases of; by that sha."""

    async def clear_carriers(self, commits: Sequence[CommitId]) -> None:
        """Let these be commits like others; those of which figures were made stay what they are."""

    async def aliases_of(self, commits: Sequence[CommitId]) -> dict[CommitId, list[str]]: ...

    async def put_exports(self, records: Sequence[ExportRecord]) -> None: ...

    async def drop_exports(self, links: Sequence[ExportRecord]) -> None: ...

    async def put_repository_exports(self, source: RepositoryId, manifests: Sequence[RepositoryId]) -> None:
        """State into which manifests repositories a source repository is exported; replaces what was stated."""

    async def exports_to(self, canonical: str) -> list[str]:
        """The manifests repositories that the settings say a repository is exported to."""

    async def applied_repositories(self) -> list[str]:
        """Those that the manifests of live targets come from, by their canonical names."""

    async def is_exported_to(self, repository_id: RepositoryId) -> bool: ...

    async def exports_of(self, carriers: Sequence[CommitId]) -> list[ExportRecord]: ...

    async def exports_from(self, sources: Sequence[CommitId]) -> list[ExportRecord]:
        """What was made from these source commits."""

    # sources and targets
    async def put_source(self, record: SourceRecord) -> SourceRecord: ...

    async def sources(self) -> list[SourceRecord]:
        """All, deleted ones too."""

    async def note_fetch(self, record: FetchRecord) -> FetchRecord:
        """Keep the earliest moment ever seen for (source, revision, digest); returns what is kept."""

    async def fetches(self, sources: Sequence[SourceId], *, revision: str | None = None) -> list[FetchRecord]:
        """What these sources ever fetched, earliest first; only one revision's where it is given."""

    async def find_fetch(self, source_id: SourceId, revision: str) -> Moment | None:
        """The earliest moment known for the revision, whatever its digest."""

    async def put_target(self, record: TargetRecord) -> TargetRecord: ...

    async def targets(self) -> list[TargetRecord]:
        """All, deleted ones too."""

    # syncs and deliveries
    async def put_sync(self, record: SyncRecord) -> SyncRecord:
        """Insert (id 0) or update by id."""

    async def put_syncs(self, records: Sequence[SyncRecord]) -> None:
        """Update many by id."""

    async def syncs(self, ids: Sequence[SyncId]) -> dict[SyncId, SyncRecord]: ...

    async def recent_syncs(self, target_id: TargetId, *, limit: int) -> list[SyncRecord]:
        """A target's newest, oldest first."""

    async def recent_syncs_of(self, targets: Sequence[TargetId], *, limit: int) -> dict[TargetId, list[SyncRecord]]:
        """The same for each of many."""

    async def unattributed_syncs(self, *, limit: int) -> list[SyncRecord]:
        """Those whose `attributed_version` is behind `version` and that are no gap, oldest first."""

    async def put_deliveries(self, records: Sequence[DeliveryRecord]) -> None:
        """Insert, or replace by (commit, target)."""

    async def drop_deliveries(self, records: Sequence[DeliveryRecord]) -> None:
        """Forget these, by (commit, target)."""

    async def deliveries(self, target_id: TargetId, commits: Sequence[CommitId]) -> dict[CommitId, DeliveryRecord]: ...

    async def deliveries_of(self, commits: Sequence[CommitId]) -> list[DeliveryRecord]: ...

    async def open_deliveries(
        self, target_id: TargetId, *, verdicts: Sequence[Verdict], after: int | None = None, through: int | None = None
    ) -> list[DeliveryRecord]:
        """Deliveries of a target with one of `verdicts`.

        With a bound, only those whose deciding commit (the carrier, else the commit) stands on the target's
        branch at a position in (`after`, `through`].
        """

    async def standing_deliveries(
        self, repository_id: RepositoryId, branch: str, targets: Sequence[TargetId], *, verdicts: Sequence[Verdict]
    ) -> list[tuple[int, DeliveryRecord]]:
        """Deliveries of many targets with one of `verdicts`, each behind its deciding commit's position on the branch.

        The deciding commit is the carrier, else the commit; deliveries whose one stands elsewhere are left out.
        """

    async def add_transitions(self, transitions: Sequence[Transition]) -> None: ...

    # what runs say of exports
    async def ci_runs_of(self, repository: str, shas: Sequence[str]) -> dict[str, list[CiRun]]: ...

    async def runs_naming(self, carriers: Sequence[str]) -> list[CiRun]:
        """The runs that name one of these commits as what they made, the first begun first."""

    async def built_commits(self, repository: str, shas: Sequence[str]) -> list[CommitRecord]:
        """The commits of a (canonical) repository that these are, or are aliases of."""

    # small durable facts
    async def get_note(self, name: str) -> str | None: ...

    async def put_note(self, name: str, value: str) -> None: ...


class Ledger(Protocol):
    """What keeps everything. `unit()` is the only way to write; one at a time, others wait."""

    def unit(self) -> AbstractAsyncContextManager[Unit]: ...


class Heads(Protocol):
    """Where a repository's refs stood at `fetched_at`."""

    @property
    def branches(self) -> Mapping[str, str]: ...

    @property
    def tags(self) -> Mapping[str, str]: ...

    @property
    def default_branch(self) -> str | None: ...

    @property
    def missing(self) -> frozenset[str] | set[str]: ...


class TreeEntry(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def type(self) -> str:
        """`tree`, `blob` or `commit`."""


class RepositoryReader(Protocol):
    """One repository's history. Shas are full hex. Raises UpstreamError and its kin; never hangs."""

    async def refresh(self, *, want: Sequence[str] = ()) -> Heads: ...

    async def has(self, sha: str) -> bool: ...

    async def is_ancestor(self, ancestor: str, descendant: str) -> bool: ...

    async def merge_base(self, left: str, right: str) -> str | None: ...

    async def log(
        self,
        include: str,
        *,
        exclude: Sequence[str] = (),
        first_parent: bool = True,
        limit: int | None = None,
        with_paths: bool = True,
    ) -> list[CommitFacts]:
        """First-parent history, oldest first; with a limit the newest ones of it."""

    async def merged_commits(self, sha: str) -> list[str]: ...

    async def read_file(self, sha: str, path: str, *, limit_bytes: int) -> bytes | None:
        """None where there is no such file. Raises WireError if it is larger than the limit."""

    async def list_tree(self, sha: str, path: str) -> Sequence[TreeEntry]:
        """The entries of a directory; none where there is no such directory."""

    async def prefetch(self, files: Iterable[tuple[str, str]]) -> None:
        """Bring the bytes of many (sha, path) in one round trip, before many `read_file`."""

    async def pin(self, name: str, sha: str) -> None: ...

    async def unpin(self, name: str) -> None: ...


class Repositories(Protocol):
    """Opens repositories that the allow-list admits. Raises ConfigError for the others."""

    def open(self, url: str) -> RepositoryReader: ...


class Layers(Protocol):
    """Reads what registries hold. Raises ConfigError where a registry may not be asked, UpstreamError and its kin."""

    async def read_layer(
        self, repository_url: str, digest: str, media_type: str, *, limit_bytes: int, insecure: bool = False
    ) -> bytes | None:
        """The first layer of exactly that media type, or None where the manifest has none."""


class PullRequestFacts(Protocol):
    @property
    def number(self) -> int: ...

    @property
    def merged_at(self) -> datetime | None: ...

    @property
    def merge_commit_sha(self) -> str | None: ...


class Forge(Protocol):
    """What a forge knows of one repository's commits that git does not."""

    async def find_pull_requests(self, sha: str) -> Sequence[PullRequestFacts]: ...

    async def pull_request_commits(self, number: int) -> list[str]: ...


class Forges(Protocol):
    def find(self, canonical: str) -> Forge | None:
        """The forge of a repository, or None where none is configured or known."""
