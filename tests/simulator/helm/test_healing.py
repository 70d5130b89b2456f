"""The episode of a release that gets stuck: a doctor heals it, or in the end a person, and the truth is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime

from tests.simulator.worlds import Json, Play, commits

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.endpoint import Endpoint
from fluxtrail.clusters.writing import Writer
from fluxtrail.gitops.doctor.round import Rounds
from fluxtrail.gitops.doctor.treatment import FIELD_MANAGER, Treater
from fluxtrail.model.doctor.budgets import Limits
from fluxtrail.model.doctor.policy import Policy
from fluxtrail.simulator.script import Action, Step, plan_script
from fluxtrail.simulator.world import World, WorldOptions

STUCK = Step(Action.STUCK_RELEASE)
MAILER = "HelmRelease/platform/mailer"


async def go_round(world: World) -> None:
    """Let a doctor go round staging, again and again."""
    server = world.clusters["staging"].server
    async with Connection(Endpoint(name="staging", server=server.url)) as connection:
        writer = Writer(connection, field_manager=FIELD_MANAGER)
        treater = Treater(writer=writer, cluster="staging", now=lambda: datetime.now(UTC), acts=True)
        rounds = Rounds(connection=connection, treater=treater, policy=Policy(), limits=Limits())
        while True:
            await rounds.go()
            await asyncio.sleep(0.1)


def release_delivery(world: World) -> Json:
    """Return what became of the change on the release."""
    [commit] = commits(world, "Let mailer in staging")
    found: Json = next(d for d in commit["deliveries"] if d["target"] == MAILER)
    return found


def told(world: World, *kinds: str) -> list[str]:
    """Return the kinds of what happened to the release, in order."""
    lines = (json.loads(line) for line in world.truth.path.read_text(encoding="utf-8").splitlines())
    return [line["kind"] for line in lines if line["kind"] in kinds and line["target"] == MAILER]


async def test_a_doctor_heals_what_a_passing_fault_has_stuck(options: Callable[..., WorldOptions]) -> None:
    async with World(options(STUCK, doctor_seconds=60.0, time_scale=4.0)) as world:
        async with asyncio.timeout(40), asyncio.TaskGroup() as group:
            doctor = group.create_task(go_round(world))
            world.begin()
            await world.until_finished()
            doctor.cancel()
        assert world.treatments is not None
        treatment = next(each for each in world.treatments.listed() if each["target"] == MAILER)
        assert (treatment["cluster"], treatment["remedy"]) == ("staging", "reset")
        assert "its retries are used up" in treatment["message"]
        happened = told(world, "release_failed", "treated", "release_succeeded", "reset")
        assert happened[-3:] == ["release_failed", "treated", "release_succeeded"]
        delivery = release_delivery(world)
        assert delivery["verdict"] == "deployed"
        assert {"applied", "healthy", "running"} <= delivery["stages"].keys()


async def test_without_a_doctor_a_person_resets_it(play: Play) -> None:
    async with play(STUCK, time_scale=4.0) as world:
        assert world.treatments is None
        assert told(world, "fault", "release_failed", "reset")[-4:] == ["fault", "release_failed", "fault", "reset"]
        assert release_delivery(world)["verdict"] == "deployed"


def test_only_a_script_with_a_doctor_lets_releases_get_stuck() -> None:
    for changes in (8, 20, 50, 200):
        plain, cared = (plan_script(3, changes=changes, rate=1.0, has_doctor=has) for has in (False, True))
        assert Action.STUCK_RELEASE not in {step.action for step in plain}
        assert sum(step.action is Action.STUCK_RELEASE for step in cared) == max(1, changes // 50)
        assert sum(step.changes for step in cared) == changes
