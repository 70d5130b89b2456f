"""Which deliveries on a HelmRelease came with what applied it, and not with its chart."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """A constant default leaves the rows where they are, however many there are.

    What was handed over before is taken for both: it waits for a chart that contains it, where that is of the same
    repository.
    """
    op.add_column("deliveries", sa.Column("is_handed", sa.Boolean(), server_default=sa.false(), nullable=False))
