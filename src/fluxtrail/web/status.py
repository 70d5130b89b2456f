"""What the process says of itself: the body of `/api/v1/status`, and the lines of `/readyz`."""

from datetime import datetime

import msgspec

from fluxtrail.model.views import View


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One condition of being ready, named so that an operator knows where to look: `cluster/prod/Kustomization`."""

    name: str
    is_ok: bool
    reason: str = ""
    """Why it is not; redacted."""


class StreamView(View, frozen=True, kw_only=True):
    """One kind watched on one cluster."""

    kind: str
    state: str
    """`syncing` until its first list is complete, then `current`, or why it cannot be watched: `not_installed`,
    `forbidden`, `unauthorized`, `unreachable`.
    """
    message: str = ""
    current_at: datetime | None = None
    """Everything up to here has been seen."""


class ClusterStatus(View, frozen=True, kw_only=True):
    uid: str
    name: str
    streams: list[StreamView]


class AttributionStatus(View, frozen=True, kw_only=True):
    pending: int
    """Syncs whose commits are still to be found out."""
    gaps: int
    """Syncs whose commits will stay unknown."""


class RepositoryProblem(View, frozen=True, kw_only=True):
    repository: str
    branch: str | None
    problem: str


class StatusView(View, frozen=True, kw_only=True):
    version: str
    instance: str
    """The ledger's own id: the same over restarts."""
    started_at: datetime
    uptime_seconds: float
    clusters: list[ClusterStatus]
    attribution: AttributionStatus
    repository_problems: list[RepositoryProblem]
    checks: list[Check]
