"""What runs: the last stage of syncs, workloads and what a sync changed of them, releases, images."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _partial(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    _extend_syncs()
    op.add_column("targets", sa.Column("parent", sa.Text()))
    op.add_column("targets", sa.Column("first_generation", sa.BigInteger(), server_default="0", nullable=False))
    op.create_index("ix_deployment_records_digest_told", "deployment_records", ["digest", "told"])
    _create_workloads()
    _create_rollouts()
    _create_handovers()
    _create_images()
    _create_image_runs()


def _extend_syncs() -> None:
    """Give syncs their last stage; constant defaults leave the rows where they are, however many there are.

    What ran long ago cannot be known any more: `unknown`, where a new row says `unread`.
    """
    op.add_column("syncs", sa.Column("running", sa.Text()))
    op.add_column("syncs", sa.Column("running_state", sa.Text(), server_default="unknown", nullable=False))
    op.add_column("syncs", sa.Column("action", sa.Text(), server_default="", nullable=False))
    op.add_column("syncs", sa.Column("is_remediated", sa.Boolean(), server_default=sa.false(), nullable=False))
    is_unread = _partial("running_state = 'unread' AND applied IS NOT NULL")
    op.create_index("ix_syncs_unread", "syncs", ["id"], **is_unread)
    op.create_index("ix_syncs_waiting", "syncs", ["id"], **_partial("running_state = 'waiting'"))


def _create_workloads() -> None:
    op.create_table(
        "workloads",
        sa.Column("id", ID, nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("api_group", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("target_id", ID, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("touched_at", sa.BigInteger()),
        sa.Column("images", sa.Text(), nullable=False),
        sa.Column("digests", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text()),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("pod", sa.Text(), nullable=False),
        sa.Column("container", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("rolled_generation", sa.BigInteger(), nullable=False),
        sa.Column("rolled", sa.Text()),
        sa.Column("observed_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_workloads"),
        sa.ForeignKeyConstraint(["target_id"], ["targets.id"], name="fk_workloads_target_id"),
        sa.UniqueConstraint(*("cluster", "uid", "namespace", "name", "kind", "api_group"), name="uq_workloads_object"),
        sqlite_autoincrement=True,
    )
    listed = ["state", "namespace", "name", "id", "cluster", "target_id", "cause", "deleted_at"]
    op.create_index("ix_workloads_target", "workloads", ["target_id", "id"])
    op.create_index("ix_workloads_list", "workloads", listed, **_partial("deleted_at IS NULL"))
    op.create_index("ix_workloads_live", "workloads", ["cluster", "id"], **_partial("deleted_at IS NULL"))
    op.create_index("ix_workloads_deleted", "workloads", ["deleted_at", "id"], **_partial("deleted_at IS NOT NULL"))


def _create_rollouts() -> None:
    op.create_table(
        "rollouts",
        sa.Column("sync_id", ID, nullable=False),
        sa.Column("workload_id", ID, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("images_before", sa.Text(), nullable=False),
        sa.Column("images", sa.Text(), nullable=False),
        sa.Column("digests_before", sa.Text(), nullable=False),
        sa.Column("running", sa.Text()),
        sa.Column("is_dropped", sa.Boolean(), nullable=False),
        sa.Column("is_traced", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("sync_id", "workload_id", name="pk_rollouts"),
        sa.ForeignKeyConstraint(["sync_id"], ["syncs.id"], name="fk_rollouts_sync_id"),
        sa.ForeignKeyConstraint(["workload_id"], ["workloads.id"], name="fk_rollouts_workload_id"),
        sqlite_with_rowid=False,
    )
    is_open = _partial("running IS NULL AND NOT is_dropped")
    op.create_index("ix_rollouts_workload", "rollouts", ["workload_id"])
    op.create_index("ix_rollouts_open", "rollouts", ["workload_id", "sync_id"], **is_open)
    op.create_index("ix_rollouts_untraced", "rollouts", ["sync_id", "workload_id"], **_partial("NOT is_traced"))


def _create_handovers() -> None:
    op.create_table(
        "handovers",
        sa.Column("sync_id", ID, nullable=False),
        sa.Column("release_id", ID, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("taken_by", ID),
        sa.Column("is_handed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("sync_id", "release_id", name="pk_handovers"),
        sa.ForeignKeyConstraint(["sync_id"], ["syncs.id"], name="fk_handovers_sync_id"),
        sa.ForeignKeyConstraint(["release_id"], ["targets.id"], name="fk_handovers_release_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_handovers_release", "handovers", ["release_id", "generation", "sync_id"])
    op.create_index("ix_handovers_unhanded", "handovers", ["sync_id", "release_id"], **_partial("NOT is_handed"))


def _create_images() -> None:
    op.create_table(
        "images",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("image", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("is_index", sa.Boolean(), nullable=False),
        sa.Column("index_digest", sa.Text()),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger()),
        sa.Column("source", sa.Text()),
        sa.Column("revision", sa.Text()),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("checked_at", sa.BigInteger()),
        sa.Column("retry_at", sa.BigInteger()),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("head", sa.Text(), nullable=False),
        sa.Column("is_running", sa.Boolean(), nullable=False),
        sa.Column("listed_at", sa.BigInteger()),
        sa.Column("noted_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_images"),
    )
    is_listed, is_due = _partial("listed_at IS NOT NULL"), _partial("state = 'pending' OR retry_at IS NOT NULL")
    op.create_index("ix_images_list", "images", ["is_running", "listed_at", "digest"], **is_listed)
    op.create_index("ix_images_head", "images", ["head"])
    op.create_index("ix_images_repository", "images", ["repository"])
    op.create_index("ix_images_index_digest", "images", ["index_digest"], **_partial("index_digest IS NOT NULL"))
    op.create_index("ix_images_revision", "images", ["revision"], **_partial("revision IS NOT NULL"))
    op.create_index("ix_images_due", "images", ["retry_at", "digest"], **is_due)
    op.create_index("ix_images_noted_at_digest", "images", ["noted_at", "digest"])


def _create_image_runs() -> None:
    op.create_table(
        "image_runs",
        sa.Column("id", ID, nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("workload", sa.Text(), nullable=False),
        sa.Column("container", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("image", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger()),
        sa.Column("head", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_image_runs"),
        sqlite_autoincrement=True,
    )
    place = ["cluster", "workload", "namespace", "kind", "container", "digest"]
    op.create_index("uq_image_runs_live", "image_runs", place, unique=True, **_partial("until IS NULL"))
    live = ["cluster", "id", "namespace", "head", "until"]
    op.create_index("ix_image_runs_live", "image_runs", live, **_partial("until IS NULL"))
    op.create_index("ix_image_runs_counted", "image_runs", ["cluster", "digest", "until"], **_partial("until IS NULL"))
    op.create_index("ix_image_runs_place", "image_runs", ["workload", "cluster", "namespace", "kind", "since"])
    op.create_index("ix_image_runs_head_until_since", "image_runs", ["head", "until", "since"])
    op.create_index("ix_image_runs_digest", "image_runs", ["digest"])
    op.create_index("ix_image_runs_ended", "image_runs", ["until", "id"], **_partial("until IS NOT NULL"))
