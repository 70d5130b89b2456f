"""What a doctor finds, in words: a code with a runbook of its own, a cause, what it was seen by, and what to do."""

from datetime import datetime
from enum import StrEnum

import msgspec

from fluxtrail.model.observation import ObjectKey


class Code(StrEnum):
    """Each has a page of this name in docs/runbooks."""

    RETRIES_EXHAUSTED = "retries_exhausted"
    ROLLBACK_IMPOSSIBLE = "rollback_impossible"
    LOCKED = "locked"
    STUCK = "stuck_in_progress"
    NOT_OBSERVED = "not_observed"
    STALLED = "stalled"
    FAILING = "failing"
    DEPENDENCY_MISSING = "dependency_missing"
    DEPENDENCY_SUSPENDED = "dependency_suspended"
    DEPENDENCY_FAILING = "dependency_failing"
    DEPENDENCY_CYCLE = "dependency_cycle"
    DEPENDENCY_UNMET = "dependency_unmet"
    SOURCE_MISSING = "source_missing"
    SOURCE_NOT_READY = "source_not_ready"
    DRIFT_LOOP = "drift_loop"
    DRIFTED = "drifted"
    FETCH_FAILING = "source_fetch_failing"
    ACCESS_FAILING = "source_access_failing"
    UNVERIFIED = "source_unverified"
    STORAGE_FAILING = "source_storage_failing"
    SOURCE_STALE = "source_stale"
    SUSPENDED = "suspended_too_long"
    DELETION_STUCK = "deletion_stuck"


class Severity(StrEnum):
    CRITICAL = "critical"
    """Nothing will change until somebody does something."""
    WARNING = "warning"
    """It fails, and Flux goes on trying."""
    INFO = "info"
    """It may be meant so."""


SEVERITIES = tuple(Severity)


class Remedy(StrEnum):
    """What a doctor can do, mildest first."""

    RECONCILE = "reconcile"
    """Ask for a reconciliation: all there is for a Kustomization."""
    RESET = "reset"
    """Set the counters of failures back."""
    FORCE = "force"
    """One more upgrade, whatever the counters say."""
    SUSPEND_RESUME = "suspend_resume"
    """Only where Flux knows none of the requests."""


class Evidence(msgspec.Struct, frozen=True):
    field: str
    """As a path in the object: `status.conditions[Stalled].reason`; of another object with that before it."""
    value: str


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    code: Code
    severity: Severity
    kind: str
    namespace: str
    name: str
    cause: str
    """One sentence for people."""
    evidence: tuple[Evidence, ...] = ()
    since: datetime | None = None
    """Since when it is so, as far as the object tells."""
    commands: tuple[str, ...] = ()
    """To be run as they are: ours first, then Flux's own."""
    advice: tuple[str, ...] = ()
    """What keeps it from coming again."""
    remedy: Remedy | None = None
    """What a doctor that may act would do; None: it is for people."""
    obstacle: str = ""
    """Why it would fail again for sure; then no remedy is tried."""
    runbook: str = ""
    group: str = ""
    cluster: str = ""

    @property
    def key(self) -> ObjectKey:
        return ObjectKey(self.group, self.kind, self.namespace, self.name)


def rank(finding: Finding) -> tuple[int, str, str, str, str]:
    """Order findings: the gravest first, then by place."""
    return SEVERITIES.index(finding.severity), finding.namespace, finding.kind, finding.name, finding.code


def runbook_of(code: Code) -> str:
    return f"docs/runbooks/{code.value}.md"
