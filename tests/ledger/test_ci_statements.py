"""What runs state of their exports, on every engine: in whatever order, again, and of another attempt."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from msgspec.structs import replace
from sqlalchemy import create_engine, event, text
from tests.ledger.postgres import PostgresServer
from tests.ledger.world import ON_SQLITE, World, at, opened, sha
from tests.model.ci import run

from fluxtrail.ledger import migrate
from fluxtrail.ledger.columns import Facts
from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.ledger.sqlite import SqliteEngine
from fluxtrail.model.ci import CiEvidence, CiRole, CiRun, CiState
from fluxtrail.model.errors import ConfigError
from fluxtrail.model.records import UNSAVED, CommitId, CommitRecord, ExportEvidence
from fluxtrail.trail.ci.judging import take_runs
from fluxtrail.trail.ci.linking import link_carriers
from fluxtrail.trail.ci.stating import check_carrier, take_statements

MANIFESTS = "github.com/acme/manifests"
EXPORT = run(
    sha=sha(1), role=CiRole.EXPORT, finished_at=at(90), updated_at=at(90), carrier_repository=MANIFESTS,
    carrier_sha=sha(200), evidence=CiEvidence.STATED,
)  # fmt: skip
ASKED = replace(EXPORT, evidence=CiEvidence.ASKED, carrier_repository="", carrier_sha="", pipeline="deploy")
BEGUN = replace(ASKED, state=CiState.RUNNING, finished_at=None, updated_at=at(60))
FAILED = replace(ASKED, state=CiState.FAILED, finished_at=at(120), updated_at=at(120))
AGAIN = replace(BEGUN, attempt=2, updated_at=at(150))


async def _commits(ledger: SqlLedger) -> tuple[CommitRecord, CommitRecord]:
    """Make a source commit and the carrier of it known."""
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository(), await world.repository("manifests")
        (source,) = await world.commits(shop, range(1, 2))
        (carrier,) = await world.commits(manifests, range(200, 201))
    return source, carrier


async def _take(ledger: SqlLedger, *runs: CiRun) -> list[CiRun]:
    """Take runs one by one, each as whoever speaks does."""
    changed: list[CiRun] = []
    for one in runs:
        async with ledger.unit() as unit:
            take = take_runs if one.evidence is CiEvidence.ASKED else take_statements
            changed += await take(unit, [one], now=at(200))
    return changed


async def _sources(ledger: SqlLedger, carrier: CommitRecord) -> list[int]:
    async with ledger.unit() as unit:
        links = await unit.exports_of([carrier.id])
    assert {link.evidence for link in links} <= {ExportEvidence.STATED}
    return [link.source_id for link in links]


@pytest.mark.parametrize(
    "order",
    [(EXPORT, BEGUN), (BEGUN, EXPORT), (EXPORT, FAILED), (FAILED, EXPORT), (BEGUN, EXPORT, FAILED)],
    ids=["then begun", "begun", "then failed", "failed", "begun, then failed"],
)
async def test_a_run_that_states_its_export_is_linked_whoever_spoke_first(
    ledger: SqlLedger, order: tuple[CiRun, ...]
) -> None:
    source, carrier = await _commits(ledger)
    await _take(ledger, *order)
    assert await _sources(ledger, carrier) == [source.id]
    async with ledger.unit() as unit:
        (commit,) = await unit.built_commits(EXPORT.repository, [EXPORT.sha])
    assert commit.exported is not None
    assert commit.exported.at == at(90)
    assert await _take(ledger, EXPORT) == []


async def test_an_export_that_is_stated_otherwise_of_a_run_that_goes_on_is_taken_back(ledger: SqlLedger) -> None:
    _, carrier = await _commits(ledger)
    await _take(ledger, BEGUN, EXPORT)
    await _take(ledger, replace(EXPORT, state=CiState.FAILED, finished_at=at(95), updated_at=at(95)))
    assert await _sources(ledger, carrier) == []


@pytest.mark.parametrize("order", [(EXPORT, AGAIN), (BEGUN, EXPORT, AGAIN), (FAILED, EXPORT, AGAIN), (AGAIN, EXPORT)])
async def test_a_statement_waits_for_its_carrier_whatever_is_tried_again(
    ledger: SqlLedger, order: tuple[CiRun, ...]
) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        (source,) = await world.commits(await world.repository(), range(1, 2))
        manifests = await world.repository("manifests")
    await _take(ledger, *order)
    async with ledger.unit() as unit:
        (carrier,) = await World(unit).commits(manifests, range(200, 201))
        await link_carriers(unit, manifests, [carrier], now=at(300))
    assert await _sources(ledger, carrier) == [source.id]
    own = replace(EXPORT, attempt=2, carrier_sha=sha(300), finished_at=at(300), updated_at=at(300))
    await _take(ledger, own)
    assert await _sources(ledger, carrier) == [source.id], "both attempts have exported it"


@pytest.mark.parametrize("carrier_repository", [MANIFESTS, ""])
async def test_what_was_kept_without_being_linked_is_linked_when_it_is_stated_again(
    ledger: SqlLedger, carrier_repository: str
) -> None:
    """As an older version kept it, or before its repository had `exports_to`."""
    stated = replace(EXPORT, carrier_repository=carrier_repository, carrier_sha=sha(200)[:8])
    source, carrier = await _commits(ledger)
    async with ledger.unit() as unit:
        await unit.put_ci_runs([stated])
        await unit.put_repository_exports(source.repository_id, [carrier.repository_id])
    assert await _sources(ledger, carrier) == []
    assert await _take(ledger, stated) == []
    assert await _sources(ledger, carrier) == [source.id]
    assert await _take(ledger, stated) == []
    assert await _sources(ledger, carrier) == [source.id]


async def test_what_was_kept_is_not_refused_because_another_commit_begins_so_by_now(ledger: SqlLedger) -> None:
    source, carrier = await _commits(ledger)
    short = replace(EXPORT, carrier_sha=sha(200)[:8])
    await _take(ledger, EXPORT)
    async with ledger.unit() as unit:
        twin = replace(carrier, id=CommitId(UNSAVED), sha=sha(200)[:8] + "e" * 32)
        await unit.put_commits([twin])
        await check_carrier(unit, short)
        await check_carrier(unit, replace(short, carrier_sha=sha(200)[:7]))
        for other in (replace(short, run_id="8"), replace(short, attempt=2)):
            with pytest.raises(ConfigError, match="carrier_sha: .* fits 2 commits"):
                await check_carrier(unit, other)
    assert await _take(ledger, short) == []
    assert await _sources(ledger, carrier) == [source.id]


@ON_SQLITE
async def test_runs_that_are_known_are_read_once_and_by_their_key(ledger: SqlLedger) -> None:
    await _commits(ledger)
    asked: list[tuple[str, Any]] = []
    assert isinstance(ledger._engine, SqliteEngine)
    told = [EXPORT, replace(EXPORT, run_id="8"), replace(ASKED, run_id="9", role=CiRole.BUILD)]
    async with ledger.unit() as unit:

        @event.listens_for(ledger._engine._writer.sync_engine, "before_cursor_execute")
        def note(_c: object, _cursor: object, statement: str, parameters: Any, _context: object, _many: bool) -> None:
            asked.append((statement, parameters))

        await take_runs(unit, told, now=at(200))
    known = [(statement, values) for statement, values in asked if "ci_runs.run_id IN" in statement]
    assert len(known) == 1
    with closing(sqlite3.connect(ledger.path)) as plain:
        steps = plain.execute(f"EXPLAIN QUERY PLAN {known[0][0]}", known[0][1]).fetchall()
    assert "sqlite_autoindex_ci_runs_1 (system=? AND host=? AND project=? AND run_id=?)" in steps[0][3]


async def test_runs_of_several_projects_are_known_by_all_of_their_key(ledger: SqlLedger) -> None:
    runs = [
        EXPORT,
        replace(EXPORT, host="ghe.test"),
        replace(EXPORT, project="acme/other"),
        replace(EXPORT, run_id="8"),
    ]
    async with ledger.unit() as unit:
        await unit.put_ci_runs(runs)
        found = await unit.known_runs([one.key for one in runs[:3]])
        assert {one.key for one in found} == {one.key for one in runs[:3]}
        assert await unit.known_runs([EXPORT.key]) == [EXPORT]
        assert await unit.known_runs([]) == []


# -- as an older version left it ------------------------------------------------------------------------------------

_ODD = r'{"carrier_sha": "' + sha(200) + r'", "pipeline": "a\u0000b"}'


async def test_what_an_older_ledger_says_oddly_stops_no_upgrade(
    engine: str, place: Path, request: pytest.FixtureRequest
) -> None:
    where: Path | str = place
    if engine == "sqlite":
        place.parent.mkdir(mode=0o700)
        place.touch(mode=0o600)
        address = f"sqlite:///{place}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        where = server.create()
        address = where.replace("postgresql://", "postgresql+psycopg://")
    _make_old(address)
    async with opened(where):
        pass
    plain = create_engine(address)
    with plain.begin() as connection:
        found = connection.execute(text("SELECT run_id, carrier FROM ci_runs ORDER BY run_id")).all()
    plain.dispose()
    assert [tuple(row) for row in found] == [("1", sha(200)[:7]), ("2", None), ("3", sha(200)[:7]), ("4", None)]


def _make_old(address: str) -> None:
    plain = create_engine(address)
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations").replace("%", "%%"))
    pack = Facts(CiRun).bind_processor(plain.dialect)
    assert pack is not None
    facts = [_ODD, "no document", pack(EXPORT), pack(replace(EXPORT, carrier_sha=""))]
    with plain.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0009")
        for number, text_ in enumerate(facts, start=1):
            values = {name: str(getattr(EXPORT, name)) for name in _KEPT}
            connection.execute(text(_INSERT), values | {"run_id": str(number), "at": 1, "facts": text_})
    plain.dispose()


_KEPT = ("system", "host", "project", "run_id", "role", "repository", "sha", "state", "evidence")
_INSERT = f"""
    INSERT INTO ci_runs ({", ".join(_KEPT)}, at, facts)
    VALUES ({", ".join(f":{name}" for name in _KEPT)}, :at, :facts)
"""
