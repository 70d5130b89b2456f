from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Table, create_engine, inspect
from tests.ledger.postgres import PostgresServer
from tests.ledger.world import NOON, StillClock, World

from fluxtrail.ledger import migrate, schema
from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.ledger.session import finish
from fluxtrail.model import records


async def test_migrations_from_empty_make_exactly_the_schema(
    ledger: SqlLedger, engine: str, request: pytest.FixtureRequest
) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, schema.metadata))

    async with ledger._engine.write() as connection:
        assert await finish(connection.run_sync(differences)) == []
        made = await finish(connection.run_sync(_definitions))
    wanted = create_engine("sqlite://" if engine == "sqlite" else empty_database(request))
    with wanted.begin() as plain:
        schema.metadata.create_all(plain)
        expected = _definitions(plain)
    wanted.dispose()
    assert made == expected


def empty_database(request: pytest.FixtureRequest) -> str:
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.create().replace("postgresql://", "postgresql+psycopg://")


_IN_POSTGRES = """
    SELECT table_name, concat_ws(' ', column_name, data_type, is_nullable, column_default)
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT conrelid::regclass::text, concat_ws(' ', conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
"""


def _definitions(connection: Connection) -> dict[str, list[str]]:
    """Every table and index as the database keeps its text, without layout."""
    if connection.dialect.name == "postgresql":
        tables: dict[str, list[str]] = {}
        for table, definition in sorted(connection.exec_driver_sql(_IN_POSTGRES).all()):
            tables.setdefault(table, []).append(definition)
        tables.pop("alembic_version", None)
        return tables
    found = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").all()
    return {
        name: sorted(" ".join(line.split()).strip(",") for line in sql.splitlines())
        for name, sql in found
        if not name.startswith(("alembic", "sqlite_"))
    }


def test_head_is_the_newest_script() -> None:
    scripts = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))
    assert scripts.get_heads() == [migrate.HEAD]


async def test_upgrade_does_nothing_the_second_time(ledger: SqlLedger, where: Path | str) -> None:
    async with ledger._engine.write() as connection:
        assert await migrate.upgrade(connection, "x") is False
    async with ledger.unit() as unit:
        target = await World(unit).target(None)
    await ledger.close()
    again = await SqlLedger.open(where, clock=StillClock())
    async with again.unit() as unit:
        assert await unit.targets() == [target]
    await again.close()


async def test_failed_migration_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("in the middle")

    with monkeypatch.context() as patched:
        patched.setattr("fluxtrail.ledger.ledger._identity", fail)
        with pytest.raises(RuntimeError, match="in the middle"):
            await SqlLedger.open(place, clock=StillClock())
    plain = create_engine(f"sqlite:///{place}")
    assert inspect(plain).get_table_names() == []
    plain.dispose()
    ledger = await SqlLedger.open(place, clock=StillClock())
    assert ledger.created_at == NOON
    await ledger.close()


@pytest.mark.parametrize(
    ("record", "table", "more"),
    [
        (records.RepositoryRecord, schema.repositories, set()),
        (records.BranchRecord, schema.branches, set()),
        (records.CommitRecord, schema.commits, {"at"}),
        (records.ExportRecord, schema.exports, set()),
        (records.SourceRecord, schema.sources, {"api_group", "kind", "namespace", "name", "stamp"}),
        (records.TargetRecord, schema.targets, {"api_group", "kind", "namespace", "name", "stamp"}),
        (records.SyncRecord, schema.syncs, {"started_at"}),
        (records.DeliveryRecord, schema.deliveries, {"repository_id"}),
        (records.Transition, schema.transitions, set()),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_every_field_of_a_record_has_its_column(record: type, table: Table, more: set[str]) -> None:
    fields = set(record.__struct_fields__) - ({"key"} if "stamp" in more else set())  # type: ignore[attr-defined]
    assert {column.name for column in table.columns} == fields | more
