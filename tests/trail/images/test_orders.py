"""The same deliveries, however late and in whichever order things become known."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.trail.following import World
from tests.trail.images.worlds import Shop

from fluxtrail.model.verdict import Verdict

_STEPS = ("describe old", "describe new", "attribute", "roll", "run", "trace", "restart", "trace")


# Each example is a world with real git: a few, and a failure is shown as it was found.
@pytest.mark.timeout(120)
@settings(max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.permutations(_STEPS))
async def test_every_order_ends_the_same(steps: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    world = World(tmp_path_factory.mktemp("world"))
    world.origin("fleet")
    world.origin("shop")
    world.stated = {"shop": []}
    async with world:
        world.commit("shop", "one")
        await world.branches.look()
        shop = Shop(world)
        await shop.begin()
        a, between, b = (world.commit("shop", name) for name in ("a", "between", "b"))
        carrier = world.commit("fleet", "image b", apps__shop="b")
        await world.fetch("fleet", carrier)
        world.now(shop.flux).succeed(f"main@sha1:{carrier}", "d1")
        await world.play(shop.flux)
        sync_id = world.target(shop.flux).sync_id
        has_run = False
        for step in steps:
            world.clock.forward(5)
            if step == "describe old":
                await shop.image("a", a)
            elif step == "describe new":
                await shop.image("b", b)
            elif step == "attribute":
                await world.settle()
            elif step == "roll":
                await shop.roll("a", "b", runs=has_run, sync_id=sync_id)
            elif step == "run":
                has_run = True
                sync = await world.sync(sync_id)
                assert sync.applied is not None
                await shop.run_image("b", sync.applied.at + timedelta(seconds=1))
            elif step == "restart":
                await world.restart()
                shop.reset()
            else:
                await shop.trace()
        await shop.trace()

        rows = [await shop.find(sha) for sha in (a, between, b)]
        assert rows[0] is None
        fleet = await world.record(carrier)
        for row in rows[1:]:
            assert row is not None
            assert (row.verdict, row.carrier_id) == (Verdict.DEPLOYED, fleet.id)
            assert row.applied_sync == row.healthy_sync == sync_id
        assert await shop.untraced() == 0
        lines = await world.ledger.transitions(after_id=0, limit=1_000)
        told = [msgspec.structs.replace(line, id=0) for line in lines if line.kind.value in ("applied", "verdict")]
        assert len(told) == len(set(map(repr, told))), "nothing is said twice"
