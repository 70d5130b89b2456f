"""Whatever goes wrong on the way, in whatever order: in the end GitHub holds what the ledger says."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.ledger.world import fresh_place
from tests.reports.deployment_records.github import Call, Fault, dropped, failing, limited, refusing
from tests.reports.deployment_records.rooms import PROD, Room, content, digest, gone
from tests.reports.worlds import FakeClock

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.deployment import Told
from fluxtrail.model.errors import AuthError, ConflictError, NotFoundError, WireError

NAMES = ["a", "b", "c", "d"]
VERSIONS = ["1", "2", "3"]
LATE = [digest("nginx:3"), digest("redis:3")]
"""Attested in the end only."""
NEVER = digest("redis:2")

FAULTS = {
    "dropped": dropped(is_done=False),
    "lost answer": dropped(is_done=True),
    "limited": limited(20),
    "failing": failing(),
    "unauthorised": Fault(AuthError("bad token", status=401)),
    "unreadable": Fault(WireError("no JSON", retryable=True), is_done=True),
    "conflict": Fault(ConflictError("conflict", status=409, retryable=True)),
    "not found": Fault(NotFoundError("404", status=404)),
    "refused": refusing(),
}
BULK_ONLY = {"unreadable", "not found", "refused", "conflict"}
"""What is said of a single record is true, or it would be believed."""

Step = tuple[str, str, str, str]
steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("run"), st.sampled_from(NAMES), st.sampled_from(["nginx", "redis"]), st.sampled_from(VERSIONS)
        ),
        st.tuples(st.just("end"), st.sampled_from(NAMES), st.just(""), st.just("")),
        st.tuples(st.just("edit"), st.sampled_from(NAMES), st.sampled_from(["x", "y"]), st.just("")),
        st.tuples(st.just("work"), st.just(""), st.just(""), st.just("")),
        st.tuples(st.just("fault"), st.sampled_from(sorted(FAULTS)), st.just(""), st.just("")),
        st.tuples(st.just("turn"), st.sampled_from(["2", "70", "400"]), st.just(""), st.just("")),
        st.tuples(st.just("late"), st.just(""), st.just(""), st.just("")),
        st.tuples(st.just("job"), st.sampled_from(["completed", "failed", "pending"]), st.just(""), st.just("")),
        st.tuples(st.just("again"), st.sampled_from(["restart", "resend"]), st.just(""), st.just("")),
    ),
    max_size=25,
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps)
@example([("run", "a", "nginx", "1"), ("fault", "lost answer", "", ""), ("work", "", "", ""), ("end", "a", "", "")])
@example(
    [("run", "a", "nginx", "1"), ("fault", "lost answer", "", ""), ("work", "", "", ""), ("run", "a", "redis", "2")]
)
def test_github_ends_with_what_the_ledger_says(script: list[Step]) -> None:
    asyncio.run(_play(script))


async def _play(script: list[Step]) -> None:
    clock = FakeClock()
    with tempfile.TemporaryDirectory() as folder:
        ledger = await SqlLedger.open(await fresh_place(Path(folder) / "ledger.sqlite"), clock=clock)
        try:
            await _act(Room(ledger, clock), script)
        finally:
            await ledger.close()


async def _act(room: Room, script: list[Step]) -> None:
    room.github.unattested = {*LATE, NEVER}
    world = _World(room)
    for step in script:
        await world.take(*step)
    world.faults.clear()
    room.github.job_status, room.github.pending_jobs = "completed", set()
    room.github.unattested = {NEVER}
    await room.age(26 * 3_600, step=7_200)
    assert await room.waiting() == []
    assert await room.dead() == {}
    await room.check()
    for record in (await room.rows()).values():
        allowed = {Told.UNKNOWN, Told.SILENT} if record.content.digest == NEVER else {Told.TOLD, Told.SILENT}
        assert record.told in allowed


class _World:
    def __init__(self, room: Room) -> None:
        self.room = room
        self.faults: list[str] = []
        room.github.choose_fault = self._choose

    def _choose(self, call: Call) -> Fault | None:
        for name in self.faults:
            if call.kind != "single" or name not in BULK_ONLY:
                self.faults.remove(name)
                return FAULTS[name]
        return None

    async def take(self, verb: str, first: str, second: str, third: str) -> None:
        room = self.room
        if verb == "run":
            await room.record({first: content(second, third)})
        elif verb in ("end", "edit"):
            row = (await room.rows()).get(first)
            if row is not None:
                edited = replace(row.content, tags=(("team", second),))
                await room.record({first: gone(row.content) if verb == "end" else edited})
        elif verb == "work":
            await room.dispatcher.work()
        elif verb == "fault":
            self.faults.append(first)
        elif verb == "turn":
            room.clock.turn(float(first))
        elif verb == "late":
            await room.late.look()
        elif verb == "job":
            room.github.pending_jobs = {"prod"} if first == "pending" else set()
            room.github.job_status = "completed" if first == "pending" else first
        elif first == "restart":
            room.restart()
        else:
            await room.catching_up.resend(PROD)
