from __future__ import annotations

import asyncio

import pytest

from fluxtrail.model.errors import UpstreamError
from fluxtrail.remotes.git.flight import SharedFlight


class Work:
    def __init__(self) -> None:
        self.runs: list[frozenset[str]] = []
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.error: UpstreamError | None = None

    async def __call__(self, want: frozenset[str]) -> int:
        self.runs.append(want)
        self.entered.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return len(self.runs)


async def test_late_callers_share_a_run_that_began_after_them() -> None:
    work = Work()
    flight = SharedFlight(work)
    async with asyncio.TaskGroup() as group:
        early = [group.create_task(flight.run(["a"])), group.create_task(flight.run(["b"]))]
        await work.entered.wait()
        late = [group.create_task(flight.run([name])) for name in ("c", "d", "e")]
        await asyncio.sleep(0)
        work.gate.set()
    assert [task.result() for task in early] == [1, 1]
    assert [task.result() for task in late] == [2, 2, 2]
    assert work.runs == [{"a", "b"}, {"c", "d", "e"}]


async def test_an_error_is_shared_and_not_kept() -> None:
    work = Work()
    work.gate.set()
    work.error = UpstreamError("down")
    flight = SharedFlight(work)
    answers = await asyncio.gather(flight.run(), flight.run(), return_exceptions=True)
    assert list(answers) == [work.error, work.error]
    assert len(work.runs) == 1
    work.error = None
    assert await flight.run() == 2


async def test_a_cancelled_leader_loses_nobody() -> None:
    work = Work()
    flight = SharedFlight(work)
    async with asyncio.TaskGroup() as group:
        leader = group.create_task(flight.run(["a"]))
        follower = group.create_task(flight.run(["b"]))
        await work.entered.wait()
        leader.cancel()
        work.gate.set()
    assert leader.cancelled()
    assert follower.result() == 2
    assert work.runs[1] == {"a", "b"}


async def test_other_exceptions_reach_only_the_leader() -> None:
    async def broken(_: frozenset[str]) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await SharedFlight(broken).run()
