"""Images: what a unit keeps of them, how they are listed and found."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.ledger.deployments import content, digest, record, told, unknown
from tests.ledger.running import image, run
from tests.ledger.world import NOON, ON_POSTGRES, ON_SQLITE, NewPlace, World, at, opened, sha

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import ConfigError
from fluxtrail.model.image_records import ImageRecord, ImageRun, ImageState
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.views import ImageDetail, ImageView

C1 = ClusterUid("c1")
INDEX, ARM, AMD, LONE = 1, 2, 3, 4
FAMILY = [
    image(INDEX, is_index=True, state=ImageState.KNOWN),
    image(ARM, index_digest=digest(INDEX), platform="linux/arm64", source="github.com/acme/shop", revision=sha(1)),
    image(AMD, index_digest=digest(INDEX), platform="linux/amd64"),
]


async def _put(ledger: SqlLedger, images: list[ImageRecord], runs: list[ImageRun]) -> None:
    async with ledger.unit() as unit:
        await unit.put_cluster(C1, "north", NOON)
        await unit.put_images(images)
        await unit.put_image_runs(runs)


async def _listed(ledger: SqlLedger, **given: Any) -> list[str]:
    """Return the digests of every page."""
    found, cursor = [], None
    while True:
        page = await ledger.list_images(limit=2, cursor=cursor, **given)
        found += [view.digest for view in page.items]
        cursor = page.next
        if cursor is None:
            return found


async def _detail(ledger: SqlLedger, query: str) -> ImageDetail:
    found = await ledger.find_image(query)
    assert isinstance(found, ImageDetail)
    return found


# what is kept


async def test_images_come_back_whole_and_are_replaced_by_digest(ledger: SqlLedger) -> None:
    whole = image(
        image="ghcr.io/acme/shop:v1",
        state=ImageState.KNOWN,
        index_digest=digest(9),
        platform="linux/arm64",
        created_at=at(1),
        source="github.com/acme/shop",
        revision=sha(1),
        version="1.2",
        problem="none",
        checked_at=at(2),
        retry_at=at(3),
        tries=4,
    )
    async with ledger.unit() as unit:
        await unit.put_images([image(), image(2)])
        await unit.put_images([whole])
        assert await unit.images([digest(1), digest(2), digest(3)]) == {digest(1): whole, digest(2): image(2)}
        assert await unit.images_in_state(ImageState.KNOWN, 9) == [whole]


async def test_images_are_due_when_pending_or_put_off_until_now(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        late = image(1, retry_at=at(5))
        early = image(2, retry_at=at(1), state=ImageState.PRIVATE)
        new = image(3)
        await unit.put_images([late, early, new, image(4, state=ImageState.KNOWN), image(5, retry_at=at(9))])
        assert await unit.images_due(at(5), 9) == [new, early, late]
        assert await unit.images_due(at(5), 2) == [new, early]


async def test_run_begins_once_moves_and_ends(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        await unit.put_image_runs([run(1), run(1, container="side"), run(1, cluster="c2")])
        await unit.put_image_runs([run(1, since=at(-5), image="ghcr.io/acme/shop:v1b")])
        assert await unit.image_runs(C1) == [
            run(1, since=at(-5), image="ghcr.io/acme/shop:v1b"),
            run(1, container="side"),
        ]
        await unit.put_image_runs([run(1, since=at(-5), until=at(3)), run(2, since=at(3))])
        assert await unit.image_runs(C1) == [run(1, container="side"), run(2, since=at(3))]
        await unit.put_image_runs([run(1, until=at(4))])  # ended before: nothing is open
        at_place = await unit.image_runs_at(C1, "prod", "Deployment", "shop", 9)
        assert at_place == [run(2, since=at(3)), run(1, container="side"), run(1, since=at(-5), until=at(3))]
        assert await unit.image_runs_at(C1, "prod", "Deployment", "shop", 1) == at_place[:1]
        assert await unit.image_runs_at(C1, "test", "Deployment", "shop", 9) == []


async def test_run_that_ends_and_begins_again_in_one_batch_is_two(ledger: SqlLedger) -> None:
    async with ledger.unit() as unit:
        await unit.put_image_runs([run(1)])
        await unit.put_image_runs([run(1, until=at(1)), run(1, since=at(2)), run(1, since=at(2), until=at(3))])
        await unit.put_image_runs([run(1, since=at(4))])
        found = await unit.image_runs_at(C1, "prod", "Deployment", "shop", 9)
        assert found == [run(1, since=at(4)), run(1, since=at(2), until=at(3)), run(1, until=at(1))]


# lists


async def test_index_and_platforms_are_listed_as_one(ledger: SqlLedger) -> None:
    runs = [run(ARM, since=at(3)), run(AMD, "blog", image="ghcr.io/acme/shop:latest", since=at(1), cluster="c2")]
    await _put(ledger, FAMILY, runs)
    [view] = (await ledger.list_images()).items
    assert (view.digest, view.is_index, view.running, view.clusters) == (digest(INDEX), True, 2, ["c2", "north"])
    assert (view.since, view.tags) == (at(1), ["v2", "latest"])
    assert (view.source, view.revision, view.is_followed) == ("github.com/acme/shop", sha(1), False)
    async with ledger.unit() as unit:
        await World(unit).commits(await World(unit).repository(), range(1, 2))
    assert [view.is_followed for view in (await ledger.list_images()).items] == [True]


async def test_images_that_run_come_first_then_the_newest(ledger: SqlLedger) -> None:
    runs = [run(n, f"w{n}", since=at(n)) for n in range(1, 8)]
    over = [replace(runs[n - 1], until=at(50)) for n in (2, 7)]
    await _put(ledger, [image(n) for n in range(1, 9)], [*runs, *over])
    assert await _listed(ledger) == [digest(n) for n in (6, 5, 4, 3, 1, 7, 2)]


async def test_list_is_narrowed_to_where_it_runs_state_and_text(ledger: SqlLedger) -> None:
    images = [image(1), image(2, repository="ghcr.io/acme/blog", state=ImageState.KNOWN), *FAMILY[1:], image(5)]
    runs = [run(1), run(2, namespace="test", image="ghcr.io/acme/blog:Green"), run(ARM, "c", cluster="c2")]
    await _put(ledger, [*images[:1], images[1], image(5), image(6, index_digest=digest(5))], [*runs[:2], run(6, "x")])
    assert await _listed(ledger, cluster="north") == [digest(n) for n in (5, 2, 1)]
    assert await _listed(ledger, cluster="c2") == []
    assert await _listed(ledger, namespace="test") == [digest(2)]
    assert await _listed(ledger, namespace="test", cluster="c1") == [digest(2)]
    assert await _listed(ledger, state="known") == [digest(2)]
    assert await _listed(ledger, text="BLOG:g") == [digest(2)]
    assert await _listed(ledger, text="acme/shop") == [digest(5), digest(1)]
    assert await _listed(ledger, text=digest(6)) == [digest(5)]
    assert await _listed(ledger, text="50%") == []


async def test_list_is_narrowed_to_what_was_built_from_a_commit(ledger: SqlLedger) -> None:
    """Of an index the commit may be said by the manifests of its platforms alone."""
    await _put(ledger, [*FAMILY, image(5, revision=sha(1)), image(6, revision=sha(2))], [run(ARM), run(5), run(6)])
    assert set(await _listed(ledger, revision=sha(1))) == {digest(INDEX), digest(5)}
    assert await _listed(ledger, revision=sha(2).upper()) == [digest(6)]
    assert await _listed(ledger, revision=sha(1)[:9]) == []


async def test_list_of_images_refuses_a_state_that_there_is_not(ledger: SqlLedger) -> None:
    with pytest.raises(ConfigError, match="none of pending, known"):
        await ledger.list_images(state="nonsense")
    with pytest.raises(ConfigError, match="no cursor"):
        await ledger.list_images(cursor="x")


_PUTS = st.lists(
    st.one_of(
        st.tuples(st.just("image"), st.integers(1, 4), st.none() | st.integers(1, 4)),
        st.tuples(st.just("begin"), st.integers(1, 4), st.integers(0, 2)),
        st.tuples(st.just("end"), st.integers(1, 4), st.integers(0, 2)),
    ),
    max_size=14,
)
_LEFT_ITS_INDEX = [("image", 1, None), ("begin", 2, 0), ("image", 2, 1), ("image", 2, None)]
_PROPERTY: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@ON_SQLITE
@pytest.mark.timeout(90)
@settings(max_examples=30, **_PROPERTY)
@given(puts=_PUTS)
@example(puts=_LEFT_ITS_INDEX)
async def test_list_follows_from_the_rows_whatever_came_first(new_place: NewPlace, puts: list[Any]) -> None:
    async with new_place() as place, opened(place) as ledger:
        await _check_list(ledger, puts)


@ON_POSTGRES
@pytest.mark.timeout(90)
@pytest.mark.requires("postgres")
@settings(max_examples=12, **_PROPERTY)
@given(puts=_PUTS)
@example(puts=_LEFT_ITS_INDEX)
async def test_list_of_a_database_follows_from_the_rows(new_place: NewPlace, puts: list[Any]) -> None:
    async with new_place() as place, opened(place) as ledger:
        await _check_list(ledger, puts)


async def _check_list(ledger: SqlLedger, puts: list[Any]) -> None:
    """Each put in a unit of its own, against a list made from scratch. Places are workloads `w0` to `w2`."""
    index_of: dict[int, int | None] = {}
    runs: list[tuple[int, int, datetime, bool]] = []
    for second, (what, number, other) in enumerate(puts):
        live = [entry for entry in runs if entry[:2] == (number, other) and entry[3]]
        async with ledger.unit() as unit:
            if what == "image":
                index = other if other != number else None
                await unit.put_images([image(number, index_digest=digest(index) if index else None)])
                index_of[number] = index
            elif what == "begin":
                await unit.put_image_runs([run(number, f"w{other}", since=at(second))])
                runs = [entry for entry in runs if entry not in live]
                runs.append((number, other, at(second), True))
            elif live:
                await unit.put_image_runs([run(number, f"w{other}", since=live[0][2], until=at(second))])
                runs = [(*entry[:3], False) if entry in live else entry for entry in runs]

    def head(number: int) -> int:
        index = index_of.get(number)
        return index if index is not None and index in index_of else number

    expected = []
    for number in index_of:
        mine = [entry for entry in runs if head(entry[0]) == number]
        if mine:
            expected.append((any(e[3] for e in mine), max(e[2] for e in mine), digest(number)))
    assert await _listed(ledger) == [entry[2] for entry in sorted(expected, reverse=True)]
    running = {view.digest: view.running for view in (await ledger.list_images()).items}
    assert running == {digest(n): sum(e[3] for e in runs if head(e[0]) == n) for n in index_of if digest(n) in running}


# one image


@pytest.mark.parametrize(
    "query",
    [digest(INDEX), digest(INDEX).removeprefix("sha256:"), f"x/y@{digest(INDEX)}", digest(INDEX).upper()],
    ids=["digest", "hex", "reference", "capitals"],
)
async def test_image_is_found_by_its_digest(ledger: SqlLedger, query: str) -> None:
    await _put(ledger, [*FAMILY, image(LONE)], [run(ARM), run(LONE, "other")])
    found = await _detail(ledger, query)
    assert found.image.digest == digest(INDEX)
    assert [view.digest for view in found.related] == [digest(ARM), digest(AMD)]
    assert [(r.cluster, r.workload, r.digest) for r in found.runs] == [("north", "Deployment/prod/shop", digest(ARM))]


async def test_platform_that_is_asked_for_leads_to_the_runs_of_all(ledger: SqlLedger) -> None:
    await _put(ledger, FAMILY, [run(INDEX), run(AMD, "old", since=at(-9)), run(AMD, "old", since=at(-9), until=at(2))])
    found = await _detail(ledger, digest(ARM))
    assert (found.image.digest, found.image.platform, found.image.running) == (digest(ARM), "linux/arm64", 0)
    assert [(view.digest, view.running) for view in found.related] == [(digest(INDEX), 1), (digest(AMD), 0)]
    assert [(r.digest, r.until) for r in found.runs] == [(digest(INDEX), None), (digest(AMD), at(2))]


async def test_first_digits_of_one_image_find_it_and_of_several_list_them(ledger: SqlLedger) -> None:
    mine = [f"sha256:abcd{'0' * 59}{n}" for n in range(3)]
    images = [image(digest=mine[0]), image(digest=mine[1], index_digest=mine[0]), image(digest=mine[2])]
    await _put(ledger, images[:2], [run(digest=mine[0])])
    assert (await _detail(ledger, "abcd0")).image.digest == mine[0]
    await _put(ledger, images[2:], [])
    found = await ledger.find_image("sha256:abcd")
    assert isinstance(found, list)
    assert [view.digest for view in found] == mine
    assert await ledger.find_image("sha256:ffff") is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("ghcr.io/acme/shop:v4", [LONE]),
        ("shop:v4", [LONE]),
        ("acme/shop", [INDEX, LONE]),
        ("shop:v9", []),
        ("hop:v4", []),
        ("shop:v5", [5]),
        ("blog", [6]),
    ],
)
async def test_image_is_found_by_its_reference(ledger: SqlLedger, query: str, expected: list[int]) -> None:
    old = [run(5, "old"), run(5, "old", until=at(1))]
    blog = image(6, repository="ghcr.io/acme/blog")
    await _put(
        ledger, [*FAMILY, image(LONE), image(5), blog], [run(ARM, since=at(9)), run(LONE, "x"), run(6, "y"), *old]
    )
    found = await ledger.find_image(query)
    views = [] if found is None else [found.image] if isinstance(found, ImageDetail) else found
    assert [view.digest for view in views] == [digest(number) for number in expected]


async def test_image_is_attested_where_github_took_a_record_of_any_of_its_digests(ledger: SqlLedger) -> None:
    await _put(ledger, [*FAMILY, image(LONE), image(5)], [run(ARM), run(LONE, "b"), run(5, "c")])
    async with ledger.unit() as unit:
        of_arm, of_lone, _ = await unit.put_deployment_records(
            [record("a", content(ARM)), record("b", content(LONE)), record("c", content(5))]
        )
        await unit.note_told([told(of_arm), unknown(of_lone)])

    def attested(views: list[ImageView]) -> dict[str, bool | None]:
        return {view.digest: view.is_attested for view in views}

    expected = {digest(INDEX): True, digest(LONE): False, digest(5): None}
    assert attested((await ledger.list_images()).items) == expected
    detail = await _detail(ledger, digest(INDEX))
    assert attested([detail.image, *detail.related]) == {digest(INDEX): True, digest(ARM): True, digest(AMD): None}


async def test_digests_that_run_are_counted_by_cluster_and_state(ledger: SqlLedger) -> None:
    runs = [run(1), run(1, "again"), run(2, "x"), run(3, "y", cluster="c2"), run(3, "z"), run(3, "z", until=at(1))]
    await _put(ledger, [image(1, state=ImageState.KNOWN), image(2)], runs)
    counts = [(count.cluster, count.state, count.images) for count in (await ledger.counts()).images]
    assert counts == [("c2", "pending", 1), ("north", "known", 1), ("north", "pending", 1)]


@ON_SQLITE
async def test_backup_has_images_and_runs(ledger: SqlLedger, tmp_path: Path) -> None:
    await _put(ledger, FAMILY, [run(ARM)])
    await ledger.backup(tmp_path / "copy.sqlite")
    async with opened(tmp_path / "copy.sqlite") as copy:
        assert await _detail(copy, digest(INDEX)) == await _detail(ledger, digest(INDEX))
