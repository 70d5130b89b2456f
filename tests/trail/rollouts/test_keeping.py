"""From a sync to the workloads that it changed, to when they had rolled out: whatever is heard first."""

from __future__ import annotations

import pytest
from tests.trail.rollouts.acts import bump, make, roll
from tests.trail.rollouts.servers import key_of, template
from tests.trail.rollouts.worlds import RunningWorld
from tests.trail.workloads.cluster import CRON_JOB, DEPLOYMENT, JOB

from fluxtrail.model.moment import Evidence, Precision
from fluxtrail.model.rollout import RolloutState, RunningState


async def test_of_five_workloads_those_two_that_the_sync_changed_are_waited_for(world: RunningWorld) -> None:
    docs = make(world, "a", "b", "c", "d", "e")
    await world.begin(*docs)
    changed = [bump(world, "b"), bump(world, "d")]
    await world.applied("d1")
    await world.follow()
    assert await world.changed() == ["b", "d"]
    assert await world.state() is RunningState.WAITING
    roll(world, changed[0])
    await world.follow()
    assert await world.state() is RunningState.WAITING
    last = roll(world, changed[1])
    await world.follow()
    moment = await world.running()
    assert (moment.at, moment.evidence, moment.precision) == (last, Evidence.PODS_READY, Precision.EXACT)
    assert len(await world.told()) == 1


async def test_roll_out_is_done_before_flux_says_that_it_applied(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    at = roll(world, bump(world, "web"))
    await world.hear()
    await world.keeper.settle()
    await world.applied("d1")
    await world.look()
    sync = await world.sync()
    assert sync.applied is not None
    assert (await world.running()).at == max(at, sync.applied.at)


async def test_workload_is_read_again_before_its_stream_brings_it(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    doc = bump(world, "web")
    await world.applied("d1")
    await world.look()
    assert (await world.changed(), await world.state()) == (["web"], RunningState.WAITING)
    assert (await world.workloads())["web"].rolled_generation == 1
    at = roll(world, doc)
    await world.follow()
    assert (await world.running()).at == at


async def test_watch_brings_the_change_long_before_it_is_known_to_be_applied(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    at = roll(world, bump(world, "web"))
    await world.follow()
    world.clock.forward(300)
    await world.applied("d1")
    await world.follow()
    sync = await world.sync()
    assert await world.changed() == ["web"]
    assert (await world.running()).at >= at
    assert sync.running_state is RunningState.REACHED


async def test_what_only_an_autoscaler_changed_is_not_the_syncs(world: RunningWorld) -> None:
    docs = make(world, "web", "other")
    await world.begin(*docs)
    world.server.change(DEPLOYMENT, "web", replicas=3)
    other = bump(world, "other")
    await world.applied("d1")
    await world.follow()
    assert await world.changed() == ["other"]
    roll(world, other)
    await world.follow()
    assert await world.state() is RunningState.REACHED


async def test_sync_that_changed_nothing_that_runs_has_no_such_stage(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    sha = await world.applied("d1")
    await world.follow()
    assert (await world.state(), await world.rows()) == (RunningState.ABSENT, [])
    assert (await world.delivery(sha, world.flux)).verdict.value == "deployed"
    assert await world.told() == []


async def test_two_changes_within_the_same_second_are_two(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    doc = bump(world, "web", 2)
    await world.applied("d1")
    await world.follow()
    doc = bump(world, "web", 3)
    world.server.docs[key_of(DEPLOYMENT, "web")]["metadata"]["managedFields"] = doc["metadata"]["managedFields"]
    await world.applied("d2")
    await world.follow()
    assert await world.changed() == ["web"]
    at = roll(world, doc)
    await world.follow()
    assert (await world.running()).at == at


async def test_new_workload_is_the_syncs_that_made_it(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    new = bump(world, "new", 1)
    world.has(*docs, new)
    await world.applied("d1")
    await world.follow()
    assert (await world.changed(), await world.state()) == (["new"], RunningState.WAITING)
    at = roll(world, new)
    await world.follow()
    assert (await world.running()).at == at
    (row,) = await world.rows()
    assert row.images_before == {}


async def test_new_workload_that_rolled_out_and_was_judged_first_is_the_syncs(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    new = bump(world, "new", 1)
    roll(world, new)
    await world.hear()
    await world.keeper.settle()
    world.has(*docs, new)
    await world.applied("d1")
    await world.follow()
    assert (await world.changed(), await world.state()) == (["new"], RunningState.REACHED)


async def test_workload_made_anew_under_its_name_is_changed(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    world.server.delete(docs[0])
    world.clock.forward(5)
    doc = bump(world, "web", 1)
    await world.applied("d1")
    await world.follow()
    assert (await world.changed(), await world.state()) == (["web"], RunningState.WAITING)
    at = roll(world, doc)
    await world.follow()
    assert (await world.running()).at == at


async def test_workload_that_is_pruned_is_waited_for_no_longer(world: RunningWorld) -> None:
    docs = make(world, "web", "old")
    await world.begin(*docs)
    web, old = bump(world, "web"), bump(world, "old")
    await world.applied("d1")
    await world.follow()
    first = await world.sync()
    roll(world, web)
    await world.follow()
    assert await world.state() is RunningState.WAITING
    world.server.delete(old)
    world.has(web)
    await world.applied("d2")
    await world.follow()
    assert (await world.sync(first.id)).running_state is RunningState.REACHED
    assert await world.state() is RunningState.ABSENT
    assert sorted(await world.workloads()) == ["web"]


async def test_workload_scaled_to_zero_is_not_waited_for(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    doc = world.server.apply(DEPLOYMENT, "web", template(2) | {"replicas": 0}, by=world.flux.object.key)
    await world.applied("d1")
    await world.look()
    assert await world.state() is RunningState.WAITING
    world.server.observe(doc)
    await world.follow()
    assert await world.state() is RunningState.ABSENT


async def test_workload_that_stays_at_zero_is_not_waited_for(world: RunningWorld) -> None:
    docs = make(world, "web", replicas=0)
    await world.begin(*docs)
    world.server.apply(DEPLOYMENT, "web", template(2) | {"replicas": 0}, by=world.flux.object.key)
    await world.applied("d1")
    await world.look()
    await world.follow()
    assert (await world.changed(), await world.state()) == (["web"], RunningState.ABSENT)


async def test_workload_that_stays_at_zero_is_not_waited_for_after_a_restart(world: RunningWorld) -> None:
    docs = make(world, "web", replicas=0)
    await world.begin(*docs)
    world.server.apply(DEPLOYMENT, "web", template(2) | {"replicas": 0}, by=world.flux.object.key)
    await world.applied("d1")
    await world.look()
    await world.begin_again()
    await world.follow()
    assert await world.state() is RunningState.ABSENT


async def test_suspended_job_is_not_waited_for(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    job = world.server.apply(JOB, "migrate", template(1) | {"suspend": True}, by=world.flux.object.key)
    world.has(*docs, job)
    await world.applied("d1")
    await world.follow()
    assert (await world.changed(), await world.state()) == (["migrate"], RunningState.ABSENT)


async def test_job_runs_once_it_has_succeeded(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    job = world.server.apply(JOB, "migrate", template(1), by=world.flux.object.key)
    world.has(*docs, job)
    await world.applied("d1")
    await world.follow()
    assert await world.state() is RunningState.WAITING
    world.clock.forward(30)
    at = world.clock.now().replace(microsecond=0)
    complete = {"type": "Complete", "status": "True", "lastTransitionTime": at.isoformat()}
    world.server.status(job, succeeded=1, completionTime=at.isoformat(), conditions=[complete])
    await world.follow()
    moment = await world.running()
    assert (moment.at, moment.evidence) == (at, Evidence.JOB_COMPLETED)


async def test_job_that_goes_by_its_ttl_keeps_that_it_ran(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    job = world.server.apply(JOB, "migrate", template(1) | {"ttlSecondsAfterFinished": 0}, by=world.flux.object.key)
    at = world.clock.now().replace(microsecond=0)
    complete = {"type": "Complete", "status": "True", "lastTransitionTime": at.isoformat()}
    await world.hear()
    world.has(*docs, job)
    await world.applied("d1")
    await world.look()
    job = world.server.status(job, succeeded=1, completionTime=at.isoformat(), conditions=[complete])
    world.server.delete(job)
    await world.follow()
    assert await world.state() is RunningState.REACHED


async def test_job_that_goes_before_it_has_succeeded_is_not_waited_for(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    job = world.server.apply(JOB, "migrate", template(1), by=world.flux.object.key)
    world.has(*docs, job)
    await world.applied("d1")
    await world.follow()
    world.server.delete(job)
    await world.follow()
    assert await world.state() is RunningState.ABSENT


async def test_cron_job_alone_has_no_such_stage(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    spec = {"schedule": "@daily", "jobTemplate": {"spec": template(1)}}
    cron = world.server.apply(CRON_JOB, "nightly", spec, by=world.flux.object.key)
    world.has(*docs, cron)
    await world.applied("d1")
    await world.follow()
    assert (await world.changed(), await world.state()) == (["nightly"], RunningState.ABSENT)


async def test_first_start_on_a_cluster_claims_nothing(world: RunningWorld) -> None:
    docs = make(world, "web", "idle")
    await world.begin(*docs)
    assert (await world.state(), await world.rows(), await world.told()) == (RunningState.ABSENT, [], [])
    kept = await world.workloads()
    assert {name: record.state for name, record in kept.items()} == {
        "web": RolloutState.ROLLED_OUT,
        "idle": RolloutState.ROLLED_OUT,
    }


async def test_first_change_of_what_was_there_before_us_is_caught(world: RunningWorld) -> None:
    docs = make(world, "web", "idle")
    await world.begin(*docs)
    doc = bump(world, "idle")
    await world.applied("d1")
    await world.look()
    assert await world.changed() == ["idle"]
    at = roll(world, doc)
    await world.follow()
    assert (await world.running()).at == at


async def test_what_ran_once_stays_so_when_it_crashes_later(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    doc = bump(world, "web")
    await world.applied("d1")
    at = roll(world, doc)
    await world.follow()
    world.clock.forward(300)
    world.server.crash(world.server.pods_of(doc)[0])
    await world.follow()
    assert (await world.workloads())["web"].state is RolloutState.BLOCKED
    await world.begin_again()
    await world.follow()
    assert (await world.running()).at == at
    assert len(await world.told()) == 1


@pytest.mark.parametrize("is_late", [False, True])
async def test_each_delivery_is_told_once_to_run_whenever_it_is_attributed(world: RunningWorld, is_late: bool) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    doc = bump(world, "web")
    sha = await world.applied("d1", settle=not is_late)
    await world.follow()
    roll(world, doc)
    await world.follow()
    assert await world.state() is RunningState.REACHED
    await world.settle()
    await world.follow()
    commit = await world.record(sha)
    assert [item.commit_id for item in await world.told()] == [commit.id]


async def test_each_of_several_roll_outs_before_there_was_time_to_judge_counts(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    syncs, moments = [], []
    for image in (2, 3, 4):
        doc = bump(world, "web", image)
        await world.applied(f"d{image}")
        syncs.append(world.target(world.flux).sync_id)
        moments.append(roll(world, doc))
        await world.hear()
        world.clock.forward(60)
    await world.look()
    world.clock.forward(6)
    await world.look()
    found = [(await world.sync(number)).running for number in syncs]
    assert [moment.at.replace(microsecond=0) for moment in found if moment is not None] == moments
