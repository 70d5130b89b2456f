"""Statuses of environments that a commit no longer has to do with: what is open is closed, what was well stays."""

from __future__ import annotations

from tests.reports.standings.rooms import Room, delivery, deployed, failed

PRODUCTION = "fluxtrail/production"


async def test_an_environment_of_another_name_leaves_nothing_open(room: Room) -> None:
    await room.tell(delivery("old"))
    await room.tell(delivery("new"))
    assert room.forge.final == {"fluxtrail/old": "neutral", "fluxtrail/new": "pending"}


async def test_what_was_well_stays_so_when_its_environment_gets_another_name(room: Room) -> None:
    await room.tell(deployed())
    await room.tell(deployed("new"))
    assert room.forge.final == {PRODUCTION: "success", "fluxtrail/new": "success"}


async def test_what_was_well_stays_so_when_its_target_begins_anew(room: Room) -> None:
    await room.tell(deployed())
    await room.tell(deployed(is_before_baseline=True))
    await room.tell()
    assert room.said == [(PRODUCTION, "success")]


async def test_a_failure_that_nobody_can_mend_any_more_is_closed(room: Room) -> None:
    await room.tell(failed(), deployed("staging"))
    await room.tell(deployed("staging"))
    assert room.forge.final == {PRODUCTION: "neutral", "fluxtrail/staging": "success"}


async def test_an_environment_that_waits_for_its_own_export_stays_open_until_that_is_known(room: Room) -> None:
    await room.tell(delivery(reason="awaiting_export"), delivery("staging", reason="awaiting_export"))
    await room.tell(delivery(reason="awaiting_export"), deployed("staging"))
    assert room.forge.final == {PRODUCTION: "pending", "fluxtrail/staging": "success"}
    await room.tell(delivery(verdict="unaffected"), deployed("staging"))
    assert room.forge.final == {PRODUCTION: "neutral", "fluxtrail/staging": "success"}
