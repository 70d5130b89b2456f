"""Custom resources that a sync changed: nothing watches their status, so they are read while they are waited for."""

from __future__ import annotations

from tests.trail.rollouts.acts import make
from tests.trail.rollouts.servers import template
from tests.trail.rollouts.worlds import RunningWorld
from tests.trail.workloads.cluster import Json, Kind

from fluxtrail.model.rollout import RunningState

CLUSTER: Kind = ("postgresql.cnpg.io", "Cluster")


async def begin(world: RunningWorld) -> Json:
    """Return a database of one pod that runs since long."""
    world.server.kinds.append(CLUSTER)
    (web,) = make(world, "web")
    database = world.server.apply(CLUSTER, "db", template(1), by=world.flux.object.key)
    world.server.own_pod(database)
    say(world, database, observed=1)
    world.view.see_kind(*CLUSTER)
    await world.begin(web)
    world.has(web, database)
    await world.tell(world.flux)
    await world.applied("d1")
    await world.follow()
    world.clock.forward(60)
    return database


def say(world: RunningWorld, doc: Json, *, observed: int, ready: str = "True") -> None:
    condition = {"type": "Ready", "status": ready, "reason": "ClusterIsReady"}
    world.server.status(doc, observedGeneration=observed, conditions=[condition])


async def test_custom_resource_is_waited_for_until_its_operator_has_looked(world: RunningWorld) -> None:
    database = await begin(world)
    database = world.server.apply(CLUSTER, "db", template(2), by=world.flux.object.key)
    await world.applied("d2")
    await world.follow()
    assert (await world.changed(), await world.state()) == (["db"], RunningState.WAITING)
    world.clock.forward(3)
    say(world, database, observed=2, ready="False")
    await world.look()
    assert await world.state() is RunningState.WAITING
    world.clock.forward(3)
    say(world, database, observed=2)
    before = len(world.server.reads)
    await world.look()
    assert await world.state() is RunningState.REACHED
    assert len(world.server.reads) == before + 1
    world.clock.forward(3)
    await world.look()
    assert len(world.server.reads) == before + 1, "nobody waits for it any more"


async def test_custom_resource_that_cannot_be_read_is_waited_for(world: RunningWorld) -> None:
    database = await begin(world)
    database = world.server.apply(CLUSTER, "db", template(2), by=world.flux.object.key)
    await world.applied("d2")
    await world.follow()
    world.server.is_unreachable = True
    say(world, database, observed=2)
    world.clock.forward(3)
    await world.look()
    assert await world.state() is RunningState.WAITING
    world.server.is_unreachable = False
    world.clock.forward(3)
    await world.look()
    assert await world.state() is RunningState.REACHED
