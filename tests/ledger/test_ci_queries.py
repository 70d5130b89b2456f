"""CI runs listed, where commits came from, and what is applied: on every engine."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.ledger.world import World, at, moment, sha
from tests.model.ci import run

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.ci import CiRole, CiState, PullRequest
from fluxtrail.model.ci_views import AppliedHead, OriginExport, SyncLine
from fluxtrail.model.errors import ConfigError
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.records import AliasKind, ExportRecord

SHOP, MANIFESTS = "github.com/acme/shop", "github.com/acme/manifests"


async def test_runs_that_began_at_once_are_all_on_some_page(ledger: SqlLedger) -> None:
    runs = [run(str(number), sha=sha(number), queued_at=at(number // 2)) for number in range(7)]
    async with ledger.unit() as unit:
        await unit.put_ci_runs(runs)
    found, cursor = [], None
    while True:
        page = await ledger.list_ci_runs(limit=2, cursor=cursor)
        found += [one.run_id for one in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert sorted(found) == [str(number) for number in range(7)]
    assert found[0] == "6"
    assert [one.run_id for one in (await ledger.list_ci_runs(sha=sha(3)[:8], repository="acme/shop")).items] == ["3"]
    assert (await ledger.list_ci_runs(repository="acme%")).items == []
    with pytest.raises(ConfigError, match="none of"):
        await ledger.list_ci_runs(state="great")
    with pytest.raises(ConfigError, match="cursor"):
        await ledger.list_ci_runs(cursor="W10")


async def test_an_origin_is_what_a_commit_came_from_and_went_to(ledger: SqlLedger) -> None:
    own, before = run("1", sha=sha(1), queued_at=at(2)), run("2", sha=sha(7), queued_at=at(1))
    carried = run("3", sha=sha(101), repository=MANIFESTS, role=CiRole.EXPORT)
    pull = PullRequest(repository=SHOP, number=12, title="Sell", author="ada")
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository(), await world.repository("manifests")
        (source,) = await world.commits(shop, range(1, 2))
        (export,) = await world.commits(manifests, range(101, 102), is_carrier=True)
        await unit.put_commits([replace(source, pull_request=12)])
        await unit.put_aliases(shop.id, source.id, AliasKind.PULL_REQUEST, [sha(7)])
        await unit.put_exports(
            [ExportRecord(carrier_id=export.id, source_id=source.id, stated_at=None, build_link="x")]
        )
        await unit.put_ci_runs([own, before, carried, replace(own, run_id="9", repository="github.com/other/shop")])
        await unit.put_pull_requests([pull, replace(pull, repository="github.com/other/shop")])
    found = await ledger.origins([(SHOP, sha(1)), (SHOP, sha(5)), ("github.com/other/shop", sha(1))])
    assert list(found) == [(SHOP, sha(1))]
    origin = found[SHOP, sha(1)]
    assert (origin.branch, origin.runs, origin.pull_request) == ("main", (before, own), pull)
    assert origin.exports == (
        OriginExport(sha=sha(101), repository=MANIFESTS, committed_at=at(101), build_link="x", runs=(carried,)),
    )
    assert await ledger.origins([]) == {}


async def test_heads_are_what_live_targets_have_applied(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop = await world.repository()
        await unit.put_cluster(ClusterUid("c1"), "alaska", at())
        for name, number, deleted in (("a", 1, None), ("b", 1, None), ("c", 2, None), ("d", 3, at(9))):
            target = await world.target(shop, name, applied=f"main@sha1:{sha(number)}")
            sync = await world.sync(target, number, applied=moment(20 if name == "a" else 30), reason="Fine")
            await unit.put_target(replace(target, sync_id=sync.id, deleted_at=deleted))
        await world.target(shop, "none")
    assert await ledger.applied_heads() == [
        AppliedHead(cluster="alaska", repository=SHOP, sha=sha(1), at=at(20), targets=2),
        AppliedHead(cluster="alaska", repository=SHOP, sha=sha(2), at=at(30), targets=1),
    ]
    lines = await ledger.recent_syncs(since=at(2), limit=9)
    assert lines == [
        SyncLine(sha=sha(3), reason="Fine", message="", kind="Kustomization", at=at(30)),
        SyncLine(sha=sha(2), reason="Fine", message="", kind="Kustomization", at=at(30)),
    ]


async def test_states_are_words_of_ours(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        await unit.put_ci_runs([run(state.value, state=state, sha=sha(1)) for state in CiState])
    for state in CiState:
        assert [one.run_id for one in (await ledger.list_ci_runs(state=state)).items] == [state.value]
