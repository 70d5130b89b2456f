"""Sending what waits, over a real outbox: refusals, outages, stops. The clock is the tests'."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from tests.reports.worlds import FakeClock, ScriptedOutput, at

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import AuthError, FluxtrailError, RateLimitedError, UpstreamError
from fluxtrail.model.report import ClaimedReport, Mode, NewReport, ReportState
from fluxtrail.reports import dispatcher as module
from fluxtrail.reports.dispatcher import BATCH, BURY_AFTER, Dispatcher, Pace
from fluxtrail.reports.outputs import Settlement, Taken

SINK = "otlp.traces"


class Room:
    """One sink with its outbox."""

    def __init__(self, ledger: SqlLedger, clock: FakeClock) -> None:
        self.ledger = ledger
        self.clock = clock
        self.output = ScriptedOutput(SINK)
        self.dispatcher = self.another("first")

    def another(self, owner: str, *, pace: Pace | None = None) -> Dispatcher:
        return Dispatcher(self.output, self.ledger.outbox, self.clock, owner=owner, pace=pace, dice=random.Random(7))

    async def plan(self, *keys: str) -> None:
        reports = [NewReport(sink=SINK, key=key, mode=Mode.EVERY, body=b"{}") for key in keys]
        async with self.ledger.unit() as unit:
            await unit.add_reports(reports)

    async def left(self, state: ReportState = ReportState.WAITING) -> dict[str, str | None]:
        page = await self.ledger.outbox.list(state=state, limit=1000)
        return {view.key: view.answer for view in page.items}


@pytest.fixture
def room(ledger: SqlLedger, clock: FakeClock) -> Room:
    return Room(ledger, clock)


def bad_request(*bad: str) -> Callable[[Sequence[bytes]], FluxtrailError | None]:
    """Refuse whatever has one of these in it."""

    def refuses(items: Sequence[bytes]) -> FluxtrailError | None:
        if {item.decode() for item in items} & set(bad):
            return UpstreamError("invalid span", status=400, retryable=False)
        return None

    return refuses


def down(retry_after: float | None = None) -> Callable[[Sequence[bytes]], FluxtrailError | None]:
    return lambda _: UpstreamError("connection refused", retry_after_seconds=retry_after)


async def test_what_is_planned_is_sent_once(room: Room) -> None:
    await room.plan("a", "b", "c")
    assert await room.dispatcher.work()
    assert not await room.dispatcher.work()
    assert room.output.taken == [[b"a", b"b", b"c"]]
    assert await room.left() == {}
    await room.plan("a")
    assert not await room.dispatcher.work()
    assert room.dispatcher.numbers.sent == 3


async def test_one_bad_report_is_buried_alone_with_the_answer(room: Room) -> None:
    keys = [f"r{number}" for number in range(20)]
    await room.plan(*keys)
    room.output.refuses = bad_request("r13")
    await room.dispatcher.work()
    assert sorted(room.output.keys) == sorted(set(keys) - {"r13"})
    assert await room.left(ReportState.DEAD) == {"r13": "invalid span"}
    assert await room.left() == {}
    assert room.dispatcher.numbers.buried == 1


async def test_a_receiver_that_refuses_everything_buries_nothing(room: Room) -> None:
    keys = [f"r{number}" for number in range(20)]
    await room.plan(*keys)
    room.output.refuses = bad_request(*keys)
    await room.dispatcher.work()
    assert await room.left(ReportState.DEAD) == {}
    assert len(await room.left()) == 20
    assert room.dispatcher.numbers.is_down
    room.output.refuses = lambda _: None
    room.clock.turn(120)
    while await room.dispatcher.work():
        pass
    assert sorted(room.output.keys) == sorted(keys)


async def test_a_lone_report_that_is_always_refused_is_buried_in_the_end(room: Room) -> None:
    await room.plan("bad")
    room.output.refuses = bad_request("bad")
    for _ in range(BURY_AFTER):
        room.clock.turn(120)
        assert await room.dispatcher.work()
    assert await room.left(ReportState.DEAD) == {"bad": "invalid span"}


async def test_what_is_too_large_is_halved(room: Room) -> None:
    def refuses(items: Sequence[bytes]) -> FluxtrailError | None:
        return UpstreamError("too large", status=413, retryable=False) if len(items) > 3 else None

    await room.plan(*(f"r{number}" for number in range(10)))
    room.output.refuses = refuses
    await room.dispatcher.work()
    assert [len(batch) for batch in room.output.taken] == [2, 3, 2, 3]
    assert await room.left() == {}


async def test_one_report_that_is_too_large_by_itself_is_buried(room: Room) -> None:
    await room.plan("whale")
    room.output.refuses = lambda _: UpstreamError("too large", status=413, retryable=False)
    await room.dispatcher.work()
    assert await room.left(ReportState.DEAD) == {"whale": "too large"}


@pytest.mark.parametrize(
    "error",
    [UpstreamError("reset"), AuthError("refused", status=401), UpstreamError("moved", status=307, retryable=False)],
    ids=["unreachable", "unauthorised", "redirected"],
)
async def test_a_receiver_at_fault_is_left_alone_for_a_while(room: Room, error: FluxtrailError) -> None:
    await room.plan("a", "b")
    room.output.refuses = lambda _: error
    assert await room.dispatcher.work()
    assert not await room.dispatcher.work()
    assert room.output.attempts == [2]
    assert await room.left() == {"a": str(error), "b": str(error)}
    room.output.refuses = lambda _: None
    room.clock.turn(2)
    while await room.dispatcher.work():
        pass
    assert room.output.keys == ["a", "b"]
    assert not room.dispatcher.numbers.is_down


async def test_a_receiver_is_given_the_time_it_asks_for(room: Room) -> None:
    await room.plan("a")
    room.output.refuses = lambda _: RateLimitedError("slow down", retry_after_seconds=300.0)
    await room.dispatcher.work()
    room.clock.turn(299)
    assert not await room.dispatcher.work()
    room.clock.turn(1)
    assert await room.dispatcher.work()
    assert room.output.attempts == [1, 1]


async def test_waits_grow_to_a_minute(room: Room) -> None:
    await room.plan("a")
    room.output.refuses = down()
    waits = []
    for _ in range(12):
        before = room.clock.monotonic()
        while not await room.dispatcher.work():
            room.clock.turn(0.05)
        waits.append(room.clock.monotonic() - before)
    for wait, longest in zip(waits[1:], [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60], strict=True):
        assert longest * 0.8 - 0.1 <= wait <= longest + 0.2


async def test_an_hour_of_outage_loses_nothing_and_holds_nothing(room: Room) -> None:
    room.output.refuses = down()
    planned = []
    for minute in range(60):
        keys = [f"m{minute}.{number}" for number in range(10)]
        planned += keys
        await room.plan(*keys)
        for _ in range(12):
            room.clock.turn(5)
            await room.dispatcher.work()
    assert max(room.output.attempts[1:]) == 1
    assert len(room.output.attempts) < 90
    held = room.dispatcher.numbers.held
    assert held is not None
    assert held.waiting == 600
    assert room.dispatcher.numbers.oldest_age_seconds == pytest.approx(3600, abs=70)
    room.output.refuses = lambda _: None
    room.clock.turn(60)
    while await room.dispatcher.work():
        pass
    assert sorted(room.output.keys) == sorted(planned)
    assert len(room.output.keys) == len(set(room.output.keys))


async def test_what_was_sent_and_not_noted_is_sent_again_under_its_key(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process is killed between the receiver's answer and its note of it."""

    class Killed(BaseException):
        pass

    async def kill(*_: object) -> None:
        raise Killed

    await room.plan("a", "b")
    monkeypatch.setattr(room.ledger.outbox, "acknowledge", kill)
    with pytest.raises(Killed):
        await room.dispatcher.work()
    monkeypatch.undo()
    successor = room.another("second")
    assert not await successor.work()
    room.clock.turn(31)
    assert await successor.work()
    assert room.output.taken == [[b"a", b"b"], [b"a", b"b"]]
    assert await room.left() == {}


async def test_two_processes_never_send_the_same(room: Room) -> None:
    await room.plan(*(f"r{number}" for number in range(BATCH + 50)))
    second = room.another("second")
    await asyncio.gather(room.dispatcher.work(), second.work())
    while await room.dispatcher.work():
        pass
    assert len(room.output.keys) == len(set(room.output.keys)) == BATCH + 50


async def test_what_a_receiver_refuses_for_good_is_counted_and_not_sent_again(room: Room) -> None:
    await room.plan("a", "b")
    room.output.answer = Taken(rejected=1, message="too old")
    await room.dispatcher.work()
    assert not await room.dispatcher.work()
    assert room.dispatcher.numbers.rejected == 1
    assert await room.left() == {}


async def test_what_it_is_too_early_for_waits_without_holding_up_the_rest(room: Room) -> None:
    await room.plan("early", "ready", "gone", "broken")
    room.output.waits_until = {"early": at(30)}
    room.output.silent, room.output.broken = {"gone"}, {"broken"}
    await room.dispatcher.work()
    assert room.output.keys == ["ready"]
    assert await room.left() == {"early": ""}
    assert await room.left(ReportState.DEAD) == {"broken": "cannot be read"}
    room.output.waits_until = {}
    room.clock.turn(32)
    await room.dispatcher.work()
    assert room.output.keys == ["ready", "early"]


async def test_a_request_holds_no_more_items_than_it_may(room: Room) -> None:
    await room.plan(*(f"r{number}" for number in range(7)))
    await room.another("paced", pace=Pace(items=3)).work()
    assert [len(batch) for batch in room.output.taken] == [3, 3, 1]


async def test_halving_ends_before_the_lease_does(room: Room) -> None:
    def slow(items: Sequence[bytes]) -> FluxtrailError | None:
        room.clock.turn(6)
        return UpstreamError("too large", status=413, retryable=False) if len(items) > 1 else None

    await room.plan("a", "b", "c", "d")
    room.output.refuses = slow
    await room.dispatcher.work()
    assert len(room.output.keys) < 4
    room.output.refuses = lambda _: None
    await room.dispatcher.work()
    assert sorted(room.output.keys) == ["a", "b", "c", "d"]


async def test_a_stop_sends_what_is_left(room: Room) -> None:
    running = asyncio.create_task(room.dispatcher.run())
    await _until(lambda: room.dispatcher.numbers.held is not None)
    await room.plan("last")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert room.output.keys == ["last"]


async def test_a_stop_waits_for_the_answer_that_is_on_its_way(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = asyncio.Event()
    asked = asyncio.Event()
    taken = room.output.send

    async def send(items: Sequence[bytes]) -> object:
        asked.set()
        await answered.wait()
        return await taken(items)

    monkeypatch.setattr(room.output, "send", send)
    await room.plan("a")
    running = asyncio.create_task(room.dispatcher.run())
    await asked.wait()
    running.cancel()
    answered.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert room.output.taken == [[b"a"]]
    assert await room.left() == {}


async def test_a_stop_does_not_wait_for_ever(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.05)
    running = asyncio.create_task(room.dispatcher.run())
    await _until(lambda: room.dispatcher.numbers.held is not None)
    room.output.hangs = True
    await room.plan("a")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await room.left() == {"a": module.STOPPED}
    room.output.hangs = False
    assert await room.another("next").work()
    assert room.output.keys == ["a"]


async def test_it_wakes_for_what_is_planned(room: Room) -> None:
    running = asyncio.create_task(room.dispatcher.run())
    await _until(lambda: room.dispatcher.numbers.held is not None)
    await room.plan("a")
    room.dispatcher.wake()
    await _until(lambda: room.output.keys == ["a"])
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert timedelta(seconds=room.clock.slept[0]) < timedelta(seconds=1)


async def test_what_is_planned_after_a_rest_is_sent_sooner_than_what_follows(room: Room) -> None:
    dispatcher = room.another("first", pace=Pace(gather_seconds=1.0, first_seconds=0.1))
    running = asyncio.create_task(dispatcher.run())
    await _until(lambda: dispatcher.numbers.held is not None)
    await room.plan("a")
    dispatcher.wake()
    await _until(lambda: len(room.clock.slept) >= 2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert room.output.keys == ["a"]
    assert room.clock.slept[:2] == [0.1, 1.0]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


class Postman:
    """A receiver that answers for each report by itself; what its keys say is what becomes of them."""

    sink = SINK

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.error: FluxtrailError | None = None
        self.began = asyncio.Event()
        self.hangs = False

    async def deliver(self, reports: Sequence[ClaimedReport], settlement: Settlement) -> None:
        self.seen.append([report.key for report in reports])
        for report in reports:
            if report.key.startswith("taken"):
                await settlement.acknowledge([report])
            elif report.key.startswith("silent"):
                await settlement.drop([report])
            elif report.key.startswith("later"):
                await settlement.postpone([report], until=at(3600), answer="not now")
            elif report.key.startswith("bad"):
                await settlement.bury([report], "no")
        self.began.set()
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error


def postman_of(room: Room, **given: float) -> tuple[Postman, Dispatcher]:
    postman = Postman()
    pace = Pace(**given)  # type: ignore[arg-type]
    return postman, Dispatcher(postman, room.ledger.outbox, room.clock, owner="postman", pace=pace)


async def test_each_report_is_settled_by_itself(room: Room) -> None:
    postman, dispatcher = postman_of(room)
    await room.plan("taken", "silent", "later", "bad")
    assert await dispatcher.work()
    assert await room.left() == {"later": "not now"}
    assert await room.left(ReportState.DEAD) == {"bad": "no"}
    assert (dispatcher.numbers.sent, dispatcher.numbers.buried) == (1, 1)
    assert not await dispatcher.work()
    assert len(postman.seen) == 1


async def test_what_an_output_left_when_its_receiver_failed_is_given_back(room: Room) -> None:
    postman, dispatcher = postman_of(room)
    postman.error = RateLimitedError("slow down", retry_after_seconds=300.0)
    await room.plan("taken", "rest1", "rest2")
    assert await dispatcher.work()
    assert await room.left() == {"rest1": "slow down", "rest2": "slow down"}
    assert dispatcher.numbers.is_down
    room.clock.turn(299)
    assert not await dispatcher.work()
    postman.error = None
    room.clock.turn(1)
    assert await dispatcher.work()
    assert postman.seen[-1] == ["rest1"]


async def test_a_claim_is_as_large_as_the_pace_says(room: Room) -> None:
    postman, dispatcher = postman_of(room, claim=350)
    await room.plan(*(f"taken{number}" for number in range(400)))
    while await dispatcher.work():
        pass
    assert [len(keys) for keys in postman.seen] == [350, 50]


async def test_a_stop_waits_no_longer_than_its_grace(room: Room) -> None:
    postman, dispatcher = postman_of(room, grace_seconds=0.05)
    postman.hangs = True
    await room.plan("taken", "rest")
    running = asyncio.create_task(dispatcher.run())
    await postman.began.wait()
    running.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await running
    assert await room.left() == {"rest": module.STOPPED}
    assert len(postman.seen) == 1
