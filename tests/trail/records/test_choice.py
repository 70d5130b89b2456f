"""Which digest speaks for a name where several run under it, whatever the order in which they are seen."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ledger.world import NOON
from tests.trail.records.follower import Follower
from tests.trail.workloads.cluster import (
    CRON_JOB,
    DAEMON_SET,
    DEPLOYMENT,
    JOB,
    REPLICA_SET,
    STATEFUL_SET,
    Cluster,
    Json,
)

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.trail.records.speakers import AWAY_SECONDS


class Case(NamedTuple):
    """A pod of a Job, so that one that has ended may speak as well."""

    version: int
    phase: str
    age: int
    """Seconds."""


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        pytest.param([Case(1, "Running", 60), Case(2, "Running", 10)], 2, id="the newer pod of a roll-out"),
        pytest.param([Case(1, "Running", 60), Case(2, "Succeeded", 10)], 1, id="running before ended"),
        pytest.param([Case(1, "Succeeded", 60), Case(2, "Failed", 10)], 2, id="the newer of two that ended"),
        pytest.param([Case(1, "Failed", 60), Case(2, "Pending", 10)], 1, id="pending says nothing"),
        pytest.param([Case(2, "Running", 60), Case(1, "Running", 60)], 2, id="same age: the greater digest"),
    ],
)
async def test_one_pod_speaks_in_any_order_of_sight(
    cluster: Cluster, ledger: SqlLedger, cases: list[Case], expected: int
) -> None:
    job = cluster.make(JOB, "import")
    for order in permutations(cases):
        for each in order:
            pod = cluster.add_pod(job, each.version, phase=each.phase)
            moment = (NOON - timedelta(seconds=each.age)).isoformat()
            pod["metadata"]["creationTimestamp"] = moment
            pod["status"]["containerStatuses"][0]["state"] = {"running": {"startedAt": moment}}
            cluster.put(pod)
        assert (await Follower(cluster, ledger).begin())["prod/import/app"] == expected
        cluster.delete(*cluster.pods_of(job))


async def test_a_container_that_started_again_does_not_make_its_pod_newer(cluster: Cluster, follower: Follower) -> None:
    agent = cluster.make(("acme.io", "Farm"), "farm")
    old = cluster.add_pod(agent, 1)
    cluster.add_pod(agent, 2)
    cluster.clock.turn(60)
    cluster.run(old, {"app": 1})
    cluster.put(old)
    assert await follower.settle() == {"prod/farm/app": 2}


async def test_containers_of_one_pod_are_told_apart(cluster: Cluster, follower: Follower) -> None:
    cluster.pod("web", runs={"app": 1, "proxy": 2}, init={"migrate": 3})
    assert await follower.settle() == {"prod/web/app": 1, "prod/web/proxy": 2, "prod/web/migrate": 3}


async def test_many_pods_of_two_workloads_are_two_names(cluster: Cluster, follower: Follower) -> None:
    web = cluster.make(DEPLOYMENT, "web")
    cluster.roll_out(web, 1, revision=1, pods=3)
    cluster.roll_out(web, 2, revision=2, pods=2)
    cluster.roll_out(cluster.make(DEPLOYMENT, "api"), 5, revision=1, pods=2)
    assert await follower.settle() == {"prod/web/app": 2, "prod/api/app": 5}
    assert len(follower.planned) == 2


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_a_pod_that_ended_speaks_only_for_a_job(cluster: Cluster, follower: Follower, phase: str) -> None:
    cluster.add_pod(cluster.make(JOB, "import"), 1, phase=phase)
    nightly = cluster.make(CRON_JOB, "nightly")
    cluster.add_pod(cluster.make(JOB, "nightly-1", owner=nightly), 2, phase=phase)
    cluster.add_pod(cluster.make(REPLICA_SET, "web"), 3, phase=phase)
    cluster.pod("bare", phase=phase)
    assert await follower.settle() == {"prod/import/app": 1, "prod/nightly/app": 2}


@pytest.mark.parametrize("phase", ["Pending", "Unknown", ""])
async def test_a_pod_that_does_not_run_yet_says_nothing(cluster: Cluster, follower: Follower, phase: str) -> None:
    cluster.add_pod(cluster.make(JOB, "import"), 1, phase=phase)
    cluster.add_pod(cluster.make(REPLICA_SET, "web"), 2, phase=phase)
    assert await follower.settle() == {}


# -- revisions --------------------------------------------------------------------------------------------------------


async def test_a_roll_out_is_told_once_its_first_pod_runs(cluster: Cluster, follower: Follower) -> None:
    web = cluster.make(DEPLOYMENT, "web")
    cluster.roll_out(web, 1, revision=1, pods=2)
    await follower.settle()
    new = cluster.roll_out(web, 2, revision=2, pods=0)
    pod = cluster.add_pod(new, 2, phase="Pending")
    assert await follower.settle() == {"prod/web/app": 1}
    pod["status"]["phase"] = "Running"
    cluster.put(pod)
    assert await follower.settle() == {"prod/web/app": 2}
    assert follower.planned == [("prod/web/app", 1), ("prod/web/app", 2)]


async def test_a_pod_of_the_old_revision_made_late_does_not_speak(cluster: Cluster, follower: Follower) -> None:
    web = cluster.make(DEPLOYMENT, "web")
    old = cluster.roll_out(web, 1, revision=1)
    cluster.roll_out(web, 2, revision=2)
    cluster.add_pod(old, 1)
    assert await follower.settle() == {"prod/web/app": 2}


@pytest.mark.parametrize("annotation", ["deployment.kubernetes.io/revision", "rollout.argoproj.io/revision"])
async def test_a_rollback_makes_the_old_pods_speak_again(cluster: Cluster, follower: Follower, annotation: str) -> None:
    """Kubernetes gives the old ReplicaSet the next revision; its pods may still run and are not made anew."""
    web = cluster.make(DEPLOYMENT, "web")
    sets = [cluster.roll_out(web, version, revision=0) for version in (1, 2)]
    for revision, made in ((1, sets[0]), (2, sets[1]), (3, sets[0])):
        made["metadata"]["annotations"] = {annotation: str(revision)}
        cluster.put(made)
        await follower.settle()
    assert follower.planned == [("prod/web/app", 1), ("prod/web/app", 2), ("prod/web/app", 1)]


async def test_a_daemon_sets_newest_generation_speaks(cluster: Cluster, follower: Follower) -> None:
    agent = cluster.make(DAEMON_SET, "agent")
    cluster.add_pod(agent, 2, labels={"pod-template-generation": "2"})
    cluster.add_pod(agent, 1, labels={"pod-template-generation": "1"})
    assert await follower.settle() == {"prod/agent/app": 2}


async def test_a_stateful_sets_update_revision_speaks(cluster: Cluster, follower: Follower) -> None:
    db = cluster.make(STATEFUL_SET, "db", update_revision="db-new")
    cluster.add_pod(db, 2, labels={"controller-revision-hash": "db-new"})
    cluster.add_pod(db, 1, labels={"controller-revision-hash": "db-old"})
    assert await follower.settle() == {"prod/db/app": 2}
    db["status"]["updateRevision"] = "db-old"
    cluster.put(db)
    assert await follower.settle() == {"prod/db/app": 1}


async def test_a_pod_on_its_way_out_speaks_only_where_no_other_does(cluster: Cluster, follower: Follower) -> None:
    web = cluster.make(DEPLOYMENT, "web")
    cluster.roll_out(web, 1, revision=1)
    new = cluster.roll_out(web, 2, revision=2)
    cluster.terminate(*cluster.pods_of(new))
    assert await follower.settle() == {"prod/web/app": 1}
    cluster.delete(*cluster.pods_of(cluster.find(REPLICA_SET, "web-1c9d")))
    assert await follower.settle() == {"prod/web/app": 2}


@pytest.mark.timeout(60)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=12),
    pods=st.integers(min_value=1, max_value=2),
    uid=st.uuids(),
)
async def test_weakness_8_a_canary_does_not_flap_however_its_pods_restart(
    ledger: SqlLedger, steps: list[tuple[bool, bool]], pods: int, uid: object
) -> None:
    """One pod at a time goes, and another comes before or after it, even where it was the only one."""
    cluster = Cluster(str(uid))
    web = cluster.make(("argoproj.io", "Rollout"), "web")
    stable = cluster.roll_out(web, 1, revision=1, pods=2)
    canary = cluster.roll_out(web, 2, revision=2, pods=pods)
    follower = Follower(cluster, ledger)
    assert await follower.begin() == {"prod/web/app": 2}
    for is_canary, is_surge in steps:
        await _restart_one(cluster, follower, canary if is_canary else stable, is_surge=is_surge)
    assert follower.planned == [("prod/web/app", 2)]
    canary["spec"]["replicas"] = 0
    cluster.put(canary)
    cluster.delete(*cluster.pods_of(canary))
    assert await follower.settle() == {"prod/web/app": 1}


async def test_a_canary_that_is_given_up_while_its_only_pod_is_away_is_over(
    cluster: Cluster, follower: Follower
) -> None:
    """No pod of the workload changes then, nor the workload itself: only the canary's ReplicaSet does."""
    web = cluster.make(("argoproj.io", "Rollout"), "web")
    cluster.roll_out(web, 1, revision=1, pods=2)
    canary = cluster.roll_out(web, 2, revision=2)
    await follower.settle()
    cluster.delete(*cluster.pods_of(canary))
    assert await follower.settle() == {"prod/web/app": 2}
    canary["spec"]["replicas"] = 0
    cluster.put(canary)
    assert await follower.settle() == {"prod/web/app": 1}


async def test_a_canary_that_stays_away_is_not_heard_for_ever(cluster: Cluster, follower: Follower) -> None:
    web = cluster.make(DEPLOYMENT, "web")
    cluster.roll_out(web, 1, revision=1, pods=2)
    canary = cluster.roll_out(web, 2, revision=2)
    await follower.settle()
    cluster.delete(*cluster.pods_of(canary))
    assert await follower.settle() == {"prod/web/app": 2}
    cluster.clock.turn(AWAY_SECONDS)
    assert await follower.settle() == {"prod/web/app": 1}
    cluster.add_pod(canary, 2)
    assert await follower.settle() == {"prod/web/app": 2}


async def test_the_one_pod_behind_a_partition_may_restart(cluster: Cluster, follower: Follower) -> None:
    db = cluster.make(STATEFUL_SET, "db", replicas=2, update_revision="db-new")
    cluster.pod("db-0", owner=db, runs={"app": 1}, labels={"controller-revision-hash": "db-old"})
    new = cluster.pod("db-1", owner=db, runs={"app": 2}, labels={"controller-revision-hash": "db-new"})
    assert await follower.settle() == {"prod/db/app": 2}
    cluster.delete(new)
    assert await follower.settle() == {"prod/db/app": 2}
    cluster.pod("db-1", owner=db, runs={"app": 2}, labels={"controller-revision-hash": "db-new"})
    assert await follower.settle() == {"prod/db/app": 2}
    assert len(follower.planned) == 1


async def _restart_one(cluster: Cluster, follower: Follower, made: Json, *, is_surge: bool) -> None:
    version = 2 if "-2c9d" in made["metadata"]["name"] else 1
    old = cluster.pods_of(made)[0]
    if is_surge:
        cluster.add_pod(made, version)
        await follower.settle()
    cluster.terminate(old)
    await follower.settle()
    cluster.delete(old)
    await follower.settle()
    if not is_surge:
        cluster.add_pod(made, version)
        await follower.settle()


async def test_blue_and_green_change_over_once(cluster: Cluster, follower: Follower) -> None:
    web = cluster.make(("argoproj.io", "Rollout"), "web")
    blue = cluster.roll_out(web, 1, revision=1, pods=2)
    await follower.settle()
    cluster.roll_out(web, 2, revision=2, pods=2)
    await follower.settle()
    for pod in cluster.pods_of(blue):
        cluster.terminate(pod)
        await follower.settle()
        cluster.delete(pod)
        await follower.settle()
    assert follower.planned == [("prod/web/app", 1), ("prod/web/app", 2)]
