"""The watcher on the simulator with every fault it can be told to have: what is seen in the end is what there is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.contract.world import Observer, World, observing, open_world

from fluxtrail.simulator.apiserver.server import ApiServer

PLURAL = "externalartifacts"
QUICK: dict[str, Any] = {"idle_seconds": 1.0, "initial_idle_seconds": 1.0}


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer(name="faulty", tokens={"first": "admin"}) as server:
        yield server


@pytest.fixture
async def world(server: ApiServer, tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(server, tmp_path, "one", "two") as world:
        yield world


async def expect_alive(world: World, at: Observer, source: str = "end") -> None:
    """Whatever happened, a change is seen and nothing is gone that is there."""
    await world.point("one", source)
    await at.until_told(f"one {source} held")
    assert not [text for text in at.told() if text.startswith("gone")]


STRIKES: dict[str, Callable[[ApiServer], object]] = {
    "end": lambda server: server.faults.end_watches(),
    "expire": lambda server: server.faults.expire_watches(),
    "drop": lambda server: server.faults.drop_watches(),
    "freeze": lambda server: server.faults.freeze_watches(),
    "oversized": lambda server: server.faults.oversized_line(),
}


@pytest.mark.parametrize("uses_watch_list", [True, False], ids=["watch-list", "pages"])
@pytest.mark.parametrize("fault", STRIKES)
async def test_stream_that_is_struck_is_made_good(
    server: ApiServer, world: World, fault: str, uses_watch_list: bool
) -> None:
    is_listed_again = fault in {"expire", "oversized"}
    async with observing(world, uses_watch_list=uses_watch_list, **QUICK) as at:
        await at.until_listed()
        await at.until(lambda: server.watch_count == 1)
        await world.point("one", "before")
        await at.until_told("one before held")
        assert STRIKES[fault](server) == 1
        if is_listed_again:
            await at.until_listed(2)
        else:
            await at.until(lambda: at.watcher.stats.resumes)
        await expect_alive(world, at)
    assert at.watcher.stats.relists == int(is_listed_again)
    assert at.watcher.stats.oversized_lines == int(fault == "oversized")
    assert at.told().count("listed") == 1 + int(is_listed_again)


@pytest.mark.parametrize("status", [429, 500, 503, 504])
async def test_requests_that_fail_are_repeated(server: ApiServer, world: World, status: int) -> None:
    server.faults.fail_requests(status, PLURAL, count=2)
    async with observing(world, **QUICK) as at:
        await at.until_listed()
        await expect_alive(world, at)


async def test_requests_that_are_cut_are_repeated(server: ApiServer, world: World) -> None:
    server.faults.drop_requests(PLURAL, count=2)
    async with observing(world, **QUICK) as at:
        await at.until_listed()
        await expect_alive(world, at)


async def test_list_that_expires_amid_its_pages_starts_again(server: ApiServer, world: World) -> None:
    server.faults.expire_lists(PLURAL)
    async with observing(world, uses_watch_list=False, page_limit=1) as at:
        await at.until_listed()
        await expect_alive(world, at)


async def test_nulls_are_tolerated(server: ApiServer, world: World) -> None:
    await world.reach("one", "main@sha1:abc")
    server.faults.explicit_nulls(PLURAL)
    async with observing(world, uses_watch_list=False) as at:
        await at.until_listed()
        await world.point("one", "end")
        await at.until_told("one end main@sha1:abc held")
    assert server.faults.struck["nulls"] == 1
    assert at.watcher.stats.decode_errors == 0


async def test_object_that_is_none_does_not_stop_the_others(server: ApiServer, world: World) -> None:
    server.faults.malformed_object(PLURAL)
    async with observing(world, uses_watch_list=False) as at:
        await at.until_listed()
        await world.point("two", "b")
        await at.until_told("two b held")
    assert at.watcher.stats.decode_errors == 1
    assert not [text for text in at.told() if text.startswith("gone")]


async def test_restored_storage_is_told_as_it_is_now(server: ApiServer, world: World) -> None:
    async with observing(world, **QUICK) as at:
        await at.until_listed()
        server.faults.backup()
        await world.point("one", "later")
        await world.create("three")
        await at.until_told("one later held", "three a")
        server.faults.restore()
        await at.until_told("one a", "gone three")
        await at.until(lambda: at.told().count("one a") == 2)
        await world.point("one", "end")
        await at.until_told("one end held")
    assert "gone one" not in at.told()
    assert "gone two" not in at.told()


async def test_kind_that_is_uninstalled_is_waited_for(server: ApiServer, world: World) -> None:
    definition = server.store.catalog.get(PLURAL)
    async with observing(world, **QUICK) as at:
        await at.until_listed()
        server.faults.remove_resource(PLURAL)
        await at.until_told("not_installed")
        server.store.install(definition)
        await at.until_listed(2)
        assert at.told()[-1] == "listed"


async def test_kind_that_moves_to_another_version_is_followed(server: ApiServer, world: World) -> None:
    async with observing(world, **QUICK) as at:
        await at.until_listed()
        await at.until(lambda: server.watch_count == 1)
        server.faults.serve_versions(PLURAL, "v2")
        server.faults.end_watches()
        await at.until(lambda: at.watcher.stats.resumes + at.watcher.stats.relists)
        body = {"spec": {"sourceRef": {"name": "b"}}}
        path = world.artifacts.replace("/v1/", "/v2/")
        await world.call("PATCH", f"{path}/one", body, content_type="application/merge-patch+json")
        await at.until(lambda: any(text.startswith("one b") for text in at.told()))
    assert not [text for text in at.told() if text.startswith("gone")]


async def test_namespace_that_may_not_be_read_is_said_and_tried_again(server: ApiServer, world: World) -> None:
    server.faults.forbid_namespace(world.namespace)
    async with observing(world, **QUICK) as at:
        await at.until_told("forbidden")
        server.faults.permit_namespace(world.namespace)
        await at.until_listed()
    assert at.told() == ["forbidden", "one a", "two a", "listed"]


async def test_token_rotation_is_followed(server: ApiServer, world: World, tmp_path: Path) -> None:
    async with observing(world, **QUICK) as at:
        await at.until_listed()
        (tmp_path / "token").write_text("second")
        server.faults.rotate_tokens({"second": "admin"})
        server.faults.end_watches()
        await at.until_resumed()
        await expect_alive(world, at)
    assert at.watcher.stats.failures == 0
