"""Runs of CI pipelines, pull requests, and when commits were built."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _partial(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    op.add_column("commits", sa.Column("built", sa.Text()))
    op.add_column("commits", sa.Column("build_state", sa.Text()))
    op.create_table(
        "ci_runs",
        sa.Column("id", ID, nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("sha", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ci_runs"),
        sa.UniqueConstraint("system", "host", "project", "run_id", "role", name="uq_ci_runs_run"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ci_runs_sha_repository", "ci_runs", ["sha", "repository"])
    op.create_index("ix_ci_runs_at_id", "ci_runs", ["at", "id"])
    is_open = "state NOT IN ('succeeded', 'failed', 'cancelled', 'skipped')"
    op.create_index("ix_ci_runs_open", "ci_runs", ["repository", "at"], **_partial(is_open))
    op.create_table(
        "pull_requests",
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("looked_at", sa.BigInteger(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("repository", "number", name="pk_pull_requests"),
    )
    op.create_index("ix_pull_requests_looked_at", "pull_requests", ["looked_at"])
