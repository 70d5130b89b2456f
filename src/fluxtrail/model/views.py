"""What Fluxtrail answers: the shapes of the API, the CLI's JSON and the pages, made by the ledger's queries.

Field names here are public (docs/api.md). Times are aware UTC; absent stages are absent keys.
"""

from datetime import datetime

import msgspec

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


class ExportView(View, frozen=True, kw_only=True):
    sha: str
    repository: str
    committed_at: datetime | None = None
    build_link: str | None = None


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


class TrailView(View, frozen=True, kw_only=True):
    commit: CommitView
    queried: str
    """What was asked for."""
    via: str | None = None
    """Set where the sha asked for is an alias: how it came to be part of the commit (`merged`, `pull_request`)."""
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
