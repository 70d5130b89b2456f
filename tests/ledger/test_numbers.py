"""What the ledger says of its own size and writing."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from sqlalchemy import text
from tests.ledger.world import ON_POSTGRES, ON_SQLITE

from fluxtrail.ledger.ledger import COUNTED, SqlLedger
from fluxtrail.ledger.writes import OTHER, UNIT
from fluxtrail.model.report import Mode, NewReport


def reports(number: int) -> list[NewReport]:
    """So random that no database makes them smaller."""
    bodies = Random(7)
    return [
        NewReport(sink="otlp.traces", key=f"{index}.a", mode=Mode.EVERY, body=bodies.randbytes(2000))
        for index in range(number)
    ]


async def test_size_grows_with_what_is_kept(ledger: SqlLedger) -> None:
    before = sum((await ledger.size_bytes()).values())
    async with ledger.unit() as unit:
        await unit.add_reports(reports(500))
    assert sum((await ledger.size_bytes()).values()) >= before + 500_000


@ON_SQLITE
async def test_a_file_has_a_log_beside_it(ledger: SqlLedger) -> None:
    sizes = await ledger.size_bytes()
    assert set(sizes) == {"data", "log"}
    assert sizes["data"] == ledger.path.stat().st_size > 0


@ON_SQLITE
async def test_rows_of_a_file_are_counted(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        await unit.add_reports(reports(7))
    counts = await ledger.count_rows()
    assert set(counts) == set(COUNTED)
    assert (counts["reports"], counts["commits"]) == (7, 0)


@ON_POSTGRES
async def test_rows_of_a_database_are_its_own_estimate(ledger: SqlLedger) -> None:
    assert "reports" not in await ledger.count_rows()
    async with ledger.unit() as unit:
        await unit.add_reports(reports(7))
        await unit._session.run(text("ANALYZE reports"))
    assert (await ledger.count_rows())["reports"] == 7


async def test_transactions_are_timed_by_kind(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        await unit.add_reports(reports(1))
    await ledger.outbox.drop([])
    for kind in (UNIT, OTHER):
        found = ledger.writes[kind]
        assert (found.waiting, found.undone) == (0, 0)
        assert [found.waited.spread().buckets[-1][1], found.lasted.spread().buckets[-1][1]] == [1, 1]
        assert found.lasted.spread().total > 0


async def test_who_waits_for_a_unit_is_counted(ledger: SqlLedger) -> None:
    async def one() -> None:
        async with ledger.unit():
            pass

    async with ledger.unit():
        task = asyncio.create_task(one())
        while ledger.writes[UNIT].waiting != 1:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
    await task
    assert ledger.writes[UNIT].waiting == 0
    assert ledger.writes[UNIT].waited.spread().buckets[-1][1] == 2


async def test_who_gives_up_waiting_or_writing_leaves_nothing_behind(ledger: SqlLedger) -> None:
    async def one() -> None:
        async with ledger.unit():
            pass

    async with ledger.unit():
        task = asyncio.create_task(one())
        while ledger.writes[UNIT].waiting != 1:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    with pytest.raises(RuntimeError, match="given up"):
        async with ledger.unit():
            raise RuntimeError("given up")
    found = ledger.writes[UNIT]
    assert (found.waiting, found.undone) == (0, 2)
    assert found.lasted.spread().buckets[-1][1] == 2
