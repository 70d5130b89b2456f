"""What is told again: on request, after a move, after a dry run; what a dry run says; what an hour may cost."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace
from tests.reports.deployment_records.rooms import PROD, STAGING, Room, all_are, content, gone, many

from fluxtrail.model.deployment import Told
from fluxtrail.model.errors import RateLimitedError
from fluxtrail.model.report import ReportState
from fluxtrail.reports.deployment_records.budget import HourlyBudget
from fluxtrail.reports.deployment_records.dry_run import DryRunOutput
from fluxtrail.reports.deployment_records.plan import report_of
from fluxtrail.reports.dispatcher import Dispatcher


async def test_everything_is_told_again_on_request(room: Room) -> None:
    await room.record(many(30))
    await room.record({"web": content()}, cluster=STAGING)
    await room.go_on()
    held = dict(room.github.held)
    room.github.held.clear()
    assert await room.catching_up.resend() == 31
    await room.go_on()
    assert room.github.held == held
    assert all_are(await room.told(), Told.TOLD)


async def test_one_cluster_is_told_again_on_request(room: Room) -> None:
    await room.settle("web")
    await room.settle("web", cluster=STAGING)
    room.github.forget_calls()
    assert await room.catching_up.resend(STAGING) == 1
    await room.go_on()
    assert room.github.kinds == ["single"]


async def test_on_request_unknown_ones_are_asked_about_at_once(room: Room) -> None:
    await room.settle("first")
    room.github.unattested = {content("late").digest}
    await room.settle("web", "api", image="late")
    room.github.unattested = set()
    await room.catching_up.resend()
    await room.go_on()
    await room.check()
    assert all_are(await room.told(), Told.TOLD)


async def test_on_request_what_was_never_told_stays_silent(room: Room) -> None:
    await room.settle("first")
    room.github.unattested = {content("late").digest}
    await room.settle("web", image="late")
    await room.record({"web": gone(content("late"))})
    await room.go_on()
    assert await room.catching_up.resend() == 1


async def test_a_cluster_under_another_name_is_told_there(room: Room) -> None:
    await room.record(many(1_100))
    await room.go_on()
    assert await room.catching_up.told_elsewhere(PROD, room.destinations[PROD]) == 0
    room.destinations[PROD] = replace(room.destinations[PROD], cluster="prod-eu")
    room.restart()
    assert await room.catching_up.told_elsewhere(PROD, room.destinations[PROD]) == 1_100
    await room.go_on()
    await room.check()
    assert await room.catching_up.told_elsewhere(PROD, room.destinations[PROD]) == 0
    assert {record.told_to for record in (await room.rows()).values()} == {"acme/production/eu/prod-eu"}


async def test_what_is_to_be_told_and_has_no_report_is_planned_again(room: Room) -> None:
    await room.record(many(1_100))
    page = await room.ledger.outbox.list(state=ReportState.WAITING, limit=1_000)
    await room.ledger.outbox.drop([view.id for view in page.items])
    dropped = len(page.items)
    assert await room.catching_up.replan_pending() == dropped
    assert await room.catching_up.replan_pending() == 0
    await room.go_on()
    await room.check()


async def test_a_dry_run_says_what_would_be_told_and_a_later_run_tells_it(room: Room) -> None:
    written: list[str] = []
    dry = DryRunOutput(room.ledger, room.clock, find_destination=room.destinations.get, write=written.append)
    await room.record(
        {
            "web": replace(content("ghcr.io/acme/web", "2"), tags=(("team", "shop"),)),
            "bad": content(digest="sha512:00"),
        }
    )
    assert await Dispatcher(dry, room.ledger.outbox, room.clock, owner="dry").work()
    lines = {line["deployment_name"]: line for line in map(json.loads, "".join(written).splitlines())}
    assert lines["web"] == {
        "deployment_name": "web",
        "status": "deployed",
        "name": "ghcr.io/acme/web",
        "digest": content("ghcr.io/acme/web", "2").digest,
        "version": "2",
        "runtime_risks": [],
        "tags": {"team": "shop"},
        "organization": "acme",
        "logical_environment": "production",
        "physical_environment": "eu",
        "cluster": "prod",
    }
    assert "sha256" in lines["bad"]["problem"]
    assert await room.waiting() == []
    assert all_are(await room.told(), Told.PENDING)
    assert await room.catching_up.replan_pending() == 2
    await room.go_on()
    assert (await room.row("web")).told is Told.TOLD


async def test_a_dry_run_waits_for_the_cluster_that_a_record_is_of(room: Room) -> None:
    """At a start what was recorded before is there at once, and clusters are reached later."""
    written: list[str] = []
    where = room.destinations.pop(PROD)
    dry = DryRunOutput(room.ledger, room.clock, find_destination=room.destinations.get, write=written.append)
    dispatcher = Dispatcher(dry, room.ledger.outbox, room.clock, owner="dry")
    await room.record({"web": content()})
    assert await dispatcher.work()
    assert (written, await room.waiting()) == ([], ["web"])
    room.destinations[PROD] = where
    room.clock.turn(10)
    assert await dispatcher.work()
    assert '"web"' in "".join(written)
    assert await room.waiting() == []


async def test_a_dry_run_is_silent_about_what_is_told(room: Room) -> None:
    await room.settle("web")
    written: list[str] = []
    dry = DryRunOutput(room.ledger, room.clock, find_destination=room.destinations.get, write=written.append)
    row = await room.row("web")
    async with room.ledger.unit() as unit:
        await unit.add_reports([report_of(row)])
    assert await Dispatcher(dry, room.ledger.outbox, room.clock, owner="dry").work()
    assert written == []
    assert await room.waiting() == []


async def test_an_hour_s_requests_are_spent_once_over_all_processes(room: Room) -> None:
    spend = room.ledger.outbox.spend
    first, second = (HourlyBudget(spend, room.clock, organization="acme", requests_per_hour=3) for _ in range(2))
    await first.admit()
    await second.admit()
    await first.admit()
    with pytest.raises(RateLimitedError, match="requests_per_hour are used up") as caught:
        await second.admit()
    assert caught.value.retry_after_seconds == 3600
    room.clock.turn(3600)
    await second.admit()


async def test_every_round_trip_counts(room: Room) -> None:
    budget = HourlyBudget(room.ledger.outbox.spend, room.clock, organization="acme", requests_per_hour=5)
    await budget.admit()
    for seconds in (0.1, 0.2, 0.1):  # tried three times
        budget.note(seconds)
    await budget.admit()
    budget.note(0.1)
    await budget.admit()
    with pytest.raises(RateLimitedError):
        await budget.admit()


async def test_a_used_up_budget_postpones_and_loses_nothing(room: Room) -> None:
    room.per_hour = 4
    room.restart(has_bulk=False)
    await room.record(many(10))
    await room.dispatcher.work()
    assert room.github.kinds == ["single"] * 4
    assert len(await room.waiting()) == 6
    assert room.dispatcher.numbers.problem.startswith("github.records/acme: the 4 requests an hour")
    await room.go_on(seconds=3 * 3600)
    await room.check()


async def test_reports_of_records_that_are_gone_say_nothing(room: Room) -> None:
    await room.record({"web": content()})
    row = await room.row("web")
    async with room.ledger.unit() as unit:
        await unit.forget_deployment_records([row.id])
    await room.go_on()
    assert room.github.calls == []
    assert await room.waiting() == []
