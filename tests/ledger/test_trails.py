from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.ledger.world import NOON, World, at, moment, sha

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.ledger.unit import SqlUnit
from fluxtrail.model.moment import Evidence
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import AliasKind, CommitId, CommitRecord, ExportRecord, RepositoryRecord
from fluxtrail.model.verdict import Verdict
from fluxtrail.model.views import Candidate, DeliveryView, TrailView

SETTLE = timedelta(hours=1)
NOW = at(1000)


async def trail_of(ledger: SqlLedger, query: str, **given: Any) -> TrailView:
    found = await ledger.find_trail(query, now=NOW, settle_after=SETTLE, **given)
    assert isinstance(found, TrailView), found
    return found


async def only_delivery(ledger: SqlLedger, query: str) -> DeliveryView:
    [delivery] = (await trail_of(ledger, query)).deliveries
    return delivery


async def candidates_of(ledger: SqlLedger, query: str) -> list[Candidate]:
    found = await ledger.find_trail(query, now=NOW, settle_after=SETTLE)
    assert isinstance(found, list), found
    return found


def revision(number: int) -> str:
    return f"main@sha1:{sha(number)}"


# what a query means


async def test_commit_is_found_by_sha_prefix_and_capital_letters(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        await world.commits(await world.repository(), range(1, 4))
    for query in (sha(2), sha(2)[:8], sha(2)[:8].upper(), f"acme/shop@{sha(2)[:8]}", f" {sha(2)} "):
        assert (await trail_of(ledger, query)).commit.sha == sha(2)
    for query in ("ffff", sha(9), "nonsense", "#1", f"acme/blog@{sha(2)}", sha(2)[:3], "kustomization/x"):
        assert await ledger.find_trail(query, now=NOW, settle_after=SETTLE) is None


async def test_ambiguous_prefix_and_twins_in_two_repositories_give_candidates(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, blog = await world.repository("shop"), await world.repository("blog")
        await world.commits(shop, range(1, 4))
        await world.commits(blog, range(2, 3))
    assert {found.sha for found in await candidates_of(ledger, "0000000")} == {sha(1), sha(2), sha(3)}
    twins = await candidates_of(ledger, sha(2))
    assert {found.repository for found in twins} == {"github.com/acme/shop", "github.com/acme/blog"}
    assert {found.subject for found in twins} == {"Change 2"}
    assert (await trail_of(ledger, f"blog@{sha(2)}")).commit.repository == "github.com/acme/blog"


async def test_alias_leads_to_its_commit_and_says_how(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        one, two = await world.commits(repository, range(1, 3))
        await unit.put_aliases(repository.id, one.id, AliasKind.PULL_REQUEST, [sha(50)])
        await unit.put_aliases(repository.id, two.id, AliasKind.MERGED, [sha(51), one.sha])
    trail = await trail_of(ledger, sha(50))
    assert (trail.commit.sha, trail.via, trail.queried) == (sha(1), "pull_request", sha(50))
    assert (await trail_of(ledger, sha(51)[:8])).via == "merged"
    own = await trail_of(ledger, one.sha)
    assert (own.commit.sha, own.via) == (one.sha, None)


async def test_pull_request_is_found_in_one_or_any_repository(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        for name, number in (("shop", 1), ("blog", 2)):
            [commit] = await world.commits(await world.repository(name), range(number, number + 1))
            await unit.put_commits([msgspec.structs.replace(commit, pull_request=12)])
    assert (await trail_of(ledger, "acme/blog#12")).commit.sha == sha(2)
    assert {found.sha for found in await candidates_of(ledger, "#12")} == {sha(1), sha(2)}
    assert await ledger.find_trail("#13", now=NOW, settle_after=SETTLE) is None


async def test_target_leads_to_what_is_applied_there(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        await world.commits(repository, range(1, 4))
        await world.target(repository, "apps", applied=revision(2), baseline_sha=sha(1), awaits_baseline=False)
        await world.target(repository, "infra", applied=revision(3))
        await world.target(repository, "apps", cluster="c2", applied=revision(2))
    for query in ("kustomization/apps", "ks/apps", "Kustomization/flux-system/apps"):
        assert (await trail_of(ledger, query)).commit.sha == sha(2)
    assert len(await ledger.find_targets("ks/apps", now=NOW)) == 2
    assert await ledger.find_targets("ks/other/apps", now=NOW) == []


# what is on a trail


async def test_stored_delivery_has_its_moments_and_its_carrier_revision(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        await unit.put_cluster(ClusterUid("c1"), "north", NOON)
        repository = await world.repository()
        one, two = await world.commits(repository, range(1, 3))
        target = await world.target(repository, applied=revision(2), baseline_sha=sha(1), awaits_baseline=False)
        applied = await world.sync(target, 2, fetched=moment(10), applied=moment(20))
        healthy = await world.sync(target, 2, fetched=moment(30), applied=moment(40), healthy=moment(50))
        await world.delivery(one, target, applied_sync=applied.id, healthy_sync=healthy.id, undone_by=two.id)
        await world.delivery(two, target, applied_sync=applied.id)
    first, second = await only_delivery(ledger, sha(1)), await only_delivery(ledger, sha(2))
    assert first.stages == {
        "merged": moment(1, Evidence.BRANCH_MOVED),
        "fetched": moment(10),
        "applied": moment(20),
        "healthy": moment(50),
    }
    assert (first.cluster, first.cluster_uid, first.target) == ("north", "c1", "Kustomization/flux-system/apps")
    assert (first.via, first.undone_by, first.revision, first.is_settled) == (sha(2), sha(2), revision(2), True)
    assert (second.via, second.undone_by) == (None, None)
    assert "healthy" not in second.stages


@pytest.mark.parametrize(
    ("target_fields", "number", "expected"),
    [
        pytest.param(
            {"baseline_sha": sha(3), "awaits_baseline": False}, 2, ("deployed", True, ""), id="before baseline"
        ),
        pytest.param({"baseline_sha": sha(3), "awaits_baseline": False}, 3, ("deployed", True, ""), id="the baseline"),
        pytest.param({"baseline_sha": sha(3), "awaits_baseline": False}, 4, ("unaffected", False, ""), id="after it"),
        pytest.param({}, 4, ("unaffected", False, ""), id="no baseline yet, and came when the target was known"),
        pytest.param({"first_seen_at": at(9)}, 4, ("pending", False, "scoping"), id="no baseline yet, and is older"),
        pytest.param(
            {"baseline_sha": sha(3), "awaits_baseline": True, "first_seen_at": at(9)},
            2,
            ("pending", False, "scoping"),
            id="re-pointed",
        ),
    ],
)
async def test_absent_row_means(
    ledger: SqlLedger, target_fields: dict[str, Any], number: int, expected: tuple[str, bool, str]
) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        await world.commits(repository, range(1, 6))
        await world.target(repository, **target_fields)
    delivery = await only_delivery(ledger, sha(number))
    assert (delivery.verdict, delivery.is_before_baseline, delivery.reason) == expected
    assert delivery.is_settled is (expected[0] != "pending")


async def test_baseline_that_was_cut_off_the_branch_still_bounds_history(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        made = await world.commits(repository, range(1, 4))
        await world.target(repository, baseline_sha=sha(3), awaits_baseline=False)
        await unit.cut_chain(repository.id, "main", after=made[1].id)
        await world.commits(repository, range(4, 5))
    assert (await only_delivery(ledger, sha(2))).is_before_baseline
    assert (await only_delivery(ledger, sha(4))).verdict == "unaffected"
    assert (await trail_of(ledger, sha(3))).deliveries == []


async def test_only_live_followers_of_the_branch_are_derived(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        repository, other = await world.repository(), await world.repository("blog")
        [commit] = await world.commits(repository, range(1, 2))
        await world.target(repository, "here", baseline_sha=sha(9), awaits_baseline=False)
        await world.target(repository, "tags", branch=None, follows_tags=True, first_seen_at=at(9))
        await world.target(repository, "elsewhere", branch="release")
        await world.target(other, "blog")
        await world.target(repository, "gone", deleted_at=at(1))
        abandoned = await world.target(repository, "abandoned", deleted_at=at(1))
        await world.delivery(commit, abandoned, Verdict.ABANDONED)
    names = [delivery.target.rpartition("/")[2] for delivery in (await trail_of(ledger, sha(1))).deliveries]
    assert names == ["abandoned", "tags", "here"]


PENDING_CASES = [
    pytest.param({}, {}, "awaiting_fetch", id="not fetched"),
    pytest.param({}, {"revision": revision(2)}, "awaiting_sync", id="fetched"),
    pytest.param({"attempted": revision(2)}, {"revision": revision(2)}, "syncing", id="attempted"),
    pytest.param({"attempted": revision(1)}, {"revision": revision(2)}, "awaiting_sync", id="an older one attempted"),
    pytest.param(
        {"phase": Outcome.WAITING}, {"revision": revision(3)}, "waiting_for_dependency", id="waits for a dependency"
    ),
    pytest.param({"is_suspended": True}, {"revision": revision(2)}, "suspended", id="suspended"),
    pytest.param({}, {"is_suspended": True}, "source_suspended", id="source suspended"),
    pytest.param({}, {"problem": "auth"}, "source_failing", id="source failing"),
    pytest.param({"follows_tags": True, "branch": None}, {}, "awaiting_tag", id="no tag contains it"),
    pytest.param(
        {"follows_tags": True, "branch": None}, {"revision": f"v1@sha1:{sha(3)}"}, "awaiting_sync", id="a tag does"
    ),
    pytest.param({}, {"revision": "main@sha1:" + "f" * 40}, "awaiting_fetch", id="fetched something unknown"),
]


@pytest.mark.parametrize(("target_fields", "source_fields", "reason"), PENDING_CASES)
async def test_pending_row_says_what_it_waits_for(
    ledger: SqlLedger, target_fields: dict[str, Any], source_fields: dict[str, Any], reason: str
) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        commits = await world.commits(repository, range(1, 4))
        await world.source(repository, **source_fields)
        ready: dict[str, Any] = {"baseline_sha": sha(1), "awaits_baseline": False, "applied": revision(1)}
        target = await world.target(repository, **(ready | target_fields))
        await world.delivery(commits[1], target, Verdict.PENDING)
    delivery = await only_delivery(ledger, sha(2))
    assert (delivery.verdict, delivery.reason, delivery.is_settled) == ("pending", reason, False)
    assert delivery.message == ("auth" if reason == "source_failing" else "")
    by_will = reason in ("suspended", "source_suspended", "awaiting_tag")
    [target_view] = (await ledger.list_targets(now=NOW)).items
    assert target_view.oldest_pending_seconds == (None if by_will else 998)
    assert (await trail_of(ledger, sha(2))).commit.oldest_pending_seconds == (None if by_will else 998)
    [inflight] = (await ledger.counts(now=NOW)).inflight
    assert (inflight.commits, inflight.oldest_since) == (1, None if by_will else at(2))


async def test_target_that_never_was_ready_says_so(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        await world.commits(repository, range(1, 2))
        await world.target(repository, message="path not found", first_seen_at=at(9))
    delivery = await only_delivery(ledger, sha(1))
    assert delivery.message == ("kustomization 'flux-system/apps' has not reconciled successfully yet: path not found")


async def test_failed_settles_after_quiet_time(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        [commit] = await world.commits(repository, range(1, 2))
        target = await world.target(repository, applied=revision(9), phase=Outcome.FAILED, message="no such chart")
        await world.delivery(commit, target, Verdict.FAILED, reason="BuildFailed", since=at(500))
    delivery = await only_delivery(ledger, sha(1))
    assert (delivery.reason, delivery.message, delivery.is_settled) == ("BuildFailed", "no such chart", False)
    found = await ledger.find_trail(sha(1), now=NOW, settle_after=timedelta(seconds=500))
    assert isinstance(found, TrailView)
    assert found.is_settled


# source commits


class Shop:
    """A source repository that is exported to a manifests repository, which one target follows."""

    def __init__(self, unit: SqlUnit) -> None:
        self.unit = unit
        self.world = World(unit)

    async def make(self) -> tuple[CommitRecord, RepositoryRecord]:
        shop, manifests = await self.world.repository("shop"), await self.world.repository("manifests")
        await self.unit.put_repository_exports(shop.id, [manifests.id])
        [commit] = await self.world.commits(shop, range(1, 2))
        return commit, manifests


async def test_source_commit_awaits_its_export_on_every_target_of_the_manifests(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        _, manifests = await Shop(unit).make()
        await World(unit).target(manifests, "a")
        await World(unit).target(manifests, "b")
        await World(unit).target(manifests, "gone", deleted_at=NOON)
    trail = await trail_of(ledger, sha(1))
    assert [delivery.reason for delivery in trail.deliveries] == ["awaiting_export", "awaiting_export"]
    assert list(trail.deliveries[0].stages) == ["merged"]
    assert not trail.is_settled


async def test_source_commit_has_its_own_rows_and_the_union_of_its_carriers_elsewhere(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        commit, manifests = await Shop(unit).make()
        carriers = await world.commits(manifests, range(11, 13), is_carrier=True)
        await unit.put_exports(
            [
                ExportRecord(carrier_id=carrier.id, source_id=commit.id, stated_at=None, build_link="https://ci/1")
                for carrier in carriers
            ]
        )
        ready: dict[str, Any] = {"baseline_sha": sha(99), "awaits_baseline": False, "applied": revision(12)}
        own = await world.target(manifests, "own", **ready)
        sync = await world.sync(own, 12, fetched=moment(20), applied=moment(21))
        await world.delivery(commit, own, carrier_id=carriers[0].id, applied_sync=sync.id)
        await world.delivery(carriers[1], own, Verdict.FAILED)
        mixed = await world.target(manifests, "mixed", **ready)
        await world.delivery(carriers[0], mixed, applied_sync=sync.id)
        await world.delivery(carriers[1], mixed, Verdict.FAILED, reason="HealthCheckFailed")
        one = await world.target(manifests, "one", **ready)
        await world.delivery(carriers[0], one, applied_sync=sync.id)
        await world.target(manifests, "untouched", **ready)
        await world.target(manifests, "new", first_seen_at=at(99))
    trail = await trail_of(ledger, sha(1))
    by_name = {delivery.target.rpartition("/")[2]: delivery for delivery in trail.deliveries}
    assert {name: view.verdict for name, view in by_name.items()} == {
        "own": "deployed",
        "mixed": "failed",
        "one": "deployed",
        "untouched": "unaffected",
        "new": "pending",
    }
    assert {view.sha for view in trail.deliveries} == {sha(1)}
    assert {view.repository for view in trail.deliveries} == {"github.com/acme/shop"}
    assert (by_name["own"].carrier, by_name["own"].via) == (sha(11), sha(12))
    assert by_name["mixed"].reason == "HealthCheckFailed"
    assert by_name["new"].reason == "scoping"
    assert by_name["one"].stages == {
        "merged": moment(1, Evidence.BRANCH_MOVED),
        "exported": moment(11, Evidence.BRANCH_MOVED),
        "fetched": moment(20),
        "applied": moment(21),
    }
    assert [export.sha for export in trail.exports] == [sha(11), sha(12)]
    assert trail.exports[0].build_link == "https://ci/1"
    assert trail.commit.web_url == f"https://github.com/acme/shop/commit/{sha(1)}"


async def test_limit_shows_less_and_settles_by_all(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        [commit] = await world.commits(repository, range(1, 2))
        for name in "abc":
            target = await world.target(repository, name)
            await world.delivery(commit, target, Verdict.DEPLOYED if name < "c" else Verdict.PENDING)
    trail = await trail_of(ledger, sha(1), limit_targets=2)
    assert [delivery.verdict for delivery in trail.deliveries] == ["deployed", "deployed"]
    assert not trail.is_settled
    assert trail.commit.verdicts == {"deployed": 2, "pending": 1}


async def test_outlines_have_the_verdicts_that_are_kept_and_name_what_only_carriers_have(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository("shop"), await world.repository("manifests")
        [commit] = await world.commits(shop, range(1, 2))
        [carrier] = await world.commits(manifests, range(11, 12), is_carrier=True)
        await unit.put_exports([ExportRecord(carrier_id=carrier.id, source_id=commit.id, stated_at=None)])
        own, other = [await world.target(manifests, name=name) for name in ("own", "other")]
        for one, target in ((commit, own), (carrier, own), (carrier, other)):
            await world.delivery(one, target, Verdict.FAILED)
    found = await ledger.outlines([commit.id, carrier.id, CommitId(99)])
    assert {(item[1].rpartition("/")[2], item[2]) for item in found[commit.id].verdicts} == {
        ("own", "failed"),
        ("other", ""),
    }
    assert {item[2] for item in found[carrier.id].verdicts} == {"failed"}
    assert (found[commit.id].repository, found[commit.id].is_carrier) == ("github.com/acme/shop", False)
    assert found[carrier.id].is_carrier
    assert set(found) == {commit.id, carrier.id}
    assert not any(outline.awaits_export for outline in found.values())


async def test_an_outline_tells_that_an_export_is_waited_for(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        commit, manifests = await Shop(unit).make()
        [carrier] = await World(unit).commits(manifests, range(11, 12), is_carrier=True)
    found = await ledger.outlines([commit.id, carrier.id])
    assert {id_: outline.awaits_export for id_, outline in found.items()} == {commit.id: True, carrier.id: False}
