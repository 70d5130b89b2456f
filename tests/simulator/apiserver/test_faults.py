from __future__ import annotations

import asyncio

import aiohttp
import pytest
from tests.simulator.apiserver.kube_api import APPS, KUSTOMIZATIONS, Api, kustomization, until

PODS = "/api/v1/pods"


async def test_watches_end_silently(api: Api) -> None:
    async with api.watch(APPS) as watch, api.watch(PODS) as other:
        await until(lambda: api.server.watch_count == 2)
        assert await api.control("end_watches", resource="kustomizations") == {"struck": 1, "waiting": 0}
        assert await watch.rest() == []
        assert watch.response.status == 200
        api.server.store.create("pods", {"metadata": {"name": "p", "namespace": "apps"}})
        assert await other.brief() == ("ADDED", "p")


async def test_watch_faults_wait_for_streams_to_come(api: Api) -> None:
    assert await api.control("end_watches", count=1) == {"struck": 0, "waiting": 1}
    async with api.watch(APPS) as struck:
        assert await struck.rest() == []
    assert api.server.faults.struck["end"] == 1
    api.server.store.create("kustomizations", kustomization("a"))
    async with api.watch(APPS) as spared:
        assert await spared.brief() == ("ADDED", "a")


async def test_watches_expire_with_an_error_event(api: Api) -> None:
    async with api.watch(APPS) as watch:
        await until(lambda: api.server.watch_count == 1)
        await api.control("expire_watches")
        (event,) = await watch.rest()
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


async def test_frozen_watch_keeps_its_socket_and_says_nothing(api: Api) -> None:
    async with api.watch(APPS, allowWatchBookmarks="true", resourceVersion=0, timeoutSeconds=30) as watch:
        assert (await watch.next())["type"] == "BOOKMARK"
        await api.control("freeze_watches")
        api.server.store.create("kustomizations", kustomization("a"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await watch.response.content.readline()
        assert not watch.response.content.at_eof()
        assert api.server.watch_count == 1


async def test_frozen_watch_does_not_hold_up_the_end_of_the_server(api: Api) -> None:
    async with api.watch(APPS):
        await until(lambda: api.server.watch_count == 1)
        api.server.faults.freeze_watches()
        async with asyncio.timeout(3):
            await api.server.stop()


async def test_dropped_connections(api: Api) -> None:
    async with api.watch(APPS) as watch:
        await until(lambda: api.server.watch_count == 1)
        await api.control("drop_watches")
        with pytest.raises(aiohttp.ClientError):
            await watch.rest()
    # aiohttp itself repeats a GET whose kept-alive connection was cut, once.
    await api.control("drop_requests", resource="kustomizations", verbs=["list"], count=2)
    with pytest.raises(aiohttp.ClientError):
        await api.get(APPS)
    assert (await api.get(APPS))["items"] == []


async def test_oversized_line(api: Api) -> None:
    async with api.watch(APPS) as watch:
        await until(lambda: api.server.watch_count == 1)
        api.server.faults.oversized_line("kustomizations")
        event = await watch.next()
        assert len(event["object"]["metadata"]["annotations"]["padding"]) > 8 * 1024 * 1024
        api.server.store.create("kustomizations", kustomization("a"))
        assert await watch.brief() == ("ADDED", "a")


async def test_next_requests_are_throttled(api: Api) -> None:
    await api.control("fail_requests", status=429, resource="kustomizations", count=2, retry_after_seconds=3)
    assert (await api.get(PODS))["items"] == []
    for _ in range(2):
        async with api.session.get(api.server.url + APPS) as response:
            body = await response.json()
        assert (response.status, response.headers["Retry-After"]) == (429, "3")
        assert (body["reason"], body["details"]["retryAfterSeconds"]) == ("TooManyRequests", 3)
    assert (await api.get(APPS))["items"] == []


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "Unauthorized"), (403, "Forbidden"), (500, "InternalError"), (503, "ServiceUnavailable")],
)
async def test_next_request_fails(api: Api, status: int, reason: str) -> None:
    api.server.faults.fail_requests(status, verbs=("watch",))
    await api.get(APPS)
    assert (await api.refused("GET", APPS, watch="true"))[:2] == (status, reason)


async def test_next_list_is_expired(api: Api) -> None:
    await api.control("expire_lists", resource="kustomizations")
    assert (await api.refused("GET", APPS))[:2] == (410, "Expired")
    await api.get(APPS)


async def test_slow_answer(api: Api) -> None:
    await api.control("delay_requests", delay_seconds=0.2)
    started = asyncio.get_running_loop().time()
    await api.get(APPS)
    assert asyncio.get_running_loop().time() - started >= 0.2


async def test_nulls_and_malformed_objects_in_a_list(api: Api) -> None:
    api.server.store.create("kustomizations", kustomization("a", labels={"x": "1"}))
    await api.control("explicit_nulls")
    (item,) = (await api.get(APPS))["items"]
    assert item["metadata"]["name"] == "a"
    assert item["metadata"]["labels"] is None
    assert item["status"] == {"observedGeneration": None}
    await api.control("malformed_object")
    bad, good = (await api.get(APPS))["items"]
    assert bad["metadata"] == "not an object"
    assert good["metadata"]["labels"] == {"x": "1"}


async def test_restore_takes_objects_and_versions_back(api: Api) -> None:
    store = api.server.store
    store.create("kustomizations", kustomization("old"))
    before = store.resource_version
    await api.control("backup")
    store.create("kustomizations", kustomization("new"))
    store.delete("kustomizations", "old", "apps")
    ahead = store.resource_version
    async with api.watch(APPS, resourceVersion=ahead) as watch:
        await until(lambda: api.server.watch_count == 1)
        await api.control("restore")
        with pytest.raises(aiohttp.ClientError):
            await watch.rest()
    listing = await api.get(APPS)
    assert [item["metadata"]["name"] for item in listing["items"]] == ["old"]
    assert listing["metadata"]["resourceVersion"] == str(before)
    async with api.watch(APPS, resourceVersion=ahead, timeoutSeconds=1) as deaf:
        store.create("kustomizations", kustomization("unheard"))
        assert await deaf.rest() == []


async def test_removed_resource_deletes_its_objects_and_ends_its_watches(api: Api) -> None:
    api.server.store.create("kustomizations", kustomization("a"))
    async with api.watch(KUSTOMIZATIONS) as watch:
        assert await watch.brief() == ("ADDED", "a")
        await api.control("remove_resource", resource="kustomizations")
        (event,) = await watch.rest()
        assert event["type"] == "DELETED"
    async with api.session.get(api.server.url + KUSTOMIZATIONS) as response:
        assert (response.status, await response.text()) == (404, "404 page not found\n")


async def test_resource_served_at_another_version(api: Api) -> None:
    api.server.store.create("kustomizations", kustomization("a"))
    async with api.watch(KUSTOMIZATIONS) as watch:
        await watch.next()
        await api.control("serve_versions", resource="kustomizations", versions=["v1beta2"])
        assert await watch.rest() == []
    assert (await api.call("GET", "/apis/kustomize.toolkit.fluxcd.io"))[1]["preferredVersion"]["version"] == "v1beta2"
    old = await api.get(KUSTOMIZATIONS.replace("/v1/", "/v1beta2/"))
    assert old["apiVersion"] == old["items"][0]["apiVersion"] == "kustomize.toolkit.fluxcd.io/v1beta2"
    async with api.session.get(api.server.url + KUSTOMIZATIONS) as response:
        assert response.status == 404


async def test_forbidden_namespace(api: Api) -> None:
    await api.control("forbid_namespace", namespace="apps", resource="kustomizations")
    assert (await api.refused("GET", APPS))[:2] == (403, "Forbidden")
    assert "at the cluster scope" in (await api.refused("GET", KUSTOMIZATIONS))[2]
    await api.get(APPS.replace("/apps/", "/default/"))
    await api.control("permit_namespace", namespace="apps", resource="kustomizations")
    await api.get(APPS)


async def test_compaction_on_demand(api: Api) -> None:
    version = api.server.store.resource_version
    api.server.store.create("kustomizations", kustomization("a"))
    await api.control("compact", resource="kustomizations")
    async with api.watch(APPS, resourceVersion=version) as watch:
        assert [event["type"] for event in await watch.rest()] == ["ERROR"]


async def test_cleared_faults_do_not_strike(api: Api) -> None:
    await api.control("fail_requests", count=5)
    assert await api.control("clear") == {"struck": 0, "waiting": 0}
    await api.get(APPS)


@pytest.mark.parametrize(
    "command",
    [{"fault": "explode"}, {"fault": "clear", "colour": "red"}, {"fault": "remove_resource", "resource": "x"}, []],
)
async def test_wrong_commands_are_refused(api: Api, command: object) -> None:
    status, answer = await api.call("POST", "/_simulator/faults", body=command)
    assert status == 400
    assert answer["error"]


async def test_compaction_does_not_disturb_who_listens(api: Api) -> None:
    version = api.server.store.resource_version
    async with api.watch(APPS, resourceVersion=version) as watch:
        await until(lambda: api.server.watch_count == 1)
        api.server.store.create("configmaps", {"metadata": {"name": "unrelated"}})
        api.server.faults.compact()
        api.server.store.create("kustomizations", kustomization("a"))
        assert await watch.brief() == ("ADDED", "a")


async def test_frozen_watch_outlives_its_timeout(api: Api) -> None:
    async with api.watch(APPS, timeoutSeconds=1) as watch:
        await until(lambda: api.server.watch_count == 1)
        api.server.faults.freeze_watches()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.3):
                await watch.response.content.readline()
