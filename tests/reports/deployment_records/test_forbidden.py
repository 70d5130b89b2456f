"""403 of a single record: what the credentials may not write about does not hold up what they may."""

from __future__ import annotations

import pytest
from tests.reports.deployment_records.github import Call, ClusterAnswer, Fault, Rejection
from tests.reports.deployment_records.rooms import Room, all_are, content, digest, gone, many

from fluxtrail.model.deployment import Destination, Told
from fluxtrail.remotes.github.artifact_errors import CredentialsRefusedError
from fluxtrail.reports.deployment_records.ports import Entry

THEIRS = content("ghcr.io/others/app", "1")
REFUSED = "client error: GitHub answered 403: Resource not accessible"


@pytest.fixture
async def room(room: Room) -> Room:
    await room.settle("first")
    room.github.forget_calls()
    return room


def forbid_theirs(room: Room, *, status: int = 403) -> None:
    def choose(call: Call) -> Fault | None:
        is_theirs = call.kind == "single" and call.names[0].startswith("theirs")
        return Fault(CredentialsRefusedError(REFUSED, status=status)) if is_theirs else None

    room.github.choose_fault = choose


async def test_it_is_settled_like_an_unknown_artifact_and_others_go_on(room: Room) -> None:
    forbid_theirs(room)
    await room.record({"theirs": THEIRS, **many(5)})
    await room.dispatcher.work()
    row = await room.row("theirs")
    assert (row.told, row.tries, row.answer) == (Told.UNKNOWN, 1, REFUSED)
    assert row.retry_at is not None
    assert not room.dispatcher.numbers.is_down
    assert all_are([told for name, told in (await room.told()).items() if name != "theirs"], Told.TOLD)
    assert await room.dead() == {}
    assert await room.waiting() == []


async def test_it_is_told_once_it_may_be(room: Room) -> None:
    forbid_theirs(room)
    await room.record({"theirs": THEIRS})
    await room.go_on()
    room.github.choose_fault = lambda call: None
    await room.age(90)
    assert (await room.row("theirs")).told is Told.TOLD
    await room.check()


async def test_what_it_replaces_is_decommissioned(room: Room) -> None:
    await room.settle("web", image="known")
    refused = CredentialsRefusedError(REFUSED, status=403)
    room.github.faults.append(Fault(refused))
    await room.record({"web": THEIRS})
    await room.go_on()
    assert room.github.digests()["web"] == (digest("known:1"), "decommissioned")
    assert (await room.row("web")).told_content == gone(content("known"))


@pytest.mark.parametrize(("status", "quiet_seconds"), [(401, 0), (403, 301)], ids=["401", "nothing accepted lately"])
async def test_else_it_is_about_the_credentials(room: Room, status: int, quiet_seconds: float) -> None:
    room.clock.turn(quiet_seconds)
    forbid_theirs(room, status=status)
    await room.record({"theirs": THEIRS})
    await room.dispatcher.work()
    assert room.dispatcher.numbers.is_down
    assert (await room.row("theirs")).told is Told.PENDING


async def test_after_a_start_it_holds_others_up_for_seconds_only(room: Room) -> None:
    room.restart(workers=1)
    forbid_theirs(room)
    await room.record({"theirs": THEIRS})
    room.clock.turn(1)
    await room.record(many(5))
    await room.dispatcher.work()
    assert len(await room.waiting()) == 6
    await room.go_on(seconds=30)
    assert all_are([told for name, told in (await room.told()).items() if name != "theirs"], Told.TOLD)
    assert not room.dispatcher.numbers.is_down
    await room.go_on()
    assert (await room.row("theirs")).told is Told.UNKNOWN
    assert room.github.sent("single") == [1] * 7


@pytest.mark.parametrize("is_listed", [True, False])
async def test_an_entry_that_a_bulk_says_is_unauthorized_is_the_same(
    room: Room, monkeypatch: pytest.MonkeyPatch, is_listed: bool
) -> None:
    async def post_cluster(destination: Destination, entries: list[Entry]) -> ClusterAnswer:
        names = frozenset(entry.deployment_name for entry in entries)
        room.github.calls.append(Call("cluster", tuple(sorted(names))))
        error = Rejection(THEIRS.name, "unauthorized", "theirs" if is_listed else "")
        return ClusterAnswer(names - {"theirs"}, (error,))

    monkeypatch.setattr(room.github, "post_cluster", post_cluster)
    await room.record({"theirs": THEIRS, **many(30)})
    await room.go_on()
    row = await room.row("theirs")
    assert row.told is Told.UNKNOWN
    assert "unauthorized" in row.answer
    assert room.github.kinds == ["cluster"]
    assert await room.dead() == {}
