"""When a stage was reached, and how well we know it.

A moment is never bare: it says which evidence gave it and how precise that is (rule 4 of the design).
"""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

import msgspec

HTTP_DATE_LIMIT = 100
KUBERNETES_RESOLUTION = timedelta(seconds=1)
"""Kubernetes writes timestamps without fractions, cut towards the past."""


class Precision(StrEnum):
    EXACT = "exact"
    """The system's own timestamp."""
    OBSERVED = "observed"
    """We watched it change; true within (`not_before`, `at`]."""
    ESTIMATED = "estimated"
    """We came late; true somewhere within [`not_before`, `not_after`]."""


class Evidence(StrEnum):
    """What gave a moment. The order within a stage is the order of trust (`design.md`, Stages)."""

    PULL_REQUEST = "pull_request_merged"
    PUSH_EVENT = "push_event"
    BRANCH_MOVED = "branch_moved"
    EXPORTER_INFO = "exporter_info"
    COMMITTER_DATE = "committer_date"
    IMAGE_CREATED = "image_created"
    """`org.opencontainers.image.created` of an artifact."""
    CI_RUN = "ci_run"
    """The end of the CI run that built or exported it."""
    ARTIFACT = "artifact_last_update_time"
    HEALTH_CHECKS_STARTED = "health_checks_started"
    READY_CONDITION = "ready_condition"
    STATUS_HISTORY = "status_history"
    STATUS_OBSERVED = "status_observed"
    HELM_RELEASE = "helm_release"
    """`lastDeployed` of a HelmRelease's history."""
    MANAGED_FIELDS = "managed_fields"
    """When Flux's field manager last changed an object."""
    PODS_READY = "pods_ready"
    """The `Ready` conditions of a workload's pods."""
    ROLLOUT_CONDITION = "rollout_condition"
    """`Progressing` of a Deployment, with NewReplicaSetAvailable."""
    JOB_COMPLETED = "job_completed"
    ROLLOUT_OBSERVED = "rollout_observed"
    EVENT = "event"
    """An event of Flux's that a known sender has signed, of a cluster that nobody watches."""
    BRACKET = "bracket"


class Moment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One instant with its evidence.

    `at` is aware UTC. For an estimate it is the latest instant possible (`not_after`), so that a late look
    never makes a delivery seem faster than it was.
    """

    at: datetime
    evidence: Evidence
    precision: Precision
    not_before: datetime | None = None
    not_after: datetime | None = None

    @property
    def earliest(self) -> datetime:
        return self.not_before or self.at

    @property
    def latest(self) -> datetime:
        return self.not_after or self.at


def exact(at: datetime, evidence: Evidence) -> Moment:
    return Moment(at=at, evidence=evidence, precision=Precision.EXACT)


def observed(at: datetime, evidence: Evidence, *, not_before: datetime | None = None) -> Moment:
    return Moment(at=at, evidence=evidence, precision=Precision.OBSERVED, not_before=not_before)


def bracket(not_before: datetime | None, not_after: datetime, *, evidence: Evidence = Evidence.BRACKET) -> Moment:
    """Return an estimate between two instants; an inverted pair (two clocks) collapses to `not_after`."""
    if not_before is not None and not_before > not_after:
        not_before = not_after
    return Moment(
        at=not_after, evidence=evidence, precision=Precision.ESTIMATED, not_before=not_before, not_after=not_after
    )


def parse_timestamp(text: str | None) -> datetime | None:
    """Return an RFC 3339 timestamp as aware UTC, or None for nothing, nonsense, or Go's zero time (year 1).

    Fractions finer than a microsecond are cut (Go writes nanoseconds).
    """
    if not text:
        return None
    cleaned = text.strip().replace("z", "Z").replace("Z", "+00:00")
    head, dot, tail = cleaned.partition(".")
    if dot:
        digits = len(tail) - len(tail.lstrip("0123456789"))
        cleaned = f"{head}.{tail[: min(digits, 6)].ljust(6, '0')}{tail[digits:]}"
    try:
        parsed = datetime.fromisoformat(cleaned)
    except ValueError:
        return None
    if parsed.tzinfo is None or parsed.year <= 1:
        return None
    try:
        return parsed.astimezone(UTC)
    except OverflowError:  # beyond year 9999 in UTC
        return None


def parse_http_date(text: str | None) -> datetime | None:
    """Return the instant of a header such as `Date` or `Retry-After` as aware UTC, or None for nothing or nonsense.

    A date without a zone is UTC. Source: RFC 9110, 5.6.7.
    """
    if not text or len(text) > HTTP_DATE_LIMIT:
        return None
    try:
        parsed = parsedate_to_datetime(text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
