"""What telemetry is told of deliveries and commits, in a few statements for many of them."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from tests.ledger.world import World, at, moment, sha

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import Attribution, CommitId, ExportRecord, SyncId, TargetId
from fluxtrail.model.telling import DeliveryTelling, TellingKey
from fluxtrail.model.verdict import Verdict

SETTLE = timedelta(minutes=10)


async def test_a_delivery_is_told_with_everything_around_it(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository("shop"), await world.repository("manifests")
        (source,) = await world.commits(shop, range(1, 2))
        (export,) = await world.commits(manifests, range(2, 3), is_carrier=True)
        (source,) = await unit.put_commits([msgspec.structs.replace(source, pull_request=12)])
        link = ExportRecord(carrier_id=export.id, source_id=source.id, stated_at=at(-5), build_link="https://ci/1")
        await unit.put_exports([link])
        await unit.put_cluster(ClusterUid("c1"), "prod", at(0))
        target = await world.target(manifests)
        first = await world.sync(target, 2, fetched=moment(10), applied=moment(20), attribution=Attribution.DONE)
        second = await world.sync(target, 3, healthy=moment(50), succeeded=moment(50), attributed_version=0)
        await unit.put_target(msgspec.structs.replace(target, sync_id=second.id))
        await world.delivery(
            source, target, carrier_id=export.id, applied_sync=first.id, healthy_sync=second.id, since=at(50)
        )
    key = TellingKey(source.id, target.id, second.id)
    told = (await ledger.delivery_tellings([key]))[key]
    assert (told.commit.sha, told.commit.repository, told.commit.branch) == (sha(1), "github.com/acme/shop", "main")
    assert (told.commit.repository_url, told.commit.pull_request) == ("https://github.com/acme/shop", 12)
    assert told.carrier is not None
    assert (told.carrier.sha, told.carrier.is_carrier) == (sha(2), True)
    assert (told.stated_at, told.build_link) == (at(-5), "https://ci/1")
    assert (told.target.cluster, told.target.cluster_uid, told.target.source_kind) == ("prod", "c1", "GitRepository")
    assert (told.fetched, told.applied, told.healthy) == (moment(10), moment(20), moment(50))
    assert (told.applied_sync, told.healthy_sync, told.succeeded) == (first.id, second.id, moment(50))
    assert told.sync is not None
    assert (told.sync.id, told.sync.sha, told.sync.is_over) == (second.id, sha(3), True)


@pytest.mark.parametrize(
    ("given", "is_newest", "expected"),
    [
        ({"outcome": Outcome.CHECKING, "attributed_version": 0}, True, False),
        ({"outcome": Outcome.SUCCEEDED, "attributed_version": 0}, True, True),
        ({"outcome": Outcome.FAILED, "attributed_version": 0}, True, True),
        ({"outcome": Outcome.SUCCEEDED, "attributed_version": -1}, True, False),
        ({"outcome": Outcome.SUCCEEDED, "attributed_version": -1, "attribution": Attribution.GAP}, True, True),
        ({"outcome": Outcome.RUNNING, "attributed_version": 0}, False, True),
    ],
    ids=["checking", "succeeded", "failed", "not attributed", "given up", "overtaken"],
)
async def test_an_attempt_is_over_when_nothing_of_it_will_change(
    ledger: SqlLedger, given: dict[str, object], is_newest: bool, expected: bool
) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        manifests = await world.repository("manifests")
        (commit,) = await world.commits(manifests, range(1, 2))
        target = await world.target(manifests)
        sync = await world.sync(target, 1, **given)
        newest = sync if is_newest else await world.sync(target, 2)
        await unit.put_target(msgspec.structs.replace(target, sync_id=newest.id))
        await world.delivery(commit, target)
    told = await one(ledger, commit.id, target.id, sync.id)
    assert told.sync is not None
    assert told.sync.is_over is expected


async def test_many_are_told_at_once_and_what_is_gone_is_left_out(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        manifests = await world.repository("manifests")
        commits = await world.commits(manifests, range(1, 21))
        targets = [await world.target(manifests, f"t{number}") for number in range(5)]
        for commit in commits:
            for target in targets:
                await world.delivery(commit, target)
    keys = [TellingKey(commit.id, target.id, None) for commit in commits for target in targets]
    told = await ledger.delivery_tellings([*keys, TellingKey(CommitId(999), TargetId(1), SyncId(7))])
    assert set(told) == set(keys)
    assert {item.sync for item in told.values()} == {None}


async def test_a_commit_is_told_as_it_stands_everywhere(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        manifests = await world.repository("manifests")
        (commit,) = await world.commits(manifests, range(1, 2))
        for name, verdict, since in (
            ("a", Verdict.DEPLOYED, 100),
            ("b", Verdict.DEPLOYED, 200),
            ("c", Verdict.FAILED, 300),
            ("d", Verdict.UNAFFECTED, 900),
        ):
            await world.delivery(commit, await world.target(manifests, name), verdict, since=at(since))
    early = (await ledger.commit_tellings([commit.id], now=at(301), settle_after=SETTLE))[commit.id]
    assert (early.is_settled, early.last_at) == (False, at(300))
    assert early.verdicts == {Verdict.DEPLOYED: 2, Verdict.UNAFFECTED: 1, Verdict.FAILED: 1}
    late = (await ledger.commit_tellings([commit.id], now=at(300) + SETTLE, settle_after=SETTLE))[commit.id]
    assert late.is_settled


async def test_a_commit_without_deliveries_is_told_too(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        (commit,) = await world.commits(await world.repository(), range(1, 2))
    told = await ledger.commit_tellings([commit.id, CommitId(77)], now=at(0), settle_after=SETTLE)
    assert set(told) == {commit.id}
    assert (told[commit.id].last_at, told[commit.id].verdicts) == (None, {})


async def one(ledger: SqlLedger, commit: CommitId, target: TargetId, sync: SyncId) -> DeliveryTelling:
    key = TellingKey(commit, target, sync)
    return (await ledger.delivery_tellings([key]))[key]


async def test_what_seems_lost_is_unsure_while_a_sync_of_its_target_is_not_known(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop = await world.repository()
        first, second = await world.commits(shop, range(1, 3))
        target = await world.target(shop)
        await world.delivery(first, target, Verdict.LOST, since=at(40))
        await world.delivery(second, target)
        sync = await world.sync(target, 2, attributed_version=-1, started=moment(30))
    keys = [TellingKey(commit.id, target.id, None) for commit in (first, second)]
    told = await ledger.delivery_tellings(keys)
    assert [told[key].is_unsure for key in keys] == [True, False], "what is delivered is known to be"

    async def is_settled(seconds: float) -> bool:
        whole = await ledger.commit_tellings([first.id], now=at(seconds), settle_after=SETTLE)
        return whole[first.id].is_settled

    assert not await is_settled(60)
    assert await is_settled(3600), "it is not waited for it for ever"
    async with ledger.unit() as unit:
        await unit.put_sync(msgspec.structs.replace(sync, attributed_version=99))
    assert not (await ledger.delivery_tellings(keys))[keys[0]].is_unsure
    assert await is_settled(60)
