"""The tables. The same on every engine; the migrations make exactly these.

Foreign keys stand where a row cannot mean anything without the other; the history (`transitions`) and the
pointers of a delivery outlive what they point at, so those have none.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from fluxtrail.ledger.columns import (
    Choice,
    ContentText,
    Counts,
    Detail,
    Facts,
    Id,
    Inputs,
    Instant,
    KeyText,
    MomentText,
    Pairs,
    Texts,
    VerdictCode,
)
from fluxtrail.model.ci import CiEvidence, CiRole, CiRun, CiState, CiSystem, PullRequest
from fluxtrail.model.deployment import DeploymentStatus, Told
from fluxtrail.model.image_records import ImageState
from fluxtrail.model.notices import Hook
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import AliasKind, Attribution, Cause, ExportEvidence, TransitionKind
from fluxtrail.model.report import Mode, ReportState
from fluxtrail.model.rollout import RolloutCause, RolloutState, RunningState

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


HEALED_LATER = "healthy_sync IS NOT NULL AND (applied_sync IS NULL OR healthy_sync <> applied_sync)"
"""Deliveries that were first deployed with another sync than the one that applied them: few."""
UNTOLD = "told <> 'told'"
"""Records that GitHub does not hold as they are: few, but for the first minutes."""
UNKNOWN = "told = 'unknown'"
GONE = "status = 'decommissioned'"
UNREAD = "running_state = 'unread' AND applied IS NOT NULL"
"""Syncs whose workloads are to be read again: few at any time."""
WAITING = "running_state = 'waiting'"
OPEN = "state IN ('pending', 'running')"
"""Of what was said: not final (model/status.py)."""
OPEN_RUN = "state NOT IN ('succeeded', 'failed', 'cancelled', 'skipped')"
"""Of CI runs (model/ci.py): few at any time."""
OPEN_ROLLOUT = "running IS NULL AND NOT is_dropped"
UNTRACED = "NOT is_traced"
UNHANDED = "NOT is_handed"
ALIVE = "deleted_at IS NULL"
LIVE_RUN = "until IS NULL"
DUE = "state = 'pending' OR retry_at IS NOT NULL"
"""Images to ask a registry about, now or later."""


def _partial(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


meta = Table(
    "meta",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("instance_id", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("pruned_before", Instant),
    CheckConstraint("id = 1", name="one_row"),
)

notes = Table(
    "notes",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

clusters = Table(
    "clusters",
    metadata,
    Column("uid", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("seen_at", Instant, nullable=False),
)

stream_marks = Table(
    "stream_marks",
    metadata,
    Column("cluster", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("current_at", Instant, nullable=False),
    PrimaryKeyConstraint("cluster", "kind"),
)

repositories = Table(
    "repositories",
    metadata,
    Column("id", Id, primary_key=True),
    Column("canonical", Text, nullable=False, unique=True),
    Column("url", Text, nullable=False),
    Column("default_branch", Text),
    sqlite_autoincrement=True,
)

repository_exports = Table(
    "repository_exports",
    metadata,
    Column("source_repository_id", Id, ForeignKey("repositories.id"), nullable=False),
    Column("manifests_repository_id", Id, ForeignKey("repositories.id"), nullable=False),
    PrimaryKeyConstraint("source_repository_id", "manifests_repository_id"),
)

branches = Table(
    "branches",
    metadata,
    Column("repository_id", Id, ForeignKey("repositories.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("head", Text),
    Column("looked_at", Instant),
    Column("baseline", Text),
    Column("problem", Text),
    PrimaryKeyConstraint("repository_id", "name"),
)

commits = Table(
    "commits",
    metadata,
    Column("id", Id, primary_key=True),
    Column("repository_id", Id, ForeignKey("repositories.id"), nullable=False),
    Column("sha", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("committed_at", Instant),
    Column("merged", MomentText),
    Column("merged_is_final", Boolean, nullable=False),
    Column("pull_request", Integer),
    Column("reverts", Texts, nullable=False),
    Column("is_carrier", Boolean, nullable=False),
    Column("at", Instant, nullable=False, doc="merged, else committed, else recorded: what lists are ordered by"),
    Column("built", MomentText),
    Column("build_state", Choice(CiState)),
    Column("exported", MomentText, doc="by a run that says so; an export that is known says it better"),
    UniqueConstraint("repository_id", "sha"),
    Index(None, "sha"),
    Index(None, "at", "id"),
    Index(None, "repository_id", "at", "id"),
    Index("ix_commits_pull_request", "pull_request", **_partial("pull_request IS NOT NULL")),
    sqlite_autoincrement=True,
)

aliases = Table(
    "aliases",
    metadata,
    Column("repository_id", Id, ForeignKey("repositories.id"), nullable=False),
    Column("sha", Text, nullable=False),
    Column("commit_id", Id, ForeignKey("commits.id"), nullable=False),
    Column("kind", Choice(AliasKind), nullable=False),
    PrimaryKeyConstraint("sha", "repository_id", "commit_id"),
    Index(None, "commit_id"),
)

chains = Table(
    "chains",
    metadata,
    Column("id", Id, primary_key=True),
    Column("repository_id", Id, ForeignKey("repositories.id"), nullable=False),
    Column("branch", Text, nullable=False),
    Column("next_position", BigInteger, nullable=False, doc="positions grow for ever, whatever is cut or pruned"),
    UniqueConstraint("repository_id", "branch"),
    sqlite_autoincrement=True,
)

links = Table(
    "links",
    metadata,
    Column("chain_id", Id, ForeignKey("chains.id"), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("commit_id", Id, ForeignKey("commits.id"), nullable=False),
    Column("cut_at", Instant, doc="when the commit left the branch; NULL while it stands on it"),
    PrimaryKeyConstraint("chain_id", "position"),
    Index("ix_links_commit_id", "commit_id", "chain_id"),
    Index("uq_links_standing", "chain_id", "commit_id", unique=True, **_partial("cut_at IS NULL")),
)

exports = Table(
    "exports",
    metadata,
    Column("carrier_id", Id, ForeignKey("commits.id"), nullable=False),
    Column("source_id", Id, ForeignKey("commits.id"), nullable=False),
    Column("stated_at", Instant),
    Column("build_link", Text),
    Column("evidence", Choice(ExportEvidence), doc="NULL of what was kept before this was noted"),
    PrimaryKeyConstraint("carrier_id", "source_id"),
    Index(None, "source_id"),
)

ci_runs = Table(
    "ci_runs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("system", Choice(CiSystem), nullable=False),
    Column("host", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("role", Choice(CiRole), nullable=False),
    Column("repository", Text, nullable=False, doc="canonical; it need not be followed"),
    Column("sha", Text, nullable=False),
    Column("state", Choice(CiState), nullable=False),
    Column("evidence", Choice(CiEvidence), nullable=False),
    Column("at", Instant, nullable=False, doc="queued, else started, else last changed: what lists are ordered by"),
    Column("facts", Facts(CiRun), nullable=False, doc="all of it"),
    Column("carrier", Text, doc="of an export that names its carrier: how the carrier's sha begins"),
    UniqueConstraint("system", "host", "project", "run_id", "role", "sha", name="uq_ci_runs_run"),
    Index(None, "sha", "repository"),
    Index(None, "repository", "at", "id"),
    Index(None, "at", "id"),
    Index(None, "state", "at", "id"),
    Index(None, "role", "at", "id"),
    Index(None, "system", "at", "id"),
    Index("ix_ci_runs_open", "repository", "at", **_partial(OPEN_RUN)),
    Index("ix_ci_runs_carrier", "carrier", **_partial("carrier IS NOT NULL")),
    sqlite_autoincrement=True,
)

pull_requests = Table(
    "pull_requests",
    metadata,
    Column("repository", Text, nullable=False, doc="canonical"),
    Column("number", Integer, nullable=False),
    Column("looked_at", Instant, nullable=False),
    Column("facts", Facts(PullRequest), nullable=False),
    PrimaryKeyConstraint("repository", "number"),
    Index(None, "looked_at"),
)

sources = Table(
    "sources",
    metadata,
    Column("id", Id, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("api_group", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("uid", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("repository_id", Id, ForeignKey("repositories.id")),
    Column("branch", Text),
    Column("follows_tags", Boolean, nullable=False),
    Column("is_suspended", Boolean, nullable=False),
    Column("ignore", Text),
    Column("sparse_checkout", Texts, nullable=False),
    Column("inputs", Inputs, nullable=False),
    Column("is_insecure", Boolean, nullable=False),
    Column("revision", Text),
    Column("digest", Text),
    Column("sha", Text),
    Column("problem", Text),
    Column("observed_at", Instant, nullable=False),
    Column("deleted_at", Instant),
    Column("stamp", BigInteger, nullable=False, doc="another number with each write, for readers that keep a copy"),
    UniqueConstraint("cluster", "namespace", "name", "kind", "api_group", "uid", name="uq_sources_object"),
    sqlite_autoincrement=True,
)

fetches = Table(
    "fetches",
    metadata,
    Column("source_id", Id, ForeignKey("sources.id"), nullable=False),
    Column("revision", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("fetched", MomentText, nullable=False),
    Column("at", Instant, nullable=False),
    Column("sha", Text, doc="what it is followed as"),
    Column("origin", Text, doc="the revision of the source that the artifact was made from"),
    Column("origin_url", Text),
    Column("created_at", Instant, doc="when the artifact was made, as its maker says"),
    Column("inputs", Detail, nullable=False, doc="the revision of each source it was made from, by key"),
    PrimaryKeyConstraint("source_id", "revision", "digest"),
    Index(None, "at"),
)

targets = Table(
    "targets",
    metadata,
    Column("id", Id, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("api_group", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("uid", Text, nullable=False),
    Column("lands_on", Text, nullable=False),
    Column("source", KeyText, nullable=False),
    Column("repository_id", Id, ForeignKey("repositories.id")),
    Column("branch", Text),
    Column("follows_tags", Boolean, nullable=False),
    Column("path", Text, nullable=False),
    Column("components", Texts, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("is_suspended", Boolean, nullable=False),
    Column("has_checks", Boolean, nullable=False),
    Column("attempted", Text),
    Column("attempted_sha", Text),
    Column("applied", Text),
    Column("applied_sha", Text),
    Column("applied_digest", Text),
    Column("applied_generation", BigInteger),
    Column("successes", Counts, nullable=False),
    Column("phase", Choice(Outcome), nullable=False),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("phase_since", Instant),
    Column("baseline_sha", Text),
    Column("awaits_baseline", Boolean, nullable=False),
    Column("sync_id", Id),
    Column("first_seen_at", Instant, nullable=False),
    Column("observed_at", Instant, nullable=False),
    Column("deleted_at", Instant),
    Column("stamp", BigInteger, nullable=False, doc="as in sources"),
    Column("parent", KeyText),
    Column("first_generation", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("cluster", "namespace", "name", "kind", "api_group", "uid", name="uq_targets_object"),
    sqlite_autoincrement=True,
)

syncs = Table(
    "syncs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("target_id", Id, ForeignKey("targets.id"), nullable=False),
    Column("revision", Text, nullable=False),
    Column("sha", Text),
    Column("previous", Text),
    Column("previous_sha", Text),
    Column("cause", Choice(Cause), nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("outcome", Choice(Outcome), nullable=False),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("artifact_digest", Text),
    Column("manifests_digest", Text),
    Column("is_unchanged", Boolean, nullable=False),
    Column("has_new_manifests", Boolean, nullable=False),
    Column("started", MomentText, nullable=False),
    Column("fetched", MomentText),
    Column("applied", MomentText),
    Column("healthy", MomentText),
    Column("succeeded", MomentText),
    Column("failed", MomentText),
    Column("attribution", Choice(Attribution), nullable=False),
    Column("attribution_problem", Text),
    Column("version", Integer, nullable=False),
    Column("attributed_version", Integer, nullable=False),
    Column("started_at", Instant, nullable=False, doc="`started.at`: what retention goes by"),
    Column("running", MomentText),
    # Of rows from before there was such a state: it is too late to know.
    Column("running_state", Choice(RunningState), nullable=False, server_default=RunningState.UNKNOWN.value),
    Column("action", Text, nullable=False, server_default=""),
    Column("is_remediated", Boolean, nullable=False, server_default=false()),
    Index(None, "target_id", "id"),
    Index(None, "started_at"),
    Index("ix_syncs_unattributed", "id", **_partial("attributed_version < version")),
    Index("ix_syncs_gaps", "target_id", **_partial("attribution = 'gap'")),
    Index("ix_syncs_unread", "id", **_partial(UNREAD)),
    Index("ix_syncs_waiting", "id", **_partial(WAITING)),
    sqlite_autoincrement=True,
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("target_id", Id, ForeignKey("targets.id"), nullable=False),
    Column("commit_id", Id, ForeignKey("commits.id"), nullable=False),
    Column("repository_id", Id, nullable=False, doc="the commit's, so that one repository's list is one index"),
    Column("verdict", VerdictCode, nullable=False),
    Column("since", Instant, nullable=False),
    Column("reason", Text, nullable=False),
    Column("carrier_id", Id),
    Column("applied_sync", Id),
    Column("healthy_sync", Id),
    Column("undone_by", Id),
    Column("is_scope_unknown", Boolean, nullable=False),
    Column("is_handed", Boolean, nullable=False, server_default=false()),
    PrimaryKeyConstraint("target_id", "commit_id"),
    # Every list is newest first within one verdict; several verdicts are merged from one index each.
    Index("ix_deliveries_commit", "commit_id", "verdict"),
    Index("ix_deliveries_list", "verdict", "since", "commit_id", "target_id"),
    Index("ix_deliveries_target_list", "target_id", "verdict", "since", "commit_id"),
    Index("ix_deliveries_repository_list", "repository_id", "verdict", "since", "commit_id", "target_id"),
    Index("ix_deliveries_carrier", "carrier_id", "target_id", **_partial("carrier_id IS NOT NULL")),
    Index("ix_deliveries_undone_by", "undone_by", **_partial("undone_by IS NOT NULL")),
    Index("ix_deliveries_applied_sync", "applied_sync", **_partial("applied_sync IS NOT NULL")),
    Index("ix_deliveries_healthy_sync", "healthy_sync", **_partial(HEALED_LATER)),
    sqlite_with_rowid=False,
)

transitions = Table(
    "transitions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("kind", Choice(TransitionKind), nullable=False),
    Column("target_id", Id),
    Column("commit_id", Id),
    Column("sync_id", Id),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("detail", Detail, nullable=False),
    sqlite_autoincrement=True,
)

touches = Table(
    "touches",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("commit_id", Id, nullable=False),
    Column("target_id", Id, nullable=False),
    Index(None, "at"),
    sqlite_autoincrement=True,
)

reports = Table(
    "reports",
    metadata,
    Column("id", Id, primary_key=True),
    Column("sink", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("mode", Choice(Mode), nullable=False),
    Column("state", Choice(ReportState), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("version", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False, doc="not to be tried before"),
    Column("owner", Text, doc="who has leased it"),
    Column("leased_until", Instant),
    Column("answer", Text, doc="the last one that was not a success"),
    Column("ended_at", Instant, doc="when it was sent or dropped"),
    UniqueConstraint("sink", "key"),
    Index("ix_reports_due", "sink", "due_at", "id", **_partial("state = 'waiting'")),
    Index("ix_reports_unsent", "sink", "state", "created_at", **_partial("ended_at IS NULL")),
    Index("ix_reports_ended", "ended_at", **_partial("ended_at IS NOT NULL")),
    sqlite_autoincrement=True,
)

budgets = Table(
    "budgets",
    metadata,
    Column("id", Id, primary_key=True),
    Column("budget", Text, nullable=False),
    Column("spent_at", Instant, nullable=False),
    Index(None, "budget", "spent_at", "id"),
    sqlite_autoincrement=True,
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("leased_until", Instant, nullable=False),
)

deployment_records = Table(
    "deployment_records",
    metadata,
    Column("id", Id, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("deployment_name", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("workload", Text, nullable=False),
    Column("container", Text, nullable=False),
    Column("name", Text, nullable=False, doc="the image's"),
    Column("digest", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("status", Choice(DeploymentStatus), nullable=False),
    Column("runtime_risks", Texts, nullable=False),
    Column("tags", Pairs, nullable=False),
    Column("since", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("told", Choice(Told), nullable=False),
    Column("told_content", ContentText),
    Column("told_to", Text, nullable=False),
    Column("told_at", Instant),
    Column("tries", Integer, nullable=False),
    Column("unknown_since", Instant),
    Column("retry_at", Instant),
    Column("answer", Text, nullable=False),
    UniqueConstraint("cluster", "deployment_name"),
    Index(None, "changed_at", "id"),
    Index(None, "cluster", "changed_at", "id"),
    Index(None, "cluster", "status", "told"),
    Index("ix_deployment_records_untold", "told", "changed_at", "id", **_partial(UNTOLD)),
    Index("ix_deployment_records_unknown", "digest", "cluster", "retry_at", "id", **_partial(UNKNOWN)),
    Index("ix_deployment_records_gone", "changed_at", "id", **_partial(GONE)),
    Index(None, "digest", "told"),
    sqlite_autoincrement=True,
)

workloads = Table(
    "workloads",
    metadata,
    Column("id", Id, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("api_group", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("uid", Text, nullable=False),
    Column("target_id", Id, ForeignKey("targets.id"), nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("touched_at", Instant),
    Column("images", Detail, nullable=False, doc="by container, as its template has it"),
    Column("digests", Detail, nullable=False, doc="by container, as its updated pods run it"),
    Column("state", Choice(RolloutState), nullable=False),
    Column("cause", Choice(RolloutCause)),
    Column("message", Text, nullable=False),
    Column("pod", Text, nullable=False),
    Column("container", Text, nullable=False),
    Column("since", Instant, nullable=False),
    Column("rolled_generation", BigInteger, nullable=False),
    Column("rolled", MomentText),
    Column("observed_at", Instant, nullable=False),
    Column("deleted_at", Instant),
    UniqueConstraint("cluster", "uid", "namespace", "name", "kind", "api_group", name="uq_workloads_object"),
    Index("ix_workloads_target", "target_id", "id"),
    # The list goes state by state, and every filter is answered from the index; that of a partial index too.
    Index(
        "ix_workloads_list",
        *("state", "namespace", "name", "id", "cluster", "target_id", "cause", "deleted_at"),
        **_partial(ALIVE),
    ),
    Index("ix_workloads_live", "cluster", "id", **_partial(ALIVE)),
    Index("ix_workloads_deleted", "deleted_at", "id", **_partial("deleted_at IS NOT NULL")),
    sqlite_autoincrement=True,
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("sync_id", Id, ForeignKey("syncs.id"), nullable=False),
    Column("workload_id", Id, ForeignKey("workloads.id"), nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("images_before", Detail, nullable=False),
    Column("images", Detail, nullable=False),
    Column("digests_before", Detail, nullable=False),
    Column("running", MomentText),
    Column("is_dropped", Boolean, nullable=False),
    Column("is_traced", Boolean, nullable=False),
    PrimaryKeyConstraint("sync_id", "workload_id"),
    Index("ix_rollouts_workload", "workload_id"),
    Index("ix_rollouts_open", "workload_id", "sync_id", **_partial(OPEN_ROLLOUT)),
    Index("ix_rollouts_untraced", "sync_id", "workload_id", **_partial(UNTRACED)),
    sqlite_with_rowid=False,
)

handovers = Table(
    "handovers",
    metadata,
    Column("sync_id", Id, ForeignKey("syncs.id"), nullable=False),
    Column("release_id", Id, ForeignKey("targets.id"), nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("taken_by", Id),
    Column("is_handed", Boolean, nullable=False),
    PrimaryKeyConstraint("sync_id", "release_id"),
    Index("ix_handovers_release", "release_id", "generation", "sync_id"),
    Index("ix_handovers_unhanded", "sync_id", "release_id", **_partial(UNHANDED)),
    sqlite_with_rowid=False,
)

images = Table(
    "images",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("repository", Text, nullable=False),
    Column("image", Text, nullable=False),
    Column("state", Choice(ImageState), nullable=False),
    Column("is_index", Boolean, nullable=False),
    Column("index_digest", Text),
    Column("platform", Text, nullable=False),
    Column("created_at", Instant),
    Column("source", Text),
    Column("revision", Text),
    Column("version", Text, nullable=False),
    Column("problem", Text, nullable=False),
    Column("checked_at", Instant),
    Column("retry_at", Instant),
    Column("tries", Integer, nullable=False),
    Column("head", Text, nullable=False, doc="under which digest it is listed: its index, where that is known here"),
    Column("is_running", Boolean, nullable=False, doc="of a head: whether it, or one of its platforms, runs now"),
    Column("listed_at", Instant, doc="of a head that runs or ran: when its newest run began"),
    Column("noted_at", Instant, nullable=False, doc="when the ledger first heard of it"),
    Index("ix_images_list", "is_running", "listed_at", "digest", **_partial("listed_at IS NOT NULL")),
    Index("ix_images_state", "state", "is_running", "listed_at", "digest", **_partial("listed_at IS NOT NULL")),
    Index(None, "head"),
    Index(None, "repository"),
    Index("ix_images_index_digest", "index_digest", **_partial("index_digest IS NOT NULL")),
    Index("ix_images_revision", "revision", **_partial("revision IS NOT NULL")),
    Index("ix_images_due", "retry_at", "digest", **_partial(DUE)),
    Index(None, "noted_at", "digest"),
)

image_runs = Table(
    "image_runs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("workload", Text, nullable=False),
    Column("container", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("image", Text, nullable=False),
    Column("since", Instant, nullable=False),
    Column("until", Instant),
    Column("head", Text, nullable=False, doc="as the image's"),
    Index(
        "uq_image_runs_live",
        *("cluster", "workload", "namespace", "kind", "container", "digest"),
        unique=True,
        **_partial(LIVE_RUN),
    ),
    Index("ix_image_runs_live", "cluster", "id", "namespace", "head", "until", **_partial(LIVE_RUN)),
    Index("ix_image_runs_counted", "cluster", "digest", "until", **_partial(LIVE_RUN)),
    Index("ix_image_runs_place", "workload", "cluster", "namespace", "kind", "since"),
    Index(None, "head", "until", "since"),
    Index(None, "digest"),
    Index("ix_image_runs_ended", "until", "id", **_partial("until IS NOT NULL")),
    sqlite_autoincrement=True,
)

said = Table(
    "said",
    metadata,
    Column("id", Id, primary_key=True),
    Column("sink", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("parent", Text, nullable=False, doc="what stands before the key's first slash: the commit"),
    Column("content", Text, nullable=False, doc="a digest of what was said"),
    Column("state", Text, nullable=False, doc="the word for it"),
    Column("remote_id", Text, nullable=False, doc="the receiver's own name of it: a deployment, a message"),
    Column("times", Integer, nullable=False, doc="how often something was said under this key"),
    Column("said_at", Instant, nullable=False),
    UniqueConstraint("sink", "key"),
    Index(None, "sink", "parent"),
    Index(None, "said_at"),
    Index("ix_said_open", "sink", "id", **_partial(OPEN)),
    sqlite_autoincrement=True,
)

notices = Table(
    "notices",
    metadata,
    Column("id", Id, primary_key=True),
    Column("hook", Choice(Hook), nullable=False),
    Column("sender", Text, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("key", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
