"""What deployment-tracker gets wrong where it sees, each by the number that it has in our notes on it.

Of the others, 8 (flapping) is in `test_choice.py`, 11 (annotations) in `test_notes.py`, and those that concern telling
are with the output and the client.
"""

from __future__ import annotations

import pytest
from tests.trail.records.follower import Follower
from tests.trail.workloads.cluster import (
    DAEMON_SET,
    DEPLOYMENT,
    JOB,
    POD,
    REPLICA_SET,
    ROLLOUT,
    STATEFUL_SET,
    Cluster,
    Kind,
    digest,
)

from fluxtrail.ledger.ledger import SqlLedger

WEB = "prod/web/app"


# -- 1: a fast roll-back --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_old_kept", [True, False], ids=["old pods still run", "old pods are gone"])
async def test_weakness_1_there_and_back_within_moments(
    cluster: Cluster, follower: Follower, is_old_kept: bool
) -> None:
    web = cluster.make(DEPLOYMENT, "web")
    old = cluster.roll_out(web, 1, revision=1)
    await follower.settle()
    new = cluster.roll_out(web, 2, revision=2)
    if not is_old_kept:
        cluster.delete(*cluster.pods_of(old))
    assert await follower.settle() == {WEB: 2}
    old["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "3"
    cluster.put(old)
    if not is_old_kept:
        cluster.add_pod(old, 1)
    assert await follower.settle() == {WEB: 1}
    cluster.delete(*cluster.pods_of(new))
    await follower.settle()
    assert follower.planned == [(WEB, 1), (WEB, 2), (WEB, 1)]


async def test_weakness_1_there_and_back_before_anything_was_judged_is_nothing(
    cluster: Cluster, follower: Follower
) -> None:
    web = cluster.make(DEPLOYMENT, "web")
    cluster.roll_out(web, 1, revision=1)
    await follower.settle()
    cluster.delete(*cluster.pods_of(new := cluster.roll_out(web, 2, revision=2)), new)
    await follower.settle()
    assert follower.planned == [(WEB, 1)]


# -- 4: false decommissioning ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ROLLOUT, REPLICA_SET], ids=lambda kind: kind[1])
@pytest.mark.parametrize("is_last", [True, False], ids=["last pod", "one of two"])
async def test_weakness_4_a_pod_that_goes_decommissions_nothing(
    cluster: Cluster, follower: Follower, kind: Kind, is_last: bool
) -> None:
    if kind == ROLLOUT:
        made = cluster.roll_out(cluster.make(ROLLOUT, "web"), 1, revision=1, pods=2)
    else:
        made = cluster.make(REPLICA_SET, "web")
        cluster.add_pod(made, 1)
        cluster.add_pod(made, 1)
    await follower.settle()
    cluster.delete(*cluster.pods_of(made)[is_last:])
    cluster.delete(*(cluster.pods_of(made) if is_last else ()))
    assert await follower.settle_in_time() == {WEB: 1}
    assert follower.planned == [(WEB, 1)]


async def test_weakness_4_a_rollout_is_decommissioned_when_it_goes(cluster: Cluster, follower: Follower) -> None:
    web = cluster.make(ROLLOUT, "web")
    made = cluster.roll_out(web, 1, revision=1)
    await follower.settle()
    cluster.delete(web, made)
    assert await follower.settle() == {WEB: 1}
    cluster.delete(*cluster.pods_of(made))
    assert await follower.settle() == {WEB: None}


# -- 5: missed decommissioning --------------------------------------------------------------------------------------


async def test_weakness_5_a_container_that_left_the_template_ends_with_its_last_pod(
    cluster: Cluster, follower: Follower
) -> None:
    web = cluster.make(DEPLOYMENT, "web", containers=["app", "proxy"])
    old = cluster.make(REPLICA_SET, "web-1", owner=web, revision=1)
    pod = cluster.pod("web-1-x", owner=old, runs={"app": 1, "proxy": 5})
    assert await follower.settle() == {WEB: 1, "prod/web/proxy": 5}
    web["spec"]["template"]["spec"]["containers"].pop()
    cluster.put(web)
    new = cluster.make(REPLICA_SET, "web-2", owner=web, revision=2)
    cluster.pod("web-2-x", owner=new, runs={"app": 2})
    assert await follower.settle() == {WEB: 2, "prod/web/proxy": 5}
    cluster.delete(pod)
    assert await follower.settle() == {WEB: 2, "prod/web/proxy": None}


async def test_weakness_5_a_container_that_left_a_rollouts_template_ends_too(
    cluster: Cluster, follower: Follower
) -> None:
    web = cluster.make(ROLLOUT, "web")
    old = cluster.pod("a", owner=cluster.make(REPLICA_SET, "web-1", owner=web), runs={"app": 1, "proxy": 5})
    cluster.pod("b", owner=cluster.make(REPLICA_SET, "web-2", owner=web, revision=2), runs={"app": 2})
    await follower.settle()
    cluster.delete(old)
    assert await follower.settle() == {WEB: 2, "prod/web/proxy": None}


async def test_weakness_5_a_deletion_in_the_foreground_ends_with_the_parent(
    cluster: Cluster, follower: Follower
) -> None:
    web = cluster.make(DEPLOYMENT, "web")
    made = cluster.roll_out(web, 1, revision=1)
    await follower.settle()
    pods = cluster.pods_of(made)
    cluster.terminate(web, made, *pods)
    cluster.delete(*pods)
    assert await follower.settle() == {WEB: 1}
    cluster.delete(made)
    assert await follower.settle() == {WEB: 1}
    cluster.delete(web)
    assert await follower.settle() == {WEB: None}


@pytest.mark.parametrize("kind", [DEPLOYMENT, STATEFUL_SET, REPLICA_SET], ids=lambda kind: kind[1])
@pytest.mark.parametrize("is_ended", [True, False], ids=["with the setting", "without"])
@pytest.mark.parametrize("is_pod_first", [True, False], ids=["pod first", "scale first"])
async def test_weakness_5_scaled_to_zero(
    cluster: Cluster, ledger: SqlLedger, kind: Kind, is_ended: bool, is_pod_first: bool
) -> None:
    web = cluster.make(kind, "web", replicas=1)
    made = web if kind != DEPLOYMENT else cluster.roll_out(web, 1, revision=1, pods=0)
    cluster.add_pod(made, 1)
    follower = Follower(cluster, ledger, decommissions_at_zero=is_ended)
    await follower.begin()
    web["spec"]["replicas"] = 0
    cluster.put(web)
    if not is_pod_first:
        assert await follower.settle() == {WEB: 1}
    cluster.delete(*cluster.pods_of(made))
    assert await follower.settle_in_time() == {WEB: None if is_ended else 1}
    web["spec"]["replicas"] = 1
    cluster.put(web)
    cluster.add_pod(made, 1)
    assert await follower.settle() == {WEB: 1}
    assert len(follower.planned) == (3 if is_ended else 1)


@pytest.mark.parametrize("kind", [DEPLOYMENT, DAEMON_SET, STATEFUL_SET, JOB, ROLLOUT, REPLICA_SET], ids=lambda k: k[1])
async def test_weakness_5_what_was_deleted_while_nobody_looked_is_decommissioned(
    cluster: Cluster, ledger: SqlLedger, kind: Kind
) -> None:
    made = [cluster.make(kind, name) for name in ("web", "api")]
    for each in made:
        cluster.roll_out(each, 1, revision=1) if kind in (DEPLOYMENT, ROLLOUT) else cluster.add_pod(each, 1)
    await Follower(cluster, ledger).begin()
    cluster.objects.clear()
    follower = Follower(cluster, ledger)
    assert await follower.begin() == {WEB: None, "prod/api/app": None}
    assert sorted(follower.planned) == [("prod/api/app", None), (WEB, None)]


async def test_weakness_5_a_bare_pod_deleted_while_nobody_looked_is_decommissioned(
    cluster: Cluster, ledger: SqlLedger
) -> None:
    pod = cluster.pod("web")
    await Follower(cluster, ledger).begin()
    cluster.delete(pod)
    assert await Follower(cluster, ledger).begin() == {WEB: None}


async def test_weakness_5_what_only_lost_its_pods_while_nobody_looked_stays(
    cluster: Cluster, ledger: SqlLedger
) -> None:
    made = cluster.roll_out(cluster.make(DEPLOYMENT, "web"), 1, revision=1)
    other = cluster.roll_out(cluster.make(ROLLOUT, "api"), 1, revision=1)
    await Follower(cluster, ledger).begin()
    cluster.delete(*cluster.pods_of(made), *cluster.pods_of(other))
    follower = Follower(cluster, ledger)
    await follower.begin()
    assert await follower.settle_in_time() == {WEB: 1, "prod/api/app": 1}
    assert follower.planned == []


# -- 6: late containers ---------------------------------------------------------------------------------------------


async def test_weakness_6_an_image_id_that_comes_late_is_told(cluster: Cluster, follower: Follower) -> None:
    pod = cluster.pod("web", runs={"app": 1, "proxy": None})
    assert await follower.settle() == {WEB: 1}
    cluster.run(pod, {"app": 1, "proxy": 5})
    cluster.put(pod)
    assert await follower.settle() == {WEB: 1, "prod/web/proxy": 5}


async def test_weakness_6_an_image_changed_in_place_is_told(cluster: Cluster, follower: Follower) -> None:
    pod = cluster.pod("web", runs={"app": 1})
    await follower.settle()
    cluster.clock.turn(30)
    cluster.run(pod, {"app": 2})
    cluster.put(pod)
    assert await follower.settle() == {WEB: 2}
    (record,) = (await follower.records()).values()
    assert (record.content.version, record.since) == ("v2", cluster.now)


async def test_weakness_6_another_digest_under_the_same_tag_is_told(cluster: Cluster, follower: Follower) -> None:
    pod = cluster.pod("web", runs={"app": f"ghcr.io/acme/app@{digest(1)}"})
    await follower.settle()
    cluster.run(pod, {"app": f"ghcr.io/acme/app@{digest(2)}"})
    cluster.put(pod)
    await follower.settle()
    assert follower.planned == [(WEB, 1), (WEB, 2)]


async def test_weakness_6_an_image_id_that_is_not_known_for_a_moment_ends_nothing(
    cluster: Cluster, follower: Follower
) -> None:
    """A container that is made again has no image id until it is."""
    pod = cluster.pod("web", runs={"app": 1})
    await follower.settle()
    cluster.run(pod, {"app": None})
    cluster.put(pod)
    assert await follower.settle_in_time() == {WEB: 1}
    assert follower.planned == [(WEB, 1)]


# -- 15: what is no digest ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "image_id",
    [
        "",
        "sha256:",
        "some-random-id-without-sha",
        f"ghcr.io/acme/app@sha512:{1:0128x}",
        "docker://sha256:abc123def456789",
        f"sha256:{'g' * 64}",
        f"sha256:{'A' * 64}",
    ],
)
async def test_weakness_15_what_is_no_sha256_digest_is_never_recorded(
    cluster: Cluster, follower: Follower, image_id: str
) -> None:
    cluster.pod("web", runs={"app": image_id, "proxy": 5})
    assert await follower.settle() == {"prod/web/proxy": 5}
    assert follower.view.undigested == bool(image_id)


# -- 17: nothing is held for each event ------------------------------------------------------------------------------


async def test_weakness_17_ten_thousand_events_of_ten_pods_take_no_memory(cluster: Cluster, ledger: SqlLedger) -> None:
    made = cluster.roll_out(cluster.make(DEPLOYMENT, "web"), 1, revision=1, pods=10)
    follower = Follower(cluster, ledger)
    await follower.begin()

    async def see(rounds: int) -> None:
        for _ in range(rounds):
            cluster.clock.turn(1)
            for pod in cluster.pods_of(made):
                cluster.run(pod, {"app": 1})
                cluster.put(pod)
            await follower.hear(POD)

    await see(1)
    before = _held(follower.keeper)
    await see(1000)
    assert _held(follower.keeper) == before
    assert await follower.settle() == {WEB: 1}


async def test_weakness_17_what_is_gone_takes_no_memory(cluster: Cluster, follower: Follower) -> None:
    """Names that come and go for ever: each a Job of its own."""

    async def live(count: int) -> None:
        for _ in range(count):
            job = cluster.make(JOB, f"import-{cluster.now:%d%H%M%S}")
            pod = cluster.add_pod(job, 1)
            await follower.hear_all()
            await follower.keeper.settle()
            cluster.delete(job, pod)
            await follower.hear_all()
            await follower.keeper.settle()
        follower.planned.clear()

    await live(1)
    before = _held(follower.keeper)
    await live(20)
    assert _held(follower.keeper) == before


def _held(item: object) -> int:
    """Count what everything in a keeper's containers holds, one level down."""
    count = 0
    for value in vars(item).values():
        if isinstance(value, dict):
            count += len(value) + sum(len(each) for each in value.values() if isinstance(each, set | dict))
        elif isinstance(value, set | list):
            count += len(value)
        elif hasattr(value, "__dict__") and type(value).__module__.startswith(
            ("fluxtrail.trail.records.", "fluxtrail.trail.workloads.")
        ):
            count += _held(value)
    return count


# -- 18: all owners --------------------------------------------------------------------------------------------------


async def test_weakness_18_owners_of_every_kind_and_none_are_recorded(cluster: Cluster, follower: Follower) -> None:
    revision = cluster.make(("serving.knative.dev", "Revision"), "shop-1")
    cluster.roll_out(cluster.make(DEPLOYMENT, "shop-1-deployment", owner=revision), 1, revision=1)
    cluster.roll_out(cluster.make(ROLLOUT, "web"), 2, revision=1)
    cluster.add_pod(cluster.make(("acme.io", "Farm"), "farm"), 3)
    cluster.pod("bare", runs={"app": 4})
    static = cluster.pod("etcd-node-1", runs={"app": 5}, node="node-1")
    static["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "hash"
    cluster.put(static)
    assert await follower.settle() == {
        "prod/shop-1-deployment/app": 1,
        WEB: 2,
        "prod/farm/app": 3,
        "prod/bare/app": 4,
        "prod/etcd/app": 5,
    }
    cluster.delete(*list(cluster.objects.values()))
    assert set((await follower.settle()).values()) == {None}
