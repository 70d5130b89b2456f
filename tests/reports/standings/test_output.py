"""Saying how commits stand, over a real ledger: what is said, what is not said again, and what goes wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.reports.standings.conftest import MakeRoom
from tests.reports.standings.rooms import ONE, Room, delivery, deployed, failed
from tests.reports.worlds import FakeClock, moment

from fluxtrail.model.errors import AuthError, NotFoundError, RateLimitedError, UpstreamError
from fluxtrail.model.records import CommitId
from fluxtrail.model.report import ReportState
from fluxtrail.reports.dispatcher import BURY_AFTER

PRODUCTION = "fluxtrail/production"


async def test_pending_at_once_then_the_verdict(room: Room) -> None:
    await room.tell(delivery(reason="awaiting_fetch"))
    await room.tell(deployed())
    assert room.said == [(PRODUCTION, "pending"), (PRODUCTION, "success")]
    assert room.forge.written[0].description == "prod-eu apps merged, awaiting fetch"
    assert room.forge.written[1].description == "deployed on prod-eu in 1m"
    assert await room.left() == {}


async def test_the_same_is_not_said_again(room: Room) -> None:
    for _ in range(3):
        await room.tell(deployed())
    room.restart()
    await room.tell(deployed())
    assert room.said == [(PRODUCTION, "success")]


async def test_one_context_an_environment(room: Room) -> None:
    await room.tell(deployed(), deployed("prod-us"), failed("staging"))
    assert room.forge.final == {PRODUCTION: "success", "fluxtrail/staging": "failure"}
    assert len(room.said) == 2


async def test_what_is_under_way_is_repeated_seldom(room: Room, clock: FakeClock) -> None:
    await room.tell(delivery(reason="awaiting_fetch"))
    clock.turn(299)
    await room.tell(delivery(reason="syncing"))
    assert len(room.said) == 1
    clock.turn(1)
    await room.tell(delivery(reason="syncing"))
    assert [state for _, state in room.said] == ["pending", "running"]


async def test_recovery_turns_it_green_and_a_roll_back_red(room: Room) -> None:
    await room.tell(failed())
    await room.tell(deployed())
    await room.tell(delivery(verdict="rolled_back"))
    await room.tell(deployed(at=90))
    assert [state for _, state in room.said] == ["failure", "success", "error", "success"]


async def test_what_is_not_affected_is_not_spoken_of(room: Room) -> None:
    await room.tell(delivery(verdict="unaffected"))
    assert room.said == []


async def test_what_was_said_to_come_and_does_not_is_closed(room: Room) -> None:
    await room.tell(delivery(reason="awaiting_export"), delivery("staging", reason="awaiting_export"))
    await room.tell(deployed("staging"))
    assert room.forge.final == {PRODUCTION: "neutral", "fluxtrail/staging": "success"}


async def test_unaffected_is_said_where_it_is_wanted(make_room: MakeRoom) -> None:
    room = make_room(says_unaffected=True)
    await room.tell(delivery(verdict="unaffected"))
    assert room.said == [(PRODUCTION, "neutral")]


async def test_without_pending_only_verdicts_are_said(make_room: MakeRoom) -> None:
    room = make_room(says_pending=False)
    await room.tell(delivery())
    await room.tell(deployed())
    assert room.said == [(PRODUCTION, "success")]


async def test_a_young_failure_is_waited_for(make_room: MakeRoom, clock: FakeClock) -> None:
    room = make_room(fail_after=timedelta(seconds=60), says_pending=False)
    clock.turn(40)
    await room.tell(failed(since=30))
    assert room.said == []
    assert list(await room.left()) == ["1"]
    clock.turn(50)
    await room.work()
    assert room.said == [(PRODUCTION, "failure")]
    assert await room.left() == {}


@pytest.mark.parametrize(
    "route",
    [{"repositories": ("github.com/other/*",)}, {"environments": ("staging",)}, {"commits": "manifests"},
     {"targets": ("HelmRelease/*",)}],
    ids=str,
)  # fmt: skip
async def test_what_a_route_does_not_want_is_not_said(make_room: MakeRoom, route: dict[str, Any]) -> None:
    room = make_room(**route)
    await room.tell(deployed())
    assert room.said == []
    assert await room.left() == {}


async def test_repositories_of_another_forge_are_left_alone_and_named_once(room: Room) -> None:
    with capture_logs() as logs:
        for verdict in (deployed(), failed()):
            await room.tell(verdict, repository="gitlab.com/acme/shop")
    named = [line["repository"] for line in logs if line["event"] == "repository_not_told"]
    assert named == ["gitlab.com/acme/shop"]
    assert room.said == []
    assert await room.left() == {}


async def test_five_commits_in_one_interval_end_in_one_final_status_each(room: Room) -> None:
    ids = [CommitId(number) for number in range(1, 6)]
    clusters = ("prod-eu", "prod-us", "prod-asia")
    for id_ in ids:
        room.state(*(delivery(cluster) for cluster in clusters), id_=id_)
        await room.plan(id_)
    await room.work()
    for count in range(1, 4):
        for id_ in ids:
            there = [deployed(cluster) for cluster in clusters[:count]]
            room.state(*there, *(delivery(cluster) for cluster in clusters[count:]), id_=id_)
            await room.plan(id_)
        await room.work()
    assert [state for _, state in room.said] == ["pending"] * 5 + ["success"] * 5


async def test_what_is_final_is_not_kept_back_by_what_is_not(make_room: MakeRoom, clock: FakeClock) -> None:
    room = make_room(per_minute=10)
    for number in range(1, 13):
        room.state(delivery(), id_=CommitId(number))
        await room.plan(CommitId(number))
    await room.work()
    assert len(room.said) == 6  # 60 % of ten
    for number in (20, 21):
        room.state(deployed(), id_=CommitId(number))
        await room.plan(CommitId(number))
    await room.work()
    assert [state for _, state in room.said[6:]] == ["success", "success"]
    clock.turn(61)
    await room.work()
    assert len(room.said) == 14


async def test_what_waits_for_the_budget_is_said_once_and_as_it_is_then(make_room: MakeRoom, clock: FakeClock) -> None:
    room = make_room(per_minute=1)
    await room.tell(deployed(), id_=CommitId(8))
    await room.tell(delivery())
    await room.tell(failed())
    assert len(room.said) == 1
    room.state(deployed())
    clock.turn(61)
    await room.work()
    assert [state for _, state in room.said] == ["success", "success"]


async def test_an_answer_that_got_lost_is_read_back(room: Room, clock: FakeClock) -> None:
    room.forge.taken_then.append(UpstreamError("connection closed"))
    await room.tell(deployed())
    assert len(room.forge.written) == 1
    assert list(await room.left()) == ["1"]
    clock.turn(120)
    await room.work()
    assert room.forge.looked == [PRODUCTION]
    assert room.said == [(PRODUCTION, "success")]
    assert await room.left() == {}


async def test_a_forge_that_is_away_loses_nothing(room: Room, clock: FakeClock) -> None:
    room.forge.troubles += [UpstreamError("bad gateway", status=502)] * 3
    await room.tell(deployed())
    for _ in range(4):
        clock.turn(120)
        await room.work()
    assert room.said == [(PRODUCTION, "success")]


async def test_a_limit_is_kept_to(room: Room, clock: FakeClock) -> None:
    room.forge.troubles.append(RateLimitedError("slow down", status=403, retry_after_seconds=300))
    await room.tell(deployed())
    clock.turn(299)
    await room.work()
    assert room.said == []
    clock.turn(2)
    await room.work()
    assert room.said == [(PRODUCTION, "success")]


async def test_one_repository_in_trouble_does_not_hold_up_another(room: Room, clock: FakeClock) -> None:
    room.forge.troubles.append(AuthError("may not write statuses", status=403))
    room.state(deployed())
    await room.plan(ONE)
    await room.work()
    await room.tell(deployed(), id_=CommitId(2))
    assert len(room.said) == 1
    assert await room.left() == {"1": "may not write statuses"}
    clock.turn(3600)
    await room.work()
    assert len(room.said) == 2


async def test_a_commit_that_a_forge_does_not_know_becomes_a_dead_letter(room: Room, clock: FakeClock) -> None:
    room.forge.troubles += [NotFoundError("no commit found", status=422)] * BURY_AFTER
    await room.tell(deployed())
    for _ in range(BURY_AFTER):
        clock.turn(3600)
        await room.work()
    assert await room.left() == {}
    assert await room.left(ReportState.DEAD) == {"1": "no commit found"}
    [dead] = (await room.ledger.outbox.list(state=ReportState.DEAD)).items
    assert await room.ledger.outbox.replay([dead.id]) == 1
    await room.work()
    assert room.said == [(PRODUCTION, "success")]


async def test_a_commit_that_is_gone_is_let_go(room: Room) -> None:
    await room.plan(CommitId(99))
    await room.work()
    assert await room.left() == {}


async def test_nothing_but_what_is_final_is_said_near_the_limit_of_a_context(room: Room, clock: FakeClock) -> None:
    await room.tell(delivery())
    [last] = (await room.ledger.said.below(room.route.sink, ["1"]))["1"]
    await room.ledger.said.note([type(last)(**{**_fields(last), "times": 950})])
    clock.turn(3600)
    await room.tell(delivery(reason="syncing"))
    assert len(room.said) == 1
    await room.tell(deployed())
    assert len(room.said) == 2


def _fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


async def test_other_words_for_what_is_well_are_no_news(room: Room, clock: FakeClock) -> None:
    await room.tell(deployed())
    clock.turn(3600)
    later = deployed(at=60)
    await room.tell(delivery_that_runs(later))
    assert len(room.said) == 1


async def test_other_words_for_a_failure_are_told_in_a_while(room: Room, clock: FakeClock) -> None:
    await room.tell(failed())
    await room.tell(failed(), failed("prod-us", since=40))
    assert len(room.said) == 1
    clock.turn(300)
    await room.tell(failed(), failed("prod-us", since=40))
    assert len(room.said) == 2


def delivery_that_runs(item: Any) -> Any:
    return type(item)(**{**_fields(item), "stages": {**item.stages, "running": moment(90)}})
