"""HelmReleases that get stuck as real ones do, and the doctor that heals them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.simulator.worlds import Json, Play

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.endpoint import Endpoint
from fluxtrail.clusters.writing import Writer
from fluxtrail.gitops.doctor.round import Report, Rounds
from fluxtrail.gitops.doctor.treatment import FIELD_MANAGER, Treater
from fluxtrail.model.doctor.budgets import Limits
from fluxtrail.model.doctor.findings import Code
from fluxtrail.model.doctor.policy import Policy
from fluxtrail.simulator.helm.release import KILLED
from fluxtrail.simulator.script import Action, Step
from fluxtrail.simulator.world import World

ASIDE = Step(Action.ASIDE)

RELEASE = ("helmreleases", "mailer", "platform")
WEBHOOK = 'failed calling webhook "policy.acme.example": connect: connection refused'


def read(world: World) -> Json:
    found: Json = world.clusters["staging"].server.store.get(*RELEASE)
    return found


def condition(world: World, kind: str) -> Json:
    return next((c for c in read(world)["status"]["conditions"] if c["type"] == kind), {"status": "", "reason": ""})


def is_healed(world: World) -> bool:
    """Whether the change was made: what was there before does not count."""
    obj = read(world)
    status = obj["status"]
    is_of_now = bool(status["observedGeneration"] == obj["metadata"]["generation"])
    return is_of_now and condition(world, "Ready")["status"] == "True" and "Stalled" not in str(status["conditions"])


def is_given_up(world: World) -> bool:
    obj = read(world)
    is_of_now = bool(obj["status"]["observedGeneration"] == obj["metadata"]["generation"])
    return is_of_now and condition(world, "Stalled")["reason"] == "RetriesExceeded"


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - what is waited for is anything
            await asyncio.sleep(0.02)


def change(world: World, **values: Any) -> None:
    world.clusters["staging"].server.store.patch(*RELEASE, {"spec": {"values": values}}, manager="kubectl-edit")


def ask(world: World, **requests: str) -> None:
    annotations = {f"reconcile.fluxcd.io/{name}": token for name, token in requests.items()}
    world.clusters["staging"].server.store.patch(*RELEASE, {"metadata": {"annotations": annotations}})


async def go(world: World, *, later: timedelta = timedelta(), acts: bool = True) -> Report:
    """Let a doctor go round that has just been started, by a clock so much ahead."""
    server = world.clusters["staging"].server
    async with Connection(Endpoint(name="staging", server=server.url)) as connection:
        writer = Writer(connection, field_manager=FIELD_MANAGER)
        treater = Treater(writer=writer, cluster="staging", now=lambda: datetime.now(UTC) + later, acts=acts)
        rounds = Rounds(connection=connection, treater=treater, policy=Policy(), limits=Limits())
        return await rounds.go()


def outcomes(report: Report) -> list[str]:
    return [each.outcome for each in report.treated if each.plan.finding.name == "mailer"]


async def break_by(world: World, outage: str) -> None:
    helm = world.clusters["staging"].helm
    helm.outages["platform", "mailer"] = outage
    change(world, level=7)


async def test_a_passing_fault_uses_up_the_retries_and_a_reset_heals_it(play: Play) -> None:
    async with play(ASIDE, time_scale=4.0) as world:
        await break_by(world, WEBHOOK)
        await until(lambda: is_given_up(world))
        assert read(world)["status"]["failures"] == 1
        del world.clusters["staging"].helm.outages["platform", "mailer"]
        report = await go(world)
        (found,) = [each for each in report.findings if each.name == "mailer"]
        assert found.code is Code.RETRIES_EXHAUSTED
        assert any(WEBHOOK in each.value for each in found.evidence)
        await until(lambda: is_healed(world))
        status = read(world)["status"]
        assert "failures" not in status
        assert status["lastHandledResetAt"] == status["lastHandledReconcileAt"]
        assert "mailer" not in {each.name for each in (await go(world)).findings}


async def test_a_fault_that_stays_is_tried_once_and_then_left_to_people(play: Play) -> None:
    async with play(ASIDE, time_scale=4.0) as world:
        await break_by(world, WEBHOOK)
        await until(lambda: is_given_up(world))
        assert outcomes(await go(world)) == ["acted"]
        version = read(world)["status"]["history"][0]["version"]
        await until(lambda: read(world)["status"]["history"][0]["version"] > version)
        await until(lambda: is_given_up(world))
        assert outcomes(await go(world)) == ["held"]
        del world.clusters["staging"].helm.outages["platform", "mailer"]
        # Somebody's request: it counts once, and only with the token of the request to reconcile.
        ask(world, requestedAt="1", forceAt="0")
        await until(lambda: read(world)["status"].get("lastHandledReconcileAt") == "1")
        assert condition(world, "Stalled")["status"] == "True"
        ask(world, requestedAt="2", forceAt="2")
        await until(lambda: is_healed(world))
        assert read(world)["status"]["lastHandledForceAt"] == "2"


async def test_a_release_whose_controller_died_amid_an_upgrade_is_locked_until_somebody_asks(play: Play) -> None:
    async with play(ASIDE, time_scale=4.0) as world:
        await break_by(world, KILLED)
        await until(lambda: read(world)["status"]["history"][0]["status"].startswith("pending-"))
        del world.clusters["staging"].helm.outages["platform", "mailer"]
        assert "mailer" not in {each.name for each in (await go(world, acts=False)).findings}
        report = await go(world, later=timedelta(hours=1))
        assert [each.code for each in report.findings if each.name == "mailer"] == [Code.LOCKED]
        await until(lambda: is_healed(world))
        assert read(world)["status"]["history"][0]["status"] == "deployed"
