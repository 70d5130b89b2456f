"""What is kept through changed rules, a ledger that fails, and whatever happens while it is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.trail.records.follower import FailingLedger, Follower
from tests.trail.workloads.cluster import DEPLOYMENT, POD, REPLICA_SET, Cluster

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.ledger.unit import SqlUnit
from fluxtrail.model.deployment import Told, ToldOutcome
from fluxtrail.model.errors import StoreError
from fluxtrail.trail.records import keeper as keeping

WEB = "prod/web/app"


async def test_a_restart_tells_nothing_again(cluster: Cluster, ledger: SqlLedger) -> None:
    cluster.roll_out(cluster.make(DEPLOYMENT, "web", notes={"team": "shop"}), 1, revision=1, pods=2)
    await Follower(cluster, ledger).begin()
    before = await Follower(cluster, ledger).records()
    follower = Follower(cluster, ledger)
    assert await follower.begin() == {WEB: 1}
    assert (await follower.records(), follower.planned) == (before, [])


async def test_a_changed_template_ends_the_old_names_and_tells_the_new(cluster: Cluster, ledger: SqlLedger) -> None:
    cluster.roll_out(cluster.make(DEPLOYMENT, "web"), 1, revision=1)
    await Follower(cluster, ledger).begin()
    follower = Follower(cluster, ledger, template="{{deploymentName}}-{{containerName}}")
    assert await follower.begin() == {WEB: None, "web-app": 1}
    assert sorted(follower.planned) == [(WEB, None), ("web-app", 1)]
    assert await Follower(cluster, ledger).begin() == {WEB: 1, "web-app": None}


async def test_a_namespace_that_is_no_longer_chosen_is_left_as_it_was_told(cluster: Cluster, ledger: SqlLedger) -> None:
    pod = cluster.pod("web")
    await Follower(cluster, ledger).begin()
    cluster.delete(pod)
    assert await Follower(cluster, ledger, excluded=["prod"]).begin() == {WEB: 1}
    assert await Follower(cluster, ledger).begin() == {WEB: None}


async def test_one_clusters_records_are_not_anothers(cluster: Cluster, ledger: SqlLedger) -> None:
    cluster.pod("web")
    await Follower(cluster, ledger).begin()
    other = Cluster("c2")
    assert await Follower(other, ledger).begin() == {}
    assert await Follower(cluster, ledger).begin() == {WEB: 1}


async def test_what_github_was_told_outlives_what_the_keeper_writes(cluster: Cluster, follower: Follower) -> None:
    pod = cluster.pod("web")
    await follower.settle()
    (record,) = (await follower.records()).values()
    outcome = ToldOutcome(id=record.id, content=record.content, told=Told.TOLD, told_to="acme", at=cluster.now)
    async with follower.ledger.unit() as unit:
        await unit.note_told([outcome])  # type: ignore[attr-defined]
    for expected in ({WEB: None}, {WEB: 1}):
        cluster.delete(pod) if expected[WEB] is None else cluster.pod("web")
        assert await follower.settle() == expected
        (after,) = (await follower.records()).values()
        assert (after.id, after.told, after.told_content) == (record.id, Told.PENDING, record.content)


async def test_when_a_digest_began_to_run_is_the_containers_start(cluster: Cluster, follower: Follower) -> None:
    made = cluster.roll_out(cluster.make(DEPLOYMENT, "web"), 1, revision=1)
    began = cluster.now
    cluster.clock.turn(30)
    await follower.settle()
    (record,) = (await follower.records()).values()
    assert (record.since, record.changed_at) == (began, cluster.now)
    cluster.annotate(made, {"team": "shop"})
    cluster.clock.turn(30)
    await follower.settle()
    (record,) = (await follower.records()).values()
    assert (record.since, record.changed_at) == (began, cluster.now)


async def test_a_containers_start_is_never_after_its_sight(cluster: Cluster, follower: Follower) -> None:
    pod = cluster.pod("web")
    pod["status"]["containerStatuses"][0]["state"] = {"running": {"startedAt": "2100-01-01T00:00:00Z"}}
    cluster.put(pod)
    await follower.settle()
    (record,) = (await follower.records()).values()
    assert record.since == cluster.now


# -- a ledger that fails --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failures", [["begin"], ["end"], ["begin", "end", "begin"]], ids=len)
async def test_a_ledger_that_fails_loses_nothing(cluster: Cluster, ledger: SqlLedger, failures: list[str]) -> None:
    failing = FailingLedger(ledger)
    follower = Follower(cluster, failing)
    await follower.begin()
    pod = cluster.pod("web")
    cluster.pod("api", runs={"app": 2})
    await follower.hear_all()
    failing.failures = list(failures)
    for _ in failures:
        with pytest.raises(StoreError):
            await follower.keeper.settle()
        assert failing.failures or await follower.state() == {}
    assert await follower.settle() == {WEB: 1, "prod/api/app": 2}
    cluster.delete(pod)
    await follower.hear_all()
    failing.failures = list(failures)
    for _ in failures:
        with pytest.raises(StoreError):
            await follower.keeper.settle()
    assert await follower.settle() == {WEB: None, "prod/api/app": 2}
    numbers = follower.keeper.numbers
    assert (numbers.deployed, numbers.decommissioned, numbers.failed) == (2, 1, 3 * len(failures))


async def test_a_ledger_that_fails_in_the_midst_of_a_round_loses_none_of_the_rest(
    cluster: Cluster, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "BATCH", 1)
    failing = FailingLedger(ledger)
    follower = Follower(cluster, failing)
    await follower.begin()
    for name in ("a", "b", "c"):
        cluster.pod(name)
    await follower.hear_all()
    failing.failures = ["", "end"]
    with pytest.raises(StoreError):
        await follower.keeper.settle()
    assert await follower.state() == {"prod/a/app": 1}
    assert len(await follower.settle()) == 3


async def test_the_keeper_runs_on_after_its_ledger_failed(cluster: Cluster, ledger: SqlLedger) -> None:
    failing = FailingLedger(ledger)
    follower = Follower(cluster, failing)
    failing.failures = ["begin", "", "end"]
    cluster.pod("web")
    await follower.hear_all()
    for _ in range(2):  # as it reads, then as it writes
        with pytest.raises(StoreError):
            await follower.keeper.run()
    follower.said.clear()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(follower.keeper.run())
        async with asyncio.timeout(10):
            await follower.said.wait()
            assert await follower.state() == {WEB: 1}
            follower.said.clear()
            cluster.delete(cluster.find(POD, "web"))
            await follower.hear_all()
            await follower.said.wait()
            assert await follower.state() == {WEB: None}
        running.cancel()


async def test_the_keeper_judges_when_a_wait_is_over_though_nothing_happens(
    cluster: Cluster, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "OWNER_SECONDS", 0.01)
    made = cluster.make(REPLICA_SET, "web-7c9d")
    cluster.add_pod(made, 1)
    cluster.delete(made)
    follower = Follower(cluster, ledger)
    await follower.hear_all()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(follower.keeper.run())
        async with asyncio.timeout(10):
            while not follower.said.is_set():
                cluster.clock.turn(1)
                await asyncio.sleep(0.005)
        assert await follower.state() == {WEB: 1}
        running.cancel()


async def test_many_workloads_are_judged_in_one_round_with_turns_for_others(
    cluster: Cluster, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "BREATH", 3)
    monkeypatch.setattr(keeping, "BATCH", 4)
    for number in range(10):
        cluster.pod(f"pod-{number}")
    assert len(await follower.settle()) == 10


async def test_the_end_of_what_was_never_seen_is_nothing(cluster: Cluster, follower: Follower) -> None:
    docs = [cluster.make(DEPLOYMENT, "web"), cluster.pod("web")]
    for kind in (DEPLOYMENT, POD):
        cluster.streams[kind].clear()
    cluster.delete(*docs)
    assert await follower.settle() == {}


# -- what happens while it is written -------------------------------------------------------------------------------


class BusyLedger:
    """A ledger during whose units the cluster goes on."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger
        self.meanwhile: list[tuple[Follower, str]] = []
        """Pods to delete, one in each unit, and who hears it."""

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[SqlUnit]:
        if self.meanwhile:
            follower, name = self.meanwhile.pop()
            follower.cluster.delete(follower.cluster.find(POD, name))
            await follower.hear_all()
        async with self._ledger.unit() as unit:
            yield unit


async def test_a_pod_that_goes_while_others_are_written_takes_no_notes_with_it(
    cluster: Cluster, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name is judged in a later unit of the same round; what it said is known, what it was annotated with not."""
    monkeypatch.setattr(keeping, "BATCH", 1)
    busy = BusyLedger(ledger)
    follower = Follower(cluster, busy)
    for name in ("api", "web"):
        web = cluster.make(DEPLOYMENT, name, notes={"team": "shop"})
        made = cluster.make(REPLICA_SET, f"{name}-1", owner=web)
        cluster.pod(f"{name}-1-x", owner=made)
    await follower.begin()
    for name in ("api", "web"):
        cluster.annotate(cluster.find(DEPLOYMENT, name), {"team": "shop", "tier": "1"})
    busy.meanwhile = [(follower, "web-1-x")]
    await follower.settle()
    await follower.settle()
    tags = {name: dict(record.content.tags).get("team") for name, record in (await follower.records()).items()}
    assert tags == {"prod/api/app": "shop", WEB: "shop"}


# -- names that several share ---------------------------------------------------------------------------------------


async def test_containers_that_share_a_name_speak_in_the_same_order_always(cluster: Cluster, ledger: SqlLedger) -> None:
    names = [f"app-{number}" for number in range(12)]
    cluster.pod("web", runs=dict.fromkeys(names, 1))
    follower = Follower(cluster, ledger, template="{{namespace}}")
    assert await follower.begin() == {"prod": 1}
    (record,) = (await follower.records()).values()
    assert record.place.container == max(names)


async def test_a_shared_name_goes_over_to_who_still_runs(cluster: Cluster, ledger: SqlLedger) -> None:
    old, new = cluster.pod("old", runs={"app": 1}), cluster.pod("new", runs={"app": 2})
    follower = Follower(cluster, ledger, template="{{namespace}}")
    assert await follower.begin() == {"prod": 2}
    cluster.delete(new)
    assert await follower.settle() == {"prod": 1}
    cluster.delete(old)
    assert await follower.settle() == {"prod": None}
