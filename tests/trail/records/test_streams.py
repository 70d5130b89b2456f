"""What is believed of which stream: nothing is over on the word of one that is not complete, in whatever order."""

from __future__ import annotations

from itertools import permutations

import pytest
from tests.trail.records.follower import Follower
from tests.trail.workloads.cluster import CRON_JOB, DEPLOYMENT, JOB, POD, REPLICA_SET, ROLLOUT, Cluster, Kind, key_of

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.observation import Gone, Listed, ObjectUid
from fluxtrail.trail.records.keeper import UNSEEN_SECONDS
from fluxtrail.trail.workloads.anchors import FAMILIAR
from fluxtrail.trail.workloads.view import CUSTOM_SECONDS, MAX_CUSTOM_KINDS, OWNER_SECONDS

WEB = "prod/web/app"


def _web(cluster: Cluster, version: int = 1) -> None:
    cluster.roll_out(cluster.make(DEPLOYMENT, "web"), version, revision=version)


@pytest.mark.parametrize("last", sorted(FAMILIAR), ids=lambda kind: kind[1])
async def test_nothing_is_judged_before_every_kind_was_listed(cluster: Cluster, ledger: SqlLedger, last: Kind) -> None:
    _web(cluster)
    follower = Follower(cluster, ledger)
    await follower.keeper.recall()
    await follower.hear(*(FAMILIAR - {last}))
    await follower.keeper.settle()
    assert (await follower.state(), follower.view.awaited) == ({}, [last[1]])
    assert await follower.settle() == {WEB: 1}
    assert follower.view.awaited == []


@pytest.mark.parametrize("reason", ["forbidden", "not_installed"])
async def test_nobody_waits_for_what_cannot_be_read(cluster: Cluster, ledger: SqlLedger, reason: str) -> None:
    _web(cluster)
    for kind in FAMILIAR - {POD}:
        cluster.forbid(kind, reason)
    assert await Follower(cluster, ledger).begin() == {WEB: 1}


async def test_a_kind_of_others_that_stays_broken_is_waited_for_a_while_only(
    cluster: Cluster, ledger: SqlLedger
) -> None:
    """Its conversion webhook, say: nobody's records may depend on it, and its own do not end for it."""
    cluster.forbid(ROLLOUT, "unreachable")
    made = cluster.roll_out(cluster.make(ROLLOUT, "web"), 1, revision=1)
    cluster.roll_out(cluster.make(DEPLOYMENT, "api"), 2, revision=1)
    follower = Follower(cluster, ledger)
    assert await follower.begin() == {}
    cluster.clock.turn(CUSTOM_SECONDS)
    assert await follower.settle() == {WEB: 1, "prod/api/app": 2}
    cluster.delete(*cluster.pods_of(made))
    assert await follower.settle_in_time() == {WEB: 1, "prod/api/app": 2}


@pytest.mark.parametrize("reason", ["unreachable", "unauthorized"])
async def test_what_only_cannot_be_reached_is_waited_for(cluster: Cluster, ledger: SqlLedger, reason: str) -> None:
    _web(cluster)
    cluster.forbid(CRON_JOB, reason)
    follower = Follower(cluster, ledger)
    assert await follower.begin() == {}
    cluster.allow(CRON_JOB)
    assert await follower.settle() == {WEB: 1}


async def test_annotations_of_owners_of_other_kinds_are_waited_for_at_the_start(
    cluster: Cluster, ledger: SqlLedger
) -> None:
    """Otherwise every start would tell all their records twice: without their tags, and with them."""
    web = cluster.make(ROLLOUT, "web", notes={"team": "shop"})
    cluster.roll_out(web, 1, revision=1)
    follower = Follower(cluster, ledger)
    await follower.hear(*FAMILIAR)
    await follower.keeper.settle()
    assert follower.view.awaited == ["Rollout.argoproj.io"]
    await follower.begin()
    assert follower.planned == [(WEB, 1)]


@pytest.mark.parametrize(
    "order", list(permutations([POD, REPLICA_SET, DEPLOYMENT])), ids=lambda o: "-".join(k[1] for k in o)
)
async def test_the_order_between_streams_does_not_matter(
    cluster: Cluster, follower: Follower, order: tuple[Kind, ...]
) -> None:
    _web(cluster, 1)
    for kind in order:
        await follower.hear(kind)
        await follower.keeper.settle()
        cluster.clock.turn(1)
    assert await follower.settle() == {WEB: 1}
    _web_2 = cluster.find(DEPLOYMENT, "web")
    made = cluster.roll_out(_web_2, 2, revision=2)
    cluster.delete(_web_2, made, cluster.find(REPLICA_SET, "web-1c9d"), *cluster.pods_of(made))
    for kind in order:
        await follower.hear(kind)
        await follower.keeper.settle()
    cluster.delete(*[doc for doc in cluster.objects.values() if doc["kind"] == "Pod"])
    assert await follower.settle_in_time() == {WEB: None}


# -- owners that come late ------------------------------------------------------------------------------------------


async def test_a_pod_waits_for_its_replica_set(cluster: Cluster, follower: Follower) -> None:
    cluster.roll_out(cluster.make(ROLLOUT, "web-shop"), 1, revision=1)
    await follower.hear(POD)
    cluster.clock.turn(OWNER_SECONDS - 1)
    await follower.keeper.settle()
    assert await follower.state() == {}
    assert await follower.settle() == {"prod/web-shop/app": 1}


async def test_a_pod_whose_replica_set_does_not_come_goes_by_its_name(cluster: Cluster, follower: Follower) -> None:
    made = cluster.make(REPLICA_SET, "web-7c9d", owner=cluster.make(DEPLOYMENT, "web", notes={"team": "shop"}))
    cluster.add_pod(made, 1)
    await follower.hear(POD)
    await follower.keeper.settle()
    cluster.clock.turn(OWNER_SECONDS)
    await follower.keeper.settle()
    assert await follower.state() == {WEB: 1}
    await follower.settle()
    (record,) = (await follower.records()).values()
    assert record.content.tags == (("team", "shop"),)


async def test_nothing_is_guessed_any_more_once_replica_sets_may_be_read(cluster: Cluster, ledger: SqlLedger) -> None:
    cluster.forbid(REPLICA_SET)
    follower = Follower(cluster, ledger)
    await follower.begin()
    cluster.allow(REPLICA_SET)
    await follower.settle()
    cluster.add_pod(cluster.make(REPLICA_SET, "cache-blue"), 1)
    await follower.hear(POD)
    await follower.keeper.settle()
    assert await follower.settle() == {"prod/cache-blue/app": 1}


async def test_a_guess_that_was_wrong_is_taken_back(cluster: Cluster, follower: Follower) -> None:
    cluster.add_pod(cluster.make(REPLICA_SET, "cache-blue"), 1)
    await follower.hear(POD)
    await follower.keeper.settle()
    cluster.clock.turn(OWNER_SECONDS)
    await follower.keeper.settle()
    assert await follower.state() == {"prod/cache/app": 1}
    assert await follower.settle_in_time() == {"prod/cache/app": None, "prod/cache-blue/app": 1}


async def test_a_pod_that_goes_while_it_waits_is_forgotten(cluster: Cluster, follower: Follower) -> None:
    made = cluster.make(REPLICA_SET, "web-7c9d")
    cluster.delete(made)
    await follower.settle()
    pod = cluster.add_pod(made, 1)
    await follower.settle()
    cluster.delete(pod)
    cluster.forbid(REPLICA_SET)
    assert await follower.settle_in_time() == {}


@pytest.mark.parametrize("kind", [REPLICA_SET, JOB], ids=lambda kind: kind[1])
async def test_a_pod_that_is_ending_after_its_owner_makes_no_name_at_a_restart(
    cluster: Cluster, ledger: SqlLedger, kind: Kind
) -> None:
    """Its owner is not there to say whose it is, and its name alone would say something else."""
    made = cluster.make(kind, "cache-blue")
    pod = cluster.add_pod(made, 1)
    await Follower(cluster, ledger).begin()
    cluster.delete(made)
    cluster.terminate(pod)
    follower = Follower(cluster, ledger)
    await follower.begin()
    await follower.settle_in_time()
    cluster.delete(pod)
    assert await follower.settle_in_time() == {"prod/cache-blue/app": None}
    assert follower.planned == [("prod/cache-blue/app", None)]


# -- blind streams --------------------------------------------------------------------------------------------------


async def test_a_blind_stream_of_owners_decommissions_nothing(cluster: Cluster, ledger: SqlLedger) -> None:
    _web(cluster)
    await Follower(cluster, ledger).begin()
    cluster.objects.clear()
    follower = Follower(cluster, ledger)
    await follower.hear(*FAMILIAR)
    cluster.forbid(DEPLOYMENT, "unreachable")
    assert await follower.begin() == {WEB: 1}
    assert await follower.settle_in_time() == {WEB: 1}
    cluster.allow(DEPLOYMENT)
    assert await follower.settle() == {WEB: None}


async def test_a_blind_stream_of_pods_decommissions_nothing(cluster: Cluster, ledger: SqlLedger) -> None:
    pod = cluster.pod("web")
    await Follower(cluster, ledger).begin()
    cluster.delete(pod)
    follower = Follower(cluster, ledger)
    await follower.hear(*FAMILIAR)
    cluster.forbid(POD, "unreachable")
    assert await follower.begin() == {WEB: 1}
    cluster.allow(POD)
    assert await follower.settle() == {WEB: None}


@pytest.mark.parametrize("forbidden", [FAMILIAR | {ROLLOUT}, {POD, ROLLOUT}], ids=["everything", "pods"])
async def test_rights_that_were_taken_away_decommission_nothing(
    cluster: Cluster, ledger: SqlLedger, forbidden: set[Kind]
) -> None:
    """A role binding that is gone at a restart: that no pods are seen says nothing then, however long."""
    _web(cluster)
    cluster.roll_out(cluster.make(ROLLOUT, "ro"), 1, revision=1)
    cluster.pod("bare")
    running = {WEB: 1, "prod/ro/app": 1, "prod/bare/app": 1}
    assert await Follower(cluster, ledger).begin() == running
    for kind in forbidden:
        cluster.forbid(kind)
    follower = Follower(cluster, ledger)
    await follower.begin()
    assert await follower.settle_in_time() == running
    cluster.delete(cluster.find(POD, "bare"))
    for kind in forbidden:
        cluster.allow(kind)
    assert await follower.settle_in_time() == running | {"prod/bare/app": None}


async def test_what_goes_while_a_stream_is_blind_is_found_by_its_next_list(
    cluster: Cluster, follower: Follower
) -> None:
    _web(cluster)
    await follower.settle()
    known = [cluster.find(DEPLOYMENT, "web")]
    cluster.forbid(DEPLOYMENT, "unreachable")
    cluster.delete(*list(cluster.objects.values()))
    assert await follower.settle_in_time() == {WEB: 1}
    cluster.allow(DEPLOYMENT, known=known)
    assert await follower.settle() == {WEB: None}


async def test_an_owner_made_again_is_not_missed_when_the_old_ones_end_comes_late(
    cluster: Cluster, follower: Follower
) -> None:
    """A list after a gap may name what is there before what is not."""
    old = cluster.make(DEPLOYMENT, "web")
    made = cluster.roll_out(old, 1, revision=1)
    await follower.settle()
    cluster.forbid(DEPLOYMENT, "unreachable")
    cluster.delete(old)
    cluster.make(DEPLOYMENT, "web")
    cluster.allow(DEPLOYMENT)
    await follower.settle()
    gone = Gone(key=key_of(old), uid=ObjectUid(old["metadata"]["uid"]), observed_at=cluster.now)
    await follower.view.observe([gone])
    cluster.delete(*cluster.pods_of(made))
    assert await follower.settle_in_time() == {WEB: 1}


async def test_a_list_before_the_last_pod_went_is_too_old_to_miss_its_owner(
    cluster: Cluster, follower: Follower
) -> None:
    """The owner may have been made since, and its stream be behind."""
    web = cluster.make(DEPLOYMENT, "web")
    made = cluster.roll_out(web, 1, revision=1)
    await follower.hear(REPLICA_SET, POD)
    await follower.keeper.settle()
    cluster.delete(*cluster.pods_of(made))
    await follower.hear(POD)
    for _ in range(3):
        cluster.clock.turn(100)
        await follower.keeper.settle()
    assert await follower.state() == {WEB: 1}
    await follower.view.observe([Listed(group="apps", kind="Deployment", observed_at=cluster.now)])
    await follower.keeper.settle()
    assert await follower.state() == {WEB: None}


async def test_a_bookmark_tells_that_an_owner_is_gone(cluster: Cluster, follower: Follower) -> None:
    """Its end was seen before anything was recorded of it."""
    web = cluster.make(DEPLOYMENT, "web")
    made = cluster.roll_out(web, 1, revision=1)
    cluster.delete(web)
    assert await follower.settle() == {WEB: 1}
    cluster.delete(*cluster.pods_of(made), made)
    assert await follower.settle() == {WEB: 1}
    cluster.clock.turn(1)
    cluster.bookmark()
    assert await follower.settle() == {WEB: None}


# -- kinds that may not be read -------------------------------------------------------------------------------------


async def test_a_workload_that_may_not_be_read_ends_a_while_after_its_last_pod(
    cluster: Cluster, ledger: SqlLedger
) -> None:
    _web(cluster)
    cluster.forbid(DEPLOYMENT)
    follower = Follower(cluster, ledger)
    assert await follower.begin() == {WEB: 1}
    made = cluster.find(REPLICA_SET, "web-1c9d")
    cluster.delete(*cluster.pods_of(made))
    await follower.settle()
    cluster.clock.turn(UNSEEN_SECONDS - 1)
    assert await follower.settle() == {WEB: 1}
    cluster.add_pod(made, 1)
    await follower.settle()
    cluster.delete(*cluster.pods_of(made))
    await follower.settle()
    cluster.clock.turn(UNSEEN_SECONDS - 1)
    assert await follower.settle() == {WEB: 1}
    cluster.clock.turn(1)
    assert await follower.settle() == {WEB: 1}
    cluster.bookmark(POD)
    assert await follower.settle() == {WEB: None}


async def test_a_rollout_that_may_not_be_read_survives_a_restart_and_ends(cluster: Cluster, ledger: SqlLedger) -> None:
    cluster.forbid(ROLLOUT)
    made = cluster.roll_out(cluster.make(ROLLOUT, "web"), 1, revision=1)
    await Follower(cluster, ledger).begin()
    follower = Follower(cluster, ledger)
    assert await follower.settle_in_time() == {WEB: 1}
    cluster.delete(*list(cluster.objects.values()))
    follower = Follower(cluster, ledger)
    assert await follower.begin() == {WEB: 1}
    cluster.clock.turn(UNSEEN_SECONDS)
    cluster.bookmark(POD)
    assert await follower.settle() == {WEB: None}
    assert made["metadata"]["uid"] not in cluster.objects


async def test_owners_of_too_many_kinds_are_not_watched_and_still_end(cluster: Cluster, follower: Follower) -> None:
    count = MAX_CUSTOM_KINDS + 3
    for number in range(count):
        cluster.add_pod(cluster.make((f"g{number}.acme.io", "Farm"), f"farm-{number}"), 1)
    assert len(await follower.settle()) == count
    assert len(cluster.streams) == len(FAMILIAR) + MAX_CUSTOM_KINDS
    cluster.delete(*list(cluster.objects.values()))
    assert set((await follower.settle_in_time()).values()) == {None}
