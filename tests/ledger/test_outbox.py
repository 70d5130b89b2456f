"""Reports: planned with what makes them necessary, leased while they are sent, said once or brought up to date."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.ledger.world import NOON, StillClock, World, at

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import ConfigError
from fluxtrail.model.records import Transition, TransitionKind
from fluxtrail.model.report import ClaimedReport, Mode, NewReport, ReportState, SinkCounts

LEASE = timedelta(seconds=30)
SPANS, STATUSES = "otlp.traces", "github.status"


def span(key: str, **given: Any) -> NewReport:
    return NewReport(**({"sink": SPANS, "key": key, "mode": Mode.EVERY, "body": key.encode()} | given))


def status(key: str, body: str, **given: Any) -> NewReport:
    return NewReport(**({"sink": STATUSES, "key": key, "mode": Mode.LATEST, "body": body.encode()} | given))


async def plan(ledger: SqlLedger, *reports: NewReport) -> None:
    async with ledger.unit() as unit:
        await unit.add_reports(reports)


async def claim(
    ledger: SqlLedger, owner: str = "a", *, limit: int = 10, sink: str | None = None
) -> list[ClaimedReport]:
    sinks = [SPANS, STATUSES] if sink is None else [sink]
    return await ledger.outbox.claim(sinks, owner=owner, limit=limit, lease=LEASE)


def bodies(reports: Sequence[ClaimedReport]) -> list[str]:
    return [report.body.decode() for report in reports]


# planning


async def test_plan_is_kept_with_the_history_that_it_is_about(where: Path | str, clock: StillClock) -> None:
    seen: list[Transition] = []

    def said_of(transitions: Sequence[Transition]) -> list[NewReport]:
        seen.extend(transitions)
        return [span(f"transition {line.id}") for line in transitions if line.kind is TransitionKind.SYNC]

    ledger = await SqlLedger.open(where, clock=clock, plan=said_of)
    try:
        async with ledger.unit() as unit:
            await unit.add_transitions([Transition(at=at(n), kind=TransitionKind.SYNC, after=str(n)) for n in range(3)])
            assert unit.touched_sinks == {SPANS}
        added = await ledger.transitions(after_id=0)
        assert added == seen

        async def fail() -> None:
            async with ledger.unit() as unit:
                await unit.add_transitions([Transition(at=at(4), kind=TransitionKind.SYNC)])
                raise RuntimeError("no")

        with pytest.raises(RuntimeError, match="no"):
            await fail()
        claimed = await claim(ledger)
        assert bodies(claimed) == [f"transition {line.id}" for line in added]
        assert await ledger.transitions(after_id=added[-1].id) == []
    finally:
        await ledger.close()


async def test_ids_of_the_history_are_never_given_again(ledger: SqlLedger) -> None:
    line = Transition(at=at(1), kind=TransitionKind.SYNC)
    async with ledger.unit() as unit:
        await unit.add_transitions([])
        await unit.add_transitions([line, line])
        await unit.add_transitions([line])
    ids = [found.id for found in await ledger.transitions(after_id=0)]
    assert sorted(set(ids)) == ids
    assert len(ids) == 3
    async with ledger.unit() as unit:
        await unit.prune(at(5))
    assert await ledger.transitions(after_id=0) == []
    async with ledger.unit() as unit:
        await unit.add_transitions([line])
    [later] = await ledger.transitions(after_id=0)
    assert later.id > ids[-1]


async def test_key_of_every_is_said_once_while_it_is_remembered(ledger: SqlLedger, clock: StillClock) -> None:
    await plan(ledger, span("k"), span("k", body=b"again"), span("k", sink="otlp.logs"))
    [first] = await claim(ledger)
    assert first.body == b"k"
    await plan(ledger, span("k"))
    await ledger.outbox.acknowledge([first])
    await plan(ledger, span("k"))
    clock.time = at(0) + timedelta(days=6)
    async with ledger.unit() as unit:
        assert (await unit.prune(at(0) + timedelta(days=400))).reports == 0
    await plan(ledger, span("k"))
    assert await claim(ledger) == []
    clock.time = at(1) + timedelta(days=7)
    async with ledger.unit() as unit:
        assert (await unit.prune(at(0) - timedelta(days=400))).reports == 1
    await plan(ledger, span("k"))
    assert bodies(await claim(ledger)) == ["k"]


async def test_not_before_is_kept(ledger: SqlLedger, clock: StillClock) -> None:
    await plan(ledger, span("later", not_before=at(10)), span("now"))
    assert bodies(await claim(ledger)) == ["now"]
    clock.time = at(10)
    assert bodies(await claim(ledger)) == ["later"]


# claims


async def test_claims_the_longest_due_first_over_all_sinks(ledger: SqlLedger, clock: StillClock) -> None:
    for number in range(6):
        clock.time = at(number)
        await plan(ledger, span(str(number)) if number % 2 else status(str(number), str(number)))
    first = await claim(ledger, limit=4)
    assert bodies(first) == ["0", "1", "2", "3"]
    assert [report.created_at for report in first] == [at(0), at(1), at(2), at(3)]
    assert bodies(await claim(ledger, "b", sink=SPANS)) == ["5"]
    assert bodies(await claim(ledger, "b")) == ["4"]
    assert await claim(ledger, sink="nobody's") == []


async def test_crash_between_claim_and_acknowledgement_sends_again_after_the_lease(
    ledger: SqlLedger, clock: StillClock
) -> None:
    await plan(ledger, span("k"))
    [lost] = await claim(ledger, "dies")
    assert (lost.owner, lost.attempts, lost.version) == ("dies", 0, 1)
    clock.time = at(29.9)
    assert await claim(ledger, "b") == []
    clock.time = at(30)
    [again] = await claim(ledger, "b")
    assert (again.id, again.body, again.owner, again.attempts) == (lost.id, b"k", "b", 1)
    await ledger.outbox.acknowledge([again])
    assert await ledger.outbox.counts() == {}


@pytest.mark.parametrize("report", [span("k"), status("k", "k")], ids=["every", "latest"])
async def test_who_lost_the_lease_changes_nothing(ledger: SqlLedger, clock: StillClock, report: NewReport) -> None:
    await plan(ledger, report)
    [lost] = await claim(ledger, "slow")
    clock.time = at(31)
    [held] = await claim(ledger, "b")
    await ledger.outbox.acknowledge([lost])
    await ledger.outbox.postpone([lost], until=at(31), answer="mine")
    await ledger.outbox.bury([lost], answer="mine")
    assert await claim(ledger, "c") == []
    [shown] = (await ledger.outbox.list()).items
    assert (shown.state, shown.owner, shown.answer) == (ReportState.WAITING, "b", None)
    await ledger.outbox.acknowledge([held])
    assert await ledger.outbox.counts() == {}
    await ledger.outbox.postpone([held], until=at(31), answer="too late")
    assert await claim(ledger, "c") == []


async def test_lease_outlives_the_process_where_another_may_hold_it(where: Path | str, clock: StillClock) -> None:
    """A file has one process at a time: who opens it next need not wait for the leases of the dead."""
    ledger = await SqlLedger.open(where, clock=clock)
    await plan(ledger, span("k"))
    await claim(ledger, "first start")
    await ledger.close()
    ledger = await SqlLedger.open(where, clock=clock)
    if ledger.is_shared:
        assert await claim(ledger, "second start") == []
        clock.time = at(30)
    assert bodies(await claim(ledger, "second start")) == ["k"]
    await ledger.close()


# latest


async def test_latest_is_coalesced_while_it_waits(ledger: SqlLedger, clock: StillClock) -> None:
    await plan(ledger, status("k", "pending"), status("k", "running"))
    clock.time = at(5)
    await plan(ledger, status("k", "done"))
    [report] = await claim(ledger)
    assert (report.body, report.version, report.created_at) == (b"done", 3, NOON)
    await ledger.outbox.acknowledge([report])
    assert await claim(ledger) == []
    await plan(ledger, status("k", "again"))
    assert bodies(await claim(ledger)) == ["again"]


async def test_latest_planned_while_in_flight_goes_afterwards_and_one_at_a_time(
    ledger: SqlLedger, clock: StillClock
) -> None:
    await plan(ledger, status("k", "old"))
    [old] = await claim(ledger)
    clock.time = at(5)
    await plan(ledger, status("k", "new"))
    assert await claim(ledger, "b") == []
    await ledger.outbox.acknowledge([old])
    [new] = await claim(ledger, "b")
    assert (new.body, new.version, new.attempts, new.created_at) == (b"new", 2, 0, at(5))
    await ledger.outbox.acknowledge([new])
    assert await ledger.outbox.counts() == {}


async def test_answer_of_an_old_version_does_not_bury_the_new_one(ledger: SqlLedger) -> None:
    await plan(ledger, status("k", "old"))
    [old] = await claim(ledger)
    await plan(ledger, status("k", "new"))
    await ledger.outbox.bury([old], answer="422 for the old one")
    [shown] = (await ledger.outbox.list()).items
    assert (shown.state, shown.answer, shown.owner) == (ReportState.WAITING, None, None)
    assert bodies(await claim(ledger)) == ["new"]


async def test_pause_that_was_asked_for_holds_for_what_is_planned_meanwhile(
    ledger: SqlLedger, clock: StillClock
) -> None:
    await plan(ledger, status("k", "old"))
    await ledger.outbox.postpone(await claim(ledger), until=at(60), answer="429")
    await plan(ledger, status("k", "new"))
    clock.time = at(59)
    assert await claim(ledger) == []
    clock.time = at(60)
    assert bodies(await claim(ledger)) == ["new"]


async def test_pause_that_was_asked_for_holds_however_often_something_is_planned(
    ledger: SqlLedger, clock: StillClock
) -> None:
    await plan(ledger, status("k", "old"))
    held = await claim(ledger)
    await plan(ledger, status("k", "while it was sent"))
    await ledger.outbox.postpone(held, until=at(60), answer="429")
    for body in ("new", "newer", "newest"):
        await plan(ledger, status("k", body))
    clock.time = at(59)
    assert await claim(ledger) == []
    [shown] = (await ledger.outbox.list()).items
    assert shown.answer == "429"
    clock.time = at(60)
    assert bodies(await claim(ledger)) == ["newest"]


async def test_what_was_put_off_for_our_own_reasons_is_sent_when_something_is_planned(ledger: SqlLedger) -> None:
    await plan(ledger, status("k", "old"))
    await ledger.outbox.postpone(await claim(ledger), until=at(60), answer="")
    assert await claim(ledger) == []
    await plan(ledger, status("k", "new"))
    assert bodies(await claim(ledger)) == ["new"]


async def test_what_is_planned_while_another_is_put_off_for_our_own_reasons_is_sent(ledger: SqlLedger) -> None:
    await plan(ledger, status("k", "old"))
    held = await claim(ledger)
    await plan(ledger, status("k", "new"))
    await ledger.outbox.postpone(held, until=at(60), answer="")
    assert bodies(await claim(ledger)) == ["new"]


# what failed


async def test_postponed_comes_back_with_its_attempts_counted(ledger: SqlLedger, clock: StillClock) -> None:
    await plan(ledger, span("k"))
    for attempt in range(3):
        [report] = await claim(ledger)
        assert report.attempts == attempt
        await ledger.outbox.postpone([report], until=clock.time + LEASE, answer=f"503 {attempt} token=abcdef123456")
        assert await claim(ledger) == []
        clock.time += LEASE
    [shown] = (await ledger.outbox.list()).items
    assert shown.attempts == 3
    assert shown.answer is not None
    assert shown.answer.startswith("503 2")
    assert "abcdef" not in shown.answer


async def test_dead_letters_keep_their_answer_and_are_replayed_or_dropped(ledger: SqlLedger, clock: StillClock) -> None:
    await plan(ledger, *(span(str(number)) for number in range(4)), status("s", "s"))
    reports = await claim(ledger)
    await ledger.outbox.bury(reports[:3], answer="410 gone")
    await ledger.outbox.acknowledge(reports[3:4])
    clock.time = at(99)
    assert bodies(await claim(ledger)) == ["s"]
    assert await ledger.outbox.counts() == {
        SPANS: SinkCounts(dead=3),
        STATUSES: SinkCounts(waiting=1, oldest_at=NOON),
    }
    dead = (await ledger.outbox.list(state=ReportState.DEAD)).items
    assert [(shown.key, shown.answer) for shown in dead] == [(key, "410 gone") for key in ("2", "1", "0")]
    await plan(ledger, span("0"))
    assert await ledger.outbox.drop([dead[0].id, dead[0].id]) == 1
    assert await ledger.outbox.replay([shown.id for shown in dead]) == 2
    assert await ledger.outbox.replay([dead[1].id]) == 0
    again = await claim(ledger)
    assert [(report.key, report.body, report.attempts) for report in again] == [("0", b"0", 0), ("1", b"1", 0)]
    await plan(ledger, span("2"))
    assert await claim(ledger) == []
    assert [shown.key for shown in (await ledger.outbox.list(state=ReportState.DROPPED)).items] == ["2"]


async def test_what_was_sent_in_the_end_shows_no_refusal(ledger: SqlLedger, clock: StillClock) -> None:
    await plan(ledger, span("a"), span("b"))
    first, second = await claim(ledger)
    await ledger.outbox.postpone([first], until=at(0), answer="503")
    await ledger.outbox.bury([second], answer="400")
    assert await ledger.outbox.replay([second.id]) == 1
    clock.time = at(1)
    await ledger.outbox.acknowledge(await claim(ledger))
    assert {(item.state, item.answer) for item in (await ledger.outbox.list()).items} == {(ReportState.SENT, None)}


async def test_drop_of_what_is_in_flight_wins_over_its_answer(ledger: SqlLedger) -> None:
    await plan(ledger, span("k"), status("k", "s"))
    held = await claim(ledger)
    assert await ledger.outbox.drop([report.id for report in held]) == 2
    await ledger.outbox.bury(held, answer="no")
    assert await ledger.outbox.counts() == {}
    await plan(ledger, status("k", "newer"), span("k"))
    assert bodies(await claim(ledger)) == ["newer"]


async def test_dead_latest_lives_again_when_it_is_planned_again(ledger: SqlLedger) -> None:
    await plan(ledger, status("k", "old"))
    await ledger.outbox.bury(await claim(ledger), answer="no")
    await plan(ledger, status("k", "new"))
    [report] = await claim(ledger)
    assert (report.body, report.attempts) == (b"new", 0)
    assert (await ledger.outbox.list()).items[0].answer is None


async def test_list_pages_by_state_and_sink(ledger: SqlLedger) -> None:
    await plan(ledger, *(span(str(number)) for number in range(5)), status("s", "s"))
    await ledger.outbox.acknowledge((await claim(ledger, sink=SPANS))[:1])
    first = await ledger.outbox.list(sink=SPANS, limit=2)
    assert [shown.key for shown in first.items] == ["4", "3"]
    second = await ledger.outbox.list(sink=SPANS, limit=2, cursor=first.next)
    assert [(shown.key, second.next is None) for shown in second.items] == [("2", False), ("1", False)]
    third = await ledger.outbox.list(sink=SPANS, limit=2, cursor=second.next)
    assert [(shown.key, shown.state) for shown in third.items] == [("0", ReportState.SENT)]
    assert third.next is None
    waiting = await ledger.outbox.list(state=ReportState.WAITING)
    assert [shown.key for shown in waiting.items] == ["s", "4", "3", "2", "1"]
    with pytest.raises(ConfigError, match="no cursor"):
        await ledger.outbox.list(cursor="x")


async def test_retention_never_takes_what_was_not_sent(ledger: SqlLedger, clock: StillClock) -> None:
    await plan(ledger, span("waiting"), span("dead"))
    held = await claim(ledger)
    await ledger.outbox.bury(held[1:], answer="no")
    clock.time = NOON + timedelta(days=5000)
    async with ledger.unit() as unit:
        pruned = await unit.prune(clock.time)
    assert pruned.reports == 0
    assert await ledger.outbox.counts() == {SPANS: SinkCounts(waiting=1, dead=1, oldest_at=NOON)}
    assert bodies(await claim(ledger)) == ["waiting"]


# budgets and leadership


async def test_budget_is_never_exceeded_in_any_window(ledger: SqlLedger) -> None:
    hour = timedelta(hours=1)

    async def spend(at_: datetime, budget: str = "installation 1") -> timedelta | None:
        return await ledger.outbox.spend(budget, limit=2, per=hour, now=at_)

    assert await spend(at(0)) is None
    assert await spend(at(1800)) is None
    assert await spend(at(1900)) == timedelta(seconds=1700)
    assert await spend(at(1900), "installation 2") is None
    assert await spend(at(3599.5)) == timedelta(seconds=0.5)
    assert await spend(at(3600)) is None
    assert await spend(at(3601)) == timedelta(seconds=1799)
    assert await spend(at(5400)) is None
    assert await spend(at(99999)) is None
    assert await ledger.outbox.spend("none at all", limit=0, per=hour, now=at(0)) == hour


async def test_budgets_that_are_spent_together_are_spent_all_or_none(ledger: SqlLedger) -> None:
    minute, hour = timedelta(minutes=1), timedelta(hours=1)

    async def spend(seconds: float) -> timedelta | None:
        return await ledger.outbox.spend_each([("b/0", 2, minute), ("b/1", 3, hour)], now=at(seconds))

    assert [await spend(0), await spend(1), await spend(2)] == [None, None, timedelta(seconds=58)]
    assert await ledger.outbox.spent("b/1", per=hour, now=at(2)) == 2
    assert await spend(60) is None
    assert await spend(119) == timedelta(seconds=3481)
    assert await ledger.outbox.spent("b/0", per=minute, now=at(119)) == 1


async def test_one_leads_until_it_stops_renewing(ledger: SqlLedger, clock: StillClock) -> None:
    lead = ledger.leadership
    assert await lead.acquire("figures", "a", LEASE)
    assert not await lead.acquire("figures", "b", LEASE)
    assert await lead.acquire("other", "b", LEASE)
    clock.time = at(20)
    assert await lead.acquire("figures", "a", LEASE)
    clock.time = at(49)
    assert not await lead.acquire("figures", "b", LEASE)
    clock.time = at(50)
    assert await lead.acquire("figures", "b", LEASE)
    assert not await lead.acquire("figures", "a", LEASE)
    await lead.release("figures", "a")
    assert not await lead.acquire("figures", "a", LEASE)
    await lead.release("figures", "b")
    assert await lead.acquire("figures", "a", LEASE)


async def test_a_report_says_which_commit_it_is_about(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        first, second = await world.commits(await world.repository(), range(1, 3))
        await unit.add_transitions([Transition(at=NOON, kind=TransitionKind.COMMIT_SEEN, commit_id=second.id)])
    [line] = await ledger.transitions(after_id=0)
    assert line.id != second.id
    about = {
        str(first.id): first.sha,
        f"{second.id}.7.9.deployed": second.sha,
        f"t{line.id}": second.sha,
        f"t{line.id + 1}": None,
        "999": None,
        f"{first.id}e.0": None,
        "9" * 40: None,
        "cluster/name": None,
    }
    await plan(ledger, *(span(key) for key in about))
    assert {item.key: item.sha for item in (await ledger.outbox.list()).items} == about


async def test_reports_of_one_commit_are_found_by_its_sha(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        first, second = await world.commits(await world.repository(), range(1, 3))
    keys = [str(first.id), f"{first.id}.7.9.deployed", f"{first.id}0.1", f"{first.id}e.0", f"{second.id}.7", "t1", "x"]
    await plan(ledger, *(span(key) for key in keys), *(span(key, sink="route.chat") for key in keys[:2]))
    found = await ledger.outbox.list(sha=first.sha)
    assert [(item.sink, item.key) for item in found.items] == [
        ("route.chat", keys[1]),
        ("route.chat", keys[0]),
        (SPANS, keys[1]),
        (SPANS, keys[0]),
    ]
    assert {item.sha for item in found.items} == {first.sha}
    assert [item.key for item in (await ledger.outbox.list(sha=second.sha)).items] == [keys[4]]
    page = await ledger.outbox.list(sha=first.sha, limit=3)
    rest = await ledger.outbox.list(sha=first.sha, limit=3, cursor=page.next)
    assert [item.key for item in rest.items] == [keys[0]]
    assert (await ledger.outbox.list(sha="f" * 40)).items == []
