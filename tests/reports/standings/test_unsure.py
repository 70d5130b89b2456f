"""Attempts whose outcome nobody knows: what they made is found again, whatever was planned or killed meanwhile."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from tests.reports.standings.rooms import ONE, ForgePlace, Room, delivery, deployed
from tests.reports.worlds import FakeClock

from fluxtrail.model.errors import UpstreamError
from fluxtrail.model.status import DeploymentRequest, StatusState
from fluxtrail.reports.standings.budgets import Budget, Window
from fluxtrail.reports.standings.speakers import DeploymentSpeaker


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


class Board:
    """A forge's deployments. `then` is raised once, after one was made."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.notes: list[tuple[str, str]] = []
        self.looked = 0
        self.then: BaseException | None = None
        self.hangs = False

    async def create(self, repository: str, request: DeploymentRequest) -> str:
        self.made.append(request.key)
        if self.hangs:
            await asyncio.Event().wait()
        if self.then is not None:
            then, self.then = self.then, None
            raise then
        return str(len(self.made))

    async def find(self, repository: str, request: DeploymentRequest) -> str | None:
        self.looked += 1
        return str(self.made.index(request.key) + 1) if request.key in self.made else None

    async def note(self, repository: str, deployment: str, *, state: StatusState, **texts: str) -> None:
        self.notes.append((deployment, state.value))


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def room(room: Room, board: Board) -> Room:
    _open(room, board)
    return room


def _open(room: Room, board: Board, *, per_minute: int = 75) -> None:
    budget = Budget("github.com/acme", (Window(per_minute, timedelta(minutes=1)),))
    room.restart(
        DeploymentSpeaker(
            lambda _: board,
            lambda _: ForgePlace("acme/shop", "github.com/acme"),
            lambda _: budget,
            key_of=lambda saying: saying.key,
        )
    )


async def test_a_first_deployment_is_not_looked_for(room: Room, board: Board) -> None:
    await room.tell(delivery())
    await room.tell(deployed())
    assert (board.looked, board.notes) == (0, [("1", "pending"), ("1", "success")])


async def test_a_deployment_whose_answer_got_lost_is_found_after_others_were_planned(
    room: Room, board: Board, clock: FakeClock
) -> None:
    board.then = UpstreamError("connection closed")
    await room.tell(delivery())
    for _ in range(3):
        await room.plan(ONE)
    clock.turn(120)
    await room.tell(deployed())
    assert (len(board.made), board.notes) == (1, [("1", "success")])


async def test_a_deployment_is_found_by_who_comes_after_a_kill(room: Room, board: Board, clock: FakeClock) -> None:
    board.then = Killed()
    with pytest.raises(BaseExceptionGroup):
        await room.tell(delivery())
    clock.turn(120)  # the lease is over
    _open(room, board)
    await room.tell(deployed())
    assert (len(board.made), board.notes) == (1, [("1", "success")])


async def test_an_attempt_does_not_outlive_its_lease(room: Room, board: Board, clock: FakeClock) -> None:
    """Else another process would take it for dead, and make what this one is just making."""
    board.hangs = True
    room.output.timeout_seconds = 0.05
    await room.tell(delivery())
    assert await room.left() == {"1": "no answer within 0 s"}
    board.hangs = False
    room.output.timeout_seconds = 30.0
    clock.turn(120)
    await room.work()
    assert (len(board.made), board.notes) == (1, [("1", "pending")])


async def test_a_deployment_that_was_made_perhaps_is_closed_where_there_is_nothing_to_do(
    room: Room, board: Board, clock: FakeClock
) -> None:
    board.then = UpstreamError("connection closed")
    await room.tell(delivery(reason="awaiting_export"))
    clock.turn(120)
    await room.tell(deployed("staging"))
    assert ("1", "neutral") in board.notes


async def test_a_deployment_whose_state_had_no_budget_left_gets_it_later(
    room: Room, board: Board, clock: FakeClock
) -> None:
    _open(room, board, per_minute=1)
    await room.tell(deployed())
    assert (len(board.made), board.notes) == (1, [])
    clock.turn(61)
    await room.work()
    assert (len(board.made), board.notes, board.looked) == (1, [("1", "success")], 0)
