"""Routes that wait until what was delivered runs: what does not get on turns red, and green when it does."""

from __future__ import annotations

from tests.reports.standings.conftest import MakeRoom
from tests.reports.standings.rooms import delivery, deployed
from tests.reports.worlds import FakeClock, at

from fluxtrail.model.views import BlockerView, DeliveryView
from fluxtrail.reports.routes import Until

PRODUCTION = "fluxtrail/production"


def crashing(since: float, cluster: str = "prod-eu") -> DeliveryView:
    blocker = BlockerView(
        workload="Deployment/shop/web", state="blocked", cause="crash_loop", message="exit 1", since=at(since)
    )
    return deployed(cluster, running="waiting", blockers=[blocker])


async def test_a_crash_loop_turns_red_by_itself_and_green_when_it_is_over(
    make_room: MakeRoom, clock: FakeClock
) -> None:
    room = make_room(until=Until.RUNNING)
    clock.turn(90)
    await room.tell(crashing(since=80))
    clock.turn(289)
    await room.work()
    assert room.said == [(PRODUCTION, "running")]
    clock.turn(2)
    await room.work()
    assert room.said[1:] == [(PRODUCTION, "failure")]
    assert room.forge.written[-1].description == "prod-eu apps shop/web: crash loop: exit 1"
    assert await room.left() == {}
    await room.tell(deployed(running="reached"))
    assert room.said[2:] == [(PRODUCTION, "success")]


async def test_what_is_late_elsewhere_does_not_hide_what_is_stuck(make_room: MakeRoom, clock: FakeClock) -> None:
    room = make_room(until=Until.RUNNING)
    clock.turn(390)
    await room.tell(delivery("prod-us"), deployed(running="waiting"))
    clock.turn(5)
    await room.tell(delivery("prod-us"), crashing(since=80))
    assert room.said == [(PRODUCTION, "pending"), (PRODUCTION, "failure")]


async def test_who_waits_for_deployed_does_not_look_at_what_crashes(make_room: MakeRoom, clock: FakeClock) -> None:
    room = make_room()
    clock.turn(900)
    await room.tell(crashing(since=80))
    assert room.said == [(PRODUCTION, "success")]
