"""The worker of notices: at once or in order, each until it is settled, none in the way of another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from tests.ledger.world import fresh_place
from tests.runtime.worlds import until
from tests.trail.following import HandClock

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import StoreError, WireError
from fluxtrail.model.notices import FluxNotice, Hook, KeptNotice, NewNotice
from fluxtrail.trail.notices import worker as module
from fluxtrail.trail.notices.worker import Handler, NoticeWorker


class Listener:
    """Remembers what it was handed, and refuses what it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.refused: set[str] = set()
        self.error: StoreError | None = None

    async def handle(self, notices: Sequence[KeptNotice]) -> None:
        names = [item.said.name for item in notices if isinstance(item.said, FluxNotice)]
        if self.error is not None:
            raise self.error
        if self.refused & set(names):
            raise WireError("cannot be read", subject="notice")
        self.batches.append(names)

    @property
    def names(self) -> list[str]:
        return [name for batch in self.batches for name in batch]


class Desk:
    """An inbox with a worker: `swift` is handed everything at once, `careful` in order."""

    def __init__(self, ledger: SqlLedger, clock: HandClock) -> None:
        self.inbox = ledger.inbox
        self.clock = clock
        self.swift, self.careful = Listener(), Listener()
        self.worker = self.start()

    def start(self) -> NoticeWorker:
        ordered: list[Handler] = [self.careful.handle]
        return NoticeWorker(
            self.inbox,
            [self.swift.handle],
            clock=self.clock,
            ordered=ordered,
            needs_order=lambda notice: notice.sender == "flux",
            hold_seconds=2.0,
        )

    async def post(self, *names: str, sender: str = "flux") -> None:
        await self.inbox.keep(
            [
                NewNotice(
                    hook=Hook.FLUX,
                    sender=sender,
                    received_at=self.clock.now(),
                    said=FluxNotice(kind="Kustomization", namespace="a", name=name),
                )
                for name in names
            ]
        )


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    clock, place = HandClock(), tmp_path / "ledger.sqlite"
    await fresh_place(place)
    ledger = await SqlLedger.open(place, clock=clock)
    yield Desk(ledger, clock)
    await ledger.close()


async def test_what_needs_order_is_looked_at_at_once_and_dealt_with_together(desk: Desk) -> None:
    await desk.post("one")
    await desk.post("hint", sender="")
    assert await desk.worker.work()
    assert desk.swift.batches == [["one", "hint"]]
    assert desk.careful.batches == [["hint"]]
    assert await desk.inbox.count() == 1
    desk.clock.forward(1.0)
    await desk.post("two")
    assert await desk.worker.work()
    assert not await desk.worker.work()
    assert (desk.swift.names, desk.careful.names) == (["one", "hint", "two"], ["hint"])
    desk.clock.forward(1.5)
    assert await desk.worker.work()
    desk.clock.forward(1.0)
    assert await desk.worker.work()
    assert desk.careful.names == ["hint", "one", "two"]
    assert await desk.inbox.count() == 0
    assert desk.worker.dealt_with == {"flux": 3}


async def test_a_process_that_dies_over_them_leaves_them_to_the_next(desk: Desk) -> None:
    await desk.post("one", "two")
    assert await desk.worker.work()
    desk.clock.forward(5.0)
    assert await desk.start().work()
    assert desk.careful.names == ["one", "two"]
    assert await desk.inbox.count() == 0


async def test_nothing_is_settled_while_the_ledger_is_away(desk: Desk) -> None:
    await desk.post("one")
    desk.clock.forward(5.0)
    desk.careful.error = StoreError("it cannot be written", retryable=True)
    with pytest.raises(StoreError):
        await desk.worker.work()
    assert await desk.inbox.count() == 1
    desk.careful.error = None
    assert await desk.worker.work()
    assert desk.careful.names == ["one"]
    assert await desk.inbox.count() == 0


async def test_one_that_cannot_be_used_keeps_no_other(desk: Desk) -> None:
    desk.careful.refused = {"bad"}
    await desk.post("one", "bad", "two")
    desk.clock.forward(5.0)
    assert await desk.worker.work()
    assert desk.careful.names == ["one", "two"]
    assert await desk.inbox.count() == 0


async def test_a_clock_that_was_set_back_holds_nothing_for_long(desk: Desk) -> None:
    desk.clock.forward(3600)
    await desk.post("one")
    desk.clock.time -= timedelta(seconds=3600)
    assert await desk.worker.work()
    assert desk.careful.names == ["one"]


async def test_a_crowd_is_not_held_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_HELD", 3)
    await desk.post("a", "b", "c", "d")
    assert await desk.worker.work()
    assert desk.careful.names == ["a", "b", "c", "d"]


async def test_it_sleeps_until_it_is_woken(desk: Desk) -> None:
    async def is_empty() -> bool:
        return await desk.inbox.count() == 0

    async with asyncio.TaskGroup() as group:
        running = group.create_task(desk.worker.run())
        await desk.post("hint", sender="")
        desk.worker.wake()
        await until(is_empty, "all is settled")
        running.cancel()
    assert desk.swift.names == ["hint"]
