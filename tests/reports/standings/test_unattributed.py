"""Nothing final is said of a commit that left its branch, while syncs that are known are not attributed."""

from __future__ import annotations

from tests.reports.standings.conftest import MakeRoom
from tests.reports.standings.rooms import Room, delivery, deployed
from tests.reports.worlds import FakeClock

from fluxtrail.reports.routes import RouteKind

PRODUCTION = "fluxtrail/production"
UNSURE = frozenset({1})


async def test_lost_is_not_said_before_it_is_known_that_it_was_never_there(room: Room, clock: FakeClock) -> None:
    await room.tell(delivery())
    await room.tell(delivery(verdict="lost"), unsure=UNSURE)
    clock.turn(2)
    await room.tell(deployed(), unsure=UNSURE)
    clock.turn(2)
    await room.tell(delivery(verdict="rolled_back"))
    assert room.said == [(PRODUCTION, "pending"), (PRODUCTION, "error")]


async def test_what_is_really_lost_is_said_by_itself_once_that_is_sure(room: Room, clock: FakeClock) -> None:
    await room.tell(delivery())
    await room.tell(delivery(verdict="lost"), unsure=UNSURE)
    assert list(await room.left()) == ["1"]
    room.state(delivery(verdict="lost"))
    clock.turn(3)
    await room.work()
    assert room.said == [(PRODUCTION, "pending"), (PRODUCTION, "error")]
    assert await room.left() == {}


async def test_what_is_under_way_and_what_was_said_do_not_wait(room: Room) -> None:
    await room.tell(delivery("staging", reason="syncing"), unsure=UNSURE)
    await room.tell(delivery("staging", reason="syncing"), deployed())
    await room.tell(delivery("staging", reason="syncing"), deployed(), unsure=UNSURE)
    assert room.said == [("fluxtrail/staging", "running"), (PRODUCTION, "success")]
    assert await room.left() == {}


async def test_targets_beside_it_are_no_reason_to_wait(room: Room) -> None:
    await room.tell(deployed(), unsure=frozenset({99}))
    assert room.said == [(PRODUCTION, "success")]


async def test_a_message_of_all_environments_waits_for_each(make_room: MakeRoom) -> None:
    room = make_room(kind=RouteKind.SLACK)
    await room.tell(deployed(target_id=2), delivery("staging", "lost"), unsure=UNSURE)
    assert room.said == []
