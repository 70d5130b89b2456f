"""A server of all forges, asked as anybody would; its clock moves only when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from yarl import URL

from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.forges.commits import AnyCommits
from fluxtrail.simulator.forges.faults import ForgeFault
from fluxtrail.simulator.forges.server import Forges

SHA = "a" * 40
UNKNOWN = "f" * 40


class HandClock(SimulatedClock):
    """Stands still, but for `advance` and whoever sleeps by it."""

    def __init__(self) -> None:
        super().__init__(origin=datetime(2026, 1, 1, tzinfo=UTC))
        self._passed = timedelta(0)
        self.gate: asyncio.Event | None = None
        """Where there is one, whoever sleeps waits for it."""

    def now(self) -> datetime:
        return self.origin + self._passed

    def advance(self, seconds: float) -> None:
        self._passed += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)


class Caller:
    """Asks the forges, with one token."""

    def __init__(self, forges: Forges, clock: HandClock, session: aiohttp.ClientSession) -> None:
        self.forges = forges
        self.clock = clock
        self.headers = {"Authorization": "Bearer one"}
        self._session = session

    async def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Return the status, the body (JSON, or text) and the headers."""
        shown = {**self.headers, **(headers or {})}
        address = URL(self.forges.url + path, encoded=True)
        async with self._session.request(method, address, json=body, headers=shown) as answer:
            text = await answer.text()
            is_json = bool(text) and answer.content_type == "application/json"
            return answer.status, (await answer.json()) if is_json else text, answer.headers

    async def post(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        status, answer, _ = await self.call("POST", path, body, headers)
        return status, answer

    async def get(self, path: str) -> Any:
        status, answer, _ = await self.call("GET", path)
        assert status == 200, answer
        return answer

    async def send(self, path: str, raw: bytes, **headers: str) -> int:
        """Post bytes as they are; return the status."""
        shown = {"Content-Type": "application/json", **self.headers, **headers}
        async with self._session.post(self.forges.url + path, data=raw, headers=shown) as answer:
            return answer.status

    def fail(self, **fields: Any) -> None:
        self.forges.fail(ForgeFault(**fields))

    def violations(self) -> dict[str, int]:
        """Return kind -> how often, of all systems."""
        return {kind: count for (_, kind), count in self.forges.recorder.violation_counts.items()}


@pytest.fixture
async def forge() -> AsyncIterator[Caller]:
    clock = HandClock()
    commits = AnyCommits(unknown=(UNKNOWN,), absent=("acme/nothing",))
    async with Forges(clock, commits=commits) as forges, aiohttp.ClientSession() as session:
        yield Caller(forges, clock, session)
