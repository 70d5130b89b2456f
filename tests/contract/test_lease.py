"""A Lease as a real API server keeps it: what it accepts of ours, and what it refuses."""

from __future__ import annotations

import asyncio

import pytest
from tests.clusters.scripted import FakeClock
from tests.contract.world import WAIT_SECONDS, World

from fluxtrail.clusters.clock import SystemClock
from fluxtrail.clusters.lease import DURATION_SECONDS, Lease, LeaseLostError
from fluxtrail.model.errors import ConfigError


def claim(world: World, identity: str, clock: FakeClock | None = None) -> Lease:
    return Lease(
        world.connection, namespace=world.namespace, name="claim", identity=identity, clock=clock or SystemClock()
    )


async def test_lease_goes_from_hand_to_hand(world: World) -> None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{world.namespace}/leases/claim"
    async with asyncio.timeout(WAIT_SECONDS):
        first = claim(world, "first")
        await first.acquire()
        assert (await world.call("GET", path))["spec"]["holderIdentity"] == "first"
        # A renewal: the holder finds itself, and writes again.
        await first.acquire()
        await first.release()
        assert "holderIdentity" not in (await world.call("GET", path))["spec"]
        second = claim(world, "second")
        await second.acquire()
        # It is gone without a word; the third one's clock lets the time go by that it has to wait.
        clock = FakeClock()
        third = claim(world, "third", clock)
        await third.acquire()
        assert sum(clock.slept) == DURATION_SECONDS
        spec = (await world.call("GET", path))["spec"]
        assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("third", 2)
        second._clock = FakeClock()
        with pytest.raises(LeaseLostError, match="is held by third now"):
            await second.keep()
    await world.call("DELETE", path)


async def test_namespace_that_does_not_exist_is_a_wrong_setting(world: World) -> None:
    lease = Lease(world.connection, namespace="contract-nowhere", name="claim", identity="one", clock=SystemClock())
    with pytest.raises(ConfigError, match=r"lease\.namespace"):
        await lease.acquire()
