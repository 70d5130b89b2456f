"""The first schema."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _partial(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    _create_clusters()
    _create_meta()
    _create_notes()
    _create_repositories()
    _create_stream_marks()
    _create_transitions()
    _create_branches()
    _create_chains()
    _create_commits()
    _create_repository_exports()
    _create_sources()
    _create_targets()
    _create_aliases()
    _create_deliveries()
    _create_exports()
    _create_fetches()
    _create_links()
    _create_syncs()
    _create_touches()
    _create_reports()
    _create_budgets()
    _create_leases()


def _create_clusters() -> None:
    op.create_table(
        "clusters",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("uid", name="pk_clusters"),
    )


def _create_meta() -> None:
    op.create_table(
        "meta",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("instance_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("pruned_before", sa.BigInteger()),
        sa.CheckConstraint("id = 1", name=op.f("ck_meta_one_row")),
        sa.PrimaryKeyConstraint("id", name="pk_meta"),
    )


def _create_notes() -> None:
    op.create_table(
        "notes",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_notes"),
    )


def _create_repositories() -> None:
    op.create_table(
        "repositories",
        sa.Column("id", ID, nullable=False),
        sa.Column("canonical", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("default_branch", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_repositories"),
        sa.UniqueConstraint("canonical", name="uq_repositories_canonical"),
        sqlite_autoincrement=True,
    )


def _create_stream_marks() -> None:
    op.create_table(
        "stream_marks",
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("current_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("cluster", "kind", name="pk_stream_marks"),
    )


def _create_transitions() -> None:
    op.create_table(
        "transitions",
        sa.Column("id", ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("target_id", ID),
        sa.Column("commit_id", ID),
        sa.Column("sync_id", ID),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_transitions"),
        sqlite_autoincrement=True,
    )


def _create_branches() -> None:
    op.create_table(
        "branches",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("head", sa.Text()),
        sa.Column("looked_at", sa.BigInteger()),
        sa.Column("baseline", sa.Text()),
        sa.Column("problem", sa.Text()),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name="fk_branches_repository_id"),
        sa.PrimaryKeyConstraint("repository_id", "name", name="pk_branches"),
    )


def _create_chains() -> None:
    op.create_table(
        "chains",
        sa.Column("id", ID, nullable=False),
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("branch", sa.Text(), nullable=False),
        sa.Column("next_position", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name="fk_chains_repository_id"),
        sa.PrimaryKeyConstraint("id", name="pk_chains"),
        sa.UniqueConstraint("repository_id", "branch", name="uq_chains_repository_id_branch"),
        sqlite_autoincrement=True,
    )


def _create_commits() -> None:
    op.create_table(
        "commits",
        sa.Column("id", ID, nullable=False),
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("sha", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("committed_at", sa.BigInteger()),
        sa.Column("merged", sa.Text()),
        sa.Column("merged_is_final", sa.Boolean(), nullable=False),
        sa.Column("pull_request", sa.Integer()),
        sa.Column("reverts", sa.Text(), nullable=False),
        sa.Column("is_carrier", sa.Boolean(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name="fk_commits_repository_id"),
        sa.PrimaryKeyConstraint("id", name="pk_commits"),
        sa.UniqueConstraint("repository_id", "sha", name="uq_commits_repository_id_sha"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_commits_at_id", "commits", ["at", "id"])
    op.create_index("ix_commits_pull_request", "commits", ["pull_request"], **_partial("pull_request IS NOT NULL"))
    op.create_index("ix_commits_repository_id_at_id", "commits", ["repository_id", "at", "id"])
    op.create_index("ix_commits_sha", "commits", ["sha"])


def _create_repository_exports() -> None:
    op.create_table(
        "repository_exports",
        sa.Column("source_repository_id", ID, nullable=False),
        sa.Column("manifests_repository_id", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["manifests_repository_id"], ["repositories.id"], name="fk_repository_exports_manifests_repository_id"
        ),
        sa.ForeignKeyConstraint(
            ["source_repository_id"], ["repositories.id"], name="fk_repository_exports_source_repository_id"
        ),
        sa.PrimaryKeyConstraint("source_repository_id", "manifests_repository_id", name="pk_repository_exports"),
    )


def _create_sources() -> None:
    op.create_table(
        "sources",
        sa.Column("id", ID, nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("api_group", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("repository_id", ID),
        sa.Column("branch", sa.Text()),
        sa.Column("follows_tags", sa.Boolean(), nullable=False),
        sa.Column("is_suspended", sa.Boolean(), nullable=False),
        sa.Column("ignore", sa.Text()),
        sa.Column("sparse_checkout", sa.Text(), nullable=False),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("is_insecure", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Text()),
        sa.Column("digest", sa.Text()),
        sa.Column("sha", sa.Text()),
        sa.Column("problem", sa.Text()),
        sa.Column("observed_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger()),
        sa.Column("stamp", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name="fk_sources_repository_id"),
        sa.PrimaryKeyConstraint("id", name="pk_sources"),
        sa.UniqueConstraint("cluster", "namespace", "name", "kind", "api_group", "uid", name="uq_sources_object"),
        sqlite_autoincrement=True,
    )


def _create_targets() -> None:
    op.create_table(
        "targets",
        sa.Column("id", ID, nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("api_group", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("lands_on", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("repository_id", ID),
        sa.Column("branch", sa.Text()),
        sa.Column("follows_tags", sa.Boolean(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("components", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("is_suspended", sa.Boolean(), nullable=False),
        sa.Column("has_checks", sa.Boolean(), nullable=False),
        sa.Column("attempted", sa.Text()),
        sa.Column("attempted_sha", sa.Text()),
        sa.Column("applied", sa.Text()),
        sa.Column("applied_sha", sa.Text()),
        sa.Column("applied_digest", sa.Text()),
        sa.Column("applied_generation", sa.BigInteger()),
        sa.Column("successes", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("phase_since", sa.BigInteger()),
        sa.Column("baseline_sha", sa.Text()),
        sa.Column("awaits_baseline", sa.Boolean(), nullable=False),
        sa.Column("sync_id", ID),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("observed_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger()),
        sa.Column("stamp", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name="fk_targets_repository_id"),
        sa.PrimaryKeyConstraint("id", name="pk_targets"),
        sa.UniqueConstraint("cluster", "namespace", "name", "kind", "api_group", "uid", name="uq_targets_object"),
        sqlite_autoincrement=True,
    )


def _create_aliases() -> None:
    op.create_table(
        "aliases",
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("sha", sa.Text(), nullable=False),
        sa.Column("commit_id", ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["commit_id"], ["commits.id"], name="fk_aliases_commit_id"),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], name="fk_aliases_repository_id"),
        sa.PrimaryKeyConstraint("sha", "repository_id", "commit_id", name="pk_aliases"),
    )
    op.create_index("ix_aliases_commit_id", "aliases", ["commit_id"])


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("target_id", ID, nullable=False),
        sa.Column("commit_id", ID, nullable=False),
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("verdict", sa.SmallInteger(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("carrier_id", ID),
        sa.Column("applied_sync", ID),
        sa.Column("healthy_sync", ID),
        sa.Column("undone_by", ID),
        sa.Column("is_scope_unknown", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["commit_id"], ["commits.id"], name="fk_deliveries_commit_id"),
        sa.ForeignKeyConstraint(["target_id"], ["targets.id"], name="fk_deliveries_target_id"),
        sa.PrimaryKeyConstraint("target_id", "commit_id", name="pk_deliveries"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_deliveries_applied_sync", "deliveries", ["applied_sync"], **_partial("applied_sync IS NOT NULL")
    )
    op.create_index(
        "ix_deliveries_carrier", "deliveries", ["carrier_id", "target_id"], **_partial("carrier_id IS NOT NULL")
    )
    op.create_index("ix_deliveries_commit", "deliveries", ["commit_id", "verdict"])
    op.create_index(
        "ix_deliveries_healthy_sync",
        "deliveries",
        ["healthy_sync"],
        **_partial("healthy_sync IS NOT NULL AND (applied_sync IS NULL OR healthy_sync <> applied_sync)"),
    )
    op.create_index("ix_deliveries_list", "deliveries", ["verdict", "since", "commit_id", "target_id"])
    op.create_index(
        "ix_deliveries_repository_list", "deliveries", ["repository_id", "verdict", "since", "commit_id", "target_id"]
    )
    op.create_index("ix_deliveries_target_list", "deliveries", ["target_id", "verdict", "since", "commit_id"])
    op.create_index("ix_deliveries_undone_by", "deliveries", ["undone_by"], **_partial("undone_by IS NOT NULL"))


def _create_exports() -> None:
    op.create_table(
        "exports",
        sa.Column("carrier_id", ID, nullable=False),
        sa.Column("source_id", ID, nullable=False),
        sa.Column("stated_at", sa.BigInteger()),
        sa.Column("build_link", sa.Text()),
        sa.ForeignKeyConstraint(["carrier_id"], ["commits.id"], name="fk_exports_carrier_id"),
        sa.ForeignKeyConstraint(["source_id"], ["commits.id"], name="fk_exports_source_id"),
        sa.PrimaryKeyConstraint("carrier_id", "source_id", name="pk_exports"),
    )
    op.create_index("ix_exports_source_id", "exports", ["source_id"])


def _create_fetches() -> None:
    op.create_table(
        "fetches",
        sa.Column("source_id", ID, nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("fetched", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("sha", sa.Text()),
        sa.Column("origin", sa.Text()),
        sa.Column("origin_url", sa.Text()),
        sa.Column("created_at", sa.BigInteger()),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name="fk_fetches_source_id"),
        sa.PrimaryKeyConstraint("source_id", "revision", "digest", name="pk_fetches"),
    )
    op.create_index("ix_fetches_at", "fetches", ["at"])


def _create_links() -> None:
    op.create_table(
        "links",
        sa.Column("chain_id", ID, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("commit_id", ID, nullable=False),
        sa.Column("cut_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(["chain_id"], ["chains.id"], name="fk_links_chain_id"),
        sa.ForeignKeyConstraint(["commit_id"], ["commits.id"], name="fk_links_commit_id"),
        sa.PrimaryKeyConstraint("chain_id", "position", name="pk_links"),
    )
    op.create_index("ix_links_commit_id", "links", ["commit_id", "chain_id"])
    op.create_index("uq_links_standing", "links", ["chain_id", "commit_id"], unique=True, **_partial("cut_at IS NULL"))


def _create_syncs() -> None:
    op.create_table(
        "syncs",
        sa.Column("id", ID, nullable=False),
        sa.Column("target_id", ID, nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("sha", sa.Text()),
        sa.Column("previous", sa.Text()),
        sa.Column("previous_sha", sa.Text()),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("artifact_digest", sa.Text()),
        sa.Column("manifests_digest", sa.Text()),
        sa.Column("is_unchanged", sa.Boolean(), nullable=False),
        sa.Column("has_new_manifests", sa.Boolean(), nullable=False),
        sa.Column("started", sa.Text(), nullable=False),
        sa.Column("fetched", sa.Text()),
        sa.Column("applied", sa.Text()),
        sa.Column("healthy", sa.Text()),
        sa.Column("succeeded", sa.Text()),
        sa.Column("failed", sa.Text()),
        sa.Column("attribution", sa.Text(), nullable=False),
        sa.Column("attribution_problem", sa.Text()),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("attributed_version", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["target_id"], ["targets.id"], name="fk_syncs_target_id"),
        sa.PrimaryKeyConstraint("id", name="pk_syncs"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_syncs_gaps", "syncs", ["target_id"], **_partial("attribution = 'gap'"))
    op.create_index("ix_syncs_started_at", "syncs", ["started_at"])
    op.create_index("ix_syncs_target_id_id", "syncs", ["target_id", "id"])
    op.create_index("ix_syncs_unattributed", "syncs", ["id"], **_partial("attributed_version < version"))


def _create_touches() -> None:
    op.create_table(
        "touches",
        sa.Column("id", ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("commit_id", ID, nullable=False),
        sa.Column("target_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_touches"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_touches_at", "touches", ["at"])


def _create_reports() -> None:
    op.create_table(
        "reports",
        sa.Column("id", ID, nullable=False),
        sa.Column("sink", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.Text()),
        sa.Column("leased_until", sa.BigInteger()),
        sa.Column("answer", sa.Text()),
        sa.Column("ended_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_reports"),
        sa.UniqueConstraint("sink", "key", name="uq_reports_sink_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_reports_due", "reports", ["sink", "due_at", "id"], **_partial("state = 'waiting'"))
    op.create_index("ix_reports_ended", "reports", ["ended_at"], **_partial("ended_at IS NOT NULL"))
    op.create_index("ix_reports_unsent", "reports", ["sink", "state", "created_at"], **_partial("ended_at IS NULL"))


def _create_budgets() -> None:
    op.create_table(
        "budgets",
        sa.Column("id", ID, nullable=False),
        sa.Column("budget", sa.Text(), nullable=False),
        sa.Column("spent_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_budgets"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_budgets_budget_spent_at_id", "budgets", ["budget", "spent_at", "id"])


def _create_leases() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("leased_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
