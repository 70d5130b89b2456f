"""The tests' own PostgreSQL: what one test leaves in a database, the next one does not find there."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from tests.ledger.conftest import migrated_template
from tests.ledger.postgres import PostgresServer

pytestmark = pytest.mark.requires("postgres")
_PUT = "INSERT INTO repositories (canonical, url) VALUES ('github.com/acme/shop', '') RETURNING id"


def _put(connection: psycopg.Connection) -> int:
    row = connection.execute(_PUT).fetchone()
    assert row is not None
    return int(row[0])


def _count(connection: psycopg.Connection) -> list[object]:
    return [connection.execute(f"SELECT count(*) FROM {table}").fetchone() for table in ("repositories", "meta")]


async def test_a_database_is_used_again_as_if_it_was_new(postgres: PostgresServer) -> None:
    template = await migrated_template(postgres)
    found = []
    for _ in range(2):
        with postgres.lend(template) as url, psycopg.connect(url) as connection:
            found.append((url, _count(connection), _put(connection)))
    assert found[0] == found[1]
    assert found[0][1][0] == (0,)
    assert found[0][1][1] != (0,)


@pytest.mark.parametrize(
    "change",
    [
        lambda connection: connection.execute("CREATE TABLE theirs (id int)"),
        lambda connection: connection.execute("ALTER TABLE reports ADD COLUMN more int"),
        lambda connection: connection.execute("ANALYZE meta"),
        lambda connection: connection.execute(
            "INSERT INTO repositories (canonical, url) SELECT n::text, repeat('x', 99) FROM generate_series(1, 999) n"
        ),
    ],
    ids=["table", "column", "statistics", "size"],
)
async def test_a_database_with_more_than_rows_to_it_is_not_used_again(
    postgres: PostgresServer, change: Callable[[psycopg.Connection], object]
) -> None:
    template = await migrated_template(postgres)
    with postgres.lend(template) as changed, psycopg.connect(changed) as connection:
        change(connection)
    with postgres.lend(template) as url:
        assert url != changed
