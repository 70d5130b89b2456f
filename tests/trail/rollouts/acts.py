"""What happens to workloads, in few words."""

from __future__ import annotations

from datetime import datetime

from tests.trail.rollouts.worlds import RunningWorld
from tests.trail.workloads.cluster import Json


def make(world: RunningWorld, *names: str, image: int = 1, replicas: int = 1) -> list[Json]:
    return [world.server.deployment(name, image, by=world.flux.object.key, replicas=replicas) for name in names]


def bump(world: RunningWorld, name: str, image: int = 2) -> Json:
    """Let Flux change a workload's image."""
    return world.server.deployment(name, image, by=world.flux.object.key)


def roll(world: RunningWorld, doc: Json, *, after: float = 10) -> datetime:
    """Let it roll out, after some seconds; returns when its pods were ready."""
    world.server.observe(doc)
    world.clock.forward(after)
    world.server.roll_out(doc)
    return world.clock.now().replace(microsecond=0)
