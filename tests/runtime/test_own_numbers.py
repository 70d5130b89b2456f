"""What the process says of its ledger, of forges' limits and of its own budgets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.ledger.world import fresh_place
from tests.runtime.worlds import Cluster, make_environ, make_repository, make_settings, running, until

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.remotes.allowances import AllowanceBook
from fluxtrail.reports.standings.budgets import Budget, Budgets, BudgetSpentError, Window
from fluxtrail.runtime import forge_numbers, ledger_numbers
from fluxtrail.runtime.clock import SystemClock
from fluxtrail.runtime.forge_numbers import ForgeNumbers, Spending
from fluxtrail.runtime.ledger_numbers import LedgerNumbers
from fluxtrail.web.measures import Measure, MetricSource


class Rests(SystemClock):
    """Ends the work at the nth rest."""

    def __init__(self, turns: int) -> None:
        self.turns = turns
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) == self.turns:
            raise StopAsyncIteration


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[SqlLedger]:
    opened = await SqlLedger.open(await fresh_place(tmp_path / "ledger.sqlite"), clock=SystemClock())
    yield opened
    await opened.close()


def measured(source: MetricSource) -> dict[str, Measure]:
    return {item.name: item for item in source.measures()}


async def work(source: LedgerNumbers | ForgeNumbers) -> None:
    with pytest.raises(StopAsyncIteration):
        await source.run()


async def test_the_ledger_is_measured_beside_the_scrapes(ledger: SqlLedger) -> None:
    clock = Rests(2)
    source = LedgerNumbers(ledger, clock)
    assert measured(source)["fluxtrail_ledger_size_bytes"].values == []
    await work(source)
    found = measured(source)
    assert clock.slept == [ledger_numbers.SIZE_SECONDS] * 2
    assert {labels: value > 0 for labels, value in found["fluxtrail_ledger_size_bytes"].values}[("data",)]
    assert dict(found["fluxtrail_ledger_rows"].values)[("commits",)] == 0
    assert {labels for labels, _ in found["fluxtrail_ledger_transaction_seconds"].spreads} == {("unit",), ("other",)}


async def test_a_ledger_that_cannot_be_read_ends_nothing(ledger: SqlLedger) -> None:
    source = LedgerNumbers(ledger, Rests(2))
    await ledger.close()
    ledger.path.unlink()
    ledger.path.mkdir()
    await work(source)
    assert measured(source)["fluxtrail_ledger_rows"].values == []


async def test_budgets_are_told_by_window(ledger: SqlLedger) -> None:
    clock = Rests(1)
    budgets = Budgets(ledger.outbox, clock)
    budget = Budget("statuses/github.com/acme", (Window(2, timedelta(minutes=1)), Window(500, timedelta(hours=1))))
    for _ in range(2):
        await budgets.take(budget, is_final=True)
    with pytest.raises(BudgetSpentError):
        await budgets.take(budget, is_final=True)
    source = ForgeNumbers(
        AllowanceBook(lambda: 0.0),
        ledger.outbox,
        clock,
        budgets=lambda: [Spending(one.name, *entry) for one in budgets.known.values() for entry in one.entries()],
        refused=lambda: budgets.refused,
    )
    await work(source)
    found = measured(source)
    name = "statuses/github.com/acme"
    assert found["fluxtrail_budget_used"].values == [((name, "1m"), 2.0), ((name, "1h"), 2.0)]
    assert found["fluxtrail_budget_allowed"].values == [((name, "1m"), 2.0), ((name, "1h"), 500.0)]
    assert found["fluxtrail_budget_refused"].values == [((name,), 1.0)]


async def test_no_more_budgets_are_measured_than_the_most(ledger: SqlLedger) -> None:
    window = Window(1, timedelta(seconds=90))
    many = [Spending(f"b{number}", f"b{number}/0", window) for number in range(forge_numbers.MOST_BUDGETS + 5)]
    source = ForgeNumbers(
        AllowanceBook(lambda: 0.0), ledger.outbox, Rests(1), budgets=lambda: many, refused=dict[str, int]
    )
    await work(source)
    values = measured(source)["fluxtrail_budget_used"].values
    assert len(values) == forge_numbers.MOST_BUDGETS
    assert values[0] == (("b0", "90s"), 0.0)


def test_limits_are_told_by_credential() -> None:
    book = AllowanceBook(lambda: 1e9)
    book.learn("github.com/acme", {"x-ratelimit-limit": "5000", "x-ratelimit-remaining": "10"})
    book.note_limited("github.com/acme")
    source = ForgeNumbers(book, None, SystemClock(), budgets=list, refused=dict)  # type: ignore[arg-type]
    found = measured(source)
    key = ("github.com/acme", "")
    assert found["fluxtrail_forge_requests_limit"].values == [(key, 5000.0)]
    assert found["fluxtrail_forge_requests_remaining"].values == [(key, 10.0)]
    assert found["fluxtrail_forge_limit_reset_timestamp_seconds"].values == []
    assert found["fluxtrail_forge_limited"].values == [(("github.com/acme",), 1.0)]


async def test_a_service_tells_of_its_ledger_and_how_fast_it_keeps_what_it_sees(tmp_path: Path) -> None:
    repository = await make_repository(tmp_path)
    cluster = Cluster()
    async with cluster.server:
        cluster.fetch(repository.head_commit, url=repository.url)
        cluster.apply(repository.head_commit)
        async with running(make_settings(tmp_path, cluster), make_environ(tmp_path)) as run:
            await run.until_ready()

            async def told() -> dict[str, float]:
                _, text = await run.get("metrics", "/metrics")
                return {
                    line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
                    for line in text.splitlines()
                    if not line.startswith("#")
                }

            async def is_measured() -> dict[str, float] | None:
                found = await told()
                return found if 'fluxtrail_ledger_rows{table="commits"}' in found else None

            found = await until(is_measured, "rows of the ledger")
    assert found['fluxtrail_ledger_size_bytes{part="data"}'] > 0
    assert found['fluxtrail_ledger_transaction_seconds_count{transaction="unit"}'] >= 2
    # The source and the Kustomization, at least.
    assert found['fluxtrail_event_lag_seconds_count{cluster="prod"}'] >= 2
    assert found['fluxtrail_event_lag_seconds_bucket{cluster="prod",le="60.0"}'] >= 2
