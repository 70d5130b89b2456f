"""How often a hint makes us look at an object, and take a watch for dead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from tests.runtime.worlds import until
from tests.trail.following import HandClock

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.endpoint import Endpoint
from fluxtrail.clusters.watcher import Watcher
from fluxtrail.model.errors import UpstreamError
from fluxtrail.model.notices import FluxNotice
from fluxtrail.runtime.hinted import MOST_HINTED, HintedLooks
from fluxtrail.runtime.subjects import KINDS, TARGET_KIND


class DeadWatcher(Watcher[Any]):
    """One whose connection brings nothing, of a server that has something else."""

    looks: list[str]
    renewals: int = 0
    error: UpstreamError | None = None

    async def is_behind(self, namespace: str, name: str) -> bool:
        self.looks.append(name)
        if self.error is not None:
            raise self.error
        return True

    def renew(self, namespace: str) -> None:
        self.renewals += 1


class Desk:
    def __init__(self) -> None:
        self.clock = HandClock()
        connection = Connection(Endpoint(name="prod", server="http://127.0.0.1:1"))
        kind = next(item for item in KINDS if item.kind == TARGET_KIND)
        self.watcher = DeadWatcher(connection, kind.subject((), name=""), clock=self.clock)
        self.watcher.looks = []
        self.watcher.stats.last_byte_at = self.clock.now() - timedelta(minutes=1)
        self.looks = HintedLooks("prod", self.clock)

    def hint(self, name: str, kind: str = TARGET_KIND) -> None:
        self.looks.hint(FluxNotice(kind=kind, namespace="a", name=name))

    async def rest(self) -> None:
        """Wait until no hint is left."""
        await until(lambda: not self.looks._hinted, "all hints are dealt with")
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    task = asyncio.create_task(made.looks.run())
    await asyncio.sleep(0)
    made.looks.watches(TARGET_KIND, made.watcher)
    yield made
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_crowd_of_hints_costs_one_look_and_one_connection(desk: Desk) -> None:
    for name in ("one", "two", "three", "one"):
        desk.hint(name)
    await desk.rest()
    assert (desk.watcher.looks, desk.watcher.renewals) == (["one"], 1)
    desk.clock.forward(31)
    desk.hint("two")
    await desk.rest()
    assert (desk.watcher.looks, desk.watcher.renewals) == (["one", "two"], 2)


@pytest.mark.parametrize("kind", ["Kustomization", "HelmRelease", "GitRepository", "OCIRepository"])
async def test_whatever_is_watched_is_looked_at_once_where_its_watch_is_silent(desk: Desk, kind: str) -> None:
    assert kind in {item.kind for item in KINDS}
    desk.looks.watches(kind, desk.watcher)
    desk.hint("one", kind=kind)
    await desk.rest()
    assert (desk.watcher.looks, desk.watcher.renewals) == (["one"], 1)


async def test_a_stream_that_brought_something_is_alive(desk: Desk) -> None:
    desk.watcher.stats.last_byte_at = desk.clock.now()
    desk.hint("one")
    await desk.rest()
    assert desk.watcher.looks == []


async def test_an_object_is_looked_at_now_and_then(desk: Desk) -> None:
    desk.watcher.error = UpstreamError("no answer", subject="prod", retryable=True)
    for seconds in (0, 1, 5, 20):
        desk.clock.forward(seconds)
        desk.hint("one")
        await desk.rest()
    assert desk.watcher.looks == ["one", "one"]
    assert desk.watcher.renewals == 0


async def test_what_is_not_watched_and_what_is_too_much_is_let_go(desk: Desk) -> None:
    desk.hint("one", kind="Bucket")
    desk.hint("")
    assert not desk.looks._hinted
    for number in range(MOST_HINTED + 10):
        desk.hint(f"object-{number}")
    assert len(desk.looks._hinted) == MOST_HINTED
    await desk.rest()
    assert desk.watcher.renewals == 1
