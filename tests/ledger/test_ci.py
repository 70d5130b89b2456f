"""CI runs and pull requests: what a unit keeps of them, and what a trail shows."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace
from tests.ledger.world import NOON, World, at, sha
from tests.model.ci import run

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.ci import Approval, CiRole, CiState, PullRequest, find_built
from fluxtrail.model.records import AliasKind
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
        await unit.put_builds({commit.id: (find_built([DONE]), CiState.SUCCEEDED)})
        await unit.put_commits([commit])
    trail = await _trail(ledger, sha(1))
    assert trail.ci_runs == [before, DONE]
    assert trail.pull_request == PULL
    assert trail.commit.build_state == "succeeded"
    assert [delivery.stages["built"].at for delivery in trail.deliveries] == [at(90)]
    async with ledger.unit() as unit:
        assert await unit.pull_requests_of(SHOP, [11, 12]) == {12: (PULL, NOON)}


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
