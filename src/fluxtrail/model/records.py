"""What the ledger keeps, as values: the nouns of docs/concepts.md with their identities.

Records are plain and frozen; `trail` decides what they become, `ledger` keeps them, nobody else writes them.
Ids are given by the ledger and never reused. Times are aware UTC.
"""

from datetime import datetime
from enum import StrEnum
from typing import NewType

import msgspec

from fluxtrail.model.ci import CiState
from fluxtrail.model.moment import Moment
from fluxtrail.model.observation import ClusterUid, ObjectKey, ObjectUid
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.rollout import RunningState
from fluxtrail.model.sources import SourceInput
from fluxtrail.model.verdict import Verdict

RepositoryId = NewType("RepositoryId", int)
CommitId = NewType("CommitId", int)
SourceId = NewType("SourceId", int)
TargetId = NewType("TargetId", int)
SyncId = NewType("SyncId", int)

UNSAVED = 0
"""The id of a record that the ledger has not seen yet."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all records; `msgspec.structs.replace` makes the next version of one."""


class RepositoryRecord(Record, frozen=True, kw_only=True):
    id: RepositoryId
    canonical: str
    """`github.com/acme/shop`: one repository, whatever the form of its URL."""
    url: str
    """How it is fetched; no userinfo. Empty for a source repository that is only known from exports."""
    default_branch: str | None = None

    @property
    def is_artifact(self) -> bool:
        """True for a place of artifacts (`oci://…`): each is a change of its own, and there is no git to ask."""
        return "://" in self.canonical


class BranchRecord(Record, frozen=True, kw_only=True):
    """A followed branch and how far it has been read."""

    repository_id: RepositoryId
    name: str
    head: str | None
    """The sha the ledger's chain ends with."""
    looked_at: datetime | None
    """When the remote was last asked; a later move happened after this."""
    baseline: str | None = None
    """The head when the branch was first read: of what stands up to it, no history is claimed."""
    problem: str | None = None
    """Why it cannot be read now, for people; None while it can."""


class CommitRecord(Record, frozen=True, kw_only=True):
    id: CommitId
    repository_id: RepositoryId
    sha: str
    subject: str = ""
    author: str = ""
    committed_at: datetime | None = None
    merged: Moment | None = None
    """Best evidence known. Frozen once a figure was made from it (`merged_is_final`)."""
    merged_is_final: bool = False
    pull_request: int | None = None
    reverts: tuple[str, ...] = ()
    """Full shas that its message says it reverts."""
    is_carrier: bool = False
    """An export or another carrier: followed, but without a lead time of its own."""
    built: Moment | None = None
    """When what is delivered of it was built (`model/ci.py`)."""
    build_state: CiState | None = None
    """How its builds stand together; None where no run of it is known."""
    exported: Moment | None = None
    """When a run had exported it (`model/ci.py`); a carrier that is known says it better."""


class AliasKind(StrEnum):
    MERGED = "merged"
    """Came in by another parent of a merge."""
    PULL_REQUEST = "pull_request"
    """A commit of the pull request that was squashed or rebased into it."""


class ExportEvidence(StrEnum):
    """How it is known that a carrier was made from a source commit."""

    EXPORTER_INFO = "exporter_info"
    """The carrier says so, in a file or a layer of its own."""
    HYDRATOR = "hydrator_metadata"
    """Likewise, in the file of a hydrator."""
    ORIGIN = "artifact_origin"
    """An artifact is annotated so."""
    INPUT = "artifact_input"
    """The artifact's generator names the sources that it is made from."""
    IMAGE = "image"
    """An image that came with the carrier is labelled so."""
    STATED = "stated"
    """A CI run says that it exported the one as the other."""


class ExportRecord(Record, frozen=True, kw_only=True):
    """That a carrier was made from a source commit."""

    carrier_id: CommitId
    source_id: CommitId
    stated_at: datetime | None
    """The source commit's time as the carrier states it (`exporter-info`)."""
    build_link: str | None = None
    evidence: ExportEvidence | None = None
    """None of what was kept before this was noted."""


class SourceRecord(Record, frozen=True, kw_only=True):
    """A Flux source and what it fetched last."""

    id: SourceId
    cluster: ClusterUid
    key: ObjectKey
    uid: ObjectUid
    url: str
    repository_id: RepositoryId | None
    branch: str | None
    """The followed branch; None where tags or a pinned commit are followed."""
    follows_tags: bool
    is_suspended: bool
    ignore: str | None
    sparse_checkout: tuple[str, ...]
    inputs: tuple[SourceInput, ...] = ()
    """Other sources that its artifacts are made from."""
    is_insecure: bool = False
    """Its registry speaks plain HTTP."""
    revision: str | None
    digest: str | None
    sha: str | None = None
    """What its present artifact is followed as: a commit, or the artifact itself (see `followed_sha`)."""
    problem: str | None
    """The message of a failing fetch; None while all is well."""
    observed_at: datetime
    deleted_at: datetime | None = None


class FetchRecord(Record, frozen=True, kw_only=True):
    """An artifact that a source had fetched (or made), and what its maker says of it."""

    source_id: SourceId
    revision: str
    digest: str
    fetched: Moment
    """The earliest ever seen."""
    sha: str | None = None
    """What it is followed as: a commit, or the artifact itself (see `followed_sha`)."""
    origin: str | None = None
    """The revision of the source that it was made from, as annotated."""
    origin_url: str | None = None
    created_at: datetime | None = None
    """When it was made, as annotated."""
    inputs: dict[str, str] = {}
    """The revision of each source it was made from, by the source's key as text."""


class TargetRecord(Record, frozen=True, kw_only=True):
    """A Kustomization or a HelmRelease as the follower last saw it: what a change is compared with.

    Of a HelmRelease: `source` is its chart (HelmChart or OCIRepository), revisions are those of the chart's artifact,
    `applied_digest` is that of its values (`configDigest`), and there is neither path nor component.
    """

    id: TargetId
    cluster: ClusterUid
    """The cluster whose API server has the object."""
    key: ObjectKey
    uid: ObjectUid
    lands_on: str
    """Where its manifests go: `cluster`'s uid, or `<uid>/<namespace>/<secret>` for a remote cluster."""
    source: ObjectKey
    repository_id: RepositoryId | None
    branch: str | None
    follows_tags: bool
    path: str
    components: tuple[str, ...]
    generation: int
    is_suspended: bool
    has_checks: bool
    attempted: str | None
    attempted_sha: str | None = None
    """What it is followed as, as `applied_sha`."""
    applied: str | None
    """`lastAppliedRevision` as last seen."""
    applied_sha: str | None = None
    """What it is followed as: a commit, or the artifact itself; None where that is not known (yet)."""
    applied_digest: str | None
    """Digest of the manifests of the last success; None where Flux keeps no history."""
    applied_generation: int | None
    successes: dict[str, int] = {}
    """How often each of the manifests in its history had succeeded when it was last seen, by digest.

    Of a HelmRelease: the newest Helm release, as `{<when it was deployed>: <its number>}`.
    """
    phase: Outcome
    reason: str
    message: str
    phase_since: datetime | None
    baseline_sha: str | None
    """The first applied commit ever seen under the present source, ref and path: no history is claimed before it."""
    awaits_baseline: bool
    """Re-pointed, or never applied: the next applied revision is a baseline."""
    sync_id: SyncId | None
    """The newest sync."""
    parent: ObjectKey | None = None
    """The Kustomization (or HelmRelease) that applied the object itself, as its labels say."""
    first_generation: int = 0
    """Its generation when it was first seen; 0 of an object that was made while its cluster was watched."""
    first_seen_at: datetime
    observed_at: datetime
    deleted_at: datetime | None = None


class Cause(StrEnum):
    BASELINE = "baseline"
    REVISION = "revision"
    CONFIGURATION = "configuration"
    """The same revision gave other manifests: something but a commit changed."""


class Attribution(StrEnum):
    PENDING = "pending"
    DONE = "done"
    GAP = "gap"
    """Given up: which commits it carried will stay unknown; counted and shown."""


class SyncRecord(Record, frozen=True, kw_only=True):
    """One revision on one target, from the first sign of it to its end."""

    id: SyncId
    target_id: TargetId
    revision: str
    sha: str | None
    """What the revision is followed as: a commit, or the artifact itself; None where that is not known (yet)."""
    previous: str | None
    """`lastAppliedRevision` when it began."""
    previous_sha: str | None
    cause: Cause
    generation: int
    outcome: Outcome
    reason: str = ""
    message: str = ""
    artifact_digest: str | None = None
    manifests_digest: str | None = None
    is_unchanged: bool = False
    """The manifests and the spec's generation are the same immediately before and after: nobody is affected."""
    has_new_manifests: bool = False
    """Other manifests than before, from the same spec: something in the revision made them."""
    started: Moment
    fetched: Moment | None = None
    applied: Moment | None = None
    healthy: Moment | None = None
    succeeded: Moment | None = None
    """When Ready became True for it: what flux-commit-tracker calls the apply time."""
    failed: Moment | None = None
    running: Moment | None = None
    """When all workloads that it changed had rolled out. Set once, by `note_running` alone."""
    running_state: RunningState = RunningState.UNREAD
    """As `running`: written by `note_running` alone."""
    action: str = ""
    """Of a HelmRelease: `install`, `upgrade`, `rollback`, `uninstall`."""
    is_remediated: bool = False
    """Of a HelmRelease: it failed, and Flux rolled it back or uninstalled it."""
    attribution: Attribution = Attribution.PENDING
    attribution_problem: str | None = None
    version: int = 0
    """Grows with each change; attribution notes which version it has dealt with."""
    attributed_version: int = -1


class DeliveryRecord(Record, frozen=True, kw_only=True):
    """One commit on one target, stored where the target is (or was) affected.

    Its moments are not repeated here: merged is the commit's, exported the carrier's, fetched, applied and
    healthy are those of the syncs named.
    """

    commit_id: CommitId
    target_id: TargetId
    verdict: Verdict
    since: datetime
    """When the verdict became what it is."""
    reason: str = ""
    """Flux's reason of a failure; else empty."""
    carrier_id: CommitId | None = None
    """The export whose containment decides, for a source commit."""
    applied_sync: SyncId | None = None
    """The sync that first applied it: set once."""
    healthy_sync: SyncId | None = None
    """The sync with which it was first deployed: set once."""
    undone_by: CommitId | None = None
    is_scope_unknown: bool = False
    is_handed: bool = False
    """On a HelmRelease: it came with what applies the release, and the chart does not have it."""


class TransitionKind(StrEnum):
    COMMIT_SEEN = "commit_seen"
    VERDICT = "verdict"
    APPLIED = "applied"
    """A commit's manifests were applied (before its health is known)."""
    RUNNING = "running"
    """All workloads that the sync which applied it changed have rolled out."""
    UNDONE = "undone"
    SYNC = "sync"
    TARGET = "target"
    """Suspended, resumed, waiting, re-pointed, deleted."""
    BRANCH_REWRITTEN = "branch_rewritten"
    BUILT = "built"
    """A commit's builds stand otherwise than before: `before` and `after` are a `CiState`."""


class Transition(Record, frozen=True, kw_only=True):
    """One line of the history. The ledger gives growing ids; nothing is ever changed."""

    id: int = UNSAVED
    at: datetime
    kind: TransitionKind
    target_id: TargetId | None = None
    commit_id: CommitId | None = None
    sync_id: SyncId | None = None
    before: str = ""
    after: str = ""
    detail: dict[str, str] = {}
