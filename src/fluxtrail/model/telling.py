"""What telemetry needs of a commit and of one of its deliveries, as the ledger's queries give it.

Figures count every delivery at each start and take little of each (`DeliveryFacts`); what is told goes out once and
takes everything.
"""

from datetime import datetime
from typing import NamedTuple

import msgspec

from fluxtrail.model.moment import Moment
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import CommitId, SyncId, TargetId
from fluxtrail.model.stage import Stage
from fluxtrail.model.verdict import Verdict


class TellingKey(NamedTuple):
    """A delivery, and the sync that is told of."""

    commit_id: CommitId
    target_id: TargetId
    sync_id: SyncId | None


class Telling(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what is told."""


class TrackedRun(Telling, frozen=True, kw_only=True):
    """The CI run that built a commit."""

    url: str
    pipeline: str
    run_id: str
    attempt: int = 1


class TrackedCommit(Telling, frozen=True, kw_only=True):
    """A commit under its public names."""

    id: CommitId
    sha: str
    repository: str
    """Canonical: `github.com/acme/shop`."""
    repository_url: str
    """Where people open it; empty where it has no web address."""
    branch: str | None = None
    subject: str = ""
    pull_request: int | None = None
    is_carrier: bool = False
    committed_at: datetime | None = None
    merged: Moment | None = None
    built: Moment | None = None
    built_by: TrackedRun | None = None
    """None where nothing built it, or only what it was merged from was built."""


class TrackedTarget(Telling, frozen=True, kw_only=True):
    id: TargetId
    cluster_uid: str
    cluster: str
    group: str
    kind: str
    namespace: str
    name: str
    source_kind: str
    source_name: str


class TrackedSync(Telling, frozen=True, kw_only=True):
    """The attempt that is told of."""

    id: SyncId
    revision: str
    sha: str | None
    outcome: Outcome
    reason: str
    message: str
    started: Moment
    applied: Moment | None
    succeeded: Moment | None
    failed: Moment | None
    is_over: bool
    """Nothing of it will change what it applied: it has ended, or another has taken its place, and its commits are
    found."""


class DeliveryTelling(Telling, frozen=True, kw_only=True):
    """One commit on one target, with the sync that was asked for."""

    commit: TrackedCommit
    target: TrackedTarget
    sync: TrackedSync | None
    verdict: Verdict
    """As it is now."""
    carrier: TrackedCommit | None = None
    """The export that decides, for a source commit."""
    stated_at: datetime | None = None
    """The source commit's own time as the carrier states it."""
    build_link: str | None = None
    """The CI run that made the export."""
    applied_sync: SyncId | None = None
    healthy_sync: SyncId | None = None
    fetched: Moment | None = None
    applied: Moment | None = None
    healthy: Moment | None = None
    succeeded: Moment | None = None
    """Of the sync with which it was first deployed."""
    running: Moment | None = None
    """Of the sync that first applied it."""
    is_scope_unknown: bool = False
    is_unsure: bool = False
    """It is lost as it seems, and of a sync of its target it is not known yet what that carried."""

    def moments(self) -> dict[Stage, Moment]:
        """Return what is known up to healthy, in the order of the stages; running may come long after all is told."""
        known = {
            Stage.MERGED: self.commit.merged,
            Stage.BUILT: self.commit.built,
            Stage.EXPORTED: self.carrier.merged if self.carrier else None,
            Stage.FETCHED: self.fetched,
            Stage.APPLIED: self.applied,
            Stage.HEALTHY: self.healthy,
        }
        return {stage: moment for stage, moment in known.items() if moment is not None}


class CommitTelling(Telling, frozen=True, kw_only=True):
    """One commit with how it stands everywhere."""

    commit: TrackedCommit
    verdicts: dict[Verdict, int]
    """Its stored deliveries."""
    is_settled: bool
    """Nothing more is expected of any of them. What seems lost may still turn out to have arrived."""
    last_at: datetime | None
    """When the last verdict other than pending and unaffected came to be."""
    build_links: tuple[str, ...] = ()


class BuiltImage(Telling, frozen=True, kw_only=True):
    """The image that was built from a commit."""

    repository: str
    """`ghcr.io/acme/shop`."""
    digest: str
    """Of its index, where it has one."""
