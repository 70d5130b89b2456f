"""How an export is known, and what runs say that they made in manifests repositories."""

from collections.abc import Iterator

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_SHORT_SHA, _AT_ONCE = 7, 500
_EXPORTS = sa.text("SELECT id, facts FROM ci_runs WHERE role = 'export' AND id > :last ORDER BY id LIMIT :limit")
_FILL = sa.text("UPDATE ci_runs SET carrier = :carrier WHERE id = :id")


class _Facts(msgspec.Struct):
    carrier_sha: str = ""


def upgrade() -> None:
    op.add_column("exports", sa.Column("evidence", sa.Text()))
    op.add_column("ci_runs", sa.Column("carrier", sa.Text()))
    connection = op.get_bind()
    for named in _read_carriers(connection):
        connection.execute(_FILL, named)
    is_named = sa.text("carrier IS NOT NULL")
    op.create_index("ix_ci_runs_carrier", "ci_runs", ["carrier"], sqlite_where=is_named, postgresql_where=is_named)


def _read_carriers(connection: sa.Connection) -> Iterator[list[dict[str, object]]]:
    """Yield how the carriers' shas begin, some at once; what is written otherwise than it should be names none."""
    last = 0
    while found := connection.execute(_EXPORTS, {"last": last, "limit": _AT_ONCE}).all():
        last = found[-1].id
        named = [{"id": row.id, "carrier": carrier} for row in found if (carrier := _read_carrier(row.facts))]
        if named:
            yield named


def _read_carrier(facts: str) -> str:
    try:
        return msgspec.json.decode(facts, type=_Facts).carrier_sha[:_SHORT_SHA]
    except msgspec.MsgspecError:
        return ""
