"""What deployment-tracker loses or gets wrong when it sends, by the numbers of its known weaknesses: each is gone."""

from __future__ import annotations

import tracemalloc

import pytest
from msgspec.structs import replace
from tests.reports.deployment_records.github import dropped, failing, limited
from tests.reports.deployment_records.rooms import PROD, Room, all_are, content, digest, gone, many

from fluxtrail.model.deployment import Told


async def test_1_a_fast_roll_back_ends_with_what_runs(room: Room) -> None:
    """A, B, back to A within two minutes: GitHub ends with A."""
    for version in ("1", "2", "1"):
        await room.settle("web", version=version)
        room.clock.turn(5)
    assert room.github.digests() == {"web": (digest("nginx:1"), "deployed")}
    assert [entry.content.version for entry in room.github.entries] == ["1", "2", "1"]


@pytest.mark.parametrize("is_done", [True, False], ids=["it arrived", "it did not"])
async def test_1_a_roll_back_before_the_answer_came_ends_with_what_runs(room: Room, is_done: bool) -> None:
    await room.settle("web", version="1")
    room.github.faults.append(dropped(is_done=is_done))
    await room.record({"web": content(version="2")})
    await room.dispatcher.work()
    await room.record({"web": content(version="1")})
    await room.go_on()
    assert room.github.digests() == {"web": (digest("nginx:1"), "deployed")}


async def test_1_a_change_during_the_attempt_is_told_after_it(room: Room) -> None:
    await room.settle("web", version="1")
    taken = room.github.post_record

    async def slow(destination: object, entry: object) -> None:
        room.github.post_record = taken  # type: ignore[method-assign]
        await room.record({"web": content(version="3")})
        await taken(destination, entry)  # type: ignore[arg-type]

    room.github.post_record = slow  # type: ignore[method-assign]
    await room.record({"web": content(version="2")})
    await room.dispatcher.work()
    row = await room.row("web")
    assert row.told is Told.PENDING
    assert row.told_content == content(version="2")
    assert await room.waiting() == ["web"]
    await room.go_on()
    assert room.github.digests() == {"web": (digest("nginx:3"), "deployed")}


async def test_1_gone_before_the_answer_came_is_not_left_deployed(room: Room) -> None:
    await room.settle("first")
    room.github.faults.append(dropped(is_done=True))
    await room.record({"web": content()})
    await room.dispatcher.work()
    await room.record({"web": gone(content())})
    room.restart()
    await room.go_on()
    assert room.github.digests()["web"] == (digest("nginx:1"), "decommissioned")


async def test_2_a_late_attestation_is_found(room: Room) -> None:
    await room.settle("first")
    room.github.unattested = {digest("late:1")}
    await room.settle("web", image="late")
    await room.age(3 * 3600, step=120)
    room.github.unattested = set()
    await room.age(5 * 3600, step=120)
    assert room.github.digests()["web"] == (digest("late:1"), "deployed")
    assert (await room.row("web")).told is Told.TOLD


async def test_3_a_bulk_404_leaves_nothing_unreported(room: Room) -> None:
    room.github.has_bulk = False
    await room.record(many(50, distinct=True))
    await room.go_on()
    await room.check()
    assert all_are(await room.told(), Told.TOLD)


async def test_3_a_bulk_404_of_unknown_artifacts_is_mended_by_their_attestations(room: Room) -> None:
    names = many(50, distinct=True)
    room.github.unattested = {what.digest for what in names.values()}
    await room.record(names)
    await room.go_on()
    room.github.unattested = set()
    await room.age(180)
    await room.check()
    assert all_are(await room.told(), Told.TOLD)


async def test_3_a_failed_job_leaves_nothing_unreported(room: Room) -> None:
    room.github.job_status = "failed"
    await room.record(many(1_500))
    await room.go_on()
    await room.check()
    assert all_are(await room.told(), Told.TOLD)


async def test_7_a_rate_limit_without_headers_loses_nothing(room: Room) -> None:
    await room.settle("first")
    room.github.faults.append(limited(60.0))
    await room.settle("web")
    await room.check()


async def test_11_an_annotation_edit_is_told(room: Room) -> None:
    await room.settle("web")
    edited = replace(content(), runtime_risks=("internet-exposed",), tags=(("team", "shop"),))
    await room.record({"web": edited})
    await room.go_on()
    assert room.github.held[room.destinations[PROD].text, "web"] == edited


async def test_13_no_body_is_unbounded(room: Room) -> None:
    await room.record(many(12_000))
    await room.go_on()
    assert max(len(call.names) for call in room.github.calls) == 5_000
    await room.check()


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        (content(digest="sha512:" + "a" * 128), "is not sha256 with 64 hexadecimal digits"),
        (content(digest="some-random-id-without-sha"), "is not sha256 with 64 hexadecimal digits"),
        (content(digest="sha256:abc123"), "is not sha256 with 64 hexadecimal digits"),
        (content(version="v" * 101), "version 'vvv"),
    ],
    ids=["sha512", "no digest", "short", "version"],
)
async def test_15_what_does_not_fit_is_never_posted(room: Room, what: object, problem: str) -> None:
    await room.record({"web": content(), "bad": what})  # type: ignore[dict-item]
    await room.go_on()
    assert [entry.deployment_name for entry in room.github.entries] == ["web"]
    assert problem in str((await room.dead())["bad"])
    row = await room.row("bad")
    assert row.told is Told.REFUSED
    assert problem in row.answer
    assert room.output.counters.refused == 1


async def test_15_what_was_mended_is_told(room: Room) -> None:
    await room.record({"bad": content(digest="sha512:00")})
    await room.go_on()
    await room.record({"bad": content()})
    await room.go_on()
    assert await room.dead() == {}
    await room.check()


async def test_17_an_outage_takes_no_memory(room: Room) -> None:
    await room.record(many(500))
    room.github.choose_fault = lambda call: failing(503)
    await room.dispatcher.work()
    held = []
    tracemalloc.start()
    try:
        for number in range(12):
            await room.record(many(500, image=f"i{number}"))
            for _ in range(2):
                room.clock.turn(15)
                await room.dispatcher.work()
            held.append(tracemalloc.get_traced_memory()[0])
            room.github.forget_calls()
    finally:
        tracemalloc.stop()
    assert held[-1] - held[5] < 1_000_000
    assert len(await room.waiting()) == 500
    room.github.choose_fault = lambda call: None
    await room.go_on()
    await room.check()


async def test_an_hour_of_403_loses_nothing_and_is_drained_in_budget(room: Room) -> None:
    """5,000 changes of 500 names while GitHub asks to be left alone."""
    room.per_hour = 600
    room.restart()
    await room.settle("first")
    room.github.forget_calls()
    room.github.choose_fault = lambda call: limited(60.0)
    names = list(many(500))
    for minute in range(60):
        changed = {names[(minute * 83 + step) % 500]: content("app", f"{minute}.{step}") for step in range(84)}
        await room.record(changed)
        for _ in range(4):
            room.clock.turn(15)
            await room.dispatcher.work()
        assert len(await room.waiting()) <= 500
    during = len(room.github.calls)
    assert during <= 61
    room.github.choose_fault = lambda call: None
    began = room.clock.monotonic()
    await room.go_on()
    assert len(await room.waiting()) == 0
    assert len(room.github.calls) - during <= 10
    assert room.clock.monotonic() - began < 120
    await room.check()
    assert all_are(await room.told(), Told.TOLD)


async def test_an_hour_of_403_without_bulk_is_drained_in_budget(room: Room) -> None:
    room.per_hour = 150
    room.restart(has_bulk=False)
    room.github.choose_fault = lambda call: limited(60.0)
    await room.record(many(200))
    for _ in range(60):
        room.clock.turn(60)
        await room.dispatcher.work()
    room.github.choose_fault = lambda call: None
    hours = 0
    while await room.waiting():
        room.github.forget_calls()
        await room.go_on(seconds=3600.0)
        assert len(room.github.calls) <= 151
        hours += 1
    assert hours == 2
    await room.check()
