"""Whose a pod is, and so under which name its containers are recorded."""

from __future__ import annotations

import pytest
from tests.trail.records.follower import Follower
from tests.trail.workloads.cluster import (
    CRON_JOB,
    DAEMON_SET,
    DEPLOYMENT,
    JOB,
    REPLICA_SET,
    ROLLOUT,
    STATEFUL_SET,
    Cluster,
    Json,
    Kind,
)

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.deployment import Place
from fluxtrail.trail.workloads.anchors import FAMILIAR, kind_text, split_kind

REVISION: Kind = ("serving.knative.dev", "Revision")
KNATIVE_SERVICE: Kind = ("serving.knative.dev", "Service")
CONTROLLER: Kind = ("", "ReplicationController")
CLONE_SET: Kind = ("apps.kruise.io", "CloneSet")
WORKFLOW: Kind = ("argoproj.io", "Workflow")
NODE: Kind = ("", "Node")


@pytest.mark.parametrize(
    ("chain", "place"),
    [
        pytest.param(
            [(DEPLOYMENT, "my-deployment"), (REPLICA_SET, "my-deployment-abc123")],
            Place("prod", "Deployment", "my-deployment", "app"),
            id="deployment",
        ),
        pytest.param([(DAEMON_SET, "agent")], Place("prod", "DaemonSet", "agent", "app"), id="daemon set"),
        pytest.param([(STATEFUL_SET, "db")], Place("prod", "StatefulSet", "db", "app"), id="stateful set"),
        pytest.param([(JOB, "import")], Place("prod", "Job", "import", "app"), id="job"),
        pytest.param(
            [(CRON_JOB, "nightly"), (JOB, "nightly-28485120")],
            Place("prod", "CronJob", "nightly", "app"),
            id="cron job",
        ),
        pytest.param(
            [(JOB, "nightly-28485120")], Place("prod", "Job", "nightly-28485120", "app"), id="job named as a cron job's"
        ),
        pytest.param(
            [(REPLICA_SET, "web-7c9d")], Place("prod", "ReplicaSet", "web-7c9d", "app"), id="bare replica set"
        ),
        pytest.param(
            [(ROLLOUT, "web"), (REPLICA_SET, "web-7c9d")],
            Place("prod", "Rollout.argoproj.io", "web", "app"),
            id="rollout",
        ),
        pytest.param(
            [
                (KNATIVE_SERVICE, "web"),
                (REVISION, "web-1"),
                (DEPLOYMENT, "web-1-deployment"),
                (REPLICA_SET, "web-1-d-x"),
            ],
            Place("prod", "Deployment", "web-1-deployment", "app"),
            id="knative, by the nearest controller",
        ),
        pytest.param([(CLONE_SET, "web")], Place("prod", "CloneSet.apps.kruise.io", "web", "app"), id="any controller"),
        pytest.param(
            [(CONTROLLER, "web")], Place("prod", "ReplicationController", "web", "app"), id="replication controller"
        ),
        pytest.param(
            [(WORKFLOW, "build"), (JOB, "build-1")], Place("prod", "Job", "build-1", "app"), id="another's job"
        ),
        pytest.param([], Place("prod", "Pod", "web-x", "app"), id="bare pod"),
    ],
)
async def test_a_pod_goes_by_the_nearest_controller_past_replica_sets_and_jobs(
    cluster: Cluster, ledger: SqlLedger, chain: list[tuple[Kind, str]], place: Place
) -> None:
    owners: list[Json] = []
    for kind, name in chain:
        owners.append(cluster.make(kind, name, owner=owners[-1:]))
    pod = cluster.pod("web-x", owner=owners[-1:])
    follower = Follower(cluster, ledger)
    assert await follower.begin() == {f"prod/{place.workload}/app": 1}
    assert [record.place for record in (await follower.records()).values()] == [place]
    cluster.delete(*reversed(owners), pod)
    assert await follower.settle() == {f"prod/{place.workload}/app": None}


async def test_a_controller_is_preferred_to_owners_that_are_none(cluster: Cluster, follower: Follower) -> None:
    pod = cluster.pod("web-x", owner=[cluster.make(CLONE_SET, "web"), cluster.make(("", "ConfigMap"), "seal")])
    pod["metadata"]["ownerReferences"].reverse()
    cluster.put(pod)
    assert await follower.settle() == {"prod/web/app": 1}


@pytest.mark.parametrize("kind", [*sorted(FAMILIAR), ROLLOUT, CLONE_SET, CONTROLLER, ("acme.io", "Deployment")])
def test_a_kinds_text_tells_its_group(kind: Kind) -> None:
    assert split_kind(kind_text(*kind)) == kind


async def test_an_owner_without_a_namespace_keeps_its_pods_names(cluster: Cluster, follower: Follower) -> None:
    owner = cluster.make(("acme.io", "Fleet"), "fleet", namespace="")
    pods = [cluster.pod("fleet-x", owner=owner, namespace=namespace) for namespace in ("prod", "test")]
    assert await follower.settle() == {"prod/fleet/app": 1, "test/fleet/app": 1}
    cluster.delete(*pods)
    assert await follower.settle_in_time() == {"prod/fleet/app": 1, "test/fleet/app": 1}
    cluster.delete(owner)
    assert await follower.settle_in_time() == {"prod/fleet/app": None, "test/fleet/app": None}


async def test_a_nodes_own_pods_go_by_their_name_without_the_node(cluster: Cluster, follower: Follower) -> None:
    nodes = ("node-1", "node-2")
    pods = []
    for node in nodes:
        pod = cluster.pod(f"proxy-{node}", owner=cluster.make(NODE, node), node=node)
        pod["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "hash"
        pods.append(cluster.put(pod))
    assert await follower.settle() == {"prod/proxy/app": 1}
    cluster.delete(pods[0])
    assert await follower.settle() == {"prod/proxy/app": 1}
    cluster.delete(pods[1])
    assert await follower.settle() == {"prod/proxy/app": None}
    assert NODE not in cluster.streams


@pytest.mark.parametrize(
    ("owner", "cron_jobs", "expected"),
    [
        pytest.param("nightly-28485120", ["nightly"], "prod/nightly/app", id="of a cron job"),
        pytest.param("nightly-0", ["nightly"], "prod/nightly/app", id="one digit"),
        pytest.param("nightly-28485120", [], "prod/nightly-28485120/app", id="no such cron job"),
        pytest.param("nightly-28485120", ["other/nightly"], "prod/nightly-28485120/app", id="in another namespace"),
        pytest.param("nightly-abc", ["nightly"], "prod/nightly-abc/app", id="letters"),
        pytest.param("nightly-123abc", ["nightly"], "prod/nightly-123abc/app", id="mixed"),
        pytest.param("nightly-12-34", ["nightly"], "prod/nightly-12-34/app", id="two numbers"),
        pytest.param("nightly-", ["nightly"], "prod/nightly-/app", id="no suffix"),
        pytest.param("nightly", ["nightly"], "prod/nightly/app", id="no dash"),
    ],
)
@pytest.mark.parametrize("order", ["pods first", "cron jobs first"])
async def test_jobs_that_may_not_be_read_are_of_the_cron_job_that_their_name_tells(
    cluster: Cluster, ledger: SqlLedger, owner: str, cron_jobs: list[str], expected: str, order: str
) -> None:
    for name in cron_jobs:
        cluster.make(CRON_JOB, name.rpartition("/")[2], namespace=name.rpartition("/")[0] or "prod")
    cluster.add_pod(cluster.make(JOB, owner), 1)
    cluster.forbid(JOB)
    follower = Follower(cluster, ledger)
    await follower.hear(*([JOB, ("", "Pod"), CRON_JOB] if order == "pods first" else [CRON_JOB, ("", "Pod"), JOB]))
    assert await follower.begin() == {expected: 1}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("web-7c9d", "prod/web/app"), ("my-web-7c9d", "prod/my-web/app"), ("web", "prod/web/app"), ("-x", "prod/-x/app")],
)
async def test_replica_sets_that_may_not_be_read_are_of_the_deployment_that_their_name_tells(
    cluster: Cluster, ledger: SqlLedger, name: str, expected: str
) -> None:
    cluster.add_pod(cluster.make(REPLICA_SET, name), 1)
    cluster.forbid(REPLICA_SET)
    follower = Follower(cluster, ledger)
    assert await follower.begin() == {expected: 1}
    assert {record.place.kind for record in (await follower.records()).values()} == {"Deployment"}


async def test_replica_sets_that_may_be_read_at_last_correct_whose_their_pods_are(
    cluster: Cluster, ledger: SqlLedger
) -> None:
    bare = cluster.make(REPLICA_SET, "cache-blue")
    cluster.add_pod(bare, 1)
    cluster.roll_out(cluster.make(ROLLOUT, "web"), 2, revision=1)
    cluster.forbid(REPLICA_SET)
    follower = Follower(cluster, ledger)
    assert await follower.begin() == {"prod/cache/app": 1, "prod/web/app": 2}
    cluster.allow(REPLICA_SET)
    assert await follower.settle_in_time() == {"prod/cache/app": None, "prod/cache-blue/app": 1, "prod/web/app": 2}
    kinds = {name: record.place.kind for name, record in (await follower.records()).items()}
    assert kinds["prod/web/app"] == "Rollout.argoproj.io"
    assert (follower.keeper.numbers.deployed, len(follower.planned)) == (3, 4)  # whose it is, is not told
