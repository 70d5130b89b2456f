"""Where a sync's workloads are followed by somebody who was away, came too late, or may not look."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from tests.trail.rollouts.acts import bump, make, roll
from tests.trail.rollouts.servers import inventory
from tests.trail.rollouts.worlds import RunningWorld, replace
from tests.trail.workloads.cluster import DEPLOYMENT, Json

from fluxtrail.model.moment import Precision
from fluxtrail.model.observation import Unavailable
from fluxtrail.model.records import SyncId, SyncRecord
from fluxtrail.model.rollout import RunningState
from fluxtrail.model.verdict import Verdict
from fluxtrail.trail.rollouts.keeper import PARK_SECONDS
from fluxtrail.trail.rollouts.rereading import PATIENCE


async def unseen(world: RunningWorld, made: str) -> str:
    """Commit and apply while nobody watches; returns the commit."""
    sha = world.commit("fleet", made, apps__a=made)
    world.now(world.flux).succeed(f"main@sha1:{sha}", made)
    world.flux.writes.clear()
    world.clock.forward(5)
    return sha


async def come_back(world: RunningWorld, sha: str) -> None:
    await world.begin_again(is_told=False)
    await world.fetch("fleet", sha)
    await world.tell(world.flux)
    await world.settle()
    await world.follow()


async def test_what_was_applied_and_rolled_out_unseen_is_dated_by_its_pods(world: RunningWorld) -> None:
    docs = make(world, "web", "other")
    await world.begin(*docs)
    doc = bump(world, "web")
    sha = await unseen(world, "d1")
    at = roll(world, doc)
    world.clock.forward(600)
    await come_back(world, sha)
    moment = await world.running()
    assert await world.changed() == ["web"]
    assert (max(moment.at, at), moment.precision) == (moment.at, Precision.EXACT) or moment.earliest <= at
    (row,) = await world.rows()
    assert row.running is not None
    assert (row.running.at, row.running.precision) == (at, Precision.EXACT)


async def test_what_rolled_out_unseen_and_has_no_pods_to_tell_is_within_its_bracket(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    doc = bump(world, "web")
    sha = await unseen(world, "d1")
    at = roll(world, doc)
    for pod in world.server.pods_of(doc):
        world.server.delete(pod)
    world.server.status(doc, conditions=[])
    world.clock.forward(600)
    await come_back(world, sha)
    (row,) = await world.rows()
    assert row.running is not None
    assert row.running.precision is Precision.ESTIMATED
    assert row.running.earliest <= at <= row.running.latest
    assert await world.state() is RunningState.REACHED


@pytest.mark.parametrize("is_busy", [False, True], ids=["looked in between", "nobody had time"])
async def test_what_ran_unseen_did_not_begin_to_when_something_else_of_it_changed(
    world: RunningWorld, is_busy: bool
) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    doc = bump(world, "web")
    sha = await unseen(world, "d1")
    at = roll(world, doc)
    for pod in world.server.pods_of(doc):
        world.server.delete(pod)
    world.server.status(doc, conditions=[])
    world.clock.forward(600)
    await world.begin_again(is_told=False)
    if not is_busy:
        await world.look()
    world.clock.forward(10)
    world.server.status(doc, conditions=[{"type": "Available", "status": "True"}])
    await world.hear()
    await world.fetch("fleet", sha)
    await world.tell(world.flux)
    await world.settle()
    await world.follow()
    (row,) = await world.rows()
    assert row.running is not None
    assert row.running.precision is Precision.ESTIMATED
    assert row.running.earliest <= at <= row.running.latest


async def begin_blind(world: RunningWorld, *docs: Json) -> None:
    """Hear of a first commit, and be gone before the workloads were listed."""
    sha = world.commit("fleet", apps__a="0")
    for doc in docs:
        world.server.roll_out(doc)
    world.clock.forward(600)
    await world.fetch("fleet", sha)
    world.has(*docs)
    world.now(world.flux).succeed(f"main@sha1:{sha}", "d0")
    await world.tell(world.flux)
    await world.settle()
    world.clock.forward(60)


async def test_workload_that_is_seen_first_after_a_missed_sync_was_changed_by_it(world: RunningWorld) -> None:
    docs = make(world, "web", "other")
    await begin_blind(world, *docs)
    doc = bump(world, "web")
    sha = await unseen(world, "d1")
    at = roll(world, doc)
    world.clock.forward(60)
    await come_back(world, sha)
    assert await world.changed() == ["web"]
    (row,) = await world.rows()
    assert (row.images_before, row.images, row.generation) == ({}, {"app": "ghcr.io/acme/app:2"}, 2)
    assert row.running is not None
    assert row.running.at == at


async def test_workload_that_a_missed_sync_made_before_any_was_seen_is_its_own(world: RunningWorld) -> None:
    docs = make(world, "web")
    await begin_blind(world, *docs)
    (made,) = make(world, "new")
    world.has(*docs, made)
    sha = await unseen(world, "d1")
    at = roll(world, made)
    world.clock.forward(60)
    await come_back(world, sha)
    assert await world.changed() == ["new"]
    (row,) = await world.rows()
    assert row.running is not None
    assert row.running.at == at


async def test_labels_that_a_missed_sync_changed_roll_nothing_out(world: RunningWorld) -> None:
    (doc,) = make(world, "web")
    await begin_blind(world, doc)
    world.server.touch(doc)
    sha = await unseen(world, "d1")
    world.clock.forward(60)
    await come_back(world, sha)
    assert await world.state() is RunningState.ABSENT


async def test_two_absences_change_nothing(world: RunningWorld) -> None:
    docs = make(world, "web", "other")
    await world.begin(*docs)
    first = bump(world, "web")
    sha = await unseen(world, "d1")
    at = roll(world, first)
    await come_back(world, sha)
    one = await world.sync()
    second = bump(world, "other")
    sha = await unseen(world, "d2")
    world.clock.forward(600)
    await come_back(world, sha)
    assert (await world.changed(), await world.state()) == (["other"], RunningState.WAITING)
    await world.begin_again()
    later = roll(world, second)
    await world.follow()
    assert (await world.sync(one.id)).running == one.running
    assert [row.running.at for row in await world.rows(one) if row.running] == [at]
    assert (await world.running()).at == later
    assert len(await world.told()) == 2


async def test_missed_syncs_are_told_apart_by_when_flux_changed_what(world: RunningWorld) -> None:
    docs = make(world, "web", "other")
    await world.begin(*docs)
    baseline = await world.sync()
    first = bump(world, "web")
    await unseen(world, "d1")
    rolled = [roll(world, first)]
    second = bump(world, "other")
    sha = await unseen(world, "d2")
    rolled.append(roll(world, second))
    await come_back(world, sha)
    for number, name, at in zip(itertools.count(baseline.id + 1), ["web", "other"], rolled, strict=False):
        sync = await world.sync(number)
        assert await world.changed(sync) == [name]
        assert sync.running is not None
        assert sync.running.latest >= at


async def test_sync_is_not_read_after_a_start_before_flux_says_again_what_its_target_has(world: RunningWorld) -> None:
    docs = make(world, "web", "other")
    await world.begin(*docs)
    doc = bump(world, "web")
    await world.applied("d1")  # and nobody had time to look
    at = roll(world, doc)
    world.clock.forward(3_600)
    await world.begin_again(is_told=False)
    await world.look()
    assert await world.state() is RunningState.UNREAD
    await world.tell(world.flux)
    world.clock.forward(PARK_SECONDS)
    await world.look()
    assert (await world.changed(), (await world.running()).at) == (["web"], at)


async def test_sync_whose_flux_is_not_heard_of_again_is_given_up(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    bump(world, "web")
    await world.applied("d1")
    await world.begin_again(is_told=False)
    world.clock.forward((PATIENCE - timedelta(seconds=1)).total_seconds())
    await world.look()
    assert await world.state() is RunningState.UNREAD
    world.clock.forward(2)
    await world.look()
    assert await world.state() is RunningState.UNKNOWN


async def test_missed_sync_that_left_the_manifests_as_they_were_made_nothing(world: RunningWorld) -> None:
    """All of it within one second: only the manifests tell which sync made the new image."""
    docs = make(world, "web")
    await world.begin(*docs)
    baseline = await world.sync()
    first, second, third = (world.commit("fleet", f"c{number}", apps__a=str(number)) for number in (1, 2, 3))
    world.clock.time = world.clock.time.replace(microsecond=0) + timedelta(minutes=10)
    world.now(world.flux).end_well(f"main@sha1:{first}", "d0")
    doc = bump(world, "web")
    world.flux.end_well(f"main@sha1:{second}", "d2")
    world.clock.forward(5)
    world.now(world.flux).end_well(f"main@sha1:{third}", "d2")
    at = roll(world, doc)
    await come_back(world, third)
    same, other = await world.sync(SyncId(baseline.id + 1)), await world.sync(SyncId(baseline.id + 2))
    assert (same.is_unchanged, same.running_state, await world.changed(same)) == (False, RunningState.ABSENT, [])
    assert (other.running_state, await world.changed(other)) == (RunningState.REACHED, ["web"])
    assert [row.running.at for row in await world.rows(other) if row.running] == [at]


async def test_what_a_later_sync_made_is_not_said_to_be_a_missed_ones_images(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    baseline = await world.sync()
    for image in (2, 3, 4):
        doc = bump(world, "web", image)
        sha = await unseen(world, f"d{image}")
    roll(world, doc)
    await come_back(world, sha)
    rows = [(await world.rows(await world.sync(SyncId(baseline.id + number))))[0] for number in (1, 2, 3)]
    assert [row.images for row in rows] == [{}, {}, {"app": "ghcr.io/acme/app:4"}]
    assert [row.generation for row in rows] == [2, 3, 4], "each of them made one"


@pytest.mark.parametrize("seconds", [3, 6])
async def test_what_a_missed_sync_made_in_its_last_second_is_not_of_one_long_after(
    world: RunningWorld, seconds: int
) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    baseline = await world.sync()
    first, second = (world.commit("fleet", f"c{number}", apps__a=str(number)) for number in (1, 2))
    world.clock.time = world.clock.time.replace(microsecond=0) + timedelta(minutes=10)
    doc = bump(world, "web")
    world.now(world.flux).end_well(f"main@sha1:{first}", "d1")
    world.clock.forward(seconds)
    world.now(world.flux).end_well(f"main@sha1:{second}", "d2")
    roll(world, doc)
    await come_back(world, second)
    syncs = [await world.sync(SyncId(baseline.id + number)) for number in (1, 2)]
    assert [await world.changed(sync) for sync in syncs] == [["web"], []]


async def missed_pair(world: RunningWorld, *, apart: float, took: float | None, image_in: int = 1) -> list[SyncRecord]:
    """Miss two syncs that ended so many seconds apart, one of which made a new image in the second in which the first
    of them ended; returns them.
    """
    docs = make(world, "web")
    await world.begin(*docs)
    baseline = await world.sync()
    first, second = (world.commit("fleet", f"c{number}", apps__a=str(number)) for number in (1, 2))
    world.clock.time = world.clock.time.replace(microsecond=0) + timedelta(minutes=10)
    world.now(world.flux).took_seconds = took
    if image_in == 1:
        doc = bump(world, "web")
    world.flux.end_well(f"main@sha1:{first}", "d1")
    if image_in == 2:
        world.clock.forward(0.9)
        doc = bump(world, "web")
    world.clock.time = world.clock.time.replace(microsecond=0) + timedelta(seconds=apart)
    world.now(world.flux).end_well(f"main@sha1:{second}", "d2")
    roll(world, doc)
    await come_back(world, second)
    return [await world.sync(SyncId(baseline.id + number)) for number in (1, 2)]


@pytest.mark.parametrize(("apart", "took"), [(2, 0.4), (2, 1.0), (3, 1.5), (3, None)])
async def test_what_a_sync_made_in_its_last_second_is_not_of_the_next_that_began_after_it(
    world: RunningWorld, apart: float, took: float | None
) -> None:
    syncs = await missed_pair(world, apart=apart, took=took)
    assert [await world.changed(sync) for sync in syncs] == [["web"], []]
    assert [sync.running_state for sync in syncs] == [RunningState.REACHED, RunningState.ABSENT]


@pytest.mark.parametrize("image_in", [1, 2])
@pytest.mark.parametrize(("apart", "took"), [(1, 0.4), (2, 1.5), (3, 2.5), (2, None)])
async def test_what_either_of_two_missed_syncs_may_have_made_is_told_of_none(
    world: RunningWorld, apart: float, took: float | None, image_in: int
) -> None:
    syncs = await missed_pair(world, apart=apart, took=took, image_in=image_in)
    assert [await world.changed(sync) for sync in syncs] == [[], []]
    assert [sync.running_state for sync in syncs] == [RunningState.UNKNOWN, RunningState.UNKNOWN]
    assert await world.told() == []


async def test_what_two_missed_syncs_must_both_have_changed_is_told_of_both(world: RunningWorld) -> None:
    """One second, and two generations: each made one."""
    docs = make(world, "web")
    await world.begin(*docs)
    baseline = await world.sync()
    first, second = (world.commit("fleet", f"c{number}", apps__a=str(number)) for number in (1, 2))
    world.clock.time = world.clock.time.replace(microsecond=0) + timedelta(minutes=10)
    bump(world, "web", 2)
    world.now(world.flux).end_well(f"main@sha1:{first}", "d1")
    doc = bump(world, "web", 3)
    world.flux.end_well(f"main@sha1:{second}", "d2")
    roll(world, doc)
    await come_back(world, second)
    syncs = [await world.sync(SyncId(baseline.id + number)) for number in (1, 2)]
    assert [await world.changed(sync) for sync in syncs] == [["web"], ["web"]]


async def test_version_that_nobody_saw_is_told_of_none_of_several_that_may_have_made_it(world: RunningWorld) -> None:
    """Three syncs, and two generations: the last one made the newest."""
    docs = make(world, "web")
    await world.begin(*docs)
    baseline = await world.sync()
    for number in (1, 2, 3):
        doc = bump(world, "web", min(number, 2) if number < 3 else 3)
        sha = await unseen(world, f"d{number}")
    roll(world, doc)
    await come_back(world, sha)
    syncs = [await world.sync(SyncId(baseline.id + number)) for number in (1, 2, 3)]
    assert [sync.running_state for sync in syncs] == [RunningState.UNKNOWN, RunningState.UNKNOWN, RunningState.REACHED]


async def test_sync_that_a_later_one_overtook_runs_with_it(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    bump(world, "web", 2)
    first = await world.applied("d1")
    await world.follow()
    overtaken = await world.sync()
    doc = bump(world, "web", 3)
    second = await world.applied("d2")
    await world.follow()
    at = roll(world, doc)
    await world.follow()
    world.clock.forward(6)
    await world.follow()
    assert (await world.running()).at == at
    before = await world.sync(overtaken.id)
    assert before.running is not None
    assert before.running.at == at
    assert await world.verdicts([first, second], world.flux) == ["deployed", "deployed"]
    assert len(await world.told()) == 2


async def test_sync_that_was_gone_back_behind_never_runs(world: RunningWorld) -> None:
    docs = make(world, "web")
    good = await world.begin(*docs)
    bump(world, "web", 2)
    bad = await world.applied("d1")
    await world.follow()
    broken = await world.sync()
    doc = bump(world, "web", 1)
    roll(world, doc)
    await world.follow()  # the way back is seen in the cluster before Flux says so
    world.push_back("fleet", good)
    await world.fetch("fleet", good)
    world.now(world.flux).succeed(f"main@sha1:{good}", "d0")
    await world.play(world.flux)
    await world.look()
    await world.settle()
    world.clock.forward(10)
    await world.follow()
    assert (await world.delivery(bad, world.flux)).verdict is Verdict.ROLLED_BACK
    assert (await world.sync(broken.id)).running_state is RunningState.ABSENT
    assert await world.state() is RunningState.REACHED
    commit = await world.record(bad)
    assert commit.id not in [item.commit_id for item in await world.told()]


@pytest.mark.parametrize("is_scaled", [False, True], ids=["alone", "scaled in between"])
async def test_sync_that_ran_before_it_was_gone_back_behind_ran_though_nobody_had_time_to_look(
    world: RunningWorld, is_scaled: bool
) -> None:
    docs = make(world, "web")
    good = await world.begin(*docs)
    doc = bump(world, "web", 2)
    bad = await world.applied("d1")
    kept = await world.sync()
    if is_scaled:
        doc = world.server.change(DEPLOYMENT, "web", replicas=2)
    at = roll(world, doc)
    await world.hear()
    world.clock.forward(10)
    doc = bump(world, "web", 1)
    world.push_back("fleet", good)
    await world.fetch("fleet", good)
    world.now(world.flux).succeed(f"main@sha1:{good}", "d0")
    await world.play(world.flux)
    await world.settle()
    assert (await world.delivery(bad, world.flux)).verdict is Verdict.ROLLED_BACK
    roll(world, doc)
    await world.follow()
    world.clock.forward(10)
    await world.follow()
    ran = await world.sync(kept.id)
    assert (ran.running_state, await world.state()) == (RunningState.REACHED, RunningState.REACHED)
    assert ran.running is not None
    assert ran.running.at.replace(microsecond=0) == at


async def test_what_failed_its_health_check_and_rolled_out_later_runs(world: RunningWorld) -> None:
    world.flux = world.kustomization(has_checks=True)
    docs = make(world, "web")
    await world.begin(*docs)
    doc = bump(world, "web")
    sha = world.commit("fleet", apps__a="bad")
    await world.fetch("fleet", sha)
    world.now(world.flux).fail_health(f"main@sha1:{sha}")
    await world.play(world.flux)
    await world.settle()
    await world.follow()
    assert await world.state() is RunningState.WAITING
    assert await world.verdicts([sha], world.flux) == ["failed"]
    world.clock.forward(60)
    at = roll(world, doc)
    await world.follow()
    assert (await world.running()).at == at
    assert len(await world.told()) == 1


async def test_workloads_that_may_not_be_read_are_unknown_in_the_end(world: RunningWorld) -> None:
    """Not at once: a token may have ended, and is renewed."""
    docs = make(world, "web")
    await world.begin(*docs)
    world.server.forbidden |= set(inventory(*docs))
    bump(world, "web")
    await world.applied("d1")
    await world.follow()
    assert await world.state() is RunningState.UNREAD
    world.clock.forward(660)
    await world.look()
    assert (await world.state(), await world.rows()) == (RunningState.UNKNOWN, [])


async def test_right_that_is_given_in_time_loses_nothing(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    world.server.forbidden |= set(inventory(*docs))
    doc = bump(world, "web")
    await world.applied("d1")
    await world.follow()
    at = roll(world, doc)
    world.server.forbidden.clear()
    world.clock.forward(31)
    await world.follow()
    assert (await world.running()).at == at


async def test_what_is_not_watched_is_unknown_and_not_waited_for(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    await world.view.observe(
        [
            Unavailable(
                group="apps", kind="Deployment", observed_at=world.clock.now(), reason="forbidden", message="not yours"
            )
        ]
    )
    bump(world, "web")
    await world.applied("d1")
    await world.follow()
    assert (await world.state(), await world.rows()) == (RunningState.UNKNOWN, [])


async def test_workload_that_only_its_labels_call_the_targets_is_not_waited_for(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    world.server.forbidden.clear()
    doc = bump(world, "web")
    make(world, "intruder")
    await world.applied("d1")
    await world.follow()
    roll(world, doc)
    await world.follow()
    assert await world.changed(await world.sync()) == ["web"]
    assert await world.state() is RunningState.REACHED


async def test_workloads_that_cannot_be_read_now_are_read_later(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    world.server.is_unreachable = True
    doc = bump(world, "web")
    await world.applied("d1", settle=False)
    await world.follow()
    assert await world.state() is RunningState.UNREAD
    at = roll(world, doc)
    await world.follow()
    world.server.is_unreachable = False
    await world.look()
    assert await world.state() is RunningState.UNREAD  # parked
    world.clock.forward(2)
    await world.look()
    assert (await world.running()).at == at


async def test_workloads_that_could_not_be_read_for_long_are_unknown(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    world.server.is_unreachable = True
    bump(world, "web")
    await world.applied("d1")
    world.clock.forward(660)
    await world.follow()
    assert await world.state() is RunningState.UNKNOWN


async def test_what_lands_on_another_cluster_is_unknown(world: RunningWorld) -> None:
    docs = make(world, "web")
    world.flux.object = replace(world.flux.object, kube_config="flux-system/other")
    await world.begin(*docs)
    await world.applied("d1")
    await world.follow()
    assert await world.state() is RunningState.UNKNOWN
    assert world.server.reads == []


async def test_target_that_is_deleted_leaves_nothing_waiting(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    doc = bump(world, "web")
    await world.applied("d1")
    await world.follow()
    sync = await world.sync()
    await world.lose(world.flux)
    world.server.delete(doc)
    await world.follow()
    assert (await world.sync(sync.id)).running_state is RunningState.ABSENT
    async with world.ledger.unit() as unit:
        assert await unit.open_rollouts(world.view.cluster) == []


@pytest.mark.parametrize("spares", range(4))
async def test_failing_ledger_loses_and_doubles_nothing(world: RunningWorld, spares: int) -> None:
    docs = make(world, "web", "other")
    await world.begin(*docs)
    doc, other = bump(world, "web"), bump(world, "other")
    world.disk.spares, world.disk.fails = spares, 1
    await world.applied("d1")
    await world.hear()
    await world.look_bravely()
    roll(world, doc)
    world.disk.spares, world.disk.fails = spares, 1
    await world.hear()
    await world.look_bravely()
    world.disk.spares, world.disk.fails = spares, 2
    at = roll(world, other)
    await world.hear()
    await world.look_bravely()
    world.disk.fails = 0
    await world.follow()
    assert (await world.changed(), (await world.running()).at) == (["other", "web"], at)
    assert len(await world.told()) == 1
    assert DEPLOYMENT not in world.server.streams or not world.server.streams[DEPLOYMENT]


async def test_failing_ledger_does_not_make_a_late_look_a_good_one(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    doc = bump(world, "web")
    sha = await unseen(world, "d1")
    at = roll(world, doc)
    for pod in world.server.pods_of(doc):
        world.server.delete(pod)
    world.server.status(doc, conditions=[])
    world.clock.forward(600)
    await world.begin_again(is_told=False)
    world.disk.fails = 1
    await world.look_bravely()
    await world.fetch("fleet", sha)
    await world.tell(world.flux)
    await world.look()
    (row,) = await world.rows()
    assert row.running is not None
    assert row.running.precision is Precision.ESTIMATED
    assert row.running.earliest <= at <= row.running.latest


async def test_failing_ledger_does_not_forget_what_ran_for_a_moment(world: RunningWorld) -> None:
    docs = make(world, "web")
    await world.begin(*docs)
    doc = bump(world, "web")
    await world.applied("d1")
    await world.follow()
    roll(world, doc)
    at = world.clock.now()
    world.clock.forward(1)
    world.server.crash(world.server.pods_of(doc)[0])
    await world.hear()
    world.disk.fails = 1
    await world.look_bravely()
    assert (await world.running()).at == at
