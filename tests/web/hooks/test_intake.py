"""Durable before it is answered: what the ledger does not take is never said to be taken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from tests.web.hooks.conftest import (
    DEADLINE_SECONDS,
    NOW,
    Hands,
    Post,
    World,
    build,
    counted,
    flux,
    posting,
    serving,
    signed,
    until,
)

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import StoreError
from fluxtrail.model.notices import FluxNotice, Hook, KeptNotice, NewNotice
from fluxtrail.web.hooks import intake
from fluxtrail.web.hooks.answers import Reason, RefusedError
from fluxtrail.web.hooks.intake import Intake

Kept = Callable[[], Awaitable[list[KeptNotice]]]


def notice(name: str = "apps", key: str = "") -> NewNotice:
    said = FluxNotice(kind="Kustomization", namespace="flux-system", name=name)
    return NewNotice(hook=Hook.FLUX, sender="prod", received_at=NOW, key=key, said=said)


class Shelf:
    """An inbox that can be held up, and that fails when it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[NewNotice]] = []
        self.error: StoreError | None = None
        self.backlog = 0
        self.may_keep = asyncio.Event()
        self.may_keep.set()
        self.entered = asyncio.Event()

    async def keep(self, notices: Sequence[NewNotice]) -> None:
        self.entered.set()
        await self.may_keep.wait()
        if self.error is not None:
            raise self.error
        self.batches.append(list(notices))

    async def count(self) -> int:
        return self.backlog


async def test_those_that_come_during_a_transaction_share_the_next() -> None:
    shelf = Shelf()
    shelf.may_keep.clear()
    taken = Intake(shelf, monotonic=Hands())
    async with asyncio.TaskGroup() as group:
        job = group.create_task(taken.run())
        await asyncio.sleep(0)
        keeping = [group.create_task(taken.keep(notice("first")))]
        await shelf.entered.wait()
        keeping += [group.create_task(taken.keep(notice(str(number)))) for number in range(100)]
        await until(lambda: taken.waiting == 100)
        shelf.may_keep.set()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await asyncio.gather(*keeping)
        job.cancel()
    assert [len(batch) for batch in shelf.batches] == [1, 100]
    assert (taken.numbers.kept, taken.numbers.transactions) == (101, 2)


async def test_nobody_is_answered_before_the_transaction_is_committed() -> None:
    shelf = Shelf()
    shelf.may_keep.clear()
    taken = Intake(shelf, monotonic=Hands())
    async with asyncio.TaskGroup() as group:
        job = group.create_task(taken.run())
        await asyncio.sleep(0)
        keeping = group.create_task(taken.keep(notice()))
        await shelf.entered.wait()
        assert not (await asyncio.wait([keeping], timeout=0.05))[0]
        shelf.may_keep.set()
        await keeping
        job.cancel()


@pytest.mark.parametrize("is_retryable", [True, False])
async def test_a_ledger_that_refuses_is_503_and_the_next_one_is_tried(ledger: SqlLedger, is_retryable: bool) -> None:
    shelf, world = Shelf(), World()
    shelf.error = StoreError("the disk is full; free some space", retryable=is_retryable, subject="/secret/place")
    app = build(world, shelf)
    async with serving(app) as address, posting(address) as post:
        body = flux()
        answer = await post("/hooks/flux", body, signed(body))
        assert (answer.status, answer.problem["code"], answer.headers["retry-after"]) == (503, "ledger", "5")
        assert "/secret/place" not in answer.body.decode()
        assert (shelf.batches, world.woken) == ([], 0)
        shelf.error = None
        assert (await post("/hooks/flux", body, signed(body))).status == 202
    assert (len(shelf.batches), world.woken) == (1, 1)
    assert counted(app)["failed_transactions",] == 1


async def test_what_was_not_kept_is_no_repetition_when_it_comes_again() -> None:
    shelf = Shelf()
    taken = Intake(shelf, monotonic=Hands())
    async with asyncio.TaskGroup() as group:
        job = group.create_task(taken.run())
        await asyncio.sleep(0)
        shelf.error = StoreError("away", retryable=True)
        with pytest.raises(RefusedError):
            await taken.keep(notice(key="k"))
        shelf.error = None
        for _ in range(2):
            await taken.keep(notice(key="k"))
        job.cancel()
    assert [len(batch) for batch in shelf.batches] == [1]


async def test_one_that_comes_twice_at_once_is_kept_once_and_both_are_answered() -> None:
    shelf = Shelf()
    taken = Intake(shelf, monotonic=Hands())
    async with asyncio.TaskGroup() as group:
        job = group.create_task(taken.run())
        await asyncio.sleep(0)
        await asyncio.gather(*(taken.keep(notice(key="k")) for _ in range(5)))
        job.cancel()
    assert [len(batch) for batch in shelf.batches] == [1]
    assert taken.numbers.repeated == 4


async def test_keys_are_remembered_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "REMEMBERED", 2)
    shelf = Shelf()
    taken = Intake(shelf, monotonic=Hands())
    async with asyncio.TaskGroup() as group:
        job = group.create_task(taken.run())
        await asyncio.sleep(0)
        for key in ("a", "b", "c", "c", "a"):
            await taken.keep(notice(key=key))
        job.cancel()
    assert [batch[0].key for batch in shelf.batches] == ["a", "b", "c", "a"]


async def test_a_ledger_that_hangs_is_503_in_time_and_what_was_given_up_is_not_kept() -> None:
    shelf = Shelf()
    shelf.may_keep.clear()
    taken = Intake(shelf, monotonic=Hands(), keep_seconds=0.2)
    async with asyncio.TaskGroup() as group:
        job = group.create_task(taken.run())
        await asyncio.sleep(0)
        keeping = [group.create_task(_refusal(taken, notice("in the transaction")))]
        await shelf.entered.wait()
        keeping.append(group.create_task(_refusal(taken, notice("behind it"))))
        refusals = await asyncio.gather(*keeping)
        shelf.may_keep.set()
        await taken.keep(notice("after it"))
        job.cancel()
    assert [item.reason for item in refusals] == [Reason.LEDGER] * 2
    names = [item.said.name for batch in shelf.batches for item in batch if isinstance(item.said, FluxNotice)]
    assert names == ["in the transaction", "after it"]


async def _refusal(taken: Intake, given: NewNotice) -> RefusedError:
    with pytest.raises(RefusedError) as found:
        await taken.keep(given)
    return found.value


async def test_too_many_at_once_are_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "QUEUE_LIMIT", 3)
    shelf = Shelf()
    shelf.may_keep.clear()
    taken = Intake(shelf, monotonic=Hands())
    async with asyncio.TaskGroup() as group:
        job = group.create_task(taken.run())
        await asyncio.sleep(0)
        keeping = [group.create_task(taken.keep(notice()))]
        await shelf.entered.wait()
        keeping += [group.create_task(taken.keep(notice())) for _ in range(3)]
        await until(lambda: taken.waiting == 3)
        refused = await _refusal(taken, notice())
        assert (refused.reason, refused.retry_after_seconds) == (Reason.BUSY, 5.0)
        shelf.may_keep.set()
        await asyncio.gather(*keeping)
        job.cancel()


async def test_a_backlog_that_was_dealt_with_is_none_though_nobody_posts_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "RECOUNT_SECONDS", 0.01)
    shelf, hands = Shelf(), Hands()
    taken = Intake(shelf, monotonic=hands)
    async with asyncio.TaskGroup() as group:
        job = group.create_task(taken.run())
        await asyncio.sleep(0)
        await taken.keep(notice())
        assert taken.numbers.backlog == 1
        hands.seconds += 1
        await until(lambda: taken.numbers.backlog == 0)
        job.cancel()


async def test_a_backlog_that_nobody_deals_with_is_not_added_to_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BACKLOG_LIMIT", 10)
    shelf, hands = Shelf(), Hands()
    shelf.backlog = 9
    taken = Intake(shelf, monotonic=hands)
    async with asyncio.TaskGroup() as group:
        job = group.create_task(taken.run())
        await asyncio.sleep(0)
        await taken.keep(notice("the tenth"))
        refused = await _refusal(taken, notice())
        assert (refused.reason, refused.retry_after_seconds) == (Reason.BUSY, 60)
        shelf.backlog = 2
        hands.seconds += 10
        await _refusal(taken, notice())  # it makes us count
        await until(lambda: taken.numbers.backlog == 2)
        await taken.keep(notice("the third"))
        job.cancel()


async def test_before_it_runs_and_after_it_was_stopped_nothing_is_promised() -> None:
    shelf = Shelf()
    shelf.may_keep.clear()
    taken = Intake(shelf, monotonic=Hands())
    assert (await _refusal(taken, notice())).reason is Reason.LEDGER
    async with asyncio.TaskGroup() as group:
        job = group.create_task(taken.run())
        await asyncio.sleep(0)
        keeping = [group.create_task(_refusal(taken, notice("in the transaction")))]
        await shelf.entered.wait()
        keeping.append(group.create_task(_refusal(taken, notice("behind it"))))
        await until(lambda: taken.waiting == 1)
        job.cancel()
        refusals = await asyncio.gather(*keeping)
    assert [item.reason for item in refusals] == [Reason.LEDGER] * 2
    assert (await _refusal(taken, notice())).reason is Reason.LEDGER
    assert shelf.batches == []


async def test_it_runs_again_after_a_stop() -> None:
    shelf = Shelf()
    taken = Intake(shelf, monotonic=Hands())
    for _ in range(2):
        async with asyncio.TaskGroup() as group:
            job = group.create_task(taken.run())
            await asyncio.sleep(0)
            await taken.keep(notice())
            job.cancel()
    assert len(shelf.batches) == 2


async def test_a_closed_ledger_is_503(post: Post, ledger: SqlLedger) -> None:
    async with ledger._engine.write():  # somebody holds it
        waiting = asyncio.ensure_future(post("/hooks/flux", flux(), signed(flux())))
        assert not (await asyncio.wait([waiting], timeout=0.1))[0]
    assert (await waiting).status == 202
