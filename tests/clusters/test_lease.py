"""Leases on the simulator's API server: who gets one, who keeps it, and what it takes to lose it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any

import pytest
from tests.clusters.scripted import WAIT_SECONDS, FakeClock

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.endpoint import Endpoint
from fluxtrail.clusters.lease import DURATION_SECONDS, GIVE_UP_SECONDS, RENEW_SECONDS, Lease, LeaseLostError
from fluxtrail.model.errors import ConfigError
from fluxtrail.simulator.apiserver.server import ApiServer

NAMESPACE, NAME = "flux-system", "fluxtrail"


class GatedClock(FakeClock):
    """Its sleeps go by as a test lets them: `on_sleep` is called with the seconds before each one ends."""

    def __init__(self) -> None:
        super().__init__()
        self.on_sleep: Callable[[float], None] = lambda seconds: None

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        self.on_sleep(seconds)


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer(name="home") as server:
        yield server


@pytest.fixture
async def connection(server: ApiServer) -> AsyncIterator[Connection]:
    async with Connection(Endpoint(name="home", server=server.url)) as connection:
        yield connection


@pytest.fixture
def clock() -> GatedClock:
    return GatedClock()


def claim(connection: Connection, clock: FakeClock, identity: str = "one", *, namespace: str = NAMESPACE) -> Lease:
    return Lease(connection, namespace=namespace, name=NAME, identity=identity, clock=clock)


def spec_of(server: ApiServer) -> dict[str, Any]:
    return dict(server.store.get("leases", NAME, NAMESPACE)["spec"])


def change(server: ApiServer, **spec: Any) -> None:
    server.store.patch("leases", NAME, NAMESPACE, {"spec": spec})


@contextmanager
def at_each_sleep(clock: GatedClock, *steps: Callable[[], None]) -> Iterator[None]:
    """Do one step after each sleep; none is left at the end."""
    waiting = list(steps)
    clock.on_sleep = lambda _: waiting.pop(0)() if waiting else None
    yield
    assert not waiting


@asynccontextmanager
async def kept(lease: Lease) -> AsyncIterator[asyncio.Task[None]]:
    keeper = asyncio.create_task(lease.keep())
    try:
        yield keeper
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)


async def lost(lease: Lease) -> str:
    async with asyncio.timeout(WAIT_SECONDS):
        with pytest.raises(LeaseLostError) as caught:
            await lease.keep()
    assert lease.problem
    return str(caught.value)


async def test_free_lease_is_made_and_says_who_holds_it(
    server: ApiServer, connection: Connection, clock: GatedClock
) -> None:
    lease = claim(connection, clock)
    await lease.acquire()
    spec = spec_of(server)
    assert lease.problem == ""
    assert clock.slept == []
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("one", 15, 0)
    for field in ("acquireTime", "renewTime"):
        assert datetime.strptime(spec[field], "%Y-%m-%dT%H:%M:%S.%f%z") == clock.now()


async def test_renewals_change_the_time_and_nothing_else(
    server: ApiServer, connection: Connection, clock: GatedClock
) -> None:
    lease = claim(connection, clock)
    await lease.acquire()
    first = spec_of(server)
    async with kept(lease), asyncio.timeout(WAIT_SECONDS):
        while len(clock.slept) < 5:  # noqa: ASYNC110 the fake clock has no event
            await asyncio.sleep(0.002)
    renewed = spec_of(server)
    assert set(clock.slept) == {RENEW_SECONDS}
    assert renewed.pop("renewTime") > first.pop("renewTime")
    assert renewed == first


async def test_time_between_acquiring_and_keeping_counts(
    server: ApiServer, connection: Connection, clock: GatedClock
) -> None:
    lease = claim(connection, clock)
    await lease.acquire()
    clock.advance(RENEW_SECONDS + 1)
    async with kept(lease), asyncio.timeout(WAIT_SECONDS):
        while len(clock.slept) < 2:  # noqa: ASYNC110 the fake clock has no event
            await asyncio.sleep(0.002)
    assert clock.slept[:2] == [0.0, RENEW_SECONDS]


async def test_second_process_waits_and_says_for_whom(
    server: ApiServer, connection: Connection, clock: GatedClock
) -> None:
    await claim(connection, clock, "one").acquire()
    waiting = claim(connection, FakeClock(), "two")
    task = asyncio.create_task(waiting.acquire())
    async with asyncio.timeout(WAIT_SECONDS):
        while waiting.problem != "held by one":  # noqa: ASYNC110 no event tells of it
            await asyncio.sleep(0.002)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_renewed_lease_is_never_taken_however_wrong_its_dates_are(
    server: ApiServer, connection: Connection, clock: GatedClock
) -> None:
    await claim(connection, clock, "one").acquire()
    dates = [f"1999-01-01T00:00:{second:02}.000000Z" for second in range(20)]
    renewals = [lambda date=date: change(server, renewTime=date) for date in dates]
    with at_each_sleep(clock, *renewals, lambda: change(server, holderIdentity=None)):
        await claim(connection, clock, "two").acquire()
    assert spec_of(server)["holderIdentity"] == "two"
    assert len(clock.slept) == 21


async def test_lease_of_a_dead_holder_is_taken_after_its_duration_by_our_own_clock(
    server: ApiServer, connection: Connection, clock: GatedClock
) -> None:
    await claim(connection, FakeClock(), "one").acquire()
    # By its date it has still a century to go; only that nothing changes counts.
    change(server, renewTime="2126-01-01T00:00:00.000000Z")
    await claim(connection, clock, "two").acquire()
    assert sum(clock.slept) == DURATION_SECONDS
    spec = spec_of(server)
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("two", 1)


async def test_duration_that_the_holder_stated_is_respected(
    server: ApiServer, connection: Connection, clock: GatedClock
) -> None:
    await claim(connection, FakeClock(), "one").acquire()
    change(server, leaseDurationSeconds=60)
    await claim(connection, clock, "two").acquire()
    assert sum(clock.slept) == 60


async def test_what_is_not_the_spec_is_no_sign_of_life(
    server: ApiServer, connection: Connection, clock: GatedClock
) -> None:
    await claim(connection, FakeClock(), "one").acquire()

    def annotate() -> None:
        server.store.patch("leases", NAME, NAMESPACE, {"metadata": {"annotations": {"at": str(len(clock.slept))}}})

    with at_each_sleep(clock, annotate, annotate):
        await claim(connection, clock, "two").acquire()
    assert sum(clock.slept) == DURATION_SECONDS


async def test_released_lease_is_free_at_once(server: ApiServer, connection: Connection, clock: GatedClock) -> None:
    first = claim(connection, clock, "one")
    await first.acquire()
    await first.release()
    assert "holderIdentity" not in spec_of(server)
    second = claim(connection, clock, "two")
    await second.acquire()
    assert clock.slept == []
    await first.release()
    assert (spec_of(server)["holderIdentity"], spec_of(server)["leaseTransitions"]) == ("two", 1)


async def test_of_many_that_ask_at_once_one_gets_it(server: ApiServer, connection: Connection) -> None:
    claims = [claim(connection, FakeClock(), f"process-{number}") for number in range(12)]
    for _ in range(5):
        has_it = await asyncio.gather(*(item._is_acquired() for item in claims))
        assert has_it.count(True) == 1
        winner = claims[has_it.index(True)]
        assert spec_of(server)["holderIdentity"] == winner.identity
        # Free again, and this time it exists: now updates race instead of creations.
        await winner.release()


async def test_lost_when_another_holds_it(server: ApiServer, connection: Connection, clock: GatedClock) -> None:
    lease = claim(connection, clock)
    await lease.acquire()
    change(server, holderIdentity="two")
    message = await lost(lease)
    assert "Lease/flux-system/fluxtrail" in message
    assert "is held by two now" in message
    await lease.release()
    assert spec_of(server)["holderIdentity"] == "two"


async def test_lost_when_it_cannot_be_renewed_and_earlier_than_another_may_take_it(
    server: ApiServer, connection: Connection, clock: GatedClock
) -> None:
    lease = claim(connection, clock)
    await lease.acquire()
    since = clock.monotonic()
    server.faults.fail_requests(503, "leases", count=1000)
    message = await lost(lease)
    assert f"could not be renewed for {GIVE_UP_SECONDS:g} s" in message
    assert "503" in message
    assert GIVE_UP_SECONDS <= clock.monotonic() - since < DURATION_SECONDS


async def test_server_that_never_answers_is_a_loss_too(
    server: ApiServer, connection: Connection, clock: GatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluxtrail.clusters.lease.GIVE_UP_SECONDS", RENEW_SECONDS + 0.05)
    lease = claim(connection, clock)
    await lease.acquire()
    server.faults.delay_requests(60, "leases", count=10)
    assert "could not be renewed" in await lost(lease)


async def test_short_outage_is_got_over(server: ApiServer, connection: Connection, clock: GatedClock) -> None:
    lease = claim(connection, clock)
    await lease.acquire()
    server.faults.fail_requests(503, "leases", count=2)
    server.faults.drop_requests("leases", count=1)
    async with kept(lease) as keeper, asyncio.timeout(WAIT_SECONDS):
        while clock.slept.count(RENEW_SECONDS) < 4:  # noqa: ASYNC110 the fake clock has no event
            await asyncio.sleep(0.002)
        assert not keeper.done()
    assert server.faults.struck == {"status": 2, "drop": 1}
    assert spec_of(server)["holderIdentity"] == "one"


@pytest.mark.parametrize("is_deleted", [False, True], ids=["edited", "deleted"])
async def test_strangers_edit_does_not_take_it_away(
    server: ApiServer, connection: Connection, clock: GatedClock, is_deleted: bool
) -> None:
    lease = claim(connection, clock)
    await lease.acquire()

    def meddle() -> None:
        if is_deleted:
            server.store.delete("leases", NAME, NAMESPACE)
        else:
            server.store.patch("leases", NAME, NAMESPACE, {"metadata": {"labels": {"seen": "true"}}})

    with at_each_sleep(clock, lambda: None, meddle):
        async with kept(lease) as keeper, asyncio.timeout(WAIT_SECONDS):
            while len(clock.slept) < 4:  # noqa: ASYNC110 the fake clock has no event
                await asyncio.sleep(0.002)
            assert not keeper.done()
    assert spec_of(server)["holderIdentity"] == "one"


async def test_write_without_an_answer_is_recognised_as_our_own(
    server: ApiServer, connection: Connection, clock: GatedClock
) -> None:
    lease = claim(connection, clock)
    await lease.acquire()
    # As if a renewal had been stored and its answer lost: the version has moved, and we are still its holder.
    change(server, renewTime="2026-06-01T00:00:00.000000Z")
    again = claim(connection, clock, "one")
    await again.acquire()
    assert clock.slept == []
    assert spec_of(server)["leaseTransitions"] == 0


async def test_refusal_says_which_right_is_missing_and_is_got_over_when_it_is_given(
    server: ApiServer, connection: Connection, clock: GatedClock
) -> None:
    server.faults.forbid_namespace(NAMESPACE, resource="leases")
    lease = claim(connection, clock)
    said: list[str] = []

    def look() -> None:
        said.append(lease.problem)
        server.faults.permit_namespace(NAMESPACE, resource="leases")

    with at_each_sleep(clock, look):
        await lease.acquire()
    assert "403" in said[0]
    assert "allow create, get, update on leases of coordination.k8s.io in the namespace flux-system" in said[0]
    assert "lease.enabled" in said[0]
    assert spec_of(server)["holderIdentity"] == "one"


async def test_namespace_that_does_not_exist_is_a_wrong_setting(connection: Connection, clock: GatedClock) -> None:
    with pytest.raises(ConfigError, match=r"lease\.namespace"):
        await claim(connection, clock, namespace="nowhere").acquire()
