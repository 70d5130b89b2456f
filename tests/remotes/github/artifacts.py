"""Time that tests turn, and records to send."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import Any

from fluxtrail.remotes.github.artifact_calls import ClientCounters
from fluxtrail.remotes.github.artifact_metadata import ArtifactMetadataClient
from fluxtrail.remotes.github.artifact_wire import WireRecord

BEGIN = datetime(2026, 1, 12, 10, tzinfo=UTC)
DATE = {"Date": formatdate(BEGIN.timestamp(), usegmt=True)}
DIGEST = "sha256:" + "ab" * 32
SINGLE = "/orgs/test-org/artifacts/metadata/deployment-record"

ArtifactClientMaker = Callable[..., ArtifactMetadataClient]


class VirtualClock:
    """Sleeping costs no time: it turns the clock, or waits for `advance` where the clock stands still.

    `slept` has every wait that was asked for.
    """

    def __init__(self, *, is_still: bool = False) -> None:
        self.elapsed = 0.0
        self.wall_shift = timedelta()
        self.slept: list[float] = []
        self._is_still = is_still
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._changed = asyncio.Condition()

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.elapsed) + self.wall_shift

    def monotonic(self) -> float:
        return self.elapsed

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self._is_still:
            self.elapsed += seconds
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.elapsed + seconds, next(self._numbers), future))
        async with self._changed:
            self._changed.notify_all()
        await future

    async def asleep(self, count: int) -> None:
        """Return once so many sleep."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: len(self._live()) >= count)

    def advance(self, seconds: float) -> None:
        self.elapsed += seconds
        while self._sleepers and self._sleepers[0][0] <= self.elapsed + 1e-9:
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)

    def _live(self) -> list[asyncio.Future[None]]:
        return [future for _, _, future in self._sleepers if not future.done()]


def record(deployment_name: str = "my-deployment", **fields: Any) -> WireRecord:
    defaults: dict[str, Any] = {
        "name": "ghcr.io/my-org/my-image",
        "digest": "sha256:abc123",
        "version": "v1.0.0",
        "status": "deployed",
        "logical_environment": "production",
        "physical_environment": "us-east-1",
        "cluster": "cluster-1",
    }
    return WireRecord(deployment_name=deployment_name, **{**defaults, **fields})


def counts(counters: ClientCounters) -> tuple[int, ...]:
    """Return (ok, unknown, rate limited, soft, hard, client)."""
    return astuple(counters)
