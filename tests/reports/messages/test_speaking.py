"""Telling a channel of commits, over a real ledger: what is posted, what is changed, and what is kept quiet."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.reports.messages.rooms import ChatRoom
from tests.reports.standings.rooms import delivery, deployed, failed
from tests.reports.worlds import FakeClock

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import AuthError, ConfigError, UpstreamError
from fluxtrail.model.records import CommitId
from fluxtrail.model.verdict import Verdict

MakeRoom = Callable[..., ChatRoom]
PENDING = delivery(reason="awaiting_fetch")
STAGING_PENDING = delivery("staging", reason="awaiting_fetch")


@pytest.fixture
def make_room(ledger: SqlLedger, clock: FakeClock) -> MakeRoom:
    return lambda **given: ChatRoom(ledger, clock, **given)


@pytest.fixture
def room(make_room: MakeRoom) -> ChatRoom:
    return make_room()


@pytest.fixture
def quiet(make_room: MakeRoom) -> ChatRoom:
    return make_room(can_edit=False)


# -- where messages can be changed


async def test_one_message_a_commit_is_changed_in_place(room: ChatRoom) -> None:
    await room.tell(PENDING)
    await room.tell(failed())
    await room.tell(deployed())
    await room.tell(deployed(), id_=CommitId(2))
    assert len(room.channel.posted) == 2
    assert room.channel.edits == 2
    assert ":white_check_mark: *production*  deployed on prod-eu in 1m" in room.shown[0]


async def test_an_environment_that_arrives_is_shown_while_others_are_under_way(room: ChatRoom) -> None:
    await room.tell(PENDING, STAGING_PENDING)
    await room.tell(PENDING, deployed("staging"))
    [text] = room.shown
    assert ":white_check_mark: *staging*" in text
    assert ":hourglass_flowing_sand: *production*" in text


async def test_what_is_under_way_is_repeated_seldom(room: ChatRoom, clock: FakeClock) -> None:
    await room.tell(PENDING, STAGING_PENDING)
    await room.tell(delivery(reason="syncing"), STAGING_PENDING)
    assert room.channel.edits == 0
    clock.turn(300)
    await room.tell(delivery(reason="syncing"), STAGING_PENDING)
    assert room.channel.edits == 1


async def test_the_same_is_not_said_again_after_a_restart(room: ChatRoom) -> None:
    await room.tell(deployed())
    room.restart()
    await room.tell(deployed())
    assert (len(room.channel.posted), room.channel.edits) == (1, 0)


async def test_a_message_that_was_deleted_is_posted_anew(room: ChatRoom) -> None:
    await room.tell(PENDING)
    room.channel.messages.clear()
    await room.tell(failed())
    await room.tell(deployed())
    assert (len(room.channel.posted), room.channel.edits) == (2, 1)


async def test_verdicts_say_when_there_is_a_message_at_all(make_room: MakeRoom) -> None:
    room = make_room(verdicts=frozenset({Verdict.FAILED}))
    await room.tell(PENDING)
    await room.tell(deployed())
    assert room.channel.posted == []
    await room.tell(failed())
    await room.tell(deployed())
    assert len(room.channel.posted) == 1
    assert ":white_check_mark: *production*" in room.shown[0]


async def test_a_budget_is_kept_and_the_last_word_said_later(make_room: MakeRoom, clock: FakeClock) -> None:
    room = make_room(per_minute=5)
    for number in range(1, 9):
        await room.tell(deployed(), id_=CommitId(number))
    assert len(room.channel.posted) == 5
    assert len(await room.left()) == 3
    clock.turn(61)
    await room.work()
    assert len(room.channel.posted) == 8


async def test_what_may_have_been_posted_is_said_again(room: ChatRoom, clock: FakeClock) -> None:
    room.channel.troubles = [UpstreamError("no answer within 15 s")]
    await room.tell(deployed())
    clock.turn(120)
    await room.work()
    assert len(room.channel.posted) == 1


@pytest.mark.parametrize(
    "trouble", [AuthError("not_in_channel", status=200), ConfigError("the credential file is empty")]
)
async def test_what_an_operator_can_mend_is_waited_for(
    room: ChatRoom, clock: FakeClock, trouble: AuthError | ConfigError
) -> None:
    room.channel.troubles = [trouble] * 8
    await room.tell(deployed())
    for _ in range(8):
        clock.turn(3600)
        await room.work()
    assert len(room.channel.posted) == 1


async def test_a_route_can_be_tried(room: ChatRoom) -> None:
    view = room.trails.known
    room.state(deployed())
    assert "test" in await room.output.try_out(next(iter(view.values())).view.commit)
    assert "a test of the route deploys" in room.shown[0]


# -- where they cannot


async def test_nothing_is_said_while_it_is_under_way(quiet: ChatRoom) -> None:
    await quiet.tell(PENDING, STAGING_PENDING)
    await quiet.tell(delivery(reason="syncing"), deployed("staging"))
    assert quiet.channel.posted == []
    await quiet.tell(deployed(), deployed("staging"))
    assert len(quiet.channel.posted) == 1


async def test_a_failure_is_said_at_once_and_recovery_always(quiet: ChatRoom) -> None:
    await quiet.tell(failed(), STAGING_PENDING)
    await quiet.tell(failed(message="another reason"), deployed("staging"))
    await quiet.tell(delivery(reason="syncing"), deployed("staging"))
    await quiet.tell(failed(), deployed("staging"))
    assert len(quiet.channel.posted) == 1
    await quiet.tell(deployed(), deployed("staging"))
    await quiet.tell(deployed(at=90), deployed("staging"))
    assert [text.count("✅") for text in quiet.shown] == [0, 3]


async def test_another_environment_that_fails_is_news(quiet: ChatRoom) -> None:
    await quiet.tell(failed(), STAGING_PENDING)
    await quiet.tell(failed(), failed("staging"))
    await quiet.tell(deployed(), failed("staging"))
    assert [text.count("❌") for text in quiet.shown] == [2, 3, 2]


async def test_it_may_fail_and_recover_again(quiet: ChatRoom) -> None:
    for _ in range(2):
        await quiet.tell(failed())
        await quiet.tell(deployed())
    assert [text.split()[0] for text in quiet.shown] == ["❌", "✅", "❌", "✅"]


async def test_verdicts_let_recovery_through(make_room: MakeRoom) -> None:
    quiet = make_room(can_edit=False, verdicts=frozenset({Verdict.FAILED, Verdict.ROLLED_BACK}))
    await quiet.tell(deployed(), id_=CommitId(2))
    assert quiet.channel.posted == []
    await quiet.tell(failed())
    await quiet.tell(deployed())
    await quiet.tell(delivery(verdict="rolled_back"))
    await quiet.tell(deployed(at=90))
    assert [text.split()[0] for text in quiet.shown] == ["❌", "✅", "⚠️", "✅"]


async def test_verdicts_are_those_of_what_decides(make_room: MakeRoom) -> None:
    quiet = make_room(can_edit=False, verdicts=frozenset({Verdict.DEPLOYED}))
    await quiet.tell(failed(), deployed("staging"))
    assert quiet.channel.posted == []


async def test_a_restart_repeats_nothing(quiet: ChatRoom) -> None:
    await quiet.tell(failed())
    quiet.restart()
    await quiet.tell(failed())
    assert len(quiet.channel.posted) == 1


async def test_what_affects_nothing_is_not_spoken_of(quiet: ChatRoom) -> None:
    await quiet.tell(delivery(verdict="unaffected"))
    assert quiet.channel.posted == []
