"""What was said is remembered by key, and found again by the commit that it is of."""

from __future__ import annotations

from datetime import timedelta

from tests.ledger.world import NOON

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.report import Mode, NewReport, SaidRecord


def said(
    key: str, *, sink: str = "route.checks", state: str = "pending", minutes: int = 0, **given: object
) -> SaidRecord:
    fields = {"sink": sink, "key": key, "content": f"digest of {key}", "state": state}
    return SaidRecord(**(fields | given), said_at=NOON + timedelta(minutes=minutes))  # type: ignore[arg-type]


async def test_the_last_that_was_said_counts(ledger: SqlLedger) -> None:
    await ledger.said.note([said("1/production")])
    last = said("1/production", state="success", times=2, remote_id="77", minutes=5)
    await ledger.said.note([last])
    assert await ledger.said.below("route.checks", ["1"]) == {"1": [last]}


async def test_what_was_said_of_a_commit_is_found_and_of_no_other(ledger: SqlLedger) -> None:
    mine = [said("1/production"), said("1/a b/ü"), said("1")]
    others = [said("12/production"), said("10"), said("1.5/x"), said("1/production", sink="route.other")]
    await ledger.said.note([*mine, *others])
    found = await ledger.said.below("route.checks", ["1", "3"])
    assert list(found) == ["1"]
    assert sorted(record.key for record in found["1"]) == sorted(record.key for record in mine)


async def test_many_commits_are_found_in_one_go(ledger: SqlLedger) -> None:
    await ledger.said.note([said(f"{number}/production") for number in range(1000)])
    found = await ledger.said.below("route.checks", [str(number) for number in range(0, 1000, 2)])
    assert len(found) == 500


async def test_what_is_open_is_listed_a_page_at_a_time(ledger: SqlLedger) -> None:
    await ledger.said.note(
        [
            said("1/production"),
            said("2/production", state="running"),
            said("2/staging"),
            said("3/production", state="success"),
            said("4/production", sink="route.other"),
            said("5/production"),
        ]
    )
    await ledger.said.note([said("1/production", minutes=5)])
    first, after = await ledger.said.open_parents("route.checks", after=0, limit=3)
    second, end = await ledger.said.open_parents("route.checks", after=after, limit=3)
    assert (first, second, end) == (["1", "2"], ["5"], 0)


async def test_what_a_receiver_refuses_is_not_listed_as_open(ledger: SqlLedger) -> None:
    await ledger.said.note([said(f"{number}/production") for number in range(1, 6)])
    async with ledger.unit() as unit:
        await unit.add_reports(
            [NewReport(sink="route.checks", key=str(key), mode=Mode.LATEST, body=b"") for key in range(1, 5)]
        )
    claimed = await ledger.outbox.claim(["route.checks"], owner="me", limit=9, lease=timedelta(minutes=1))
    dead, refused, waiting, _sending = sorted(claimed, key=lambda report: report.key)
    await ledger.outbox.bury([dead], answer="404")
    await ledger.outbox.postpone([refused], until=NOON + timedelta(hours=1), answer="403")
    await ledger.outbox.postpone([waiting], until=NOON + timedelta(hours=1), answer="")
    assert await ledger.said.open_parents("route.checks", after=0, limit=9) == (["3", "4", "5"], 0)


async def test_what_is_old_is_forgotten_a_bite_at_a_time(ledger: SqlLedger) -> None:
    await ledger.said.note([said(f"{number}/x", minutes=number) for number in range(5)])
    before = NOON + timedelta(minutes=3)
    assert await ledger.said.forget(before, limit=2) == 2
    assert await ledger.said.forget(before, limit=2) == 1
    assert await ledger.said.forget(before, limit=2) == 0
    assert sorted(await ledger.said.below("route.checks", ["0", "1", "2", "3", "4"])) == ["3", "4"]
