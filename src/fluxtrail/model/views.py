"""What Fluxtrail answers: the shapes of the API, the CLI's JSON and the pages, made by the ledger's queries.

Field names here are public (docs/api.md). Times are aware UTC; absent stages are absent keys.
"""

from datetime import datetime

import msgspec

from fluxtrail.model.ci import CiRun, PullRequest
from fluxtrail.model.moment import Moment


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all views."""


class TargetName(View, frozen=True, kw_only=True):
    """`Kustomization/flux-system/apps` on a cluster."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"


class BlockerView(View, frozen=True, kw_only=True):
    """A workload that the last stage of a delivery waits for."""

    workload: str
    """`<Kind>/<namespace>/<name>`; the kind has its group where it is none of Kubernetes' own."""
    state: str
    """A `RolloutState`: `progressing`, `blocked` or `failed`."""
    cause: str | None = None
    """A `RolloutCause`, as far as there is one."""
    message: str = ""
    """The cluster's own words; redacted."""
    pod: str = ""
    container: str = ""
    since: datetime | None = None
    """When state and cause became what they are."""


class DeliveryView(View, frozen=True, kw_only=True):
    sha: str
    repository: str
    cluster: str
    cluster_uid: str
    target: str
    """`<Kind>/<namespace>/<name>`."""
    target_id: int
    verdict: str
    reason: str = ""
    """Why it is pending (`syncing`, `suspended`, …), or Flux's reason of a failure."""
    message: str = ""
    """What Flux says now about a pending or failed delivery; redacted."""
    since: datetime | None = None
    is_settled: bool = False
    via: str | None = None
    """The sha of the applied revision that carried it, where that is another commit."""
    carrier: str | None = None
    """The export that carried a source commit."""
    undone_by: str | None = None
    is_before_baseline: bool = False
    is_scope_unknown: bool = False
    revision: str | None = None
    stages: dict[str, Moment] = {}
    running: str = ""
    """A `RunningState` of the sync that applied it: `unread`, `waiting`, `reached`, `absent` or `unknown`; empty before
    `applied`."""
    blockers: list[BlockerView] = []
    """Of `waiting`: what has not rolled out yet, what is blocked or failed first; at most 20."""


class ExportView(View, frozen=True, kw_only=True):
    sha: str
    repository: str
    committed_at: datetime | None = None
    build_link: str | None = None
    evidence: str | None = None
    """An `ExportEvidence`: how the export is known; None of one that was kept before this was noted."""


class CommitView(View, frozen=True, kw_only=True):
    sha: str
    repository: str
    subject: str
    author: str
    committed_at: datetime | None
    merged: Moment | None
    pull_request: int | None
    is_carrier: bool
    web_url: str | None
    verdicts: dict[str, int]
    """Stored deliveries by verdict; targets that it does not affect are not counted."""
    oldest_pending_seconds: float | None = None
    build_state: str | None = None
    """A `CiState`: how its builds stand together; None where no run of it is known."""


class TrailView(View, frozen=True, kw_only=True):
    commit: CommitView
    queried: str
    """What was asked for."""
    via: str | None = None
    """Set where the sha asked for is an alias: how it came to be part of the commit (`merged`, `pull_request`)."""
    pull_request: PullRequest | None = None
    """As its forge described it last, where that is asked."""
    ci_runs: list[CiRun] = []
    """Of the commit, and of what it was merged from; the first begun first."""
    exports: list[ExportView] = []
    deliveries: list[DeliveryView] = []
    is_settled: bool = False


class Candidate(View, frozen=True, kw_only=True):
    """One thing an ambiguous query may mean."""

    sha: str
    repository: str
    subject: str


class SyncView(View, frozen=True, kw_only=True):
    id: int
    revision: str
    cause: str
    outcome: str
    reason: str = ""
    message: str = ""
    previous: str | None = None
    attribution: str
    attribution_problem: str | None = None
    is_unchanged: bool = False
    started: Moment
    fetched: Moment | None = None
    applied: Moment | None = None
    healthy: Moment | None = None
    running: Moment | None = None
    """When all workloads that it changed had rolled out."""
    running_state: str = ""
    """A `RunningState`; empty before `applied`."""
    action: str = ""
    """Of a HelmRelease: `install`, `upgrade`, `rollback` or `uninstall`."""
    is_remediated: bool = False
    """Of a HelmRelease: it failed, and Flux rolled it back or uninstalled it."""
    blockers: list[BlockerView] = []
    """As a delivery's."""


class TargetView(View, frozen=True, kw_only=True):
    id: int
    cluster: str
    cluster_uid: str
    target: str
    lands_on: str
    source: str
    repository: str | None
    branch: str | None
    path: str
    applied: str | None
    attempted: str | None
    phase: str
    reason: str = ""
    message: str = ""
    is_suspended: bool
    pending: int = 0
    failed: int = 0
    oldest_pending_seconds: float | None = None
    observed_at: datetime
    deleted_at: datetime | None = None


class ClusterView(View, frozen=True, kw_only=True):
    uid: str
    name: str
    targets: int
    pending: int
    failed: int
    current_at: datetime | None
    """Everything up to here has been seen."""
    known_by: str = "watch"
    """`watch`, or `events`: nobody watches it, and signed notifications tell of it."""


class RecordView(View, frozen=True, kw_only=True):
    """One deployment name on one cluster: what should be told of it, and what GitHub was told."""

    id: int
    cluster: str
    cluster_uid: str
    deployment_name: str
    namespace: str
    kind: str
    """Of the workload."""
    workload: str
    container: str
    name: str
    """The image, without tag and digest."""
    digest: str
    version: str
    status: str
    runtime_risks: list[str] = []
    tags: dict[str, str] = {}
    since: datetime
    """When this digest was first seen to run there."""
    changed_at: datetime
    told: str
    """`pending`, `told`, `unknown`, `refused` or `silent`."""
    told_digest: str | None = None
    """What GitHub holds under this name; absent where it never took anything."""
    told_status: str | None = None
    told_to: str = ""
    """Organisation, environments and cluster under which GitHub holds it."""
    told_at: datetime | None = None
    tries: int = 0
    """How often in a row GitHub did not know the artifact."""
    unknown_since: datetime | None = None
    retry_at: datetime | None = None
    answer: str = ""
    """GitHub's last refusal."""
    report: str | None = None
    """`waiting` or `dead`, while there is something to send."""
    attempts: int = 0
    """How often it was tried to send that."""
    report_answer: str = ""
    """Why the last attempt failed."""


class WorkloadView(View, frozen=True, kw_only=True):
    """A workload that Flux applied, as last judged."""

    id: int
    cluster: str
    cluster_uid: str
    workload: str
    """`<Kind>/<namespace>/<name>`; the kind has its group where it is none of Kubernetes' own."""
    target: str
    """Whose inventory it is in: `<Kind>/<namespace>/<name>`."""
    target_id: int
    state: str
    """A `RolloutState`."""
    cause: str | None = None
    message: str = ""
    pod: str = ""
    container: str = ""
    since: datetime
    """When state and cause became what they are."""
    generation: int
    rolled_generation: int = 0
    """The newest generation that rolled out, 0 for none seen."""
    rolled: Moment | None = None
    """When it did."""
    images: dict[str, str] = {}
    """By container, as its template has it."""
    digests: dict[str, str] = {}
    """By container: what its updated pods run."""
    observed_at: datetime


class ImageView(View, frozen=True, kw_only=True):
    """An image by its digest: what it was built from, and how many containers run it."""

    digest: str
    repository: str
    """`ghcr.io/acme/shop`: where it was pulled from."""
    state: str
    """An `ImageState`: `pending`, `known`, `private`, `unasked` or `absent`."""
    tags: list[str] = []
    """Under which it is wanted where it runs; the names alone, at most 10."""
    is_index: bool = False
    index_digest: str | None = None
    """Of a platform's manifest: the index it was found in."""
    platform: str = ""
    created_at: datetime | None = None
    source: str | None = None
    """The canonical repository that it was built from."""
    revision: str | None = None
    """The commit that it was built from; a trail, where `is_followed`."""
    version: str = ""
    is_followed: bool = False
    """Whether that commit is known here."""
    is_attested: bool | None = None
    """Whether GitHub knew the artifact when a deployment record of it was told; None where nobody asked."""
    problem: str = ""
    """Why it is not known; redacted."""
    checked_at: datetime | None = None
    running: int = 0
    """Workloads' containers that run it now."""
    clusters: list[str] = []
    """Names of the clusters where it runs now."""
    since: datetime | None = None
    """Since when it runs without a gap somewhere; of an image that runs nowhere, when it began last."""


class ImageRunView(View, frozen=True, kw_only=True):
    """Where an image runs, or ran."""

    cluster: str
    cluster_uid: str
    workload: str
    """`<Kind>/<namespace>/<name>`."""
    container: str
    digest: str
    """Of this very manifest: one platform's, where the image asked for is an index."""
    image: str
    """As wanted, with its tag."""
    since: datetime
    until: datetime | None = None


class ImageDetail(View, frozen=True, kw_only=True):
    image: ImageView
    related: list[ImageView] = []
    """The same image under its other digests: its index, the manifests of its platforms."""
    runs: list[ImageRunView] = []
    """What runs now first, then the newest; at most 200. Those of `related` too."""


class ChainLink(View, frozen=True, kw_only=True):
    """One object of the way from a workload back to a commit."""

    relation: str
    """How the one before it is tied to it: `asked` (the first), `owned_by`, `applied_by`, `chart`, `source`,
    `repository`, `revision` (the last: what was fetched)."""
    kind: str
    group: str = ""
    namespace: str = ""
    name: str
    found: bool = True
    """False: named by the one before it, and not there, or not to be seen."""
    revision: str | None = None
    """What it has applied or fetched, as Flux writes it."""
    ready: str = ""
    """`True`, `False` or `Unknown`; empty where it has no such condition."""
    reason: str = ""
    message: str = ""
    last_reconciled: datetime | None = None
    is_suspended: bool = False
    url: str = ""
    path: str = ""
    branch: str = ""
    """Or tag, version range, digest: what of the source is followed."""
    repository: str = ""
    """Of what has a commit: the canonical repository."""
    sha: str | None = None
    """The commit: of a git source, and of the last link. `/api/v1/commits/{sha}` has its trail, where it is
    followed."""


class ChainView(View, frozen=True, kw_only=True):
    """From an object in a cluster back to the commit it came from."""

    cluster: str
    cluster_uid: str
    links: list[ChainLink]
    problem: str = ""
    """Why the chain ends early: what is missing, and what to do."""


class DeliveryFacts(View, frozen=True, kw_only=True):
    """All that the figures need of one delivery: one row of the fold."""

    commit_id: int
    target_id: int
    cluster: str
    namespace: str
    name: str
    kind: str
    is_carrier: bool
    has_carrier: bool
    merged: Moment | None
    exported: Moment | None
    stated_at: datetime | None
    """The source commit's own time as `exporter-info` states it."""
    carrier_committed_at: datetime | None
    """Committer date of the carrier: of the export, or of the commit itself where it is a carrier."""
    fetched: Moment | None
    applied: Moment | None
    healthy: Moment | None
    succeeded: Moment | None
    is_scope_unknown: bool
    running: Moment | None = None
    """When all workloads that its first applied sync changed had rolled out."""


class CellView(View, frozen=True, kw_only=True):
    """What became of one commit in one column of the board: the worst of its deliveries there."""

    verdict: str
    reason: str = ""
    """As a delivery's."""
    count: int = 0
    """Deliveries with this verdict; 0 where none is stored, and it follows from the branch."""
    counts: dict[str, int] = {}
    """All stored deliveries there, by verdict."""
    stage: str = ""
    """How far the one shown has come: the last of its stages that is known."""
    since: datetime | None = None
    """When the last of them became so; absent where there are too many to look at each."""
    via: str | None = None
    """The sha of the applied revision that carried the one shown, where that is another commit."""
    undone_by: str | None = None
    is_before_baseline: bool = False
    is_scope_unknown: bool = False
    target: str = ""
    """The one shown: `<Kind>/<namespace>/<name>`; empty where none is stored."""
    target_id: int | None = None


class BoardColumn(View, frozen=True, kw_only=True):
    name: str
    """A cluster's name, or an environment's."""
    targets: int
    """Live ones that the board looks at."""


class BoardRow(View, frozen=True, kw_only=True):
    commit: CommitView
    cells: list[CellView | None]
    """In the order of the columns; null where the commit has nothing to do with any of a column's targets."""


class BoardView(View, frozen=True, kw_only=True):
    """Commits × clusters or environments, the last merged first."""

    columns: list[BoardColumn]
    items: list[BoardRow]
    hidden_columns: int = 0
    """Columns beyond those that one board shows: narrow it by cluster or environment."""
    next: str | None = None


class LeadTimeView(View, frozen=True, kw_only=True):
    """The lead times, merged to applied, of what was applied in one span of time; estimates and exports left out."""

    at: datetime
    """When the span begins."""
    count: int
    """Deliveries."""
    p50_seconds: float | None
    """Within 4 %; null of none."""
    p95_seconds: float | None


class FoundView(View, frozen=True, kw_only=True):
    """Something that a search found."""

    kind: str
    """`commit`, `target` or `cluster`."""
    name: str
    """A commit's subject, `<Kind>/<namespace>/<name>` of a target, a cluster's name."""
    where: str
    """A commit's repository, a target's cluster; of a cluster how many targets it has."""
    key: str
    """What its page is named by: the sha, the target's id, the cluster's name."""
