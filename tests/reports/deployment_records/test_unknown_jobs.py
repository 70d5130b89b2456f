"""Jobs of ever new names that run one unattested image: all of them together ask on the schedule of its digest."""

from __future__ import annotations

import pytest
from tests.reports.deployment_records.rooms import PROD, Room, all_are, content, gone

from fluxtrail.model.deployment import UNKNOWN_LIMIT, Told
from fluxtrail.reports.deployment_records import unknowns

UNATTESTED = content("ghcr.io/acme/tool", "1")


@pytest.fixture
async def room(room: Room) -> Room:
    await room.settle("first")
    room.github.unattested = {UNATTESTED.digest}
    room.github.forget_calls()
    return room


async def run_jobs(room: Room, count: int, *, every_seconds: float = 60.0, start: int = 0) -> None:
    """Each runs for half of the time until the next."""
    for number in range(start, start + count):
        await room.record({f"job{number}": UNATTESTED})
        await room.age(every_seconds / 2, step=every_seconds / 4)
        await room.record({f"job{number}": gone(UNATTESTED)})
        await room.age(every_seconds / 2, step=every_seconds / 4)


async def test_sixty_jobs_in_an_hour_ask_as_often_as_the_schedule_says(room: Room) -> None:
    await run_jobs(room, 60)
    assert room.github.kinds == ["single"] * 4, "after 0, 1, 6 and 21 minutes"
    told = await room.told()
    assert all_are([told[f"job{number}"] for number in range(60)], Told.SILENT)
    assert await room.waiting() == []


async def test_what_was_given_up_is_asked_about_by_new_names_once_a_day(room: Room) -> None:
    await room.record({"web": UNATTESTED})
    await room.age(UNKNOWN_LIMIT.total_seconds() + 86_400, step=3_600)
    assert (await room.row("web")).retry_at is None
    room.github.forget_calls()
    await run_jobs(room, 24, every_seconds=3_600)
    assert len(room.github.kinds) == 1
    assert (await room.row("job23")).told is Told.SILENT
    await room.record({"api": UNATTESTED})
    await room.go_on()
    assert ((await room.row("api")).told, (await room.row("api")).retry_at) == (Told.UNKNOWN, None)


async def test_one_that_is_attested_late_is_told_and_so_is_the_next(room: Room) -> None:
    await run_jobs(room, 10)
    room.github.unattested = set()
    await room.record({"long": UNATTESTED})
    await room.age(900)
    assert (await room.row("long")).told is Told.TOLD
    room.github.forget_calls()
    await room.record({"next": UNATTESTED})
    await room.go_on()
    assert room.github.kinds == ["single"]
    assert (await room.row("next")).told is Told.TOLD
    await room.check()


async def test_everything_is_asked_about_on_request(room: Room) -> None:
    await run_jobs(room, 10)
    await room.record({"web": UNATTESTED})
    await room.go_on()
    room.github.forget_calls()
    await room.catching_up.resend(PROD)
    await room.go_on()
    assert [entry.deployment_name for entry in room.github.entries if entry.content == UNATTESTED] == ["web"]


async def test_what_another_process_has_told_meanwhile_is_known(room: Room) -> None:
    await run_jobs(room, 10)
    here, room.github.unattested = room.dispatcher, set()
    room.restart()
    await room.settle("there", image="ghcr.io/acme/tool")
    room.dispatcher = here
    await room.settle("web", image="ghcr.io/acme/tool")
    assert (await room.row("web")).told is Told.TOLD


async def test_it_remembers_so_many_only(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unknowns, "MOST", 1)
    other = content("ghcr.io/acme/other", "1")
    room.github.unattested |= {other.digest}
    for number, what in enumerate([UNATTESTED, other, UNATTESTED, UNATTESTED]):
        await room.record({f"job{number}": what})
        await room.go_on()
        await room.record({f"job{number}": gone(what)})
        await room.go_on()
    assert len(room.github.kinds) == 3
