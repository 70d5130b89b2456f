"""Runs that export several commits at once, when commits were exported by a run, and runs by their repository."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_RUN = ("system", "host", "project", "run_id", "role")


def upgrade() -> None:
    op.add_column("commits", sa.Column("exported", sa.Text()))
    with op.batch_alter_table("ci_runs", table_kwargs={"sqlite_autoincrement": True}) as runs:
        runs.drop_constraint("uq_ci_runs_run", type_="unique")
        runs.create_unique_constraint("uq_ci_runs_run", [*_RUN, "sha"])
    op.create_index("ix_ci_runs_repository_at_id", "ci_runs", ["repository", "at", "id"])
