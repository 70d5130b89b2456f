from __future__ import annotations

import aiohttp
import pytest
from tests.simulator.apiserver.kube_api import APPS, KUSTOMIZATIONS, Api, kustomization, until

from fluxtrail.simulator.apiserver.server import ApiServer

END = {"k8s.io/initial-events-end": "true"}


async def test_watch_resumes_after_a_resource_version(api: Api) -> None:
    store = api.server.store
    store.create("kustomizations", kustomization("a"))
    version = store.resource_version
    store.patch_status("kustomizations", "a", "apps", {"lastAppliedRevision": "main@sha1:1"})
    async with api.watch(APPS, resourceVersion=version) as watch:
        event = await watch.next()
        assert event["type"] == "MODIFIED"
        assert event["object"]["status"]["lastAppliedRevision"] == "main@sha1:1"
        store.delete("kustomizations", "a", "apps")
        event = await watch.next()
        assert event["type"] == "DELETED"
        assert event["object"]["metadata"]["resourceVersion"] == str(store.resource_version)


@pytest.mark.parametrize("query", [{}, {"resourceVersion": "0"}])
async def test_watch_without_a_version_begins_with_the_present_state(api: Api, query: dict[str, str]) -> None:
    api.server.store.create("kustomizations", kustomization("a"))
    api.server.store.create("kustomizations", kustomization("b"))
    async with api.watch(KUSTOMIZATIONS, **query) as watch:
        assert [await watch.brief(), await watch.brief()] == [("ADDED", "a"), ("ADDED", "b")]
        api.server.store.create("kustomizations", kustomization("c"))
        assert await watch.brief() == ("ADDED", "c")


async def test_watch_of_a_namespace_hears_nothing_of_others(api: Api) -> None:
    version = api.server.store.resource_version
    api.server.store.create("kustomizations", kustomization("other", namespace="elsewhere"))
    api.server.store.create("kustomizations", kustomization("mine"))
    async with api.watch(APPS, resourceVersion=version) as watch:
        assert await watch.brief() == ("ADDED", "mine")


async def test_watch_of_builtin_objects_names_their_kind(api: Api) -> None:
    api.server.store.create("pods", {"metadata": {"name": "p", "namespace": "apps"}})
    async with api.watch("/api/v1/pods") as watch:
        event = await watch.next()
    assert (event["object"]["kind"], event["object"]["apiVersion"]) == ("Pod", "v1")


async def test_too_old_version_is_an_error_event_with_status_200(api: Api) -> None:
    store = api.server.store
    version = store.resource_version
    store.create("kustomizations", kustomization("a"))
    store.compact()
    async with api.watch(APPS, resourceVersion=version) as watch:
        assert watch.response.status == 200
        (event,) = await watch.rest()
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"] == f"too old resource version: {version} ({store.resource_version})"


async def test_full_history_forgets_its_older_half() -> None:
    async with ApiServer(history_limit=10) as server:
        server.store.create("kustomizations", kustomization("a", namespace="default"))
        old = server.store.resource_version
        for number in range(25):
            server.store.patch_status("kustomizations", "a", "default", {"n": number})
        table = server.store.table(server.store.catalog.get("kustomizations"))
        assert table.floor > old
        assert len(table.changes_since(table.floor)) in range(10, 21)


async def test_future_version_is_silence_until_the_timeout(api: Api) -> None:
    query = {"resourceVersion": 10_000, "timeoutSeconds": 1, "allowWatchBookmarks": "true"}
    async with api.watch(APPS, **query) as watch:
        api.server.store.create("kustomizations", kustomization("a"))
        assert await watch.rest() == []


async def test_bookmarks_come_regularly_with_a_growing_version(session: aiohttp.ClientSession) -> None:
    async with ApiServer(bookmark_seconds=0.05) as server:
        api = Api(server, session)
        version = server.store.resource_version
        async with api.watch(KUSTOMIZATIONS, resourceVersion=version, allowWatchBookmarks="true") as watch:
            first = await watch.next()
            server.store.create("configmaps", {"metadata": {"name": "unrelated"}})
            later = await watch.next()
            while int(later["object"]["metadata"]["resourceVersion"]) < server.store.resource_version:
                later = await watch.next()
    assert first["type"] == later["type"] == "BOOKMARK"
    assert first["object"]["kind"] == "Kustomization"
    assert int(first["object"]["metadata"]["resourceVersion"]) > version
    assert list(first["object"]) == ["apiVersion", "kind", "metadata"]


async def test_last_bookmark_comes_before_the_timeout(api: Api) -> None:
    version = api.server.store.resource_version
    query = {"resourceVersion": version, "allowWatchBookmarks": "true", "timeoutSeconds": 3}
    async with api.watch(APPS, **query) as watch:
        events = await watch.rest()
    assert [event["type"] for event in events] == ["BOOKMARK"]


async def test_no_bookmarks_unless_asked_for(session: aiohttp.ClientSession) -> None:
    async with ApiServer(bookmark_seconds=0.05) as server:
        api = Api(server, session)
        async with api.watch(KUSTOMIZATIONS, resourceVersion=server.store.resource_version, timeoutSeconds=1) as watch:
            assert await watch.rest() == []


@pytest.mark.parametrize("version", [None, "0", "1"])
async def test_watch_list_ends_its_initial_events_with_a_bookmark(api: Api, version: str | None) -> None:
    api.server.store.create("kustomizations", kustomization("a", labels={"x": "1"}))
    api.server.store.create("kustomizations", kustomization("b"))
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    if version is not None:
        query["resourceVersion"] = version
    async with api.watch(APPS, labelSelector="x=1", **query) as watch:
        assert await watch.brief() == ("ADDED", "a")
        bookmark = await watch.next()
        assert bookmark["type"] == "BOOKMARK"
        assert bookmark["object"]["metadata"]["annotations"] == END
        api.server.store.create("kustomizations", kustomization("c", labels={"x": "1"}))
        assert await watch.brief() == ("ADDED", "c")


async def test_watch_list_from_the_future_is_an_error_event(api: Api) -> None:
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "resourceVersion": 10_000}
    async with api.watch(APPS, **query) as watch:
        (event,) = await watch.rest()
    assert (event["type"], event["object"]["code"]) == ("ERROR", 504)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"sendInitialEvents": "true"}, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
        ({"sendInitialEvents": "true", "resourceVersionMatch": "Exact", "resourceVersion": "1"}, 'value: "Exact"'),
        ({"resourceVersionMatch": "NotOlderThan"}, "forbidden for watch unless sendInitialEvents is provided"),
        ({"continue": "abc"}, "resourceVersionMatch is forbidden when continue is provided"),
    ],
)
async def test_wrong_combinations_are_422(api: Api, query: dict[str, str], words: str) -> None:
    status, reason, message = await api.refused("GET", APPS, watch="true", **query)
    assert (status, reason) == (422, "Invalid")
    assert words in message


async def test_objects_move_in_and_out_of_a_selector(api: Api) -> None:
    store = api.server.store
    version = store.resource_version

    def label(value: str) -> None:
        store.patch("kustomizations", "a", "apps", {"metadata": {"labels": {"app": value}}})

    async with api.watch(APPS, labelSelector="app=x", resourceVersion=version) as watch:
        store.create("kustomizations", kustomization("a", labels={"app": "y"}))
        label("x")
        store.patch_status("kustomizations", "a", "apps", {"n": 1})
        label("y")
        left = store.resource_version
        label("x")
        store.delete("kustomizations", "a", "apps")
        events = [await watch.next() for _ in range(5)]
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"]
    assert events[2]["object"]["metadata"]["labels"] == {"app": "x"}
    assert events[2]["object"]["metadata"]["resourceVersion"] == str(left)


async def test_watchers_of_one_object_by_name(api: Api) -> None:
    version = api.server.store.resource_version
    api.server.store.create("kustomizations", kustomization("a"))
    api.server.store.create("kustomizations", kustomization("b"))
    async with api.watch(APPS, fieldSelector="metadata.name=b", resourceVersion=version) as watch:
        assert await watch.brief() == ("ADDED", "b")


async def test_many_events_reach_several_watchers_in_order(api: Api) -> None:
    store = api.server.store
    store.create("kustomizations", kustomization("a"))
    version = store.resource_version
    async with (
        api.watch(APPS, resourceVersion=version) as one,
        api.watch(KUSTOMIZATIONS, resourceVersion=version) as two,
    ):
        for number in range(2000):
            store.patch_status("kustomizations", "a", "apps", {"n": number})
        for watch in (one, two):
            seen = [(await watch.next())["object"]["status"]["n"] for _ in range(2000)]
            assert seen == list(range(2000))


async def test_stop_ends_open_streams(api: Api) -> None:
    async with api.watch(APPS) as watch:
        await until(lambda: api.server.watch_count == 1)
        await api.server.stop()
        assert await watch.rest() == []
        assert api.server.watch_count == 0


async def test_closed_client_is_forgotten(api: Api) -> None:
    async with api.watch(APPS):
        await until(lambda: api.server.watch_count == 1)
    await until(lambda: api.server.watch_count == 0)


async def test_reader_slower_than_the_history_is_cut_off_silently(session: aiohttp.ClientSession) -> None:
    async with ApiServer(history_limit=5) as server:
        server.store.create("kustomizations", kustomization("a", namespace="default"))
        api = Api(server, session)
        async with api.watch(KUSTOMIZATIONS, resourceVersion=server.store.resource_version) as watch:
            await until(lambda: server.watch_count == 1)
            for number in range(20):
                server.store.patch_status("kustomizations", "a", "default", {"n": number})
            assert await watch.rest() == []
        assert watch.response.status == 200
