"""Deployments as they roll: what a watcher sees of ReplicaSets and pods, and what is true at the end."""

from __future__ import annotations

from typing import Any

from tests.simulator.workloads.cluster import Cluster, container, digest, workload

from fluxtrail.simulator.building import HEALTH_ANNOTATION
from fluxtrail.simulator.workloads.objects import REVISION, find_controller

Json = dict[str, Any]

A, B = workload("Deployment", "web", "web:1"), workload("Deployment", "web", "web:2")
NAME = "shop/web/web"


def revisions(cluster: Cluster) -> dict[int, int]:
    """Return revision -> replicas of each ReplicaSet."""
    return {int(s["metadata"]["annotations"][REVISION]): s["spec"]["replicas"] for s in cluster.sets("web")}


async def test_a_deployment_gets_a_set_and_pods_that_know_their_owners(cluster: Cluster) -> None:
    await cluster.run(A)
    [replica_set] = cluster.sets("web")
    assert (find_controller(replica_set) or {})["kind"] == "Deployment"
    pods = cluster.pods("web")
    assert [(find_controller(pod) or {})["uid"] for pod in pods] == [replica_set["metadata"]["uid"]] * 2
    assert {pod["status"]["phase"] for pod in pods} == {"Running"}
    assert cluster.images("web") == {f"registry.example/web@{digest('web:1')}"}
    deployment = cluster.store.get("deployments", "web", "shop")
    assert deployment["metadata"]["annotations"][REVISION] == "1"
    assert deployment["status"]["readyReplicas"] == 2
    assert deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"]
    assert cluster.truth() == {NAME: (digest("web:1"), "deployed")}


async def test_a_roll_out_never_has_fewer_ready_pods_than_wanted(cluster: Cluster) -> None:
    await cluster.run(A)
    changes = cluster.store.subscribe("pods")
    ready = {pod["metadata"]["name"] for pod in cluster.ready("web")}
    cluster.put(B)
    await cluster.settle()
    marked, least = set(), 2
    for event in changes.pending():
        conditions = {c["type"]: c["status"] for c in event.object["status"].get("conditions", ())}
        is_going = "deletionTimestamp" in event.object["metadata"]
        if is_going:
            marked.add(event.name)
        if event.type == "DELETED":
            assert event.name in marked
        if conditions.get("Ready") == "True" and not is_going:
            ready.add(event.name)
        else:
            ready.discard(event.name)
        least = min(least, len(ready))
    assert least == 2
    assert len(marked) == 2
    assert revisions(cluster) == {1: 0, 2: 2}
    assert cluster.truth() == {NAME: (digest("web:2"), "deployed")}


async def test_a_rollback_takes_the_old_set_again_under_a_new_revision(cluster: Cluster) -> None:
    await cluster.run(A)
    [first] = cluster.sets("web")
    await cluster.run(B, A)
    assert revisions(cluster) == {2: 0, 3: 2}
    again = next(s for s in cluster.sets("web") if s["metadata"]["annotations"][REVISION] == "3")
    assert again["metadata"]["uid"] == first["metadata"]["uid"]
    assert cluster.truth() == {NAME: (digest("web:1"), "deployed")}


async def test_a_quick_rollback_ends_with_the_first_image(cluster: Cluster) -> None:
    await cluster.run(A)
    cluster.put(B)
    await cluster.until(lambda: any(digest("web:2") in image for image in cluster.images("web")))
    cluster.put(A)
    await cluster.settle()
    assert cluster.images("web") == {f"registry.example/web@{digest('web:1')}"}
    assert cluster.truth() == {NAME: (digest("web:1"), "deployed")}


async def test_init_containers_and_sidecars_have_images_of_their_own(cluster: Cluster) -> None:
    init = [container("migrate:4"), container("proxy:7", restartPolicy="Always")]
    await cluster.run(workload("Deployment", "web", "web:1", "exporter:1", initContainers=init))
    statuses = cluster.pods("web")[0]["status"]["initContainerStatuses"]
    assert [(s["name"], list(s["state"])) for s in statuses] == [("migrate", ["terminated"]), ("proxy", ["running"])]
    assert cluster.truth() == {
        "shop/web/exporter": (digest("exporter:1"), "deployed"),
        "shop/web/migrate": (digest("migrate:4"), "deployed"),
        "shop/web/proxy": (digest("proxy:7"), "deployed"),
        NAME: (digest("web:1"), "deployed"),
    }


async def test_a_container_that_leaves_the_template_is_decommissioned(cluster: Cluster) -> None:
    await cluster.run(workload("Deployment", "web", "web:1", "exporter:1"), A)
    assert cluster.truth()["shop/web/exporter"] == (digest("exporter:1"), "decommissioned")
    assert cluster.truth()[NAME] == (digest("web:1"), "deployed")


async def test_what_is_scaled_to_zero_is_still_deployed(cluster: Cluster) -> None:
    await cluster.run(A, workload("Deployment", "web", "web:1", replicas=0))
    assert cluster.pods("web") == []
    assert cluster.truth() == {NAME: (digest("web:1"), "deployed")}
    await cluster.run(A)
    assert len(cluster.ready("web")) == 2


async def test_a_deleted_deployment_takes_all_that_it_owned_with_it(cluster: Cluster) -> None:
    await cluster.run(A, B)
    cluster.store.delete("deployments", "web", "shop")
    await cluster.settle()
    assert (cluster.pods("web"), cluster.sets("web")) == ([], [])
    assert cluster.truth() == {NAME: (digest("web:2"), "decommissioned")}


async def test_a_deletion_in_the_foreground_outlives_the_pods(cluster: Cluster) -> None:
    await cluster.run(A)
    deployments, pods = cluster.store.subscribe("deployments"), cluster.store.subscribe("pods")
    cluster.workloads.delete_in_foreground("deployments", "shop", "web")
    await cluster.until(lambda: cluster.store.find("deployments", "web", "shop") is None)
    assert cluster.pods("web") == []
    gone = [int(e.object["metadata"]["resourceVersion"]) for e in pods.pending() if e.type == "DELETED"]
    [last] = [int(e.object["metadata"]["resourceVersion"]) for e in deployments.pending() if e.type == "DELETED"]
    assert len(gone) == 2
    assert max(gone) < last
    assert cluster.truth()[NAME][1] == "decommissioned"


async def test_a_release_that_is_never_ready_runs_beside_the_old_one(cluster: Cluster) -> None:
    bad = workload("Deployment", "web", "web:2")
    bad["metadata"]["annotations"] = {HEALTH_ANNOTATION: "failing"}
    await cluster.run(A, bad)
    assert revisions(cluster) == {1: 2, 2: 1}
    assert cluster.truth() == {NAME: (digest("web:2"), "deployed")}
    await cluster.run(A)
    assert {rev for rev, replicas in revisions(cluster).items() if replicas} == {3}


async def test_a_moved_tag_changes_images_in_place(cluster: Cluster) -> None:
    await cluster.run(A)
    names = {pod["metadata"]["name"] for pod in cluster.pods("web")}
    moved = cluster.workloads.registry.move_tag("registry.example/web:1", "something else")
    for name in names:
        cluster.workloads.kubelet.restart("shop", name, "web")
    await cluster.settle()
    assert {pod["metadata"]["name"] for pod in cluster.pods("web")} == names
    assert cluster.images("web") == {f"registry.example/web@{moved}"}
    assert cluster.truth() == {NAME: (moved, "deployed")}


async def test_image_ids_come_late_in_some_pods(cluster: Cluster) -> None:
    changes = cluster.store.subscribe("pods")
    for number in range(6):
        cluster.put(workload("Deployment", f"web{number}", "web:1"))
    await cluster.settle()
    late = {
        event.name
        for event in changes.pending()
        if event.object["status"].get("phase") == "Running"
        and not event.object["status"]["containerStatuses"][0]["imageID"]
    }
    assert 0 < len(late) < 12


async def test_more_pods_than_a_quota_are_not_made(cluster: Cluster) -> None:
    await cluster.run(workload("Deployment", "web", "web:1", replicas=40))
    assert len(cluster.ready("web")) == 3


async def test_whoever_writes_the_object_is_followed(cluster: Cluster) -> None:
    """A pod that somebody deletes at once, without letting it end, is replaced."""
    await cluster.run(A)
    gone = cluster.pods("web")[0]["metadata"]["name"]
    cluster.store.delete("pods", gone, "shop")
    await cluster.settle()
    names = [pod["metadata"]["name"] for pod in cluster.ready("web")]
    assert len(names) == 2
    assert gone not in names
