"""What keeps pods from running, as the cluster tells it: statuses, conditions and Events; and what is true of it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.simulator.workloads.cluster import Cluster, workload

from fluxtrail.simulator.building import HEALTH_ANNOTATION
from fluxtrail.simulator.workloads.conditions import find
from fluxtrail.simulator.workloads.troubles import Trouble

Json = dict[str, Any]


def ailing(trouble: Trouble, kind: str = "Deployment", **more: Any) -> Json:
    manifest = workload(kind, "web", "web:2", replicas=1)
    manifest["metadata"]["annotations"] = {HEALTH_ANNOTATION: trouble.value}
    manifest["spec"] |= more
    return manifest


def waiting(pod: Json) -> Json:
    found: Json = pod["status"]["containerStatuses"][0]["state"].get("waiting", {})
    return found


def reasons(cluster: Cluster) -> set[str]:
    return {event["reason"] for event in cluster.store.list("events", "shop")}


@pytest.mark.parametrize(
    ("trouble", "reason", "words", "event"),
    [
        (Trouble.IMAGE_PULL, "ImagePullBackOff", "Back-off pulling image", "Failed"),
        (Trouble.CONFIGURATION, "CreateContainerConfigError", 'configmap "web-settings" not found', "Failed"),
        (Trouble.VOLUME, "ContainerCreating", "", "FailedMount"),
        (Trouble.SANDBOX, "ContainerCreating", "", "FailedCreatePodSandBox"),
        (Trouble.CRASH_LOOP, "CrashLoopBackOff", "restarting failed container=web", "BackOff"),
        (Trouble.OUT_OF_MEMORY, "CrashLoopBackOff", "restarting failed container=web", "BackOff"),
    ],
)
async def test_a_container_says_what_it_waits_for(
    cluster: Cluster, trouble: Trouble, reason: str, words: str, event: str
) -> None:
    cluster.put(ailing(trouble))
    await cluster.until(lambda: any(event == told for told in reasons(cluster)))
    await cluster.settle()
    [pod] = cluster.pods("web")
    assert waiting(pod)["reason"] == reason
    assert words in waiting(pod).get("message", "")
    ended = pod["status"]["containerStatuses"][0]["lastState"].get("terminated", {})
    expected = {Trouble.CRASH_LOOP: (1, "Error"), Trouble.OUT_OF_MEMORY: (137, "OOMKilled")}.get(trouble, (None, None))
    assert (ended.get("exitCode"), ended.get("reason")) == expected
    assert cluster.rolled_at("deployments", "web") is None


async def test_a_pod_without_a_node_says_so_and_has_none(cluster: Cluster) -> None:
    await cluster.run(ailing(Trouble.UNSCHEDULABLE))
    [pod] = cluster.pods("web")
    scheduled = find(pod, "PodScheduled")
    assert scheduled is not None
    assert (scheduled["reason"], pod["spec"].get("nodeName")) == ("Unschedulable", None)
    assert "FailedScheduling" in reasons(cluster)


@pytest.mark.parametrize(("trouble", "words"), [(Trouble.QUOTA, "exceeded quota"), (Trouble.REFUSED, "PodSecurity")])
async def test_pods_that_are_refused_are_told_by_their_owners(cluster: Cluster, trouble: Trouble, words: str) -> None:
    await cluster.run(ailing(trouble))
    assert cluster.pods("web") == []
    [replica_set] = cluster.sets("web")
    deployment = cluster.store.get("deployments", "web", "shop")
    for obj in (replica_set, deployment):
        failure = find(obj, "ReplicaFailure")
        assert failure is not None
        assert failure["reason"] == "FailedCreate"
        assert words in failure["message"]
    assert "FailedCreate" in reasons(cluster)


async def test_a_probe_that_fails_leaves_a_running_container_unready(cluster: Cluster) -> None:
    await cluster.run(ailing(Trouble.PROBE))
    [pod] = cluster.pods("web")
    assert "running" in pod["status"]["containerStatuses"][0]["state"]
    ready = find(pod, "Ready")
    assert ready is not None
    assert (ready["status"], ready["reason"]) == ("False", "ContainersNotReady")
    assert "Unhealthy" in reasons(cluster)


async def test_a_progress_deadline_passes_and_a_repair_makes_it_good(cluster: Cluster) -> None:
    cluster.put(ailing(Trouble.PROBE, progressDeadlineSeconds=1))
    await cluster.until(lambda: _progress(cluster) == "ProgressDeadlineExceeded")
    assert cluster.rolled_at("deployments", "web") is None
    await cluster.run(workload("Deployment", "web", "web:3", replicas=1))
    assert _progress(cluster) == "NewReplicaSetAvailable"
    assert cluster.rolled_at("deployments", "web") is not None


async def test_what_is_brought_from_outside_can_be_taken_away(cluster: Cluster) -> None:
    cluster.workloads.impose("shop", "web", Trouble.IMAGE_PULL)
    await cluster.run(workload("Deployment", "web", "web:1"))
    assert cluster.ready("web") == []
    cluster.workloads.impose("shop", "web", None)
    await cluster.until(lambda: len(cluster.ready("web")) == 2)
    await cluster.settle()
    assert cluster.rolled_at("deployments", "web") is not None


@pytest.mark.parametrize("trouble", [Trouble.EVICTED, Trouble.NODE_LOST])
async def test_a_pod_that_is_lost_is_replaced(cluster: Cluster, trouble: Trouble) -> None:
    cluster.put(ailing(trouble))
    await cluster.until(lambda: any(find(pod, "DisruptionTarget") for pod in cluster.pods("web")))
    await cluster.until(lambda: len(cluster.ready("web")) == 1 and len(cluster.pods("web")) == 2)
    [lost] = [pod for pod in cluster.pods("web") if find(pod, "DisruptionTarget")]
    disruption = find(lost, "DisruptionTarget")
    assert disruption is not None
    if trouble is Trouble.EVICTED:
        assert (lost["status"]["phase"], lost["status"]["reason"]) == ("Failed", "Evicted")
        assert disruption["reason"] == "TerminationByKubelet"
    else:
        assert disruption["reason"] == "DeletionByTaintManager"
        node = find(cluster.store.get("nodes", lost["spec"]["nodeName"]), "Ready")
        assert node is not None
        assert node["status"] == "Unknown"


async def test_late_pods_are_ready_in_the_end(cluster: Cluster) -> None:
    await cluster.run(ailing(Trouble.LATE))
    assert len(cluster.ready("web")) == 1


async def test_a_paused_roll_out_stands_still(cluster: Cluster) -> None:
    await cluster.run(workload("Deployment", "web", "web:1"))
    first = cluster.rolled_at("deployments", "web")
    paused = workload("Deployment", "web", "web:2")
    paused["spec"]["paused"] = True
    await cluster.run(paused)
    assert _progress(cluster) == "DeploymentPaused"
    assert len(cluster.sets("web")) == 1
    assert (first is not None, cluster.rolled_at("deployments", "web")) == (True, None)


async def test_a_superseded_generation_ran_when_the_later_one_did(cluster: Cluster) -> None:
    await cluster.run(workload("Deployment", "web", "web:1"))
    uid = cluster.store.get("deployments", "web", "shop")["metadata"]["uid"]
    await cluster.run(ailing(Trouble.IMAGE_PULL), workload("Deployment", "web", "web:3"))
    rolled = [cluster.workloads.running.rolled_at(uid, generation) for generation in (1, 2, 3)]
    assert rolled[0] is not None
    assert rolled[1] == rolled[2]
    assert rolled[2] is not None
    assert rolled[0] < rolled[2]


async def test_an_autoscaler_changes_the_generation_in_its_own_name(cluster: Cluster) -> None:
    await cluster.run(workload("Deployment", "web", "web:1"))
    cluster.workloads.scale("deployments", "shop", "web", 3)
    await cluster.settle()
    metadata = cluster.store.get("deployments", "web", "shop")["metadata"]
    assert metadata["generation"] == 2
    owners = {e["manager"] for e in metadata["managedFields"] if "f:replicas" in e["fieldsV1"].get("f:spec", {})}
    assert owners == {"kube-controller-manager"}
    assert len(cluster.ready("web")) == 3


@pytest.mark.parametrize("strategy", [{"type": "OnDelete"}, {"rollingUpdate": {"partition": 2}}])
async def test_pods_keep_their_template_until_somebody_deletes_them(cluster: Cluster, strategy: Json) -> None:
    before, after = (workload("StatefulSet", "web", f"web:{version}") for version in (1, 2))
    after["spec"]["updateStrategy"] = strategy
    await cluster.run(before, after)
    status = cluster.store.get("statefulsets", "web", "shop")["status"]
    assert status.get("updatedReplicas") is None
    assert status["currentRevision"] != status["updateRevision"]
    is_manual = "type" in strategy
    assert (cluster.rolled_at("statefulsets", "web") is None) == is_manual


def job(trouble: Trouble | None = None, **spec: Any) -> Json:
    manifest: Json = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "seed", "namespace": "shop"},
        "spec": {
            "template": {
                "spec": {"restartPolicy": "Never", "containers": [{"name": "seed", "image": "registry.example/seed:1"}]}
            }
        }
        | spec,
    }
    if trouble:
        manifest["metadata"]["annotations"] = {HEALTH_ANNOTATION: trouble.value}
    return manifest


async def test_a_job_that_fails_too_often_has_failed(cluster: Cluster) -> None:
    await cluster.run(job(Trouble.JOB_FAILED, backoffLimit=1))
    found = cluster.store.get("jobs", "seed", "shop")
    failed = find(found, "Failed")
    assert failed is not None
    assert (failed["reason"], found["status"]["failed"]) == ("BackoffLimitExceeded", 2)
    assert cluster.rolled_at("jobs", "seed") is None


async def test_a_job_that_is_tried_again_succeeds(cluster: Cluster) -> None:
    await cluster.run(job(Trouble.JOB_RETRIED))
    status = cluster.store.get("jobs", "seed", "shop")["status"]
    assert (status["failed"], status["succeeded"]) == (1, 1)
    assert cluster.rolled_at("jobs", "seed") is not None


async def test_a_finished_job_goes_when_its_time_is_over(cluster: Cluster) -> None:
    cluster.put(job(ttlSecondsAfterFinished=1))
    await cluster.until(lambda: cluster.store.find("jobs", "seed", "shop") is not None)
    await cluster.until(lambda: cluster.store.find("jobs", "seed", "shop") is None)


def _progress(cluster: Cluster) -> str:
    condition = find(cluster.store.get("deployments", "web", "shop"), "Progressing")
    return str(condition["reason"]) if condition else ""
