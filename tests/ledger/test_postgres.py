"""What only a database that several processes share can do, or fail at."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import text
from tests.ledger.postgres import PostgresServer
from tests.ledger.world import StillClock, World, at

from fluxtrail.cli.db import db
from fluxtrail.ledger import schema
from fluxtrail.ledger.engine import writing
from fluxtrail.ledger.faults import CollisionError, again
from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.ledger.postgres import PostgresDialect, PostgresEngine
from fluxtrail.ledger.unit import SqlUnit
from fluxtrail.model.errors import ConfigError, StoreError
from fluxtrail.model.records import Transition, TransitionKind
from fluxtrail.model.report import Mode, NewReport

pytestmark = [
    pytest.mark.parametrize("engine", ["postgres"], indirect=True),
    pytest.mark.requires("postgres"),
]

MINUTE = timedelta(minutes=1)
LINE = Transition(at=at(1), kind=TransitionKind.SYNC)


@pytest.fixture
async def other(ledger: SqlLedger, where: str, clock: StillClock) -> AsyncIterator[SqlLedger]:
    """The same ledger as another process has it: nothing is shared but the database."""
    assert ledger.is_shared
    opened = await SqlLedger.open(where, clock=clock)
    try:
        yield opened
    finally:
        await opened.close()


async def waits(task: asyncio.Task[object], ledger: SqlLedger) -> None:
    """Return once somebody waits for an advisory lock."""
    asked = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    async with asyncio.timeout(10):
        while not task.done():
            async with writing(ledger._engine) as session:
                if await session.scalar(asked):
                    return
    raise AssertionError("it did not wait")


async def test_opening_at_the_same_time_migrates_once(postgres: PostgresServer, clock: StillClock, engine: str) -> None:
    url = postgres.create()
    opened = await asyncio.gather(*(SqlLedger.open(url, clock=clock) for _ in range(4)))
    try:
        assert len({ledger.instance_id for ledger in opened}) == 1
    finally:
        for ledger in opened:
            await ledger.close()


async def test_units_of_two_processes_come_one_after_the_other(ledger: SqlLedger, other: SqlLedger) -> None:
    async def add(into: SqlLedger) -> None:
        for _ in range(25):
            async with into.unit() as unit:
                await unit.put_note("sum", str(int(await unit.get_note("sum") or 0) + 1))

    async with asyncio.TaskGroup() as group:
        for into in (ledger, other, ledger):
            group.create_task(add(into))
    async with other.unit() as unit:
        assert await unit.get_note("sum") == "75"


async def test_unit_sees_what_the_one_it_waited_for_has_kept(ledger: SqlLedger, other: SqlLedger) -> None:
    async def read() -> object:
        async with other.unit() as unit:
            return await unit.get_note("name")

    async with asyncio.TaskGroup() as group, ledger.unit() as unit:
        reading = group.create_task(read())
        await waits(reading, ledger)
        await unit.put_note("name", "kept")
    assert reading.result() == "kept"


async def test_feed_loses_no_line_of_two_interleaved_transactions(ledger: SqlLedger, other: SqlLedger) -> None:
    """The one that took its ids first commits last: nobody may read past them meanwhile."""

    async def append(into: SqlLedger, *, before_commit: asyncio.Event | None) -> list[int]:
        # Not as units, which wait for each other from their beginning on: ids must be safe without that too.
        async with writing(into._engine) as session:
            ids = await session.dialect.reserve_ids(session, schema.transitions, 2)
            told = "INSERT INTO transitions (id, at, kind, before, after, detail) VALUES (:id, 1, 'sync', '', '', '{}')"
            for id_ in ids:
                await session.run(text(told), {"id": id_})
            if before_commit is not None:
                reserved.set()
                await before_commit.wait()
        return list(ids)

    async def ids_after(after: int) -> list[int]:
        return [line.id for line in await other.transitions(after_id=after)]

    reserved, commit = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(append(ledger, before_commit=commit))
        await reserved.wait()
        fast = group.create_task(append(other, before_commit=None))
        await waits(fast, ledger)
        assert await ids_after(0) == []
        assert (await other.feed(after=None, limit=10)).last_id == 0
        commit.set()
    assert max(slow.result()) < min(fast.result())
    assert await ids_after(0) == [*slow.result(), *fast.result()]


async def test_ids_of_a_transaction_that_failed_hold_nobody_up(ledger: SqlLedger, other: SqlLedger) -> None:
    async def fail() -> None:
        async with ledger.unit() as unit:
            await unit.add_transitions([LINE])
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        await fail()
    async with other.unit() as unit:
        await unit.add_transitions([LINE])
    [line] = await ledger.transitions(after_id=0)
    assert (await ledger.feed(after=0, limit=10)).last_id == line.id


async def test_answer_is_of_one_instant(ledger: SqlLedger, other: SqlLedger) -> None:
    async with ledger._engine.read() as session:
        count = text("SELECT count(*) FROM targets")
        assert await session.scalar(count) == 0
        async with other.unit() as unit:
            await World(unit).target(None)
        assert await session.scalar(count) == 0
        with pytest.raises(StoreError, match="read-only"):
            await session.run(text("DELETE FROM targets"))


async def test_process_that_is_cut_off_in_the_middle_leaves_nothing_and_lets_others_go_on(
    ledger: SqlLedger, other: SqlLedger
) -> None:
    cut = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = :pid")

    async def write() -> None:
        async with ledger.unit() as unit:
            await unit.put_note("half", "written")
            pid = await unit._session.scalar(text("SELECT pg_backend_pid()"))
            async with writing(other._engine) as session:
                await session.run(cut, {"pid": pid})
            await unit.put_note("other half", "written")

    with pytest.raises(StoreError) as caught:
        await write()
    assert caught.value.retryable
    for into in (other, ledger):
        async with into.unit() as unit:
            assert await unit.get_note("half") is None
            await unit.put_note("whole", "written")


async def test_deadlock_is_tried_again(ledger: SqlLedger) -> None:
    attempts = 0

    @again
    async def collide() -> int:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            async with writing(ledger._engine) as session:
                await session.run(text("DO $$ BEGIN RAISE EXCEPTION SQLSTATE '40P01'; END $$"))
        return attempts

    assert await collide() == 3

    @again
    async def always() -> None:
        async with writing(ledger._engine) as session:
            await session.run(text("DO $$ BEGIN RAISE EXCEPTION SQLSTATE '40001'; END $$"))

    with pytest.raises(CollisionError) as caught:
        await always()
    assert caught.value.retryable


async def test_outbox_gives_way_to_a_unit_that_waits_for_it(ledger: SqlLedger, other: SqlLedger) -> None:
    async def plan(unit: SqlUnit, key: str, body: bytes) -> None:
        await unit.add_reports([NewReport(sink="s", key=key, mode=Mode.LATEST, body=body)])

    async with ledger.unit() as unit:
        for key in ("first", "second"):
            await plan(unit, key, b"old")
    claimed = await other.outbox.claim(["s"], owner="o", limit=2, lease=MINUTE)
    async with asyncio.TaskGroup() as group, ledger.unit() as unit:
        await plan(unit, "second", b"new")
        group.create_task(other.outbox.acknowledge(claimed))  # has the first, waits for the second
        await until_locks_wait(ledger)
        await plan(unit, "first", b"new")
    left = await other.outbox.claim(["s"], owner="o", limit=2, lease=MINUTE)
    assert [(report.key, report.body) for report in left] == [("first", b"new"), ("second", b"new")]


async def test_claims_of_two_processes_at_once_share_what_waits(ledger: SqlLedger, other: SqlLedger) -> None:
    async with ledger.unit() as unit:
        await unit.add_reports([NewReport(sink="s", key=str(n), mode=Mode.EVERY, body=b"") for n in range(60)])
    claims = await asyncio.gather(
        *(into.outbox.claim(["s"], owner=str(n), limit=10, lease=MINUTE) for n in range(3) for into in (ledger, other))
    )
    got = [report.key for claimed in claims for report in claimed]
    assert len(got) == len(set(got))
    while len(got) < 60:  # who was skipped because of a lock comes again
        claimed = await other.outbox.claim(["s"], owner="later", limit=10, lease=MINUTE)
        assert claimed
        got += [report.key for report in claimed]
    assert sorted(map(int, got)) == list(range(60))


async def test_budget_is_shared_by_processes(ledger: SqlLedger, other: SqlLedger) -> None:
    spent = await asyncio.gather(
        *(into.outbox.spend("b", limit=5, per=MINUTE, now=at(n)) for n in range(6) for into in (ledger, other))
    )
    assert spent.count(None) == 5


async def test_one_of_many_that_ask_at_once_leads(ledger: SqlLedger, other: SqlLedger) -> None:
    asked = [into.leadership.acquire("figures", f"{n}", MINUTE) for n, into in enumerate([ledger, other] * 4)]
    assert sum(await asyncio.gather(*asked)) == 1


async def until_locks_wait(ledger: SqlLedger) -> None:
    asked = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    async with asyncio.timeout(10):
        while True:
            async with writing(ledger._engine) as session:
                if await session.scalar(asked):
                    return


async def test_database_of_others_is_left_alone(postgres: PostgresServer, clock: StillClock, engine: str) -> None:
    url = postgres.create()
    made = PostgresEngine(url)
    async with made.write() as connection:
        await connection.execute(text("CREATE TABLE theirs (id int)"))
    await made.close()
    with pytest.raises(StoreError, match="holds other tables"):
        await SqlLedger.open(url, clock=clock)


async def test_schema_of_its_own_is_chosen_by_the_address(
    postgres: PostgresServer, clock: StillClock, engine: str
) -> None:
    url = postgres.create()
    made = PostgresEngine(url)
    async with made.write() as connection:
        await connection.execute(text("CREATE TABLE theirs (id int)"))
        await connection.execute(text("CREATE SCHEMA fluxtrail"))
    await made.close()
    ledger = await SqlLedger.open(f"{url}&options=-csearch_path%3Dfluxtrail", clock=clock)
    async with ledger.unit() as unit:
        await unit.add_transitions([LINE])
    assert len(await ledger.transitions(after_id=0)) == 1
    await ledger.close()


# addresses


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:s3cret@db.example:5433/trail?sslmode=require", "postgresql://db.example:5433/trail"),
        ("postgres://db/trail?user=ada&password=s3cret", "postgresql://db/trail"),
        ("postgresql://a,b/trail?target_session_attrs=read-write&password=s3cret", "postgresql://a,b/trail"),
        ("postgresql:///trail?host=/run/postgresql&password=s3cret", "postgresql://%2Frun%2Fpostgresql/trail"),
    ],
)
async def test_address_is_shown_without_what_is_secret(url: str, shown: str, engine: str) -> None:
    made = PostgresEngine(url)
    assert made.subject == shown
    assert isinstance(made.dialect, PostgresDialect)
    await made.close()


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("postgresql://ada:s3cret@[h/d", "cannot be read"),
        ("postgresql://ada:s3%ZZcret@h/d", "cannot be read"),
        ("postgresql://ada:s3cret@h/d?nonsense=s3cret", "cannot be read"),
        ("postgresql://ada:s3cret@h", "names no database"),
    ],
)
async def test_bad_address_is_refused_without_repeating_it(
    url: str, match: str, clock: StillClock, engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        await SqlLedger.open(url, clock=clock)
    told = repr(caught.value) + str(caught.value) + repr(caught.value.__cause__) + caplog.text
    assert "s3cret" not in told
    assert "cret" not in str(caught.value)


async def test_database_that_is_away_is_said_without_the_password(clock: StillClock, engine: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(StoreError, match="there is no connection") as caught:
        await SqlLedger.open(f"postgresql://ada:s3cret@127.0.0.1:{port}/trail", clock=clock)
    assert caught.value.retryable
    assert caught.value.subject == f"postgresql://127.0.0.1:{port}/trail"
    assert "s3cret" not in str(caught.value)


async def test_missing_database_is_said(postgres: PostgresServer, clock: StillClock, engine: str) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        await SqlLedger.open(postgres.url("nowhere"), clock=clock)


async def test_backup_is_the_databases_own_matter(ledger: SqlLedger, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pg_dump"):
        await ledger.backup(tmp_path / "copy")


# what others wrote


async def test_every_write_of_a_delivery_is_told_to_the_other_processes(
    ledger: SqlLedger, other: SqlLedger, clock: StillClock
) -> None:
    assert await other.newest_touch() == 0
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        commits = await world.commits(repository, range(3))
        target = await world.target(repository)
        for commit in commits:
            await world.delivery(commit, target)
    told = await other.touched(after=0)
    assert told.keys == [(commit.id, target.id) for commit in commits]
    assert (told.last_id, told.is_reset) == (await other.newest_touch(), False)
    async with other.unit() as unit:
        await World(unit).delivery(commits[1], target)
    again_told = await ledger.touched(after=told.last_id, limit=5)
    assert again_told.keys == [(commits[1].id, target.id)]
    assert (await ledger.touched(after=again_told.last_id)).keys == []
    clock.time += timedelta(days=8)
    async with other.unit() as unit:
        await unit.prune(at(0))
    assert (await ledger.touched(after=told.last_id)).is_reset
    end = await ledger.touched(after=again_told.last_id)
    assert (end.keys, end.is_reset, end.last_id) == ([], False, await ledger.newest_touch())


# commands


def test_upgrade_command_makes_the_tables_and_backup_names_the_tool(postgres: PostgresServer, engine: str) -> None:
    url = postgres.create()
    upgraded = CliRunner().invoke(db, ["upgrade", "--ledger", url])
    assert upgraded.exit_code == 0, upgraded.output
    assert "this version's schema" in upgraded.output
    backup = CliRunner().invoke(db, ["backup", "copy"], env={"FLUXTRAIL_LEDGER__PATH": url})
    assert backup.exit_code == 2
    assert "pg_dump" in backup.output
