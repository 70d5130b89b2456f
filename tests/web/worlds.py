"""A small world to ask about: five commits on three clusters, kept in memory behind the `Answers` port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar

import msgspec
from tests.web import runs

from fluxtrail.model.ci_views import AppliedHead, Origin
from fluxtrail.model.counts import Counts, ImageCount, Inflight, NotRunning
from fluxtrail.model.environments import Grouping
from fluxtrail.model.errors import ConfigError, ConflictError, StoreError
from fluxtrail.model.feed import FeedItem, FeedPage
from fluxtrail.model.moment import Evidence, Moment, bracket, exact, observed
from fluxtrail.model.records import TargetId, Transition, TransitionKind
from fluxtrail.model.report import Mode, ReportId, ReportState, ReportView
from fluxtrail.model.views import (
    BoardColumn,
    BoardRow,
    BoardView,
    Candidate,
    CellView,
    ChainView,
    ClusterView,
    CommitView,
    DeliveryView,
    ExportView,
    FoundView,
    ImageDetail,
    ImageView,
    RecordView,
    SyncView,
    TargetView,
    TrailView,
    WorkloadView,
)
from fluxtrail.web.shapes import Page, RecordCount, RouteTest, RouteView, SyncPlan
from fluxtrail.web.status import AttributionStatus, Check, ClusterStatus, RepositoryProblem, StatusView, StreamView

NOW = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
SHOP, MANIFESTS = "github.com/acme/shop", "github.com/acme/manifests"
TARGET = "Kustomization/flux-system/apps"
ON_ITS_WAY = "9f3c1ab27de45061cc8a3b9d04e7f21a6b5c8d90"
EVERYWHERE = "4e1f0a2c3b5d697887a6b5c4d3e2f10918273645"
FAILED = "b70d5e4f6a8192a3b4c5d6e7f8091a2b3c4d5e6f"
TWIN_A = "c0ffee11223344556677889900aabbccddeeff00"
TWIN_B = "c0ffee99887766554433221100ffeeddccbbaa99"
EXPORT = "77aa88bb99cc00dd11ee22ff33445566778899aa"
INFRA_CHANGE = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567"

T = TypeVar("T")


def at(seconds: float) -> datetime:
    """So long after 10:00:00."""
    return datetime(2026, 11, 20, 10, 0, tzinfo=UTC) + timedelta(seconds=seconds)


def commit(sha: str, subject: str, seconds: float, **known: Any) -> CommitView:
    base = CommitView(
        sha=sha,
        repository=SHOP,
        subject=subject,
        author="Jane Doe",
        committed_at=at(seconds - 90),
        merged=exact(at(seconds), Evidence.PULL_REQUEST),
        pull_request=None,
        is_carrier=False,
        web_url=f"https://{SHOP}/commit/{sha}",
        verdicts={},
    )
    return msgspec.structs.replace(base, **known)


def stages(merged: float, *steps: tuple[str, float], estimated: Sequence[str] = ()) -> dict[str, Moment]:
    found = {"merged": exact(at(merged), Evidence.PULL_REQUEST)}
    evidence = {
        "exported": Evidence.BRANCH_MOVED,
        "fetched": Evidence.ARTIFACT,
        "applied": Evidence.HEALTH_CHECKS_STARTED,
        "healthy": Evidence.READY_CONDITION,
        "running": Evidence.PODS_READY,
    }
    for stage, seconds in steps:
        if stage in estimated:
            found[stage] = bracket(at(seconds - 40), at(seconds))
        elif stage == "applied":
            found[stage] = observed(at(seconds), evidence[stage], not_before=at(seconds - 1))
        else:
            found[stage] = exact(at(seconds), evidence[stage])
    return found


def delivery(sha: str, cluster: str, verdict: str, **known: Any) -> DeliveryView:
    base = DeliveryView(
        sha=sha,
        repository=SHOP,
        cluster=cluster,
        cluster_uid=f"uid-{cluster}",
        target=TARGET,
        target_id={"prod-eu": 1, "prod-us": 2, "staging": 3}[cluster],
        verdict=verdict,
        since=at(200),
    )
    return msgspec.structs.replace(base, **known)


def target(target_id: int, cluster: str, name: str = "apps", **known: Any) -> TargetView:
    base = TargetView(
        id=target_id,
        cluster=cluster,
        cluster_uid=f"uid-{cluster}",
        target=f"Kustomization/flux-system/{name}",
        lands_on=f"uid-{cluster}",
        source="GitRepository/flux-system/manifests",
        repository=MANIFESTS,
        branch="main",
        path=f"./clusters/{cluster}/{name}",
        applied=f"main@sha1:{EXPORT}",
        attempted=f"main@sha1:{EXPORT}",
        phase="succeeded",
        is_suspended=False,
        observed_at=at(1790),
    )
    return msgspec.structs.replace(base, **known)


def record(number: int, cluster: str, workload: str, *, namespace: str = "shop", **known: Any) -> RecordView:
    digest = f"sha256:{number:x}".ljust(71, "abcdef0123456789"[number % 16])
    base = RecordView(
        id=number,
        cluster=cluster,
        cluster_uid=f"uid-{cluster}",
        deployment_name=f"{namespace}/{workload}/{workload}",
        namespace=namespace,
        kind="Deployment",
        workload=workload,
        container=workload,
        name=f"ghcr.io/acme/{workload}",
        digest=digest,
        version="v1.4.2",
        status="deployed",
        since=at(200),
        changed_at=at(200),
        told="told",
        told_digest=digest,
        told_status="deployed",
        told_to=f"acme/production//{cluster}",
        told_at=at(205),
    )
    return msgspec.structs.replace(base, **known)


def records() -> list[RecordView]:
    untold: dict[str, Any] = {"told_digest": None, "told_status": None, "told_to": "", "told_at": None}
    return [
        record(1, "prod-eu", "checkout"),
        record(2, "prod-eu", "cart", told="pending", changed_at=at(1795), since=at(1795), version="v2.0.0-rc.1"),
        record(3, "prod-us", "checkout", runtime_risks=["internet-exposed"], tags={"team": "payments"}),
        record(
            4, "prod-us", "search", told="unknown", tries=3, unknown_since=at(600), retry_at=at(2700),
            name="docker.io/library/opensearch", version="2.19", **untold,
        ),
        record(
            5, "staging", "mailer", told="refused", namespace="platform-notifications", kind="CronJob",
            answer="version 'v1…' has 120 characters, GitHub takes 0 to 100; shorten the image's tag", **untold,
        ),
        record(6, "staging", "legacy", status="decommissioned", told_status="decommissioned", version=""),
    ]  # fmt: skip


def trails() -> dict[str, TrailView]:
    export = ExportView(
        sha=EXPORT, repository=MANIFESTS, committed_at=at(62), build_link="https://ci.acme.dev/builds/4711"
    )
    on_its_way = TrailView(
        commit=commit(
            ON_ITS_WAY,
            "Raise the checkout timeout to 30 seconds (#12)",
            0,
            pull_request=12,
            verdicts={"deployed": 1, "pending": 2},
            oldest_pending_seconds=1800.0,
        ),
        queried=ON_ITS_WAY,
        exports=[export],
        deliveries=[
            delivery(
                ON_ITS_WAY,
                "prod-eu",
                "deployed",
                is_settled=True,
                via=EXPORT,
                carrier=EXPORT,
                revision=f"main@sha1:{EXPORT}",
                stages=stages(
                    0, ("exported", 62), ("fetched", 76), ("applied", 133), ("healthy", 145), estimated=["applied"]
                ),
            ),
            delivery(
                ON_ITS_WAY,
                "prod-us",
                "pending",
                reason="suspended",
                carrier=EXPORT,
                since=at(0),
                stages=stages(0, ("exported", 62), ("fetched", 79)),
            ),
            delivery(
                ON_ITS_WAY,
                "staging",
                "pending",
                reason="syncing",
                message="Running health checks for revision main@sha1:77aa88bb with a timeout of 4m30s",
                carrier=EXPORT,
                since=at(0),
                revision=f"main@sha1:{EXPORT}",
                stages=stages(0, ("exported", 62), ("fetched", 75), ("applied", 90)),
            ),
        ],
    )
    everywhere = TrailView(
        commit=commit(EVERYWHERE, "Translate the order mail", -7200, verdicts={"deployed": 3}),
        queried=EVERYWHERE,
        deliveries=[
            delivery(
                EVERYWHERE,
                name,
                "deployed",
                is_settled=True,
                revision=f"main@sha1:{EVERYWHERE}",
                stages=stages(-7200, ("fetched", -7150), ("applied", -7139 + 7 * index)),
                undone_by=TWIN_A if name == "staging" else None,
            )
            for index, name in enumerate(("prod-eu", "prod-us", "staging"))
        ],
        is_settled=True,
    )
    failed = TrailView(
        commit=commit(FAILED, "Move the cart to its own deployment", 600, verdicts={"failed": 1, "lost": 1}),
        queried=FAILED,
        deliveries=[
            delivery(
                FAILED,
                "prod-eu",
                "failed",
                reason="BuildFailed",
                message="kustomize build failed: accumulating resources: missing file 'cart.yaml'",
                since=at(700),
                revision=f"main@sha1:{FAILED}",
                stages=stages(600, ("fetched", 640)),
            ),
            delivery(FAILED, "prod-us", "lost", is_settled=True, since=at(800), stages=stages(600)),
            delivery(FAILED, "staging", "unaffected", is_settled=True, since=None),
        ],
    )
    twins = {
        sha: TrailView(commit=commit(sha, f"Twin {name}", 900), queried=sha, is_settled=True)
        for name, sha in (("one", TWIN_A), ("two", TWIN_B))
    }
    return {ON_ITS_WAY: on_its_way, EVERYWHERE: everywhere, FAILED: failed, **twins}


def report(number: int, sink: str, state: ReportState, **known: Any) -> ReportView:
    base = ReportView(
        id=ReportId(number), sink=sink, key=f"{number}", mode=Mode.LATEST, state=state, attempts=1,
        created_at=at(number), due_at=at(number + 30),
    )  # fmt: skip
    return msgspec.structs.replace(base, **known)


MERGE = "route.pull-requests"
REFUSED = "github.com answers 401: Bad credentials"
REPORTS = (
    report(
        6,
        MERGE,
        ReportState.WAITING,
        answer="no answer within 10 s",
        attempts=3,
        due_at=at(1860),
        sha="9f3c" + "0" * 36,
    ),
    report(5, MERGE, ReportState.DEAD, answer=REFUSED, attempts=8, sha="5b1d" + "0" * 36),
    report(4, MERGE, ReportState.DEAD, answer=REFUSED, attempts=8, sha="4a2e" + "0" * 36),
    report(3, "route.chat", ReportState.SENT, ended_at=at(40)),
    report(2, "otlp.traces", ReportState.WAITING, mode=Mode.EVERY, key="t" * 64, owner="2f0c1c1e"),
    report(1, "otlp.traces", ReportState.DROPPED, mode=Mode.EVERY, ended_at=at(50)),
)


def _cell_of(d: DeliveryView) -> CellView:
    return CellView(
        verdict=d.verdict, reason=d.reason, count=1, counts={d.verdict: 1}, stage=[*d.stages][-1] if d.stages else "",
        since=d.since, via=d.via, undone_by=d.undone_by, target=d.target, target_id=d.target_id,
    )  # fmt: skip


@dataclass
class World:
    """Implements `Answers` and `SelfReport`; tests change its fields while it is served."""

    now: datetime = NOW
    trails: dict[str, TrailView] = field(default_factory=trails)
    targets: list[TargetView] = field(default_factory=list)
    checks_now: list[Check] = field(default_factory=list)
    fails: bool = False
    told: list[FeedItem] = field(default_factory=list)
    """The feed; `tell` adds to it."""
    forgotten: int = 0
    """Up to this id, retention has taken what was told."""
    feed_reads: int = 0
    records: list[RecordView] = field(default_factory=records)
    synced: list[str | None] = field(default_factory=list)
    """The clusters that were to be told again."""
    refuses_sync: bool = False
    reports: list[ReportView] = field(default_factory=lambda: list(REPORTS))
    cluster_ages: dict[str, float] = field(default_factory=dict)
    """How many seconds ago each cluster was last heard of; 5 where it is not said."""
    tested: list[str] = field(default_factory=list)
    test_seconds: float = 0.25
    refuses_test: bool = False
    workloads: list[WorkloadView] = field(default_factory=runs.workloads)
    images: dict[str, ImageDetail] = field(default_factory=runs.details)
    chains: list[ChainView] = field(default_factory=lambda: [runs.chain(), runs.broken_chain()])
    answers: list[str] = field(default_factory=list)
    """What GitHub says of each pending record: one is told each time that they are counted."""

    def __post_init__(self) -> None:
        self.targets = self.targets or [
            target(1, "prod-eu"),
            target(
                2, "prod-us", is_suspended=True, phase="waiting", reason="Suspended", pending=1,
                oldest_pending_seconds=1800.0,
            ),
            target(
                3, "staging", phase="checking", pending=1, oldest_pending_seconds=1800.0,
                message="Running health checks for revision main@sha1:77aa88bb with a timeout of 4m30s",
            ),
            target(4, "prod-eu", "infra", phase="failed", reason="BuildFailed", failed=1, applied=None),
        ]  # fmt: skip
        self.checks_now = self.checks_now or [
            Check(name="ledger", is_ok=True),
            Check(name="cluster/prod-eu/Kustomization", is_ok=True),
        ]

    # Answers

    async def find_trail(
        self, query: str, *, now: datetime, settle_after: timedelta
    ) -> TrailView | list[Candidate] | None:
        self._check()
        found = [t for sha, t in self.trails.items() if sha.startswith(query.lower())]
        if query in ("#12", "acme/shop#12"):
            found = [self.trails[ON_ITS_WAY]]
        if query in ("Kustomization/flux-system/apps", "kustomization/apps"):
            found = [self.trails[EVERYWHERE]]
        if len(found) > 1:
            return [
                Candidate(sha=t.commit.sha, repository=t.commit.repository, subject=t.commit.subject) for t in found
            ]
        return msgspec.structs.replace(found[0], queried=query) if found else None

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
    ) -> Page[CommitView]:
        self._check()
        commits = [
            t.commit
            for t in self.trails.values()
            if repository in (None, t.commit.repository)
            and branch in (None, "main")
            and (author is None or author.lower() in t.commit.author.lower())
            and (carriers or not t.commit.is_carrier)
            and (verdict is None or verdict in t.commit.verdicts)
            and (since is None or (t.commit.merged is not None and t.commit.merged.at >= since))
        ]
        return _page(commits, limit, cursor)

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
    ) -> Page[DeliveryView]:
        self._check()
        deliveries = [
            d
            for t in self.trails.values()
            for d in t.deliveries
            if cluster in (None, d.cluster, d.cluster_uid)
            and namespace in (None, d.target.split("/")[1])
            and target in (None, d.target, d.target.split("/")[2])
            and repository in (None, d.repository)
            and (sha is None or d.sha.startswith(sha))
            and verdict in (None, d.verdict)
            and (since is None or (d.since is not None and d.since >= since))
        ]
        return _page(deliveries, limit, cursor)

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
        """By the first delivery of each column; of the filters, those that choose commits and columns alone."""
        listed = await self.list_commits(
            now=now, settle_after=settle_after, repository=repository, branch=None, author=author, verdict=verdict,
            since=since, carriers=carriers, limit=limit, cursor=cursor,
        )  # fmt: skip
        place = (lambda d: grouping.environment_of(d.cluster, d.target)) if by == "environment" else lambda d: d.cluster
        known = [d for t in self.trails.values() for d in t.deliveries if cluster in (None, d.cluster)]
        names = sorted({place(d) for d in known})
        rows = []
        for view in listed.items:
            cells = {place(d): _cell_of(d) for d in known if d.sha == view.sha}
            if text is None or text.lower() in view.subject.lower():
                rows.append(BoardRow(commit=view, cells=[cells.get(name) for name in names]))
        columns = [BoardColumn(name=name, targets=1) for name in names]
        return BoardView(columns=columns, items=rows, next=listed.next)

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
    ) -> Page[TargetView]:
        self._check()
        targets = [
            t
            for t in self.targets
            if cluster in (None, t.cluster)
            and namespace in (None, t.target.split("/")[1])
            and target in (None, t.target.split("/")[2])
        ]
        if sort in ("pending", "failed"):
            targets.sort(key=lambda t: -int(getattr(t, sort)))
        return _page(targets, limit, cursor)

    async def search(self, text: str, *, limit: int) -> list[FoundView]:
        self._check()
        wanted = text.lower()
        commits = [
            FoundView(kind="commit", name=t.commit.subject, where=t.commit.repository, key=sha)
            for sha, t in self.trails.items()
            if sha.startswith(wanted) or wanted in t.commit.subject.lower()
        ]
        targets = [
            FoundView(kind="target", name=t.target, where=t.cluster, key=str(t.id))
            for t in self.targets
            if wanted in t.target.lower()
        ]
        return commits[:limit] + targets[:limit]

    async def target(self, target_id: int, *, now: datetime) -> tuple[TargetView, list[SyncView]] | None:
        self._check()
        sync = SyncView(
            id=7,
            revision=f"main@sha1:{EXPORT}",
            cause="revision",
            outcome="succeeded",
            attribution="done",
            started=exact(at(76), Evidence.STATUS_OBSERVED),
        )
        return next(((t, [sync]) for t in self.targets if t.id == target_id), None)

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
    ) -> Page[WorkloadView]:
        self._check()
        found = [
            w
            for w in self.workloads
            if cluster in (None, w.cluster, w.cluster_uid)
            and namespace in (None, w.workload.split("/")[1])
            and target in (None, w.target, w.target.split("/")[2])
            and state in (None, w.state)
            and cause in (None, w.cause)
        ]
        return _page(found, limit, cursor)

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
    ) -> Page[ImageView]:
        self._check()
        found = [
            i
            for i in (detail.image for detail in self.images.values())
            if i.index_digest is None
            and (cluster is None or cluster in i.clusters)
            and namespace in (None, "shop")
            and state in (None, i.state)
            and revision in (None, i.revision)
            and (text is None or i.digest.startswith(text) or any(text in f"{i.repository}:{tag}" for tag in i.tags))
        ]
        return _page(found, limit, cursor)

    async def find_image(self, digest: str) -> ImageDetail | list[ImageView] | None:
        self._check()
        found = [detail for known, detail in self.images.items() if known.startswith(digest)]
        if len(found) > 1:
            return [detail.image for detail in found]
        return found[0] if found else None

    async def find_chains(
        self, kind: str, namespace: str, name: str, *, cluster: str | None
    ) -> Sequence[ChainView] | None:
        """Of the one Deployment that there is."""
        if kind.lower() not in ("deploy", "deployment", "kustomization"):
            return None
        found = [c for c in self.chains if cluster in (None, c.cluster, c.cluster_uid)]
        return found if (namespace, name) in (("shop", "cart"), ("", "cart")) else []

    @asynccontextmanager
    async def at_one_instant(self) -> AsyncIterator[Self]:
        self._check()
        yield self

    async def origins(self, commits: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Origin]:
        """Nothing is kept of CI here."""
        return {}

    async def applied_heads(self) -> Sequence[AppliedHead]:
        return []

    async def cluster_names(self) -> list[str]:
        return [view.name for view in await self.list_clusters()]

    async def list_clusters(self) -> list[ClusterView]:
        self._check()
        return [
            ClusterView(
                uid=f"uid-{name}", name=name, targets=n, pending=p, failed=f,
                current_at=NOW - timedelta(seconds=self.cluster_ages.get(name, 5.0)),
            )
            for name, n, p, f in (("prod-eu", 2, 0, 1), ("prod-us", 1, 1, 0), ("staging", 1, 1, 0))
        ]  # fmt: skip

    async def transitions(self, *, after_id: int, limit: int) -> list[Transition]:
        self._check()
        history = [
            Transition(id=n, at=at(n), kind=TransitionKind.VERDICT, target_id=TargetId(1), before="pending",
                       after="deployed")
            for n in range(1, 6)
        ]  # fmt: skip
        return [t for t in history if t.id > after_id][:limit]

    def tell(
        self, sha: str | None = ON_ITS_WAY, *, kind: str = "verdict", cluster: str = "prod-us", **more: Any
    ) -> int:
        """Add a line to the feed; returns its id."""
        item = FeedItem(
            id=(self.told[-1].id if self.told else 0) + 1,
            at=at(0),
            kind=kind,
            before="pending",
            after="deployed",
            sha=sha,
            subject="A change",
            repository=SHOP,
            cluster=cluster,
            cluster_uid=f"uid-{cluster}",
            target=TARGET,
            target_id={"prod-eu": 1, "prod-us": 2, "staging": 3}[cluster],
        )
        self.told.append(msgspec.structs.replace(item, **more))
        return self.told[-1].id

    async def feed(self, after: int | None, limit: int) -> FeedPage:
        self._check()
        self.feed_reads += 1
        last = self.told[-1].id if self.told else 0
        if after is None:
            return FeedPage(items=[], last_id=last)
        if after > last or after < self.forgotten:
            return FeedPage(items=[], last_id=last, is_reset=True)
        items = [item for item in self.told[after:] if item.id > after][:limit]
        return FeedPage(items=items, last_id=items[-1].id if items else after)

    async def counts(self, *, now: datetime) -> Counts:
        self._check()
        where = {"namespace": "flux-system", "name": "apps", "kind": "Kustomization"}
        return Counts(
            inflight=[
                Inflight(cluster="prod-us", commits=1, failed=0, oldest_since=None, **where),
                Inflight(cluster="staging", commits=1, failed=0, oldest_since=at(0), **where),
            ],
            attribution_pending=2,
            attribution_gaps=1,
            not_running=[
                NotRunning(cluster="prod-us", cause="image_pull", workloads=2, **where),
                NotRunning(cluster="prod-us", cause="progressing", workloads=1, **where),
            ],
            images=[ImageCount(cluster="prod-us", state="known", images=4)],
        )

    def _check(self) -> None:
        if self.fails:
            raise StoreError("the ledger is locked by another process", subject="ledger")

    # RecordKeeper

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
    ) -> Page[RecordView]:
        self._check()
        found = [
            r
            for r in self.records
            if cluster in (None, r.cluster, r.cluster_uid)
            and namespace in (None, r.namespace)
            and status in (None, r.status)
            and told in (None, r.told)
            and (text is None or text.lower() in f"{r.deployment_name} {r.name} {r.digest}".lower())
        ]
        return _page(found, limit, cursor)

    async def count_records(self) -> list[RecordCount]:
        self._check()
        found: dict[tuple[str, str, str, str], int] = {}
        for r in self.records:
            key = (r.cluster, r.cluster_uid, r.status, r.told)
            found[key] = found.get(key, 0) + 1
        pending = [r for r in self.records if r.told == "pending"]
        if pending and self.answers:
            told = msgspec.structs.replace(pending[0], told=self.answers.pop(0))
            self.records[self.records.index(pending[0])] = told
        return [
            RecordCount(cluster=cluster, cluster_uid=uid, status=status, told=told, count=count)
            for (cluster, uid, status, told), count in found.items()
        ]

    async def sync(self, *, cluster: str | None, dry_run: bool) -> SyncPlan | None:
        self._check()
        if self.refuses_sync:
            raise ConflictError("nothing is told here: it runs with --dry-run; start it without")
        chosen = [r for r in self.records if cluster in (None, r.cluster, r.cluster_uid) and r.status == "deployed"]
        if cluster is not None and not chosen:
            return None
        uids = sorted({r.cluster_uid for r in self.records if cluster in (None, r.cluster, r.cluster_uid)})
        if dry_run:
            return SyncPlan(planned=len(chosen), clusters=uids, records=chosen)
        self.synced.append(cluster)
        for r in chosen:
            self.records[self.records.index(r)] = msgspec.structs.replace(r, told="pending")
        return SyncPlan(planned=len(chosen), clusters=uids)

    # ReportKeeper

    async def list_reports(
        self,
        *,
        state: ReportState | None,
        sink: str | None,
        sha: str | None = None,
        limit: int,
        cursor: str | None,
    ) -> Page[ReportView]:
        self._check()
        found = [
            r for r in self.reports if state in (None, r.state) and sink in (None, r.sink) and sha in (None, r.sha)
        ]
        return _page(found, limit, cursor)

    async def replay(self, ids: Sequence[ReportId]) -> int:
        return self._move(ids, (ReportState.DEAD,), ReportState.WAITING)

    async def drop(self, ids: Sequence[ReportId]) -> int:
        return self._move(ids, (ReportState.DEAD, ReportState.WAITING), ReportState.DROPPED)

    def _move(self, ids: Sequence[ReportId], states: Sequence[ReportState], to: ReportState) -> int:
        self._check()
        moved = [r for r in self.reports if r.id in ids and r.state in states]
        self.reports = [msgspec.structs.replace(r, state=to) if r in moved else r for r in self.reports]
        return len(moved)

    async def routes(self) -> list[RouteView]:
        self._check()
        chat = RouteView(name="chat", kind="slack", sink="route.chat", sent=12)
        merge = RouteView(
            name="pull-requests", kind="github_status", sink="route.pull-requests", waiting=1, dead=2, sent=40,
            oldest_at=at(60), is_down=True, problem=REFUSED, answer="401", budget_left=71,
        )  # fmt: skip
        traces = RouteView(
            name="otlp.traces", kind="otlp.traces", sink="otlp.traces", waiting=1, answer="503 try again later",
        )  # fmt: skip
        return [merge, chat, traces]

    async def test_route(self, name: str) -> RouteTest | None:
        self._check()
        if name not in ("chat", "pull-requests"):
            return None
        if self.refuses_test:
            raise ConflictError("no commit is known yet that it could be about; wait for one")
        self.tested.append(name)
        where, is_taken = "hooks.slack.example.com", name == "chat"
        answer = "200 ok" if is_taken else "401 Bad credentials"
        return RouteTest(
            route=name, where=where, is_taken=is_taken, status=int(answer[:3]), answer=answer, seconds=self.test_seconds
        )

    # SelfReport

    def status(self) -> StatusView:
        return StatusView(
            version="0.1.0",
            instance="2f0c1c1e",
            started_at=at(-3600),
            uptime_seconds=5400.0,
            clusters=[
                ClusterStatus(
                    uid="uid-prod-eu",
                    name="prod-eu",
                    streams=[StreamView(kind="Kustomization", state="current", current_at=at(1795))],
                )
            ],
            attribution=AttributionStatus(pending=2, gaps=1),
            repository_problems=[RepositoryProblem(repository=SHOP, branch="main", problem="no credentials")],
            checks=self.checks_now,
        )

    def checks(self) -> list[Check]:
        return self.checks_now


def _page(items: list[T], limit: int, cursor: str | None) -> Page[T]:
    if cursor is not None and not (cursor.isascii() and cursor.isdigit()):
        raise ConfigError(f"{cursor[:40]!r} is no cursor of this list; start without one", subject="cursor")
    start = int(cursor or 0)
    end = start + limit
    return Page(items=items[start:end], next=str(end) if end < len(items) else None)
