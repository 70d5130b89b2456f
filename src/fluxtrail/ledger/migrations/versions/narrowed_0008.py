"""Indexes of lists that are narrowed to what is rare."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_index("ix_ci_runs_state_at_id", "ci_runs", ["state", "at", "id"])
    op.create_index("ix_ci_runs_role_at_id", "ci_runs", ["role", "at", "id"])
    is_listed = sa.text("listed_at IS NOT NULL")
    op.create_index(
        "ix_images_state",
        "images",
        ["state", "is_running", "listed_at", "digest"],
        sqlite_where=is_listed,
        postgresql_where=is_listed,
    )
