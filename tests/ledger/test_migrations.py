from __future__ import annotations

import re
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Table, create_engine, inspect
from tests.ledger.deployments import record
from tests.ledger.postgres import PostgresServer
from tests.ledger.world import NOON, StillClock, World, moment, opened

from fluxtrail.ledger import migrate, schema
from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.ledger.session import finish
from fluxtrail.model import image_records, records, running_records
from fluxtrail.model.observation import ClusterUid, ObjectKey
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import SyncId
from fluxtrail.model.report import Mode, ReportState
from fluxtrail.model.rollout import RunningState


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
    return {name: _parts(sql) for name, sql in found if not name.startswith(("alembic", "sqlite_"))}


def _parts(definition: str) -> list[str]:
    """What stands between the commas: a column that was added later stands behind the constraints.

    SQLite quotes the name of a table that was made anew.
    """
    head, _, rest = " ".join(definition.split()).replace('"', "").partition("(")
    body, _, tail = rest.rpartition(")")
    return [head.strip(), *sorted(part.strip() for part in re.split(r",(?![^()]*\))", body)), tail.strip()]


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


def _make_old(place: str, revision: str) -> None:
    """Make a ledger as an old version left it, with a cluster, a report and a sync in it."""
    plain = create_engine(place)
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations").replace("%", "%%"))
    with plain.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.execute(schema.clusters.insert(), {"uid": "c1", "name": "north", "seen_at": NOON})
        connection.execute(schema.reports.insert(), _REPORT)
        connection.execute(schema.targets.insert(), _TARGET)
        connection.execute(schema.syncs.insert(), _SYNC)
        connection.execute(schema.meta.insert(), {"id": 1, "instance_id": "from before", "created_at": NOON})
    plain.dispose()


_REPORT: dict[str, object] = {
    "sink": "s",
    "key": "k",
    "mode": Mode.LATEST,
    "state": ReportState.WAITING,
    "body": b"{}",
    "version": 1,
    "attempts": 0,
    "created_at": NOON,
    "due_at": NOON,
}


_TARGET: dict[str, object] = {
    "cluster": "c1",
    "api_group": "g",
    "kind": "Kustomization",
    "namespace": "n",
    "name": "apps",
    "uid": "u",
    "lands_on": "c1",
    "source": ObjectKey("g", "GitRepository", "n", "shop"),
    "follows_tags": False,
    "path": "",
    "components": (),
    "generation": 1,
    "is_suspended": False,
    "has_checks": False,
    "successes": {},
    "phase": Outcome.SUCCEEDED,
    "reason": "",
    "message": "",
    "awaits_baseline": False,
    "first_seen_at": NOON,
    "observed_at": NOON,
    "stamp": 1,
}
_SYNC: dict[str, object] = {
    "target_id": 1,
    "revision": "main@sha1:1",
    "cause": records.Cause.REVISION,
    "generation": 1,
    "outcome": Outcome.SUCCEEDED,
    "reason": "",
    "message": "",
    "is_unchanged": False,
    "has_new_manifests": False,
    "started": moment(1),
    "applied": moment(2),
    "attribution": records.Attribution.DONE,
    "version": 1,
    "attributed_version": 1,
    "started_at": NOON,
}


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004"])
async def test_ledger_of_an_old_version_is_upgraded_with_what_it_holds(
    revision: str, engine: str, place: Path, request: pytest.FixtureRequest
) -> None:
    where: Path | str = place
    if engine == "sqlite":
        place.parent.mkdir(mode=0o700)
        place.touch(mode=0o600)
        _make_old(f"sqlite:///{place}", revision)
    else:
        address = empty_database(request)
        _make_old(address, revision)
        where = address.replace("postgresql+psycopg://", "postgresql://")
    async with opened(where) as ledger:
        assert ledger.instance_id == "from before"
        assert [(cluster.uid, cluster.name) for cluster in await ledger.list_clusters()] == [("c1", "north")]
        assert [report.key for report in (await ledger.outbox.list()).items] == ["k"]
        async with ledger.unit() as unit:
            [target], syncs = await unit.targets(), await unit.syncs([SyncId(1)])
            assert (target.key.name, target.parent) == ("apps", None)
            assert (syncs[SyncId(1)].applied, syncs[SyncId(1)].running_state) == (moment(2), RunningState.UNKNOWN)
            assert await unit.unread_syncs(ClusterUid("c1"), limit=9) == []
            new = await World(unit).sync(target, applied=moment(3))
            assert await unit.unread_syncs(ClusterUid("c1"), limit=9) == [new]
            assert await unit.put_deployment_records([record()]) == await unit.deployment_records(ClusterUid("c1"))
        async with ledger._engine.write() as connection:
            assert await finish(connection.run_sync(migrate.find_revision)) == migrate.HEAD
            upgraded = await finish(connection.run_sync(_definitions))
    expected = create_engine("sqlite://" if engine == "sqlite" else empty_database(request))
    with expected.begin() as plain:
        schema.metadata.create_all(plain)
        assert upgraded == _definitions(plain)
    expected.dispose()


@pytest.mark.parametrize(
    ("kind", "table", "more"),
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
        (running_records.WorkloadRecord, schema.workloads, {"api_group", "kind", "namespace", "name"}),
        (running_records.RolloutRecord, schema.rollouts, set()),
        (running_records.HandoverRecord, schema.handovers, set()),
        (image_records.ImageRecord, schema.images, {"head", "is_running", "listed_at", "noted_at"}),
        (image_records.ImageRun, schema.image_runs, {"id", "head"}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_every_field_of_a_record_has_its_column(kind: type, table: Table, more: set[str]) -> None:
    fields = set(kind.__struct_fields__) - ({"key"} if "api_group" in more else set())  # type: ignore[attr-defined]
    assert {column.name for column in table.columns} == fields | more
