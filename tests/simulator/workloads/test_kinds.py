"""The other kinds that make pods: every chain of owners that occurs, and what is true of each."""

from __future__ import annotations

from typing import Any

from tests.simulator.workloads.cluster import Cluster, container, digest, workload

from fluxtrail.simulator.workloads.objects import ROLLOUT_REVISION, find_controller
from fluxtrail.simulator.workloads.tenants import install, install_nodes

Json = dict[str, Any]


def canary(image: str, **more: Any) -> Json:
    return workload("Rollout", "pay", image, **more)


def job_spec(image: str) -> Json:
    return {"template": {"spec": {"restartPolicy": "Never", "containers": [container(image)]}}}


async def test_a_canary_runs_beside_the_stable_one_before_it_takes_over(cluster: Cluster) -> None:
    await cluster.run(canary("pay:1"))
    cluster.put(canary("pay:2"))
    await cluster.until(lambda: len({image for image in cluster.images("pay") if image}) == 2)
    revisions = {s["metadata"]["annotations"][ROLLOUT_REVISION]: s["spec"]["replicas"] for s in cluster.sets("pay")}
    assert revisions == {"1": 1, "2": 1}
    await cluster.settle()
    assert cluster.images("pay") == {f"registry.example/pay@{digest('pay:2')}"}
    assert cluster.truth() == {"shop/pay/pay": (digest("pay:2"), "deployed")}
    [owner] = {(find_controller(s) or {})["kind"] for s in cluster.sets("pay")}
    assert owner == "Rollout"


async def test_an_aborted_canary_leaves_the_stable_one(cluster: Cluster) -> None:
    await cluster.run(canary("pay:1"))
    cluster.put(canary("pay:2"))
    await cluster.until(lambda: cluster.truth()["shop/pay/pay"] == (digest("pay:2"), "deployed"))
    cluster.store.patch_status("rollouts", "pay", "shop", {"abort": True})
    await cluster.settle()
    assert cluster.images("pay") == {f"registry.example/pay@{digest('pay:1')}"}
    assert cluster.truth() == {"shop/pay/pay": (digest("pay:1"), "deployed")}
    await cluster.run(canary("pay:3"))
    assert cluster.truth() == {"shop/pay/pay": (digest("pay:3"), "deployed")}


async def test_a_stateful_set_is_renewed_from_its_last_ordinal(cluster: Cluster) -> None:
    await cluster.run(workload("StatefulSet", "db", "db:1"))
    changes = cluster.store.subscribe("pods")
    cluster.put(workload("StatefulSet", "db", "db:2"))
    await cluster.until(lambda: cluster.store.get("statefulsets", "db", "shop")["status"].get("updatedReplicas") == 2)
    await cluster.settle()
    events = [(event.type, event.name) for event in changes.pending() if event.type != "MODIFIED"]
    assert events == [("DELETED", "db-1"), ("ADDED", "db-1"), ("DELETED", "db-0"), ("ADDED", "db-0")]
    status = cluster.store.get("statefulsets", "db", "shop")["status"]
    assert status["currentRevision"] == status["updateRevision"]
    hashes = {pod["metadata"]["labels"]["controller-revision-hash"] for pod in cluster.pods("db")}
    assert hashes == {status["updateRevision"]}
    assert cluster.truth() == {"shop/db/db": (digest("db:2"), "deployed")}


async def test_a_daemon_set_has_one_pod_on_each_node(cluster: Cluster) -> None:
    await cluster.run(workload("DaemonSet", "agent", "agent:1"))
    await cluster.run(workload("DaemonSet", "agent", "agent:2"))
    pods = cluster.pods("agent")
    assert sorted(pod["spec"]["nodeName"] for pod in pods) == ["node-1", "node-2"]
    assert {pod["metadata"]["labels"]["pod-template-generation"] for pod in pods} == {"2"}
    assert cluster.truth() == {"shop/agent/agent": (digest("agent:2"), "deployed")}


async def test_the_jobs_of_a_cron_job_come_and_go_and_it_stays_deployed(cluster: Cluster) -> None:
    metadata = {"name": "report", "namespace": "shop"}
    cluster.store.create(
        "cronjobs",
        {"metadata": metadata, "spec": {"schedule": "0 * * * *", "jobTemplate": {"spec": job_spec("report:1")}}},
    )
    for _ in range(5):
        cluster.workloads.cron_jobs.trigger("shop", "report")
        await cluster.settle()
    jobs = cluster.store.list("jobs", "shop")
    assert len(jobs) == 3
    assert {(find_controller(job) or {})["name"] for job in jobs} == {"report"}
    pods = cluster.store.list("pods", "shop")
    assert {pod["status"]["phase"] for pod in pods} == {"Succeeded"}
    assert {(find_controller(pod) or {})["name"] for pod in pods} == {job["metadata"]["name"] for job in jobs}
    assert cluster.truth() == {"shop/report/report": (digest("report:1"), "deployed")}
    cluster.store.delete("cronjobs", "report", "shop")
    await cluster.settle()
    assert cluster.store.list("pods", "shop") == []
    assert cluster.truth() == {"shop/report/report": (digest("report:1"), "decommissioned")}


async def test_a_bare_set_a_bare_job_and_a_bare_pod_are_themselves(cluster: Cluster) -> None:
    cluster.put(workload("ReplicaSet", "relay", "relay:1"))
    cluster.store.create("jobs", {"metadata": {"name": "seed", "namespace": "shop"}, "spec": job_spec("seed:1")})
    bare = {"metadata": {"name": "debug", "namespace": "shop"}, "spec": {"containers": [container("debug:1")]}}
    cluster.store.create("pods", bare)
    await cluster.settle()
    names = ["shop/debug/debug", "shop/relay/relay", "shop/seed/seed"]
    assert [name for name, (_, status) in cluster.truth().items() if status == "deployed"] == names
    cluster.store.begin_deletion("pods", "debug", "shop", grace_seconds=30)
    await cluster.settle()
    assert cluster.truth()["shop/debug/debug"] == (digest("debug:1"), "decommissioned")


async def test_every_chain_of_owners_occurs_among_the_tenants(cluster: Cluster) -> None:
    install_nodes(cluster.store)
    install(cluster.store)
    await cluster.settle()
    cluster.workloads.cron_jobs.trigger("tools", "report")
    await cluster.settle()
    chains = set()
    for pod in cluster.store.list("pods"):
        chain, obj = ["Pod"], pod
        while (owner := find_controller(obj)) is not None:
            chain.append(owner["kind"])
            resource = f"{owner['kind'].lower()}s"
            found = cluster.store.find(resource, owner["name"], pod["metadata"]["namespace"])
            obj = found or {"metadata": {}}
        chains.add(" ".join(chain[1:]))
    assert chains == {
        "",
        "Node",
        "ReplicaSet",
        "ReplicaSet Deployment",
        "ReplicaSet Rollout",
        "StatefulSet",
        "DaemonSet",
        "Job",
        "Job CronJob",
    }
    assert cluster.truth()["kube-system/etcd/etcd"] == (digest("etcd:3.6"), "deployed")
