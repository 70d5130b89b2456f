"""What the watcher relies on, on every API server it is run against."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

import pytest
from tests.contract.world import FLUX, WAIT_SECONDS, Sight, WireArtifact, World, observing

from fluxtrail.clusters.clock import SystemClock
from fluxtrail.clusters.discovery import find_resource
from fluxtrail.clusters.listing import list_pages, newest_version
from fluxtrail.clusters.subjects import WatchOptions, WatchStats
from fluxtrail.clusters.tracker import Tracker
from fluxtrail.model.errors import NotFoundError
from fluxtrail.model.observation import Current, Listed, Observation, Seen

FORMS = pytest.mark.parametrize("uses_watch_list", [True, False], ids=["watch-list", "pages"])


async def test_kinds_are_discovered(world: World) -> None:
    found = await find_resource(world.connection, FLUX, "ExternalArtifact", ("v2", "v1"))
    assert found is not None
    assert (found.version, found.plural, found.is_namespaced) == ("v1", "externalartifacts", True)
    namespace = await find_resource(world.connection, "", "Namespace")
    assert namespace is not None
    assert (namespace.path("ignored"), namespace.is_namespaced) == ("/api/v1/namespaces", False)
    assert await find_resource(world.connection, FLUX, "ExternalArtifact", ("v9",)) is None
    assert await find_resource(world.connection, FLUX, "NoSuchKind") is None
    assert await find_resource(world.connection, "no.such.group.example", "ExternalArtifact") is None


async def test_cluster_has_a_uid_and_a_version(world: World) -> None:
    identity = await world.connection.identity()
    assert not identity.is_derived
    assert identity.uid == (await world.call("GET", "/api/v1/namespaces/kube-system"))["metadata"]["uid"]
    assert (await world.connection.server_version()).git_version.startswith("v1.")


@FORMS
async def test_objects_are_listed_then_followed(world: World, uses_watch_list: bool) -> None:
    await world.create("one")
    async with observing(world, uses_watch_list=uses_watch_list) as at:
        await at.until_listed()
        await world.create("two", "b")
        await world.point("two", "c")
        await world.reach("two", "main@sha1:abc")
        await world.delete("one")
        await at.until_told("gone one")
    assert at.told() == [
        "one a",
        "listed",
        "two b",
        "two c held",
        "two c main@sha1:abc held",
        "gone one",
    ]
    assert at.watcher.stats.relists == 0


@FORMS
async def test_empty_collection_is_listed(world: World, uses_watch_list: bool) -> None:
    async with observing(world, uses_watch_list=uses_watch_list) as at:
        await at.until_listed()
    assert at.told() == ["listed"]


async def test_watch_list_is_used_where_it_is_served(world: World) -> None:
    await world.create("one")
    async with observing(world) as at:
        await at.until_listed()
    assert at.watcher.stats.bookmarks == 1


async def test_pages_make_one_whole_list(world: World) -> None:
    names = [f"k{number}" for number in range(7)]
    for name in names:
        await world.create(name)
    pages = list_pages(world.connection, world.artifacts, {}, limit=3, limit_bytes=10**7)
    sizes, versions = [], set()
    async for page in pages:
        sizes.append(len(page.items or ()))
        assert page.metadata is not None
        versions.add(page.metadata.resource_version)
    assert sizes == [3, 3, 1]
    assert len(versions) == 1
    async with observing(world, uses_watch_list=False, page_limit=3) as at:
        await at.until_listed()
        await world.point("k6", "z")
        await at.until_told("k6 z held")
    assert at.told()[:8] == [*(f"{name} a" for name in names), "listed"]


async def test_bookmark_moves_the_position_and_says_current(world: World) -> None:
    """The last bookmark of a stream comes about two seconds before its end, and the next stream follows."""
    await world.create("one")
    async with observing(
        world, uses_watch_list=False, watch_seconds=4, watch_jitter_seconds=0, gap_tolerance_seconds=1.0
    ) as at:
        await at.until_listed()
        await at.until(lambda: at.watcher.stats.bookmarks)
        await at.until(at.currents)
        await at.until(lambda: at.watcher.stats.resumes)
        await world.point("one", "b")
        await at.until_told("one b held")
    assert at.told() == ["one a", "listed", "one b held"]
    assert isinstance(at.currents()[0], Current)
    assert at.watcher.stats.relists == 0


async def test_changes_between_two_streams_are_not_lost(world: World) -> None:
    await world.create("one")
    await world.create("two")
    async with observing(world, watch_seconds=1, watch_jitter_seconds=0) as at:
        await at.until_listed()
        for number in range(12):
            await world.point("one", f"step-{number}")
            await at.until_told(f"one step-{number} held")
            if number % 4 == 0:
                await at.until_resumed()
        await world.delete("two")
        await at.until_told("gone two")
    assert at.told()[2:] == ["listed", *(f"one step-{number} held" for number in range(12)), "gone two"]
    assert (at.watcher.stats.relists, at.watcher.stats.lists) == (0, 1)


async def test_version_that_is_too_old_is_listed_again(world: World) -> None:
    await world.create("one")
    world.make_old()
    seen: list[Observation[Sight]] = []
    listed = asyncio.Event()
    stats = WatchStats()

    async def emit(batch: Sequence[Observation[Sight]]) -> None:
        seen.extend(batch)
        if any(isinstance(each, Listed) for each in batch):
            listed.set()

    tracker = Tracker(
        world.connection,
        world.subject(),
        world.namespace,
        options=WatchOptions(uses_watch_list=False),
        clock=SystemClock(),
        random=Random(1),
        stats=stats,
        on_problem=lambda problem: None,
        emit=emit,
    )
    tracker._position.version = "1"
    task = asyncio.create_task(tracker.run())
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await listed.wait()
    finally:
        task.cancel()
    assert [type(each) for each in seen] == [Seen, Listed]
    assert (stats.relists, stats.failures) == (1, 1)


async def test_selectors_are_obeyed_and_leaving_one_is_going(world: World) -> None:
    await world.create("in", team="a")
    await world.create("out", team="b")
    subject = world.subject(label_selector="team=a")
    async with observing(world, subject) as at:
        await at.until_listed()
        await world.label("out", team="a")
        await at.until_told("out a")
        await world.label("in", team="c")
        await at.until_told("gone in")
    assert at.told() == ["in a", "listed", "out a", "gone in"]
    async with observing(world, world.subject(field_selector="metadata.name=out")) as at:
        await at.until_listed()
    assert at.told() == ["out a", "listed"]


async def test_all_namespaces_are_one_stream(world: World) -> None:
    await world.create("one")
    async with observing(world, world.subject(namespaces=())) as at:
        await at.until_listed()
        await world.point("one", "b")
        await at.until_told("one b held")


async def test_recreated_object_has_another_uid(world: World) -> None:
    await world.create("one")
    async with observing(world) as at:
        await at.until_listed()
        await world.delete("one")
        await world.create("one", "b")
        await at.until_told("one b")
    assert at.told() == ["one a", "listed", "gone one", "one b"]


async def test_newest_version_is_that_of_the_last_write(world: World) -> None:
    before = await newest_version(world.connection, world.artifacts, {})
    created = await world.create("one")
    after = await newest_version(world.connection, world.artifacts, {})
    assert int(before) < int(created["metadata"]["resourceVersion"]) <= int(after)


async def test_object_that_does_not_exist_is_not_found(world: World) -> None:
    with pytest.raises(NotFoundError) as caught:
        await world.connection.get(f"{world.artifacts}/nobody", WireArtifact)
    assert '"nobody" not found' in str(caught.value)
