"""Whole lives of workloads, as deployment-tracker's own integration tests have them: what is recorded at each step."""

from __future__ import annotations

import pytest
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
    Kind,
)

from fluxtrail.ledger.ledger import SqlLedger


async def test_a_deployment_is_recorded_once_until_its_last_pod_and_itself_are_gone(
    cluster: Cluster, follower: Follower
) -> None:
    web = cluster.make(DEPLOYMENT, "web")
    made = cluster.roll_out(web, 1, revision=1)
    assert await follower.settle() == {"prod/web/app": 1}
    cluster.add_pod(made, 1)
    await follower.settle()
    first, second = cluster.pods_of(made)
    cluster.delete(first)
    await follower.settle()
    assert follower.take_planned() == [("prod/web/app", 1)]
    cluster.delete(web, made, second)
    assert await follower.settle() == {"prod/web/app": None}
    assert follower.take_planned() == [("prod/web/app", None)]


async def test_an_init_container_is_recorded_beside_the_main_one_and_ends_with_it(
    cluster: Cluster, follower: Follower
) -> None:
    web = cluster.make(DEPLOYMENT, "web")
    made = cluster.make(REPLICA_SET, "web-1", owner=web)
    pod = cluster.pod("web-1-a", owner=made, runs={"app": 1}, init={"init": 2})
    assert await follower.settle() == {"prod/web/app": 1, "prod/web/init": 2}
    cluster.delete(web, made, pod)
    assert await follower.settle() == {"prod/web/app": None, "prod/web/init": None}
    assert len(follower.planned) == 4


async def test_an_ephemeral_container_is_never_recorded(cluster: Cluster, follower: Follower) -> None:
    made = cluster.roll_out(cluster.make(DEPLOYMENT, "web"), 1, revision=1)
    (pod,) = cluster.pods_of(made)
    pod["spec"]["ephemeralContainers"] = [{"name": "debug", "image": "busybox"}]
    pod["status"]["ephemeralContainerStatuses"] = [{"name": "debug", "imageID": f"busybox@sha256:{9:064x}"}]
    cluster.put(pod)
    assert await follower.settle() == {"prod/web/app": 1}


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        pytest.param({}, ["ops/web/app", "prod/web/app", "test/web/app"], id="all"),
        pytest.param({"namespaces": ["prod"]}, ["prod/web/app"], id="only"),
        pytest.param({"namespaces": ["prod", "ops"]}, ["ops/web/app", "prod/web/app"], id="some"),
        pytest.param({"excluded": ["test"]}, ["ops/web/app", "prod/web/app"], id="without"),
    ],
)
async def test_only_chosen_namespaces_are_recorded(
    cluster: Cluster, ledger: SqlLedger, chosen: dict[str, list[str]], expected: list[str]
) -> None:
    for namespace in ("prod", "test", "ops"):
        cluster.roll_out(cluster.make(DEPLOYMENT, "web", namespace=namespace), 1, revision=1)
    state = await Follower(cluster, ledger, **chosen).begin()  # type: ignore[arg-type]
    assert sorted(state) == expected


def _chain(cluster: Cluster, kind: Kind) -> tuple[list[Json], Json]:
    """Return what owns a pod, the uppermost first, and the pod."""
    top = cluster.make(kind, "web")
    between = {
        CRON_JOB: lambda: [cluster.make(JOB, "web-28485120", owner=top)],
        DEPLOYMENT: lambda: [cluster.make(REPLICA_SET, "web-7c9", owner=top)],
    }
    owners = [top, *between.get(kind, list)()]
    return owners, cluster.pod("web-x", owner=owners[-1])


KINDS = pytest.mark.parametrize(
    "kind", [JOB, CRON_JOB, DAEMON_SET, STATEFUL_SET, DEPLOYMENT, REPLICA_SET], ids=lambda kind: kind[1]
)


@KINDS
async def test_a_pod_that_goes_while_its_owner_stays_changes_nothing(
    cluster: Cluster, follower: Follower, kind: Kind
) -> None:
    _, pod = _chain(cluster, kind)
    assert await follower.settle() == {"prod/web/app": 1}
    cluster.delete(pod)
    assert await follower.settle_in_time() == {"prod/web/app": 1}
    assert len(follower.planned) == 1


@KINDS
async def test_an_owner_that_goes_before_its_pods_is_decommissioned_with_the_last_pod(
    cluster: Cluster, follower: Follower, kind: Kind
) -> None:
    owners, pod = _chain(cluster, kind)
    await follower.settle()
    cluster.delete(*owners)
    assert await follower.settle() == {"prod/web/app": 1}
    cluster.terminate(pod)
    assert await follower.settle() == {"prod/web/app": 1}
    cluster.delete(pod)
    assert await follower.settle() == {"prod/web/app": None}
    assert follower.planned == [("prod/web/app", 1), ("prod/web/app", None)]


@KINDS
async def test_an_owner_that_goes_after_its_pods_is_decommissioned_when_it_is_gone(
    cluster: Cluster, follower: Follower, kind: Kind
) -> None:
    owners, pod = _chain(cluster, kind)
    await follower.settle()
    cluster.terminate(*owners, pod)
    cluster.delete(pod)
    assert await follower.settle() == {"prod/web/app": 1}
    cluster.delete(*reversed(owners))
    assert await follower.settle() == {"prod/web/app": None}
    assert follower.planned == [("prod/web/app", 1), ("prod/web/app", None)]


async def test_a_pod_seen_only_while_pending_and_ended_is_recorded_for_a_job(
    cluster: Cluster, follower: Follower
) -> None:
    job = cluster.make(JOB, "import")
    pod = cluster.pod("import-x", owner=job, phase="Pending", runs={"app": None})
    assert await follower.settle() == {}
    cluster.run(pod, {"app": 1})
    pod["status"]["phase"] = "Succeeded"
    cluster.put(pod)
    assert await follower.settle() == {"prod/import/app": 1}


async def test_a_cron_jobs_jobs_come_and_go_under_one_name(cluster: Cluster, follower: Follower) -> None:
    nightly = cluster.make(CRON_JOB, "nightly")
    for version in (1, 1, 2):
        job = cluster.make(JOB, f"nightly-{28485120 + version}", owner=nightly)
        pod = cluster.add_pod(job, version)
        await follower.settle()
        pod["status"]["phase"] = "Succeeded"
        cluster.put(pod)
        await follower.settle()
        cluster.delete(job, pod)
        await follower.settle_in_time()
    assert follower.planned == [("prod/nightly/app", 1), ("prod/nightly/app", 2)]


async def test_a_workload_made_again_under_its_name_is_recorded_again(cluster: Cluster, follower: Follower) -> None:
    for version in (1, 2):
        web = cluster.make(DEPLOYMENT, "web")
        made = cluster.roll_out(web, version, revision=1)
        assert await follower.settle() == {"prod/web/app": version}
        cluster.delete(web, made, *cluster.pods_of(made))
        assert await follower.settle() == {"prod/web/app": None}
    assert len(follower.planned) == 4


async def test_a_workload_made_again_before_its_old_pods_are_gone_is_never_decommissioned(
    cluster: Cluster, follower: Follower
) -> None:
    old = cluster.make(DEPLOYMENT, "web")
    old_set = cluster.roll_out(old, 1, revision=7)
    await follower.settle()
    cluster.delete(old, old_set)
    old_pods = cluster.pods_of(old_set)
    cluster.terminate(*old_pods)
    await follower.settle()
    new_set = cluster.roll_out(cluster.make(DEPLOYMENT, "web"), 2, revision=1)
    assert await follower.settle() == {"prod/web/app": 2}
    cluster.delete(*old_pods)
    await follower.settle_in_time()
    cluster.delete(*cluster.pods_of(new_set))
    assert await follower.settle_in_time() == {"prod/web/app": 2}
    assert follower.planned == [("prod/web/app", 1), ("prod/web/app", 2)]


async def test_pods_seen_and_gone_before_their_deployment_is_known_are_not_the_end_of_it(
    cluster: Cluster, follower: Follower
) -> None:
    web = cluster.make(DEPLOYMENT, "web")
    made = cluster.roll_out(web, 1, revision=1)
    await follower.hear(REPLICA_SET, ("", "Pod"))
    await follower.keeper.settle()
    cluster.delete(*cluster.pods_of(made))
    await follower.hear(("", "Pod"))
    await follower.keeper.settle()
    assert await follower.state() == {"prod/web/app": 1}
    assert await follower.settle_in_time() == {"prod/web/app": 1}
