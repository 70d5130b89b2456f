"""What waits: for a budget, for a receiver's pause, for a failure to be old enough; and what must not wait with it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from tests.reports.standings.conftest import MakeRoom
from tests.reports.standings.rooms import ForgePlace, Room, delivery, deployed, failed
from tests.reports.worlds import FakeClock

from fluxtrail.model.errors import RateLimitedError
from fluxtrail.model.records import CommitId
from fluxtrail.model.standing import CommitTrail
from fluxtrail.reports.standings.budgets import Budget, Window
from fluxtrail.reports.standings.speakers import StatusSpeaker

PRODUCTION = "fluxtrail/production"


async def test_a_verdict_does_not_wait_for_what_its_pending_status_waits_for(
    make_room: MakeRoom, clock: FakeClock
) -> None:
    room = make_room(per_minute=10)
    for number in range(2, 8):
        await room.tell(delivery(), id_=CommitId(number))
    await room.tell(delivery())
    assert len(room.said) == 6
    clock.turn(1)
    await room.tell(deployed())
    assert room.said[6:] == [(PRODUCTION, "success")]
    assert await room.left() == {}


async def test_recovery_does_not_wait_until_the_failure_would_have_been_told(
    make_room: MakeRoom, clock: FakeClock
) -> None:
    room = make_room(fail_after=timedelta(minutes=10))
    clock.turn(31)
    await room.tell(failed())
    clock.turn(31)
    await room.tell(deployed())
    assert room.said == [(PRODUCTION, "running"), (PRODUCTION, "success")]


async def test_who_waits_for_a_budget_asks_nobody_anything(make_room: MakeRoom, clock: FakeClock) -> None:
    room = make_room(per_minute=1)
    await room.tell(deployed(), id_=CommitId(8))
    await room.tell(deployed())
    for _ in range(4):
        clock.turn(20)
        await room.work()
    assert len(room.said) == 2
    assert room.forge.looked == []


async def test_those_who_wait_come_by_turns(make_room: MakeRoom, clock: FakeClock) -> None:
    """Two hundred commits at once: not all of them are looked at each time that there is room for a few."""
    room = make_room(per_minute=25)
    ids = [CommitId(number) for number in range(1, 201)]
    for id_ in ids:
        room.state(delivery(), id_=id_)
    await room.plan(*ids)
    reads = _count_reads(room)
    for _ in range(16 * 60 // 5):
        await room.work()
        clock.turn(5)
    assert len(room.said) == 200
    assert sum(reads) <= 500


def _count_reads(room: Room) -> list[int]:
    reads: list[int] = []
    read = room.trails.trails

    async def trails(ids: Sequence[CommitId], **given: Any) -> Mapping[CommitId, CommitTrail]:
        reads.append(len(ids))
        return await read(ids, **given)

    room.trails.trails = trails  # type: ignore[method-assign]
    return reads


async def test_windows_that_refuse_take_nothing_from_the_others(make_room: MakeRoom, clock: FakeClock) -> None:
    room = make_room()
    budget = Budget("both", (Window(5, timedelta(minutes=1)), Window(2, timedelta(hours=1))))
    for _ in range(2):
        await room.budgets.take(budget, is_final=True)
    for _ in range(9):
        assert await _refused_until(room, budget) is not None
    assert await room.ledger.outbox.spent("both/0", per=timedelta(minutes=1), now=clock.now()) == 2


async def _refused_until(room: Room, budget: Budget) -> object:
    try:
        await room.budgets.take(budget, is_final=True)
    except Exception as exc:  # noqa: BLE001 - the test looks at it
        return exc
    return None


async def test_two_processes_say_everything_once(make_room: MakeRoom) -> None:
    one, other = make_room(), make_room()
    other.forge, other.trails, other.owner = one.forge, one.trails, 9
    other.restart()
    ids = [CommitId(number) for number in range(1, 41)]
    for id_ in ids:
        one.state(deployed(), id_=id_)
    await one.plan(*ids)
    async with asyncio.TaskGroup() as group:
        group.create_task(one.work())
        group.create_task(other.work())
    assert len(one.said) == 40
    assert len({written.sha for written in one.forge.written}) == 40


async def test_one_owners_limit_is_not_anothers(room: Room, clock: FakeClock) -> None:
    def find_place(repository: str) -> ForgePlace:
        owner = repository.split("/")[1]
        return ForgePlace("acme/shop", f"github.com/{owner}")

    def budget_of(whose: str) -> Budget:
        return Budget(whose, (Window(75, timedelta(minutes=1)),))

    room.restart(StatusSpeaker(lambda _: room.forge, find_place, budget_of))
    room.forge.troubles.append(RateLimitedError("slow down", status=403, retry_after_seconds=600))
    await room.tell(deployed(), repository="github.com/noisy/shop")
    for number in (2, 3):
        await room.tell(deployed(), id_=CommitId(number), repository="github.com/acme/shop")
        await room.tell(deployed(), id_=CommitId(number + 2), repository="github.com/noisy/shop")
    assert [one.sha for one in room.forge.written] == [f"{number:040x}" for number in (2, 3)]
    assert (await room.left())["1"] == "slow down"
    clock.turn(600)
    await room.work()
    assert len(room.said) == 5
