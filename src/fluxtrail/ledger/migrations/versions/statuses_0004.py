"""What outside systems were told of commits, and what they tell us."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _partial(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    op.create_table(
        "said",
        sa.Column("id", ID, nullable=False),
        sa.Column("sink", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("parent", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("remote_id", sa.Text(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("said_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_said"),
        sa.UniqueConstraint("sink", "key", name="uq_said_sink_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_said_sink_parent", "said", ["sink", "parent"])
    op.create_index("ix_said_said_at", "said", ["said_at"])
    is_open = "state IN ('pending', 'running')"
    op.create_index("ix_said_open", "said", ["sink", "id"], **_partial(is_open))
    op.create_table(
        "notices",
        sa.Column("id", ID, nullable=False),
        sa.Column("hook", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_notices"),
        sqlite_autoincrement=True,
    )
