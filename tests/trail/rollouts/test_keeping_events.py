"""Why a workload does not run, where only its Events tell: asked for late, seldom, and of what is waited for alone."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs
from tests.trail.rollouts.acts import bump, make, roll
from tests.trail.rollouts.servers import template
from tests.trail.rollouts.worlds import RunningWorld
from tests.trail.workloads.cluster import STATEFUL_SET, Json

from fluxtrail.model.rollout import RolloutCause, RolloutState, RunningState
from fluxtrail.trail.rollouts.asking import BUDGET, EXPIRY_SECONDS, FORBIDDEN_SECONDS, LONGEST_SECONDS

MOUNT = 'MountVolume.SetUp failed for volume "data" : secret "web" not found'
Stance = tuple[RolloutState, RolloutCause | None, str]


async def stuck(world: RunningWorld, *names: str) -> list[Json]:
    """Return Deployments whose new pods do not get beyond ContainerCreating since a sync; in 10 s nothing changed."""
    await world.begin(*make(world, *names))
    docs = [world.server.observe(bump(world, name)) for name in names]
    await world.applied("d1")
    await world.follow()
    return docs


def new_pod(world: RunningWorld, doc: Json) -> Json:
    return world.server.pods_of(doc)[-1]


async def ask(world: RunningWorld, *, after: float = 11) -> None:
    world.clock.forward(after)
    await world.keeper.asker.ask()
    await world.follow()


async def stance(world: RunningWorld, name: str = "web") -> Stance:
    found = (await world.workloads())[name]
    return found.state, found.cause, found.message


PROGRESSING: Stance = (RolloutState.PROGRESSING, None, "")
UNMOUNTED: Stance = (RolloutState.BLOCKED, RolloutCause.VOLUME, f"FailedMount: {MOUNT}")


async def test_volume_that_is_not_mounted_stands_in_the_pods_events(world: RunningWorld) -> None:
    (doc,) = await stuck(world, "web")
    world.server.tell(new_pod(world, doc), "FailedMount", MOUNT)
    await ask(world)
    assert await stance(world) == UNMOUNTED
    assert (await world.workloads())["web"].pod == new_pod(world, doc)["metadata"]["name"]
    assert await world.state() is RunningState.WAITING
    at = roll(world, doc)
    await world.follow()
    assert (await world.running()).at == at
    assert (await stance(world))[:2] == (RolloutState.ROLLED_OUT, None)


async def test_what_may_yet_come_up_is_not_asked_about(world: RunningWorld) -> None:
    (doc,) = await stuck(world, "web")
    pod = new_pod(world, doc)
    world.server.crash(pod)
    await world.follow()
    world.server.status(pod, containerStatuses=pod["status"]["containerStatuses"])
    await world.follow()
    assert await stance(world) == PROGRESSING
    await ask(world, after=9)
    assert world.server.asked == []
    await ask(world, after=1)
    assert world.server.asked != []


async def test_what_is_not_waited_for_is_not_asked_about(world: RunningWorld) -> None:
    await world.begin(*make(world, "web", "other"))
    world.server.observe(bump(world, "web"))
    await world.follow()
    await ask(world, after=60)
    assert world.server.asked == []


async def test_stateful_set_that_is_refused_its_pods_says_so_in_its_own_events(world: RunningWorld) -> None:
    (web,) = make(world, "web")
    await world.begin(web)
    doc = world.server.apply(STATEFUL_SET, "db", template(1) | {"replicas": 2}, by=world.flux.object.key)
    world.has(web, doc)
    await world.applied("d1")
    doc = world.server.status(doc, observedGeneration=1, replicas=0, updateRevision="a")
    await world.follow()
    message = 'create Pod db-0 in StatefulSet db failed error: pods "db-0" is forbidden: exceeded quota: compute'
    world.server.tell(doc, "FailedCreate", message)
    await ask(world)
    assert await stance(world, "db") == (RolloutState.BLOCKED, RolloutCause.QUOTA, f"FailedCreate: {message}")
    world.clock.forward(5)
    world.server.tell(doc, "SuccessfulCreate", kind="Normal")
    await ask(world)
    assert await stance(world, "db") == PROGRESSING


async def test_probe_gets_its_words(world: RunningWorld) -> None:
    (doc,) = await stuck(world, "web")
    pod = new_pod(world, doc)
    state = {"name": "app", "ready": False, "started": True, "state": {"running": {}}}
    world.server.status(pod, phase="Running", containerStatuses=[state])
    await world.follow()
    assert await stance(world) == (RolloutState.PROGRESSING, RolloutCause.PROBE, "running, not ready")
    message = "Readiness probe failed: HTTP probe failed with statuscode: 503"
    world.server.tell(pod, "Unhealthy", message, fieldPath="spec.containers{app}")
    await ask(world)
    assert await stance(world) == (RolloutState.PROGRESSING, RolloutCause.PROBE, f"Unhealthy: {message}")


async def test_pods_that_say_more_are_believed(world: RunningWorld) -> None:
    (doc,) = await stuck(world, "web")
    pod = new_pod(world, doc)
    world.server.tell(pod, "FailedMount", MOUNT)
    await ask(world)
    world.server.crash(pod)
    await world.follow()
    assert (await stance(world))[1] is RolloutCause.CRASH_LOOP


async def test_nothing_is_asked_where_the_pods_tell(world: RunningWorld) -> None:
    (doc,) = await stuck(world, "web")
    world.server.crash(new_pod(world, doc))
    await world.follow()
    await ask(world, after=60)
    assert world.server.asked == []


async def test_the_same_is_asked_ever_more_rarely(world: RunningWorld) -> None:
    await stuck(world, "web")
    for _ in range(720):
        await ask(world, after=5)
    workload_and_pod = 2
    assert 3600 / LONGEST_SECONDS <= len(world.server.asked) / workload_and_pod <= 3600 / LONGEST_SECONDS + 6


async def test_many_are_asked_about_by_and_by(world: RunningWorld) -> None:
    names = [f"web{number:02}" for number in range(25)]
    docs = await stuck(world, *names)
    for doc in docs:
        world.server.tell(new_pod(world, doc), "FailedMount", MOUNT)
    await ask(world)
    assert BUDGET - 1 <= len(world.server.asked) <= BUDGET
    assert len(set(world.server.asked)) == len(world.server.asked)
    await ask(world, after=5)
    assert {found.cause for found in (await world.workloads()).values()} == {RolloutCause.VOLUME}


async def test_events_that_may_not_be_read_are_left_alone(world: RunningWorld) -> None:
    (doc,) = await stuck(world, "web")
    world.server.tell(new_pod(world, doc), "FailedMount", MOUNT)
    world.server.secretive.add("shop")
    with capture_logs() as logs:
        for _ in range(20):
            await ask(world, after=FORBIDDEN_SECONDS / 10)
    assert len(world.server.asked) == 2
    assert [entry["event"] for entry in logs].count("events may not be read") == 1
    assert await stance(world) == PROGRESSING
    world.server.secretive.clear()
    await ask(world, after=FORBIDDEN_SECONDS)
    assert await stance(world) == UNMOUNTED


async def test_hint_that_cannot_be_asked_for_again_goes(world: RunningWorld) -> None:
    (doc,) = await stuck(world, "web")
    world.server.tell(new_pod(world, doc), "FailedMount", MOUNT)
    await ask(world)
    world.server.is_unreachable = True
    await ask(world, after=EXPIRY_SECONDS - 1)
    assert await stance(world) == UNMOUNTED
    await ask(world, after=2)
    assert await stance(world) == PROGRESSING


@pytest.mark.parametrize("is_over", [False, True])
async def test_what_events_told_stays_over_a_restart(world: RunningWorld, is_over: bool) -> None:
    (doc,) = await stuck(world, "web")
    world.server.tell(new_pod(world, doc), "FailedMount", MOUNT)
    await ask(world)
    before = (await world.workloads())["web"]
    await world.begin_again()
    await world.look()
    after = (await world.workloads())["web"]
    assert (after.state, after.cause, after.since) == (before.state, before.cause, before.since)
    if is_over:
        world.server.events.clear()
    await ask(world)
    assert await stance(world) == (PROGRESSING if is_over else UNMOUNTED)
