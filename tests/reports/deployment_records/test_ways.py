"""Which call is made for how many records, and what is done where one fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.reports.deployment_records.github import Call, Fault, dropped, failing, limited, refusing
from tests.reports.deployment_records.rooms import PROD, STAGING, Room, all_are, content, digest, gone, many

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.deployment import Told
from fluxtrail.model.errors import AuthError, ConflictError, NotFoundError, StoreError, WireError
from fluxtrail.reports.deployment_records.lost_jobs import OVER


async def test_the_first_of_a_cluster_are_told_by_a_job_even_if_few(room: Room) -> None:
    await room.settle("web", "api")
    assert room.github.kinds == ["job", "poll"]
    assert room.github.digests() == {name: (digest("nginx:1"), "deployed") for name in ("web", "api")}
    assert await room.told() == {"web": Told.TOLD, "api": Told.TOLD}
    assert await room.waiting() == []


@pytest.mark.parametrize(
    ("count", "kinds"),
    [
        (1, {"single": 1}),
        (20, {"single": 20}),
        (21, {"cluster": 1}),
        (1000, {"cluster": 1}),
        (1001, {"job": 1, "poll": 1}),
    ],
)
async def test_the_call_fits_how_many_there_are(room: Room, count: int, kinds: dict[str, int]) -> None:
    await room.settle("first")
    room.github.forget_calls()
    await room.record(many(count))
    await room.go_on()
    assert {kind: room.github.kinds.count(kind) for kind in room.github.kinds} == kinds
    assert len(room.github.held) == count + 1
    assert all_are(await room.told(), Told.TOLD)


async def test_more_than_a_job_takes_are_several(room: Room) -> None:
    await room.record(many(7_000))
    await room.go_on()
    assert room.github.sent("job") == [5_000, 2_000]
    await room.check()


async def test_each_cluster_is_told_under_its_own_destination(room: Room) -> None:
    await room.record({"web": content()})
    await room.record({"web": content(version="2")}, cluster=STAGING)
    await room.go_on()
    held = {key: what.digest for key, what in room.github.held.items()}
    assert held == {
        ("acme/production/eu/prod", "web"): digest("nginx:1"),
        ("acme/production/eu/staging", "web"): digest("nginx:2"),
    }


async def test_a_restart_makes_no_first_time(room: Room) -> None:
    await room.settle("web")
    room.restart()
    room.github.forget_calls()
    await room.settle("web", version="2")
    assert room.github.kinds == ["single"]


async def test_without_bulk_all_are_told_singly_and_a_few_at_once(room: Room) -> None:
    room.restart(has_bulk=False, workers=3)
    room.github.meeting = asyncio.Barrier(3)
    await room.record(many(30))
    async with asyncio.timeout(10):
        await room.go_on()
    assert room.github.kinds == ["single"] * 30
    await room.check()


async def test_nothing_recorded_makes_no_call(room: Room) -> None:
    assert not await room.dispatcher.work()
    assert room.github.calls == []


async def test_two_pods_of_one_name_are_one_record(room: Room) -> None:
    await room.record({"web": content()})
    await room.record({"web": content()})
    await room.go_on()
    assert len(room.github.entries) == 1


async def test_a_rejected_image_of_a_job_is_unknown_and_the_others_are_told(room: Room) -> None:
    """B.5: two pods, nginx and busybox; the submission says that busybox is not found."""
    room.github.unattested = {digest("busybox:1")}
    await room.record({"web": content("nginx"), "box": content("busybox")})
    await room.go_on()
    assert room.github.kinds == ["job", "poll"]
    assert await room.told() == {"web": Told.TOLD, "box": Told.UNKNOWN}
    assert (await room.row("box")).tries == 1


async def test_an_ambiguous_image_name_is_asked_about_singly(room: Room) -> None:
    """B.5: both images are named nginx; neither digest may be taken for the unknown one."""
    room.github.unattested = {digest("nginx:2")}
    await room.record({"web": content(version="1"), "box": content(version="2")})
    await room.go_on()
    assert room.github.kinds == ["job", "poll", "single", "single"]
    assert await room.told() == {"web": Told.TOLD, "box": Told.UNKNOWN}


async def test_many_ambiguous_ones_are_asked_a_burst_at_a_time(room: Room) -> None:
    names = {f"d{number}": content("nginx", str(number)) for number in range(60)}
    room.github.unattested = {names[f"d{number}"].digest for number in range(30)}
    await room.record(names)
    assert await room.dispatcher.work()
    assert room.github.sent("single") == [1] * 20
    assert len(await room.waiting()) == 40
    await room.go_on()
    told = await room.told()
    assert [told[f"d{number}"] for number in range(60)] == [Told.UNKNOWN] * 30 + [Told.TOLD] * 30


async def test_errors_that_name_the_record_need_no_singles(room: Room) -> None:
    room.github.unattested, room.github.names_errors = {digest("nginx:2")}, True
    await room.record({"web": content(version="1"), "box": content(version="2")})
    await room.go_on()
    assert room.github.kinds == ["job", "poll"]
    assert await room.told() == {"web": Told.TOLD, "box": Told.UNKNOWN}


async def test_a_pending_job_sends_the_cluster_call(room: Room) -> None:
    room.github.pending_jobs = {"prod"}
    await room.record(many(2_500))
    await room.go_on()
    assert room.github.sent("cluster") == [1_000, 1_000, 500]
    await room.check()


async def test_what_a_lost_job_may_overwrite_is_told_once_more(room: Room) -> None:
    room.github.pending_jobs = {"prod"}
    await room.settle("web")
    room.github.pending_jobs = set()
    room.github.held[room.destinations[PROD].text, "web"] = content(version="old")
    await room.age(660)
    await room.check()


async def test_what_was_told_long_before_a_lost_job_is_not_told_again(room: Room) -> None:
    """Nor at every start: a job of an earlier run cannot have been under way for longer."""
    await room.settle("old")
    room.clock.turn(OVER.total_seconds() + 1)
    await room.settle("lately")
    room.lost_jobs.note(PROD)
    room.clock.turn(60)
    await room.settle("later")
    room.github.forget_calls()
    await room.age(OVER.total_seconds() + 30)
    assert sorted(entry.deployment_name for entry in room.github.entries) == ["lately", "later"]
    assert room.lost_jobs.due() == []


async def test_a_ledger_that_fails_forgets_no_lost_job(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    await room.settle("web")
    room.lost_jobs.note(PROD)
    room.clock.turn(OVER.total_seconds())
    with monkeypatch.context() as broken:
        broken.setattr(SqlLedger, "unit", _fail)
        with pytest.raises(StoreError):
            await room.late.look()
    room.github.forget_calls()
    await room.late.look()
    await room.go_on()
    assert [entry.deployment_name for entry in room.github.entries] == ["web"]


def _fail(_ledger: SqlLedger) -> Any:
    raise StoreError("the disk is full", retryable=True)


async def test_a_job_that_fails_is_told_in_another_way(room: Room) -> None:
    room.github.job_status = "failed"
    await room.settle("web", "api")
    assert room.github.kinds == ["job", "poll", "cluster"]
    await room.check()
    assert all_are(await room.told(), Told.TOLD)


@pytest.mark.parametrize("fault", [failing(), Fault(NotFoundError("job not found", status=404)), dropped(is_done=True)])
async def test_a_job_that_cannot_be_followed_is_told_in_another_way(room: Room, fault: Fault) -> None:
    room.github.faults.extend([None, fault])
    await room.settle("web", "api")
    assert room.github.kinds == ["job", "poll", "cluster"]
    await room.check()


async def test_a_bulk_404_is_believed_when_singles_say_so(room: Room) -> None:
    names = many(40, distinct=True)
    room.github.unattested = {what.digest for what in names.values()}
    await room.record(names)
    await room.go_on()
    assert room.github.sent("job") == [40]
    assert room.github.sent("single") == [1] * 5
    assert all_are(await room.told(), Told.UNKNOWN)
    assert not room.output.counters.is_bulk_absent


async def test_a_bulk_404_is_not_believed_when_a_single_is_taken(room: Room) -> None:
    room.github.has_bulk = False
    names = many(40, distinct=True)
    room.github.unattested = {names["d0"].digest, names["d1"].digest}
    await room.record(names)
    await room.go_on()
    assert room.output.counters.is_bulk_absent
    assert room.github.sent("job") == [40]
    assert len(room.github.sent("single")) == 40
    await room.check()
    room.github.forget_calls()
    await room.record(many(40, image="other"))
    await room.go_on()
    assert set(room.github.kinds) == {"single"}


async def test_calls_for_many_are_tried_again_after_an_hour(room: Room) -> None:
    room.github.has_bulk = False
    await room.record(many(40))
    await room.go_on()
    assert room.output.counters.is_bulk_absent
    room.github.has_bulk = True
    room.github.forget_calls()
    room.clock.turn(3601)
    await room.record(many(40, image="other"))
    await room.go_on()
    assert room.github.kinds == ["cluster"]
    assert not room.output.counters.is_bulk_absent


async def test_a_withdrawal_does_not_speak_for_the_call(room: Room) -> None:
    await room.settle("a", "b")
    room.github.forget_calls()
    names = {name: content("new", name) for name in ("a", "b", *many(30))}
    room.github.unattested = {what.digest for what in names.values()}
    await room.record(names)
    await room.go_on()
    assert not room.output.counters.is_bulk_absent
    assert room.github.digests() == {name: (digest("nginx:1"), "decommissioned") for name in ("a", "b")}


async def test_one_record_that_spoils_a_bulk_is_found_and_buried_alone(room: Room) -> None:
    room.github.invalid = {"d777"}
    await room.record(many(1_500))
    await room.go_on()
    assert await room.dead() == {"d777": "GitHub answered 422: Invalid request"}
    told = await room.told()
    assert told.pop("d777") is Told.REFUSED
    assert all_are(told, Told.TOLD)
    assert (await room.row("d777")).answer == "GitHub answered 422: Invalid request"
    assert len(room.github.calls) < 60


async def test_where_everything_is_refused_nothing_is_buried(room: Room) -> None:
    room.github.choose_fault = lambda call: refusing()
    await room.record(many(100))
    assert await room.dispatcher.work()
    assert room.dispatcher.numbers.is_down
    assert await room.dead() == {}
    assert len(await room.waiting()) == 100
    assert len(room.github.sent("single")) <= 4
    room.github.choose_fault = lambda call: None
    await room.go_on()
    await room.check()


async def test_a_lone_record_that_is_always_refused_is_buried_in_the_end(room: Room) -> None:
    await room.settle("web")
    room.github.invalid = {"bad"}
    await room.record({"bad": content()})
    await room.go_on()
    assert list(await room.dead()) == ["bad"]
    assert room.output.counters.refused == 1


async def test_a_dead_letter_can_be_replayed(room: Room) -> None:
    room.github.invalid = {"bad"}
    await room.settle("web", "bad")
    page = await room.ledger.outbox.list(limit=10)
    room.github.invalid = set()
    assert await room.ledger.outbox.replay([view.id for view in page.items]) == 1
    await room.go_on()
    assert (await room.row("bad")).told is Told.TOLD


@pytest.mark.parametrize(
    "fault",
    [failing(), limited(), dropped(is_done=False), dropped(is_done=True), Fault(AuthError("bad token", status=401))],
    ids=["failing", "limited", "dropped", "answer lost", "unauthorised"],
)
@pytest.mark.parametrize("count", [3, 30, 1_200])
async def test_what_fails_is_sent_again(room: Room, fault: Fault, count: int) -> None:
    await room.settle("first")
    room.github.faults.append(fault)
    await room.record(many(count, image="redis"))
    await room.dispatcher.work()
    assert room.dispatcher.numbers.is_down
    assert await room.waiting()
    await room.go_on()
    await room.check()
    assert all_are(await room.told(), Told.TOLD)
    assert not room.dispatcher.numbers.is_down


async def test_what_was_accepted_before_a_failure_is_not_sent_again(room: Room) -> None:
    await room.settle("first")
    room.restart(workers=1)
    room.github.forget_calls()
    room.github.choose_fault = lambda call: limited(30) if call.names == ("d7",) else None
    await room.record(many(10))
    await room.dispatcher.work()
    assert sorted(name for name, told in (await room.told()).items() if told is Told.PENDING) == ["d7", "d8", "d9"]
    room.github.choose_fault = lambda call: None
    await room.go_on()
    sent = [entry.deployment_name for entry in room.github.entries]
    assert sorted(sent) == sorted([*many(10), "d7"])


async def test_a_pause_that_github_asks_for_is_kept(room: Room) -> None:
    room.github.faults.append(limited(300))
    await room.record({"web": content()})
    await room.dispatcher.work()
    room.clock.turn(299)
    assert not await room.dispatcher.work()
    room.clock.turn(1)
    assert await room.dispatcher.work()
    assert len(room.github.held) == 1


async def test_an_unreadable_answer_of_the_cluster_call_is_asked_about_singly(room: Room) -> None:
    await room.settle("first")

    def choose(call: Call) -> Fault | None:
        return Fault(WireError("no JSON", retryable=True), is_done=True) if call.kind == "cluster" else None

    room.github.choose_fault = choose
    await room.record(many(30))
    await room.go_on()
    await room.check()
    assert all_are(await room.told(), Told.TOLD)


async def test_a_single_conflict_does_not_hold_up_the_others_and_ends(room: Room) -> None:
    """B.7.10: a 409 of a single record is no endless loop."""
    await room.settle("first")
    room.github.choose_fault = lambda call: (
        Fault(ConflictError("still a conflict", status=409, retryable=True)) if "d3" in call.names else None
    )
    await room.record(many(6))
    await room.go_on()
    assert list(await room.dead()) == ["d3"]
    told = await room.told()
    assert told.pop("d3") is Told.REFUSED
    assert all_are(told, Told.TOLD)
    assert sum("d3" in call.names for call in room.github.calls) == 5


async def test_a_cluster_that_is_not_followed_waits_a_little_longer_each_time(room: Room) -> None:
    del room.destinations[STAGING]
    await room.record({"web": content()}, cluster=STAGING)
    looks = 0
    for _ in range(600):
        looks += await room.dispatcher.work()
        room.clock.turn(1)
    assert 6 <= looks <= 10
    assert room.github.calls == []
    assert await room.waiting() == ["web"]
    room.destinations[STAGING] = room.destinations[PROD]
    room.clock.turn(301)
    await room.dispatcher.work()
    assert len(room.github.held) == 1


async def test_a_decommission_of_what_was_told_is_told(room: Room) -> None:
    await room.settle("web")
    await room.record({"web": gone(content())})
    await room.go_on()
    assert room.github.digests() == {"web": (digest("nginx:1"), "decommissioned")}
