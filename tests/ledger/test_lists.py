from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.ledger.world import NOON, ON_POSTGRES, ON_SQLITE, NewPlace, World, at, opened, sha

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import ConfigError
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.records import Attribution, DeliveryRecord
from fluxtrail.model.verdict import Verdict
from fluxtrail.model.views import DeliveryView

SETTLE = timedelta(hours=1)
NOW = at(10_000)


async def all_deliveries(ledger: SqlLedger, *, limit: int = 3, **chosen: Any) -> list[DeliveryView]:
    found: list[DeliveryView] = []
    cursor: str | None = None
    for _ in range(1000):
        page = await ledger.list_deliveries(now=NOW, settle_after=SETTLE, limit=limit, cursor=cursor, **chosen)
        assert len(page.items) <= limit
        found += page.items
        if page.next is None:
            return found
        cursor = page.next
    raise AssertionError("the list has no end")


_ROWS = st.lists(
    st.tuples(
        st.integers(0, 5),  # which target
        st.integers(0, 5),  # which commit
        st.sampled_from(list(Verdict)),
        st.integers(0, 3),  # since; often equal
    ),
    max_size=30,
)
_CHOSEN = st.fixed_dictionaries(
    {},
    optional={
        "cluster": st.sampled_from(["north", "c2", "nowhere"]),
        "namespace": st.sampled_from(["flux-system", "none"]),
        "target": st.sampled_from(["t1", "Kustomization/t3", "kustomization/flux-system/t4"]),
        "repository": st.sampled_from(["acme/shop", "github.com/acme/blog", "hop"]),
        "sha": st.sampled_from([sha(1), sha(3)[:9], "ffff"]),
        "verdict": st.sampled_from([verdict.value for verdict in Verdict]),
        "since": st.sampled_from([at(0), at(2)]),
    },
)


_PROPERTY: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
_GIVEN: dict[str, Any] = {"rows": _ROWS, "chosen": _CHOSEN, "limit": st.integers(1, 7)}
Rows = list[tuple[int, int, Verdict, int]]
_ONE_INSTANT = [(target, 0, Verdict.PENDING, 0) for target in range(3)]
_BELOW_THE_CURSORS_INSTANT = [(0, 0, Verdict.PENDING, 0), (0, 1, Verdict.PENDING, 1), (1, 0, Verdict.PENDING, 1)]
"""A page ends amid rows of one instant, on a target that has an older one too."""


@ON_SQLITE
@pytest.mark.timeout(90)
@settings(max_examples=25, **_PROPERTY)
@given(**_GIVEN)
@example(rows=_ONE_INSTANT, chosen={"namespace": "flux-system"}, limit=1)
@example(rows=_BELOW_THE_CURSORS_INSTANT, chosen={"namespace": "flux-system"}, limit=1)
async def test_list_is_what_a_plain_filter_and_sort_gives(
    new_place: NewPlace, rows: Rows, chosen: dict[str, Any], limit: int
) -> None:
    await _check_list(new_place, rows, chosen, limit)


@ON_POSTGRES
@pytest.mark.requires("postgres")
@pytest.mark.timeout(90)
@settings(max_examples=10, **_PROPERTY)
@given(**_GIVEN)
async def test_list_of_a_database_is_the_same(
    new_place: NewPlace, rows: Rows, chosen: dict[str, Any], limit: int
) -> None:
    await _check_list(new_place, rows, chosen, limit)


async def _check_list(new_place: NewPlace, rows: Rows, chosen: dict[str, Any], limit: int) -> None:
    async with new_place() as place, opened(place) as ledger:
        expected = await _fill(ledger, rows, chosen)
        found = await all_deliveries(ledger, limit=limit, **chosen)
        assert [(view.since, view.sha, view.target_id) for view in found] == expected


async def _fill(ledger: SqlLedger, rows: list[tuple[int, int, Verdict, int]], chosen: dict[str, Any]) -> list[Any]:
    """Keep the rows; return (since, sha, target) of those that meet the filter, in the list's order."""
    async with ledger.unit() as unit:
        world = World(unit)
        await unit.put_cluster(ClusterUid("c1"), "north", NOON)
        shop, blog = await world.repository("shop"), await world.repository("blog")
        commits = await world.commits(shop, range(3)) + await world.commits(blog, range(3, 6))
        targets = [await world.target(shop, f"t{n}", cluster=f"c{n % 2 + 1}") for n in range(6)]
        latest = {(target, commit): (verdict, since) for target, commit, verdict, since in rows}
        await unit.put_deliveries(
            [
                DeliveryRecord(commit_id=commits[c].id, target_id=targets[t].id, verdict=verdict, since=at(since))
                for (t, c), (verdict, since) in latest.items()
            ]
        )
    kept = []
    for (t, c), (verdict, since) in latest.items():
        repository = "github.com/acme/shop" if c < 3 else "github.com/acme/blog"
        names = {f"t{t}", f"Kustomization/t{t}", f"kustomization/flux-system/t{t}"}
        if (
            chosen.get("cluster") in (None, f"c{t % 2 + 1}", "north" if t % 2 == 0 else None)
            and chosen.get("namespace") in (None, "flux-system")
            and chosen.get("target") in (None, *names)
            and ("repository" not in chosen or repository.endswith("/" + chosen["repository"].rpartition("com/")[2]))
            and ("sha" not in chosen or sha(c).startswith(chosen["sha"]))
            and chosen.get("verdict") in (None, verdict.value)
            and ("since" not in chosen or at(since) >= chosen["since"])
        ):
            kept.append((at(since), commits[c].id, targets[t].id, sha(c)))
    return [(since, name, target) for since, _, target, name in sorted(kept, reverse=True)]


async def _put_more(ledger: SqlLedger, number: int) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        [commit] = await world.commits(repository, range(number, number + 1))
        target = await world.target(repository, f"extra-{number}")
        await world.delivery(commit, target)


@pytest.mark.parametrize("chosen", [{}, {"cluster": "c1"}, {"repository": "shop"}, {"verdict": "deployed"}])
async def test_cursor_shows_each_row_once_while_rows_are_added(ledger: SqlLedger, chosen: dict[str, Any]) -> None:
    for number in range(20):
        await _put_more(ledger, number)
    before = {view.sha for view in await all_deliveries(ledger, **chosen)}
    seen: list[str] = []
    cursor: str | None = None
    for number in range(100, 200):
        page = await ledger.list_deliveries(now=NOW, settle_after=SETTLE, limit=3, cursor=cursor, **chosen)
        seen += [view.sha for view in page.items]
        cursor = page.next
        if cursor is None:
            break
        await _put_more(ledger, number)
    assert len(seen) == len(set(seen))
    assert set(seen) == before


@pytest.mark.parametrize("cursor", ["", "nonsense!", "bm8", "WzFd", "é", "WzEsMiwzLDQsNSw2XQ", "e30"])
async def test_bad_cursor_is_the_callers_fault(ledger: SqlLedger, cursor: str) -> None:
    asked: list[Callable[[], Awaitable[object]]] = [
        lambda: ledger.list_deliveries(now=NOW, settle_after=SETTLE, cursor=cursor),
        lambda: ledger.list_commits(now=NOW, cursor=cursor),
        lambda: ledger.list_targets(now=NOW, cursor=cursor),
    ]
    for ask in asked:
        with pytest.raises(ConfigError, match="no cursor of this list") as caught:
            await ask()
        assert caught.value.subject == "cursor"


async def test_unknown_verdict_is_named_with_the_known_ones(ledger: SqlLedger) -> None:
    with pytest.raises(ConfigError, match="'done' is no verdict; use one of pending, deployed") as caught:
        await ledger.list_deliveries(now=NOW, settle_after=SETTLE, verdict="done")
    assert caught.value.subject == "verdict"


async def test_commits_are_listed_by_merge_and_narrowed(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        shop, blog = await world.repository("shop"), await world.repository("blog")
        made = await world.commits(shop, range(5))
        await world.commits(blog, range(10, 12), branch="next", is_carrier=True)
        await world.delivery(made[1], await world.target(shop), Verdict.FAILED)

    async def listed(**chosen: Any) -> list[str]:
        found: list[str] = []
        cursor = None
        while True:
            page = await ledger.list_commits(now=NOW, limit=2, cursor=cursor, **chosen)
            found += [view.sha for view in page.items]
            if (cursor := page.next) is None:
                return found

    assert await listed() == [sha(n) for n in (11, 10, 4, 3, 2, 1, 0)]
    assert await listed(carriers=False, since=at(3)) == [sha(4), sha(3)]
    assert await listed(repository="acme/blog") == [sha(11), sha(10)]
    assert await listed(branch="main", author="aDA", repository="shop") == [sha(n) for n in (4, 3, 2, 1, 0)]
    assert await listed(branch="next") == [sha(11), sha(10)]
    assert await listed(author="a%") == []
    assert await listed(verdict="failed") == [sha(1)]
    [failed] = (await ledger.list_commits(now=NOW, verdict="failed")).items
    assert failed.verdicts == {"failed": 1}


async def test_targets_clusters_and_counts(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        await unit.put_cluster(ClusterUid("c1"), "south", NOON)
        await unit.put_cluster(ClusterUid("c2"), "north", NOON)
        await unit.put_stream_marks({(ClusterUid("c1"), "a"): at(5), (ClusterUid("c1"), "b"): at(3)})
        repository = await world.repository()
        one, two = await world.commits(repository, range(1, 3))
        ready: dict[str, Any] = {"applied": f"main@sha1:{sha(1)}"}
        first = await world.target(repository, "a", **ready)
        other = await world.target(repository, "b", cluster="c2", **ready)
        await world.target(repository, "gone", deleted_at=NOON)
        await world.delivery(one, first, Verdict.FAILED)
        await world.delivery(two, first, Verdict.PENDING)
        await world.delivery(two, other, Verdict.PENDING)
        await world.sync(first, 1)
        newest = await world.sync(first, 2, attribution=Attribution.GAP, attribution_problem="too long ago")
    page = await ledger.list_targets(now=NOW, limit=1)
    assert [view.cluster for view in page.items] == ["north"]
    rest = await ledger.list_targets(now=NOW, limit=1, cursor=page.next)
    assert [(view.cluster, view.pending, view.failed) for view in rest.items] == [("south", 1, 1)]
    assert rest.next is None
    assert [view.id for view in (await ledger.list_targets(now=NOW, cluster="c1", namespace="flux-system")).items] == [
        first.id
    ]
    found = await ledger.target(first.id, now=NOW)
    assert found is not None
    assert found[1][0].id == newest.id
    assert found[1][0].attribution_problem == "too long ago"
    assert await ledger.target(999, now=NOW) is None
    north, south = await ledger.list_clusters()
    assert (north.name, north.pending, north.current_at) == ("north", 1, None)
    assert (south.name, south.targets, south.pending, south.failed, south.current_at) == ("south", 1, 1, 1, at(3))
    counts = await ledger.counts(now=NOW)
    assert (counts.attribution_pending, counts.attribution_gaps) == (1, 1)
    assert [(row.cluster, row.name, row.commits, row.failed, row.oldest_since) for row in counts.inflight] == [
        ("south", "a", 1, 1, at(2)),
        ("north", "b", 1, 0, at(2)),
    ]


async def test_targets_sorted_by_what_is_open_there(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        world = World(unit)
        repository = await world.repository()
        commits = await world.commits(repository, range(1, 5))
        ready: dict[str, Any] = {"applied": f"main@sha1:{sha(1)}"}
        a, b, c, _ = [await world.target(repository, name, **ready) for name in "abcd"]
        for commit in commits[2:]:
            await world.delivery(commit, c, Verdict.PENDING)
        await world.delivery(commits[0], b, Verdict.PENDING)
        await world.delivery(commits[1], a, Verdict.FAILED)

    async def names(sort: str | None) -> list[str]:
        found, cursor = [], None
        while True:
            page = await ledger.list_targets(now=NOW, sort=sort, limit=2, cursor=cursor)
            found += [view.target[-1] for view in page.items]
            if (cursor := page.next) is None:
                return found

    assert await names(None) == ["a", "b", "c", "d"]
    assert await names("pending") == ["c", "b", "a", "d"]
    assert await names("oldest") == ["b", "c", "a", "d"]
    assert await names("failed") == ["a", "b", "c", "d"]


async def test_answers_go_on_beside_a_unit_and_see_only_what_is_committed(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        await World(unit).repository()
        assert await ledger.list_clusters() == []
        await unit.put_cluster(ClusterUid("c1"), "north", NOON)
        assert await ledger.list_clusters() == []
    assert len(await ledger.list_clusters()) == 1


async def test_answers_at_one_instant_see_nothing_of_what_is_written_meanwhile(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        await unit.put_cluster(ClusterUid("c1"), "north", NOON)
    async with ledger.at_one_instant() as answers:
        assert await answers.cluster_names() == ["north"]
        end = (await answers.feed(None)).last_id
        async with ledger.unit() as unit:
            await unit.put_cluster(ClusterUid("c2"), "south", NOON)
            world = World(unit)
            await world.target(await world.repository(), "a")
        assert [view.name for view in await answers.list_clusters()] == ["north"]
        assert (await answers.list_targets(now=NOON)).items == []
        assert (await answers.feed(None)).last_id == end
    assert await ledger.cluster_names() == ["north", "south"]


async def test_cancelled_answers_leave_the_readers_usable(ledger: SqlLedger) -> None:
    await _put_more(ledger, 1)
    for steps in range(0, 60, 3):
        task = asyncio.ensure_future(ledger.find_trail(sha(1), now=NOW, settle_after=SETTLE))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    answers = [ledger.find_trail(sha(1), now=NOW, settle_after=SETTLE) for _ in range(10)]
    assert None not in await asyncio.gather(*answers)
