"""What the web side asks for: answers of the ledger, and what the process knows of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from fluxtrail.model.ci import CiRun
from fluxtrail.model.ci_views import AppliedHead, Origin, SyncLine
from fluxtrail.model.counts import Counts
from fluxtrail.model.environments import Grouping
from fluxtrail.model.feed import FeedPage
from fluxtrail.model.records import Transition
from fluxtrail.model.report import ReportId, ReportState, ReportView
from fluxtrail.model.views import (
    BoardView,
    Candidate,
    ChainView,
    ClusterView,
    CommitView,
    DeliveryView,
    FoundView,
    ImageDetail,
    ImageView,
    RecordView,
    SyncView,
    TargetView,
    TrailView,
    WorkloadView,
)
from fluxtrail.web.shapes import RecordCount, RouteTest, RouteView, SyncPlan
from fluxtrail.web.status import Check, StatusView

T_co = TypeVar("T_co", covariant=True)


class Listing(Protocol[T_co]):
    """One piece of a list, in a stable order. `next` continues it; None at its end."""

    @property
    def items(self) -> Sequence[T_co]: ...

    @property
    def next(self) -> str | None: ...


class Answers(Protocol):
    """Read-only questions to the ledger. Each call reads one consistent state. Raises StoreError and its kin.

    A cursor that is not one of its own raises ConfigError with the subject `cursor`.
    """

    def at_one_instant(self) -> AbstractAsyncContextManager[Answers]:
        """Yield answers that are all of one state, to be asked one after another, and nobody else meanwhile."""

    async def find_trail(
        self, query: str, *, now: datetime, settle_after: timedelta
    ) -> TrailView | list[Candidate] | None:
        """Return the trail of what `query` means, its candidates where it means several things, None for nothing.

        Args:
            query: a sha, a prefix of one, `owner/repo@<sha>`, `#12`, `owner/repo#12`, `kind/namespace/name` or
                `kind/name`.
        """

    async def list_commits(
        self,
        *,
        now: datetime,
        settle_after: timedelta,
        repository: str | None,
        branch: str | None,
        author: str | None,
        verdict: str | None,
        since: datetime | None,
        carriers: bool,
        limit: int,
        cursor: str | None,
    ) -> Listing[CommitView]: ...

    async def list_deliveries(
        self,
        *,
        now: datetime,
        settle_after: timedelta,
        cluster: str | None,
        namespace: str | None,
        target: str | None,
        repository: str | None,
        sha: str | None,
        verdict: str | None,
        since: datetime | None,
        limit: int,
        cursor: str | None,
    ) -> Listing[DeliveryView]: ...

    async def board(
        self,
        *,
        now: datetime,
        settle_after: timedelta,
        grouping: Grouping,
        by: str,
        repository: str | None,
        author: str | None,
        service: str | None,
        environment: str | None,
        cluster: str | None,
        verdict: str | None,
        text: str | None,
        since: datetime | None,
        until: datetime | None,
        carriers: bool,
        is_brief: bool = False,
        limit: int,
        cursor: str | None,
    ) -> BoardView:
        """Return commits × clusters or environments, the last merged first.

        Args:
            by: what the columns are: `cluster` or `environment`.
            service: a part of a target's name or path.
            text: a part of the subject, or the beginning of the sha.
        """

    async def list_targets(
        self,
        *,
        now: datetime,
        cluster: str | None,
        namespace: str | None,
        target: str | None,
        sort: str | None = None,
        limit: int,
        cursor: str | None,
    ) -> Listing[TargetView]:
        """Return live targets by cluster, namespace and name.

        Args:
            sort: what comes first: the most `pending` or `failed`, or whose `oldest` waits longest.
        """

    async def search(self, text: str, *, limit: int) -> Sequence[FoundView]:
        """Return commits, targets and clusters that a text may mean, so many of each at most, the best first."""

    async def target(self, target_id: int, *, now: datetime) -> tuple[TargetView, Sequence[SyncView]] | None:
        """Return a target and its newest syncs, or None where there is none with this id."""

    async def list_clusters(self) -> Sequence[ClusterView]: ...

    async def cluster_names(self) -> Sequence[str]: ...

    async def origins(self, commits: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Origin]:
        """Return where commits, each a (canonical repository, sha), came from; unknown ones are left out."""

    async def applied_heads(self) -> Sequence[AppliedHead]:
        """Return the commits that are applied on clusters now, by cluster."""

    async def list_workloads(
        self,
        *,
        cluster: str | None,
        namespace: str | None,
        target: str | None,
        state: str | None,
        cause: str | None,
        limit: int,
        cursor: str | None,
    ) -> Listing[WorkloadView]:
        """Return live workloads that Flux applied: failed, blocked, progressing, absent, rolled out, by name in each.

        Args:
            target: whose inventory it is in, as in `list_targets`.
        """

    async def list_images(
        self,
        *,
        cluster: str | None,
        namespace: str | None,
        state: str | None,
        text: str | None,
        revision: str | None = None,
        limit: int,
        cursor: str | None,
    ) -> Listing[ImageView]:
        """Return images: those that run, then those that ran, what began last first in each.

        Args:
            namespace: that it runs in.
            text: the beginning of a digest, or a part of `repository:tag`.
            revision: the whole sha of the commit that they were built from.
        """

    async def find_image(self, digest: str) -> ImageDetail | list[ImageView] | None:
        """Return an image by its digest or the beginning of one, its candidates where it may be several of them.

        Args:
            digest: `sha256:<4 to 64 hex>`, in small letters.
        """

    async def transitions(self, *, after_id: int, limit: int) -> Sequence[Transition]: ...

    async def feed(self, after: int | None, limit: int) -> FeedPage:
        """Return the history behind the id `after` with the names of what it is about; None asks for its end."""

    async def counts(self, *, now: datetime) -> Counts: ...


class Chains(Protocol):
    """The way from an object in a cluster back to a commit. Raises UpstreamError and its kin."""

    async def find_chains(
        self, kind: str, namespace: str, name: str, *, cluster: str | None
    ) -> Sequence[ChainView] | None:
        """Return the chain of an object on each cluster that has it.

        Args:
            kind: `Deployment`, `Rollout.argoproj.io`; in any letter case, a short name too.
            namespace: empty for what has none, or for wherever it is.
            cluster: a name or uid; None for all.

        Returns:
            None where no such kind can be followed back; nothing where no cluster has the object.
        """


class RecordKeeper(Protocol):
    """Deployment records, where they are on. Raises StoreError and its kin."""

    async def list_records(
        self,
        *,
        cluster: str | None,
        namespace: str | None,
        status: str | None,
        told: str | None,
        text: str | None,
        limit: int,
        cursor: str | None,
    ) -> Listing[RecordView]:
        """Return records, what changed last first. A wrong cursor is a ConfigError with the subject `cursor`."""

    async def count_records(self) -> Sequence[RecordCount]:
        """Return how many there are of each cluster, status and standing; zeros may be left out."""

    async def sync(self, *, cluster: str | None, dry_run: bool) -> SyncPlan | None:
        """Have all records of a cluster (by name or uid; None: of all) told again, and return at once.

        Returns:
            How many, or None where no cluster is named so. A dry run changes nothing and returns the records too.

        Raises:
            ConflictError: nothing can be told now, for example because the process only tries (`dry_run`).
        """


class ReportKeeper(Protocol):
    """Reports on their way out, and the routes that they go by. Raises StoreError and its kin."""

    async def list_reports(
        self,
        *,
        state: ReportState | None,
        sink: str | None,
        sha: str | None = None,
        limit: int,
        cursor: str | None,
    ) -> Listing[ReportView]:
        """Return reports, the last planned first. A wrong cursor is a ConfigError with the subject `cursor`.

        Args:
            sha: whole, of the commit that they are about. Those that only say that it was seen are not found by it.
        """

    async def replay(self, ids: Sequence[ReportId]) -> int:
        """Let dead letters be sent again, now; returns how many were dead."""

    async def drop(self, ids: Sequence[ReportId]) -> int:
        """Never send these, dead or waiting; returns how many there were."""

    async def routes(self) -> Sequence[RouteView]:
        """Return the routes in the order of the settings, then whatever else has reports."""

    async def test_route(self, name: str) -> RouteTest | None:
        """Send one message that says it is a test, without the outbox; returns what came back.

        Returns:
            None where no route is named so. A refusal is an answer too, not an exception.

        Raises:
            ConflictError: it cannot be tested, for example because nothing says which commit it would be about.
        """


class Allowance(Protocol):
    def take(self) -> float | None:
        """Take one. Returns None when there was one, else in how many seconds there will be."""


class CiKeeper(Protocol):
    """CI runs, and what commits came from before Flux. Raises StoreError and its kin."""

    @property
    def pace(self) -> Allowance:
        """How many statements are taken."""

    def name_of(self, repository: str) -> str:
        """Return the canonical name under which a repository is followed that its forge may call otherwise."""

    async def may_carry(self, repository: str, carrier: str) -> bool:
        """Whether who may speak of `repository` alone may state what of it was exported to `carrier`."""

    async def take_run(self, run: CiRun, *, allow_unfollowed: bool = False) -> bool:
        """Keep what a pipeline states; returns whether it says anything new. Durable once it returns.

        Args:
            allow_unfollowed: an export's repository need not be known: Flux does not apply it, or not yet.

        Raises:
            ConfigError: the carrier's repository or sha cannot be; the subject names the field.
        """

    async def list_runs(
        self,
        *,
        repository: str | None,
        sha: str | None,
        state: str | None,
        role: str | None,
        system: str | None,
        limit: int,
        cursor: str | None,
    ) -> Listing[CiRun]:
        """Return runs, what began last first. A wrong cursor is a ConfigError with the subject `cursor`."""

    async def recent_syncs(self, *, since: datetime, limit: int) -> Sequence[SyncLine]:
        """Return the newest syncs since then, the newest first."""


class SelfReport(Protocol):
    """What the running process knows of itself. Neither call waits for anything."""

    def status(self) -> StatusView: ...

    def checks(self) -> Sequence[Check]:
        """Everything that must be well before questions are answered: a check for each stream of each cluster,
        and one for the ledger.
        """
