"""What is told of deployments."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TABLE = "deployment_records"


def _partial(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("id", ID, nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("deployment_name", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("workload", sa.Text(), nullable=False),
        sa.Column("container", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("runtime_risks", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("told_content", sa.Text()),
        sa.Column("told_to", sa.Text(), nullable=False),
        sa.Column("told_at", sa.BigInteger()),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("unknown_since", sa.BigInteger()),
        sa.Column("retry_at", sa.BigInteger()),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deployment_records"),
        sa.UniqueConstraint("cluster", "deployment_name", name="uq_deployment_records_cluster_deployment_name"),
        sqlite_autoincrement=True,
    )
    _create_indexes()


def _create_indexes() -> None:
    op.create_index("ix_deployment_records_changed_at_id", TABLE, ["changed_at", "id"])
    op.create_index("ix_deployment_records_cluster_changed_at_id", TABLE, ["cluster", "changed_at", "id"])
    op.create_index("ix_deployment_records_cluster_status_told", TABLE, ["cluster", "status", "told"])
    is_unknown = _partial("told = 'unknown'")
    op.create_index("ix_deployment_records_unknown", TABLE, ["digest", "cluster", "retry_at", "id"], **is_unknown)
    is_untold = _partial("told <> 'told'")
    op.create_index("ix_deployment_records_untold", TABLE, ["told", "changed_at", "id"], **is_untold)
    is_gone = _partial("status = 'decommissioned'")
    op.create_index("ix_deployment_records_gone", TABLE, ["changed_at", "id"], **is_gone)
