"""How an export is known, and what runs say that they made in manifests repositories."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_FILL = {
    "sqlite": """
        UPDATE ci_runs SET carrier = substr(json_extract(facts, '$.carrier_sha'), 1, 7)
        WHERE role = 'export' AND json_extract(facts, '$.carrier_sha') <> ''
    """,
    "postgresql": """
        UPDATE ci_runs SET carrier = substr(facts::json ->> 'carrier_sha', 1, 7)
        WHERE role = 'export' AND facts::json ->> 'carrier_sha' <> ''
    """,
}


def upgrade() -> None:
    op.add_column("exports", sa.Column("evidence", sa.Text()))
    op.add_column("ci_runs", sa.Column("carrier", sa.Text()))
    op.execute(_FILL[op.get_bind().dialect.name])
    is_named = sa.text("carrier IS NOT NULL")
    op.create_index("ix_ci_runs_carrier", "ci_runs", ["carrier"], sqlite_where=is_named, postgresql_where=is_named)
