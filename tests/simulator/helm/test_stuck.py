"""HelmReleases that get stuck as real ones do, and the doctor that heals them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
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


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not is_so():  # noqa: ASYNC110 - what is waited for is anything
            await asyncio.sleep(0.02)


def change(world: World, **values: Any) -> None:
    world.clusters["staging"].server.store.patch(*RELEASE, {"spec": {"values": values}}, manager="kubectl-edit")


async def go(world: World, *, later: timedelta = timedelta(), acts: bool = True) -> Report:
    """Let a doctor go round that has just been started, by a clock so much ahead."""
    server = world.clusters["staging"].server
    async with Connection(Endpoint(name="staging", server=server.url)) as connection:
        writer = Writer(connection, field_manager=FIELD_MANAGER)
        treater = Treater(writer=writer, cluster="staging", now=lambda: datetime.now(UTC) + later, acts=acts)
        rounds = Rounds(connection=connection, treater=treater, policy=Policy(), limits=Limits())
        return await rounds.go()


async def break_by(world: World, outage: str) -> None:
    helm = world.clusters["staging"].helm
    helm.outages["platform", "mailer"] = outage
    change(world, level=7)


async def test_a_passing_fault_uses_up_the_retries_and_a_reset_heals_it(play: Play) -> None:
    async with play(ASIDE) as world:
        await break_by(world, WEBHOOK)
        await until(lambda: condition(world, "Stalled")["reason"] == "RetriesExceeded")
        assert read(world)["status"]["failures"] == 1
        del world.clusters["staging"].helm.outages["platform", "mailer"]
        report = await go(world)
        (found,) = [each for each in report.findings if each.name == "mailer"]
        assert found.code is Code.RETRIES_EXHAUSTED
        assert any(WEBHOOK in each.value for each in found.evidence)
        await until(lambda: condition(world, "Ready")["reason"] == "UpgradeSucceeded")
        status = read(world)["status"]
        assert "failures" not in status
        assert status["lastHandledResetAt"] == status["lastHandledReconcileAt"]
        assert (await go(world)).findings == ()


async def test_a_fault_that_stays_is_tried_once_and_then_left_to_people(play: Play) -> None:
    async with play(ASIDE) as world:
        await break_by(world, WEBHOOK)
        await until(lambda: condition(world, "Stalled")["reason"] == "RetriesExceeded")
        assert [each.outcome for each in (await go(world)).treated] == ["acted"]
        version = read(world)["status"]["history"][0]["version"]
        await until(lambda: read(world)["status"]["history"][0]["version"] > version)
        await until(lambda: condition(world, "Stalled")["reason"] == "RetriesExceeded")
        assert [each.outcome for each in (await go(world)).treated] == ["held"]


async def test_a_release_whose_controller_died_amid_an_upgrade_is_locked_until_somebody_asks(play: Play) -> None:
    async with play(ASIDE) as world:
        await break_by(world, KILLED)
        await until(lambda: read(world)["status"]["history"][0]["status"] == "pending-upgrade")
        del world.clusters["staging"].helm.outages["platform", "mailer"]
        assert (await go(world, acts=False)).findings == ()
        report = await go(world, later=timedelta(hours=1))
        assert [each.code for each in report.findings if each.name == "mailer"] == [Code.LOCKED]
        await until(lambda: condition(world, "Ready")["reason"] == "UpgradeSucceeded")
        assert read(world)["status"]["history"][0]["status"] == "deployed"


@pytest.mark.parametrize("request_name", ["forceAt", "resetAt"])
async def test_a_request_counts_once_and_only_with_the_token_of_the_request_to_reconcile(
    play: Play, request_name: str
) -> None:
    async with play(ASIDE) as world:
        store = world.clusters["staging"].server.store
        await break_by(world, WEBHOOK)
        await until(lambda: condition(world, "Stalled")["reason"] == "RetriesExceeded")
        del world.clusters["staging"].helm.outages["platform", "mailer"]
        prefix = "reconcile.fluxcd.io"
        other = {f"{prefix}/requestedAt": "1", f"{prefix}/{request_name}": "0"}
        store.patch(*RELEASE, {"metadata": {"annotations": other}})
        await until(lambda: read(world)["status"].get("lastHandledReconcileAt") == "1")
        assert condition(world, "Stalled")["status"] == "True"
        same = {f"{prefix}/requestedAt": "2", f"{prefix}/{request_name}": "2"}
        store.patch(*RELEASE, {"metadata": {"annotations": same}})
        await until(lambda: condition(world, "Ready")["reason"] == "UpgradeSucceeded")
        handled = f"lastHandled{request_name[0].upper()}{request_name[1:]}"
        assert read(world)["status"][handled] == "2"
