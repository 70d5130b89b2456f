"""Artifacts that GitHub does not know (yet): asked again on a schedule, once a digest, within a budget."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace
from tests.reports.deployment_records.rooms import PROD, STAGING, Room, all_are, content, digest, gone, many

from fluxtrail.model.deployment import UNKNOWN_LIMIT, DeploymentStatus, Told
from fluxtrail.reports.deployment_records.late import DIGESTS_PER_MINUTE

UNATTESTED = content("ghcr.io/acme/late", "1")


@pytest.fixture
async def room(room: Room) -> Room:
    """Not the first time of this cluster, so that single records are told singly."""
    await room.settle("first")
    room.github.unattested = {UNATTESTED.digest}
    room.github.forget_calls()
    return room


async def test_a_second_create_and_a_delete_of_an_unknown_digest_make_no_call(room: Room) -> None:
    """B.5, record step: after a 404 neither a second create nor a later delete of the same digest calls GitHub."""
    await room.record({"web": UNATTESTED})
    await room.go_on()
    assert room.github.kinds == ["single"]
    await room.record({"api": UNATTESTED})
    await room.go_on()
    await room.record({"api": gone(UNATTESTED)})
    await room.go_on()
    assert room.github.kinds == ["single"]
    assert room.output.counters.unknown_artifact_cache_hit == 2
    told = await room.told()
    assert (told["web"], told["api"]) == (Told.UNKNOWN, Told.SILENT)


async def test_a_start_asks_again_whatever_the_schedule(room: Room) -> None:
    """The organisation or the token was wrong, and is not any more: what it may not see GitHub calls unknown too."""
    room.github.unattested |= {what.digest for what in many(30, distinct=True).values()}
    await room.record(many(30, distinct=True))
    await room.go_on()
    await room.age(7200, step=300)
    before = await room.row("d0")
    assert before.tries >= 4
    room.github.unattested.clear()
    room.restart()
    assert await room.catching_up.ask_again(PROD) == 30
    assert (await room.row("d0")).tries == before.tries
    await room.age(60)
    assert all_are(await room.told(), Told.TOLD)
    await room.check()


async def test_a_start_asks_once_more_about_what_was_given_up(room: Room) -> None:
    await room.record({"web": UNATTESTED})
    await room.age(UNKNOWN_LIMIT.total_seconds() + 86400, step=3600)
    assert (await room.row("web")).retry_at is None
    room.github.forget_calls()
    await room.catching_up.ask_again(PROD)
    await room.age(3600)
    assert room.github.kinds == ["single"]
    assert (await room.row("web")).retry_at is None


async def test_it_is_asked_again_when_its_time_has_come(room: Room) -> None:
    """B.5: an entry that has expired is asked about again."""
    await room.record({"web": UNATTESTED})
    await room.go_on()
    await room.late.look()
    await room.go_on()
    assert room.github.kinds == ["single"]
    room.clock.turn(61)
    assert await room.late.look() == 1
    await room.go_on()
    assert room.github.kinds == ["single", "single"]
    assert (await room.row("web")).tries == 2


async def test_a_success_makes_no_digest_unknown(room: Room) -> None:
    """B.5: a success does not fill the cache."""
    await room.settle("web", "api", image="ghcr.io/acme/known")
    await room.settle("job", image="ghcr.io/acme/known")
    assert room.github.kinds == ["single"] * 3
    assert room.output.counters.unknown_artifact_cache_hit == 0


async def test_it_joins_the_schedule_of_its_digest(room: Room) -> None:
    await room.record({"web": UNATTESTED})
    await room.go_on()
    room.clock.turn(20)
    await room.record({"api": UNATTESTED})
    await room.go_on()
    web, api = await room.row("web"), await room.row("api")
    assert (web.retry_at, web.tries, web.unknown_since) == (api.retry_at, api.tries, api.unknown_since)


async def test_the_waits_are_the_schedule_s(room: Room) -> None:
    await room.record({"web": UNATTESTED})
    await room.go_on()
    begun = (await room.row("web")).unknown_since
    assert begun is not None
    waits = []
    while (retry_at := (await room.row("web")).retry_at) is not None:
        waits.append(round((retry_at - room.clock.now()).total_seconds() / 60))
        room.clock.turn((retry_at - room.clock.now()).total_seconds())
        await room.late.look()
        await room.go_on()
    assert waits == [1, 5, 15, 60, 240, 720] + [1440] * 13
    assert room.clock.now() - begun <= UNKNOWN_LIMIT
    room.clock.turn(timedelta(days=30).total_seconds())
    assert await room.late.look() == 0


async def test_digest_that_two_clusters_ask_about_at_once_was_asked_about_once(room: Room) -> None:
    await room.settle("first", cluster=STAGING)
    room.github.meeting = asyncio.Barrier(2)
    await room.record({"web": UNATTESTED})
    await room.record({"web": UNATTESTED}, cluster=STAGING)
    room.github.forget_calls()
    await room.go_on()
    assert room.github.kinds == ["single", "single"]
    rows = [await room.row("web"), await room.row("web", STAGING)]
    assert [row.tries for row in rows] == [1, 1]
    assert rows[0].retry_at == rows[1].retry_at == room.clock.now() + timedelta(minutes=1)


async def test_when_one_is_accepted_all_of_its_digest_are_told(room: Room) -> None:
    await room.record({f"d{number}": UNATTESTED for number in range(30)})
    await room.record({"web": UNATTESTED}, cluster=STAGING)
    await room.go_on()
    room.github.unattested = set()
    room.github.forget_calls()
    room.clock.turn(61)
    assert await room.late.look() == 1
    await room.go_on()
    assert sorted(room.github.kinds) == ["cluster", "single", "single"]
    assert all_are(await room.told(), Told.TOLD)
    assert all_are(await room.told(STAGING), Told.TOLD)
    await room.check()


async def test_many_of_one_unknown_digest_cost_one_single_without_bulk(room: Room) -> None:
    room.restart(has_bulk=False, workers=1)
    await room.record({f"d{number}": UNATTESTED for number in range(300)})
    await room.go_on()
    assert room.github.kinds == ["single"]
    assert room.output.counters.unknown_artifact_cache_hit == 299


async def test_what_github_still_holds_there_is_told_as_decommissioned(room: Room) -> None:
    await room.record({"web": content("known")})
    await room.go_on()
    await room.record({"web": UNATTESTED})
    await room.go_on()
    assert room.github.digests()["web"] == (digest("known:1"), "decommissioned")
    row = await room.row("web")
    assert row.told is Told.UNKNOWN
    assert row.told_content == gone(content("known"))
    assert room.output.counters.withdrawn == 1
    room.github.forget_calls()
    room.clock.turn(61)
    await room.late.look()
    await room.go_on()
    assert [entry.content.digest for entry in room.github.entries] == [UNATTESTED.digest]


async def test_a_digest_known_to_be_unknown_withdraws_what_it_replaces(room: Room) -> None:
    await room.record({"web": UNATTESTED, "api": content("known")})
    await room.go_on()
    room.github.forget_calls()
    await room.record({"api": UNATTESTED})
    await room.go_on()
    assert [entry.content for entry in room.github.entries] == [gone(content("known"))]
    assert (await room.row("api")).told is Told.UNKNOWN


async def test_a_withdrawal_that_fails_is_made_later(room: Room) -> None:
    from tests.reports.deployment_records.github import dropped

    await room.record({"web": content("known")})
    await room.go_on()
    await room.record({"web": UNATTESTED})
    room.github.faults.extend([None, dropped(is_done=False)])
    await room.dispatcher.work()
    assert (await room.row("web")).told is Told.PENDING
    await room.go_on()
    assert room.github.digests()["web"] == (digest("known:1"), "decommissioned")


async def test_a_first_telling_that_nobody_lived_to_hear_of_is_withdrawn(room: Room) -> None:
    """It arrives, the process is killed before the answer, and what runs then is nothing that GitHub knows."""
    from tests.reports.deployment_records.github import dropped

    await room.record({"web": content("known")})
    room.github.faults.append(dropped(is_done=True))
    await room.dispatcher.work()
    assert room.github.digests()["web"] == (digest("known:1"), "deployed")
    room.restart()
    await room.record({"web": UNATTESTED})
    await room.go_on()
    assert room.github.digests()["web"] == (digest("known:1"), "decommissioned")
    assert (await room.row("web")).told is Told.UNKNOWN


async def test_a_withdrawal_that_github_refuses_is_no_dead_letter(room: Room) -> None:
    await room.record({"web": content("known")})
    await room.go_on()
    await room.record({"web": UNATTESTED})
    room.github.choose_fault = lambda call: None
    room.github.unattested |= {digest("known:1")}
    await room.go_on()
    assert (await room.row("web")).told is Told.UNKNOWN
    assert await room.dead() == {}


async def test_back_to_the_digest_that_is_held_is_told_at_once(room: Room) -> None:
    await room.record({"web": content("known")})
    await room.go_on()
    await room.record({"web": UNATTESTED})
    await room.go_on()
    await room.record({"web": content("known")})
    await room.go_on()
    assert room.github.digests()["web"] == (digest("known:1"), "deployed")


async def test_gone_before_github_knew_it_is_silent(room: Room) -> None:
    await room.record({"web": UNATTESTED})
    await room.go_on()
    await room.record({"web": gone(UNATTESTED)})
    await room.go_on()
    assert (await room.row("web")).told is Told.SILENT
    assert "web" not in room.github.digests()
    room.clock.turn(86_400)
    assert await room.late.look() == 0


async def test_ten_thousand_unattested_images_cost_a_call_a_minute(room: Room) -> None:
    names = {f"d{number}": content(f"public{number}") for number in range(1_000)}
    room.github.unattested = {what.digest for what in names.values()}
    await room.record(names)
    await room.go_on()
    room.github.forget_calls()
    room.clock.turn(61)
    for _ in range(10):
        planned = 0
        for _ in range(4):
            planned += await room.late.look()
            await room.go_on()
            room.clock.turn(15)
        assert planned <= DIGESTS_PER_MINUTE
    assert len(room.github.sent("cluster")) <= 11
    assert sum(room.github.sent("cluster")) >= 9 * DIGESTS_PER_MINUTE


async def test_one_that_waits_to_be_sent_is_not_planned_again_and_again(room: Room) -> None:
    await room.record({"web": UNATTESTED, "api": UNATTESTED})
    await room.go_on()
    room.clock.turn(61)
    assert await room.late.look() == 1
    room.clock.turn(15)
    assert await room.late.look() == 0
    assert len(await room.waiting()) == 1


async def test_an_annotation_edit_of_an_unknown_one_makes_no_call(room: Room) -> None:
    await room.record({"web": UNATTESTED, "api": UNATTESTED})
    await room.go_on()
    room.github.forget_calls()
    await room.record({"web": replace(UNATTESTED, tags=(("team", "shop"),))})
    await room.go_on()
    assert room.github.kinds == []
    assert (await room.row("web")).told is Told.UNKNOWN


async def test_all_of_a_big_roll_out_of_unknown_images_withdraw_in_one_call(room: Room) -> None:
    await room.record(many(200, image="known"))
    await room.go_on()
    room.github.forget_calls()
    await room.record(dict.fromkeys(many(200), UNATTESTED))
    await room.go_on()
    assert room.github.sent("cluster") == [200, 199]
    assert len(room.github.calls) <= 4
    rows = await room.rows(PROD)
    assert {rows[name].told_content.status for name in many(200)} == {DeploymentStatus.DECOMMISSIONED}  # type: ignore[union-attr]


async def test_what_github_holds_is_decommissioned_even_if_it_forgot_the_artifact_for_a_while(room: Room) -> None:
    await room.settle("web", image="known")
    room.github.unattested = {digest("known:1")}
    await room.settle("api", image="known")
    assert (await room.row("api")).told is Told.UNKNOWN
    await room.record({"web": gone(content("known"))})
    await room.go_on()
    assert (await room.row("web")).told is Told.UNKNOWN
    room.github.unattested = set()
    await room.age(600)
    assert room.github.digests()["web"] == (digest("known:1"), "decommissioned")
    assert room.github.digests()["api"] == (digest("known:1"), "deployed")


async def test_what_github_said_is_kept_with_each_record(room: Room) -> None:
    await room.record({"web": UNATTESTED})
    await room.go_on()
    await room.record({"api": UNATTESTED})
    await room.go_on()
    rows = await room.rows()
    said = f"no artifact found for {UNATTESTED.digest}"
    assert [rows[name].answer for name in ("web", "api")] == [said, said]
    room.github.unattested |= {digest("other:1")}
    await room.record({**many(30), "box": content("other")})
    await room.go_on()
    assert "as not found" in (await room.row("box")).answer
