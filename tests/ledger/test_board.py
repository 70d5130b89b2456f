"""The board: commits × clusters or environments. Its oracle is the trail of each of its commits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ledger.world import NOON, ON_POSTGRES, ON_SQLITE, NewPlace, World, at, moment, opened, sha

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.ledger.queries import board, board_cells, commit_walks
from fluxtrail.model.environments import Environment, Grouping
from fluxtrail.model.errors import ConfigError
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.records import CommitRecord, ExportRecord, TargetRecord
from fluxtrail.model.verdict import Verdict, union
from fluxtrail.model.views import BoardView, CellView, TrailView

SETTLE = timedelta(hours=1)
NOW = at(10_000)


async def board_of(ledger: SqlLedger, **given: Any) -> BoardView:
    return await ledger.board(now=NOW, settle_after=SETTLE, **given)


async def shas_of(ledger: SqlLedger, **given: Any) -> list[str]:
    return [row.commit.sha for row in (await board_of(ledger, **given)).items]


def numbers(*wanted: int) -> list[str]:
    return [sha(number) for number in wanted]


async def two_clusters(world: World) -> tuple[list[CommitRecord], list[TargetRecord]]:
    """Commits 1 to 3 of the shop; `cart` and `mail` on north, `cart` on south."""
    for uid, name in (("c1", "north"), ("c2", "south")):
        await world.unit.put_cluster(ClusterUid(uid), name, NOON)
    shop = await world.repository()
    commits = await world.commits(shop, range(1, 4))
    based: dict[str, Any] = {"baseline_sha": sha(1), "awaits_baseline": False}
    targets = [
        await world.target(shop, "cart", path="apps/cart", **based),
        await world.target(shop, "mail", path="apps/mail", **based),
        await world.target(shop, "cart", cluster="c2", path="apps/cart", **based),
    ]
    return commits, targets


# cells


async def test_cell_tells_the_worst_of_its_column_how_many_and_the_last_change(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        [_, two, three], [cart, mail, south] = await two_clusters(world)
        sync = await world.sync(cart, 3, applied=moment(40), healthy=moment(50))
        await world.delivery(two, cart, since=at(45), applied_sync=sync.id, healthy_sync=sync.id)
        await world.delivery(two, mail, since=at(60), applied_sync=sync.id)
        await world.delivery(three, cart, Verdict.FAILED, reason="BuildFailed", since=at(70))
        await world.delivery(three, mail, since=at(80))
        await world.delivery(three, south, Verdict.PENDING)
    found = await board_of(ledger)
    assert [(column.name, column.targets) for column in found.columns] == [("north", 2), ("south", 1)]
    assert [row.commit.sha for row in found.items] == numbers(3, 2, 1)
    newest, middle, oldest = (row.cells for row in found.items)
    failed = newest[0]
    assert failed is not None
    assert (failed.verdict, failed.reason, failed.count, failed.since) == ("failed", "BuildFailed", 1, at(70))
    assert failed.counts == {"failed": 1, "deployed": 1}
    assert (failed.target, failed.target_id) == ("Kustomization/flux-system/cart", cart.id)
    pending = newest[1]
    assert pending is not None
    assert (pending.verdict, pending.reason) == ("pending", "awaiting_fetch")
    deployed = middle[0]
    assert deployed is not None
    assert (deployed.verdict, deployed.count, deployed.since, deployed.stage) == ("deployed", 2, at(60), "applied")
    assert deployed.via == sha(3)
    assert middle[1] == CellView(verdict="unaffected")
    assert oldest == [CellView(verdict="deployed", is_before_baseline=True)] * 2


async def test_brief_cell_tells_the_same_verdict_and_of_how_many(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        [one, two, three], [cart, mail, south] = await two_clusters(world)
        await world.delivery(one, cart)
        await world.delivery(two, cart, Verdict.FAILED)
        await world.delivery(two, mail)
        await world.delivery(three, south, Verdict.PENDING)
    whole, brief = await board_of(ledger), await board_of(ledger, is_brief=True)

    def told(found: BoardView) -> list[list[tuple[str, int, dict[str, int]] | None]]:
        return [
            [(cell.verdict, cell.count, cell.counts) if cell else None for cell in row.cells] for row in found.items
        ]

    assert told(brief) == told(whole)
    assert any(cell for row in told(brief) for cell in row)
    assert not any(cell.target for row in brief.items for cell in row.cells if cell)


async def test_cell_of_many_deliveries_says_nothing_of_when(ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_cells, "DATED", 1)
    async with ledger.unit() as unit:
        world = World(unit)
        [_, two, _], [cart, mail, south] = await two_clusters(world)
        for target in (cart, mail, south):
            await world.delivery(two, target)
    [cells] = [row.cells for row in (await board_of(ledger)).items if row.commit.sha == sha(2)]
    assert [(cell.count, cell.since) for cell in cells if cell] == [(2, None), (1, at(2))]


async def test_source_commit_goes_where_its_export_goes(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, manifests = await world.repository("shop"), await world.repository("manifests")
        [one, two] = await world.commits(shop, range(1, 3))
        [export] = await world.commits(manifests, range(10, 11), is_carrier=True)
        await unit.put_repository_exports(shop.id, [manifests.id])
        await unit.put_exports([ExportRecord(carrier_id=export.id, source_id=one.id, stated_at=None)])
        target = await world.target(manifests)
        await world.delivery(export, target, Verdict.FAILED)
    found = {row.commit.sha: row.cells for row in (await board_of(ledger)).items}
    carried, awaited = found[one.sha][0], found[two.sha][0]
    assert carried is not None
    assert awaited is not None
    assert (carried.verdict, awaited.verdict, awaited.reason) == ("failed", "pending", "awaiting_export")
    assert export.sha not in found
    assert export.sha in await shas_of(ledger, carriers=True)


_CELLS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 4), st.sampled_from(list(Verdict))),
    max_size=12,
    unique_by=lambda cell: cell[:2],
)
_TARGETS = st.lists(
    st.tuples(
        st.sampled_from(["shop", "manifests", None]),
        st.sampled_from(["c1", "c2"]),
        st.sampled_from([None, 1, 3, 11]),
        st.booleans(),  # known before the commits came
    ),
    min_size=5,
    max_size=5,
)
_PROPERTY: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


async def _cells_are_those_of_the_trails(
    new_place: NewPlace, cells: Sequence[tuple[int, int, Verdict]], wanted: Sequence[Any], exports: Sequence[int | None]
) -> None:
    async with new_place() as place, opened(place) as ledger:
        async with ledger.unit() as unit:
            world = World(unit)
            repositories = {name: await world.repository(name) for name in ("shop", "manifests")}
            commits = await world.commits(repositories["shop"], range(1, 5))
            commits += await world.commits(repositories["manifests"], range(11, 13), is_carrier=True)
            await unit.put_repository_exports(repositories["shop"].id, [repositories["manifests"].id])
            await unit.put_exports(
                [
                    ExportRecord(carrier_id=commits[4 + export].id, source_id=commit.id, stated_at=None)
                    for commit, export in zip(commits, exports, strict=False)
                    if export is not None
                ]
            )
            targets = [
                await world.target(
                    repositories.get(repository) if repository else None,
                    f"t{index}",
                    cluster=cluster,
                    baseline_sha=sha(baseline) if baseline else None,
                    awaits_baseline=baseline is None,
                    first_seen_at=NOON if is_early else at(100),
                )
                for index, (repository, cluster, baseline, is_early) in enumerate(wanted)
            ]
            # An export is delivered to targets of its own repository alone.
            cells = [cell for cell in cells if cell[0] < 4 or wanted[cell[1]][0] == "manifests"]
            for commit, target, verdict in cells:
                await world.delivery(commits[commit], targets[target], verdict)
        found = await board_of(ledger, carriers=True)
        assert len(found.items) == 6
        own = {(commits[commit].sha, str(targets[target].key)) for commit, target, _ in cells}
        for row in found.items:
            trail = await ledger.find_trail(row.commit.sha, now=NOW, settle_after=SETTLE)
            assert isinstance(trail, TrailView)
            for column, cell in zip(found.columns, row.cells, strict=True):
                assert (cell.verdict if cell else None) == _expected(trail, column.name, own)


def _expected(trail: TrailView, cluster: str, own: set[tuple[str, str]]) -> str | None:
    """The worst of what is stored of the commit there; else of its exports; else of what follows."""
    there = [view for view in trail.deliveries if view.cluster == cluster]
    stored = [view for view in there if view.since is not None]
    chosen = [view for view in stored if (trail.commit.sha, view.target) in own] or stored or there
    return union([Verdict(view.verdict) for view in chosen]).value if chosen else None


_EXPORTS = st.lists(st.sampled_from([None, 0, 1]), min_size=4, max_size=4)


@ON_SQLITE
@settings(max_examples=15, **_PROPERTY)
@given(cells=_CELLS, wanted=_TARGETS, exports=_EXPORTS)
async def test_cells_are_those_of_the_trails_in_a_file(
    new_place: NewPlace, cells: list[Any], wanted: list[Any], exports: list[Any]
) -> None:
    await _cells_are_those_of_the_trails(new_place, cells, wanted, exports)


@pytest.mark.requires("postgres")
@ON_POSTGRES
@settings(max_examples=5, **_PROPERTY)
@given(cells=_CELLS, wanted=_TARGETS, exports=_EXPORTS)
async def test_cells_are_those_of_the_trails_in_postgres(
    new_place: NewPlace, cells: list[Any], wanted: list[Any], exports: list[Any]
) -> None:
    await _cells_are_those_of_the_trails(new_place, cells, wanted, exports)


# which commits, which columns


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        pytest.param({}, numbers(4, 3, 2, 1), id="everything"),
        pytest.param({"text": "CHANGE 2"}, numbers(2), id="part of the subject"),
        pytest.param({"text": sha(3)[:9]}, numbers(3), id="beginning of the sha"),
        pytest.param({"text": sha(3)[:9], "verdict": "failed"}, numbers(3), id="that sha with that verdict"),
        pytest.param({"text": sha(3)[:9], "verdict": "deployed"}, [], id="that sha with another verdict"),
        pytest.param({"text": "fade", "author": "ada"}, [], id="a word that may be a sha"),
        pytest.param({"text": "100%"}, [], id="no pattern"),
        pytest.param({"author": "aDa"}, numbers(4, 3, 2, 1), id="author"),
        pytest.param({"author": "Bob"}, [], id="nobody"),
        pytest.param({"repository": "acme/blog"}, numbers(4), id="repository"),
        pytest.param({"since": at(2), "until": at(4)}, numbers(3, 2), id="since is in, until is not"),
        pytest.param({"verdict": "failed"}, numbers(3), id="verdict"),
        pytest.param({"cluster": "south"}, numbers(2), id="cluster by name"),
        pytest.param({"cluster": "c1"}, numbers(3, 2), id="cluster by uid"),
        pytest.param({"service": "MAIL"}, numbers(3), id="name of a target"),
        pytest.param({"service": "apps/cart"}, numbers(2), id="path of a target"),
        pytest.param({"service": "mail", "verdict": "deployed"}, [], id="verdict on that target"),
        pytest.param({"cluster": "nowhere"}, [], id="no cluster"),
        pytest.param({"environment": "south"}, numbers(2), id="cluster as environment"),
    ],
)
async def test_board_is_narrowed(ledger: SqlLedger, chosen: dict[str, Any], expected: list[str]) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        [_, two, three], [cart, mail, south] = await two_clusters(world)
        await world.commits(await world.repository("blog"), range(4, 5))
        await world.delivery(two, cart)
        await world.delivery(two, south)
        await world.delivery(three, mail, Verdict.FAILED)
    assert await shas_of(ledger, **chosen) == expected


async def test_commit_is_found_by_its_sha_however_old_it_is(ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_walks, "LOOKED_AT", 2)
    async with ledger.unit() as unit:
        world = World(unit)
        await world.commits(await world.repository("shop"), range(1, 9))
    found = await board_of(ledger, text=sha(1)[:9].upper())
    assert ([row.commit.sha for row in found.items], found.next) == (numbers(1), None)


async def test_columns_are_environments_in_the_order_of_the_settings(ledger: SqlLedger) -> None:
    grouping = Grouping(
        (Environment(name="shopping", targets=("*/cart",)), Environment(name="all", clusters=("nobody",)))
    )
    async with ledger.unit() as unit:
        await two_clusters(World(unit))
    found = await board_of(ledger, grouping=grouping, by="environment")
    assert [(column.name, column.targets) for column in found.columns] == [("shopping", 2), ("north", 1)]
    one = await board_of(ledger, grouping=grouping, by="cluster", environment="shopping")
    assert [(column.name, column.targets) for column in one.columns] == [("north", 1), ("south", 1)]


async def test_more_columns_than_are_shown_are_counted(ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "COLUMNS", 1)
    async with ledger.unit() as unit:
        await two_clusters(World(unit))
    found = await board_of(ledger)
    assert ([column.name for column in found.columns], found.hidden_columns) == (["north"], 1)
    assert all(len(row.cells) == 1 for row in found.items)


async def test_deleted_targets_are_no_part_of_the_board(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop = await world.repository()
        [commit] = await world.commits(shop, range(1, 2))
        await world.delivery(commit, await world.target(shop, deleted_at=at(5)), Verdict.ABANDONED)
    found = await board_of(ledger)
    assert (found.columns, [row.cells for row in found.items]) == ([], [[]])


@pytest.mark.parametrize("looked_at", [2, 5000])
async def test_pages_together_are_the_whole_board(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    """Where the commits that are gone through run out before the page is full, it comes short, with a cursor."""
    monkeypatch.setattr(commit_walks, "LOOKED_AT", looked_at)
    async with ledger.unit() as unit:
        world = World(unit)
        shop = await world.repository()
        commits = await world.commits(shop, range(1, 12))
        target = await world.target(shop)
        for commit in commits[::5]:
            await world.delivery(commit, target, Verdict.FAILED)
    found: list[str] = []
    cursor: str | None = None
    for _ in range(20):
        page = await board_of(ledger, verdict="failed", limit=2, cursor=cursor)
        found += [row.commit.sha for row in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert found == numbers(11, 6, 1)
    with pytest.raises(ConfigError):
        await board_of(ledger, cursor="nonsense")


# search


async def test_search_finds_commits_targets_and_clusters(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        await two_clusters(World(unit))

    async def names(text: str, limit: int = 8) -> list[tuple[str, str, str]]:
        return [(one.kind, one.name, one.where) for one in await ledger.search(text, limit=limit)]

    assert await names(sha(2)[:10]) == [("commit", "Change 2", "github.com/acme/shop")]
    assert await names("change", limit=2) == [("commit", f"Change {n}", "github.com/acme/shop") for n in (3, 2)]
    assert await names("CART") == [("target", "Kustomization/flux-system/cart", name) for name in ("north", "south")]
    assert await names("sout") == [("cluster", "south", "1 targets")]
    assert await names(" ") == []
    assert await names("nothing") == []
