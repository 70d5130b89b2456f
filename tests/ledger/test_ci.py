"""CI runs and pull requests: what a unit keeps of them, and what a trail shows."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace
from tests.ledger.world import NOON, World, at, moment, sha
from tests.model.ci import run

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.ci import Approval, CiRole, CiStage, CiState, Delivered, PullRequest, Standing, find_built
from fluxtrail.model.records import AliasKind, ExportRecord
from fluxtrail.model.telling import TellingKey, TrackedRun
from fluxtrail.model.views import TrailView

SHOP = "github.com/acme/shop"
HOUR = timedelta(hours=1)
RUN = run(sha=sha(1), state=CiState.RUNNING, finished_at=None, updated_at=at(60), queued_at=at(30))
DONE = replace(RUN, state=CiState.SUCCEEDED, finished_at=at(90), updated_at=at(90))
PULL = PullRequest(
    repository=SHOP,
    number=12,
    title="Sell more",
    author="ada",
    state="merged",
    merged_by="grace",
    merged_at=at(10),
    approvals=(Approval(by="grace", state="approved", at=at(9)),),
)


async def _trail(ledger: SqlLedger, query: str) -> TrailView:
    found = await ledger.find_trail(query, now=at(3600), settle_after=HOUR)
    assert isinstance(found, TrailView)
    return found


async def test_runs_are_kept_by_what_they_are_and_only_go_forward(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        assert await unit.put_ci_runs([RUN, replace(RUN, role=CiRole.EXPORT)]) == [
            RUN,
            replace(RUN, role=CiRole.EXPORT),
        ]
        assert await unit.put_ci_runs([DONE, RUN]) == [DONE]
        assert await unit.put_ci_runs([RUN, DONE]) == []
        other = replace(RUN, repository="github.com/acme/other", run_id="8")
        await unit.put_ci_runs([other])
    async with ledger.unit() as unit:
        found = await unit.ci_runs_of(SHOP, [sha(1), sha(2)])
        assert found == {sha(1): [DONE, replace(RUN, role=CiRole.EXPORT)]}
        assert await unit.open_ci_runs(SHOP, since=NOON, limit=9) == [replace(RUN, role=CiRole.EXPORT)]
        assert await unit.open_ci_runs(SHOP, since=at(31), limit=9) == []


async def test_a_trail_shows_the_runs_and_the_pull_request_behind_its_commit(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop = await world.repository()
        (commit,) = await world.commits(shop, range(1, 2))
        await unit.put_commits([replace(commit, pull_request=12)])
        await unit.put_aliases(shop.id, commit.id, AliasKind.PULL_REQUEST, [sha(7)])
        await world.target(shop)
        before = replace(DONE, run_id="6", sha=sha(7), queued_at=at(1))
        await unit.put_ci_runs([DONE, before])
        await unit.put_pull_requests([replace(PULL, title="Sell"), PULL])
        await unit.put_builds({commit.id: Standing(find_built([DONE]), CiState.SUCCEEDED)})
        await unit.put_commits([commit])
    trail = await _trail(ledger, sha(1))
    assert trail.ci_runs == [before, DONE]
    assert trail.pull_request == PULL
    assert trail.commit.build_state == "succeeded"
    assert [delivery.stages["built"].at for delivery in trail.deliveries] == [at(90)]
    async with ledger.unit() as unit:
        assert await unit.pull_requests_of(SHOP, [11, 12]) == {12: (PULL, NOON)}


async def test_what_a_run_exported_is_shown_until_its_export_is_known(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository(), await world.repository("manifests")
        (commit,) = await world.commits(shop, range(1, 2))
        await unit.put_repository_exports(shop.id, [manifests.id])
        await world.target(manifests)
        await unit.put_builds({commit.id: Standing(exported=find_built([DONE]))})
    (waiting,) = (await _trail(ledger, sha(1))).deliveries
    assert (waiting.reason, waiting.stages["exported"].at) == ("awaiting_export", at(90))
    async with ledger.unit() as unit:
        (carrier,) = await World(unit).commits(manifests, range(200, 201), is_carrier=True)
        await unit.put_exports([ExportRecord(carrier_id=carrier.id, source_id=commit.id, stated_at=None)])
    (carried,) = (await _trail(ledger, sha(1))).deliveries
    assert carried.stages["exported"].at == at(200), "the branch moved: that is better known"


async def test_what_is_old_is_forgotten_a_bite_at_a_time(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        await unit.put_ci_runs([replace(RUN, run_id=str(number), queued_at=at(number)) for number in range(5)])
        await unit.put_pull_requests([PULL])
    async with ledger.unit() as unit:
        taken = [(await unit.prune(at(3), limit=2)).ci_runs for _ in range(3)]
        assert await unit.ci_runs_of(SHOP, [sha(1)]) == {
            sha(1): [replace(RUN, run_id=str(number), queued_at=at(number)) for number in (3, 4)]
        }
        assert await unit.pull_requests_of(SHOP, [12]) == {}
    assert taken == [2, 1, 0]


async def test_what_is_told_names_the_run_that_ended_when_the_commit_was_built(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop = await world.repository()
        first, second = await world.commits(shop, range(1, 3))
        target = await world.target(shop)
        for commit in (first, second):
            await world.delivery(commit, target)
        other = replace(DONE, run_id="8", finished_at=at(80), updated_at=at(80))
        await unit.put_ci_runs([replace(DONE, url="https://ci.test/7", attempt=2), other])
        await unit.put_builds({item.id: Standing(find_built([DONE]), CiState.SUCCEEDED) for item in (first, second)})
    keys = [TellingKey(item.id, target.id, None) for item in (first, second)]
    told = await ledger.delivery_tellings(keys)
    assert [told[key].commit.built == find_built([DONE]) for key in keys] == [True, True]
    run_of_it = TrackedRun(url="https://ci.test/7", pipeline="build", run_id="7", attempt=2)
    assert [told[key].commit.built_by for key in keys] == [run_of_it, None]


async def test_recent_commits_are_no_carriers_and_the_newest_come_first(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop = await world.repository()
        await world.commits(shop, range(1, 6))
        await world.commits(shop, range(6, 8), is_carrier=True)
        await world.commits(await world.repository("cart"), range(1, 3))
        found = await unit.recent_commits(shop.id, since=at(2), limit=3)
    assert [commit.sha for commit in found] == [sha(5), sha(4), sha(3)]


async def test_commits_are_found_by_what_leads_to_them(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, cart = await world.repository(), await world.repository("cart")
        first, second = await world.commits(shop, range(1, 3))
        (other,) = await world.commits(cart, range(1, 2))
        await unit.put_aliases(shop.id, second.id, AliasKind.PULL_REQUEST, [sha(7), sha(8)])
        await unit.put_aliases(cart.id, other.id, AliasKind.MERGED, [sha(7)])
        assert await unit.built_commits(SHOP, [sha(1), sha(7), sha(8)]) == [first, second]
        assert await unit.built_commits("github.com/acme/nowhere", [sha(1)]) == []
        assert await unit.aliases_of([first.id, second.id]) == {second.id: [sha(7), sha(8)]}


async def test_how_far_a_commit_has_come_is_its_first_export_else_its_first_sync(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository(), await world.repository("manifests")
        exported, applied, neither = await world.commits(shop, range(1, 4))
        carriers = await world.commits(manifests, range(50, 52), is_carrier=True)
        await unit.put_exports(
            [
                ExportRecord(carrier_id=carrier.id, source_id=exported.id, stated_at=None, build_link=f"link {index}")
                for index, carrier in enumerate(carriers)
            ]
        )
        target = await world.target(shop)
        for commit, seconds in ((exported, 10), (applied, 70)):
            sync = await world.sync(target, 1, applied=moment(seconds))
            await world.delivery(commit, target, applied_sync=sync.id)
        found = await unit.delivered_of([exported.id, applied.id, neither.id])
    assert found == {exported.id: Delivered(at(50), "link 0", is_exported=True), applied.id: Delivered(at(70), "")}


async def test_a_list_of_runs_takes_nothing_from_what_is_known_of_one(ledger: SqlLedger) -> None:
    stages = (CiStage(name="Build", state=CiState.SUCCEEDED),)
    whole = replace(DONE, stages=stages, finished_at=at(88), image="ghcr.io/acme/shop:1", author="ada")
    async with ledger.unit() as unit:
        await unit.put_ci_runs([whole])
        assert await unit.put_ci_runs([DONE]) == []
        later = replace(DONE, updated_at=at(95))
        assert await unit.put_ci_runs([later]) == [replace(whole, updated_at=at(95))]
        again = replace(RUN, attempt=2, updated_at=at(100))
        assert await unit.put_ci_runs([again]) == [again]
