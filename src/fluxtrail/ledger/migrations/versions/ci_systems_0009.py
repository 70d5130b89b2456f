"""An index of the runs of one CI system."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    # For a while 0008 made it too.
    op.create_index("ix_ci_runs_system_at_id", "ci_runs", ["system", "at", "id"], if_not_exists=True)
