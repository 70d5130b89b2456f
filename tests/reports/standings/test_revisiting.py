"""Looking again at what is open: everybody's turn comes, and what a receiver refuses is left to its own time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.reports.standings.rooms import Room, delivery, deployed
from tests.reports.worlds import FakeClock

from fluxtrail.model.errors import AuthError, NotFoundError, StoreError
from fluxtrail.model.records import CommitId
from fluxtrail.model.report import NewReport, ReportState
from fluxtrail.reports.standings import revisiting
from fluxtrail.reports.standings.revisiting import Revisitor


@pytest.fixture
def revisitor(room: Room) -> Revisitor:
    async def add(reports: Sequence[NewReport]) -> None:
        async with room.ledger.unit() as unit:
            await unit.add_reports(reports)

    async def newest() -> int:
        return 0

    return Revisitor([room.route.sink], room.ledger.said, add_reports=add, newest=newest, clock=room.clock)


async def test_what_stays_open_keeps_no_other_from_its_turn(
    room: Room, revisitor: Revisitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revisiting, "OPEN_LIMIT", 3)
    for number in range(1, 8):
        await room.tell(delivery(), id_=CommitId(number))
    for number in range(1, 4):
        del room.trails.known[CommitId(number)]  # pruned: nobody will ever say more of them
    for number in (6, 7):
        room.state(deployed(), id_=CommitId(number))
    for _ in range(3):
        await revisitor.look()
        await room.work()
    assert [state for _, state in room.said].count("success") == 2
    room.state(deployed(), id_=CommitId(4))
    for _ in range(2):
        await revisitor.look()
        await room.work()
    assert [state for _, state in room.said].count("success") == 3


async def test_dead_letters_are_not_brought_back_to_life(room: Room, revisitor: Revisitor, clock: FakeClock) -> None:
    await room.tell(delivery())
    room.forge.troubles += [NotFoundError("no commit found", status=422)] * 99
    await room.tell(deployed())
    for _ in range(9):
        clock.turn(3600)
        await room.work()
    left = len(room.forge.troubles)
    for _ in range(9):
        await revisitor.look()
        await room.work()
        clock.turn(15)
    assert list(await room.left(ReportState.DEAD)) == ["1"]
    assert len(room.forge.troubles) == left


async def test_a_forge_that_refuses_is_asked_less_and_less_often(
    room: Room, revisitor: Revisitor, clock: FakeClock
) -> None:
    await room.tell(delivery())
    room.forge.troubles += [AuthError("no", status=403)] * 999
    await room.tell(deployed())
    for _ in range(240):
        clock.turn(15)
        await revisitor.look()
        await room.work()
    assert 999 - len(room.forge.troubles) <= 8


class Looks:
    """A memory in which nothing is open; ends the test after the third look."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.at: list[float] = []

    async def open_parents(self, sink: str, *, after: int, limit: int) -> tuple[list[str], int]:
        self.at.append(self.clock.monotonic())
        if len(self.at) == 3:
            raise StoreError("enough", retryable=False)
        return [], 0


async def test_what_is_open_is_looked_at_now_and_then_though_nothing_happens(clock: FakeClock) -> None:
    async def nothing(_: object) -> None:
        raise AssertionError

    async def newest() -> int:
        return 7

    looks = Looks(clock)
    with pytest.raises(StoreError):
        await Revisitor(["route.checks"], looks, add_reports=nothing, newest=newest, clock=clock).run()
    assert looks.at == [0, revisiting.QUIET_SECONDS, 2 * revisiting.QUIET_SECONDS]
