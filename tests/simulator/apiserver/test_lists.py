from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.simulator.apiserver.kube_api import APPS, KUSTOMIZATIONS, Api, kustomization

CONFIGMAPS = "/api/v1/namespaces/apps/configmaps"


def names(listing: dict[str, Any]) -> list[str]:
    return [item["metadata"]["name"] for item in listing["items"]]


@pytest.fixture
def five(api: Api) -> Api:
    for name in "abcde":
        api.server.store.create("kustomizations", kustomization(name, labels={"app": name, "tier": "web"}))
        api.server.store.create("configmaps", {"metadata": {"name": name, "namespace": "apps"}})
    return api


async def test_custom_list_puts_metadata_after_items_and_repeats_the_kind(five: Api) -> None:
    listing = await five.get(APPS)
    assert list(listing) == ["apiVersion", "items", "kind", "metadata"]
    assert listing["kind"] == "KustomizationList"
    assert listing["metadata"] == {"continue": "", "resourceVersion": str(five.server.store.resource_version)}
    assert {item["kind"] for item in listing["items"]} == {"Kustomization"}


async def test_builtin_list_puts_metadata_before_items_and_omits_the_kind(five: Api) -> None:
    listing = await five.get(CONFIGMAPS)
    assert list(listing) == ["kind", "apiVersion", "metadata", "items"]
    assert names(listing) == list("abcde")
    assert all("kind" not in item and "apiVersion" not in item for item in listing["items"])


async def test_list_of_all_namespaces_and_of_one(five: Api) -> None:
    five.server.store.create("kustomizations", kustomization("z", namespace="apps-b"))
    assert names(await five.get(KUSTOMIZATIONS)) == ["z", *"abcde"]
    assert names(await five.get(APPS)) == list("abcde")


async def test_pages_show_one_state_whatever_happens_between_them(five: Api) -> None:
    first = await five.get(APPS, limit=2)
    assert first["metadata"]["remainingItemCount"] == 3
    five.server.store.delete("kustomizations", "c", "apps")
    five.server.store.create("kustomizations", kustomization("cc"))
    five.server.store.patch_status("kustomizations", "d", "apps", {"x": 1})

    second = await five.get(APPS, limit=2, **{"continue": first["metadata"]["continue"]})
    third = await five.get(APPS, limit=2, **{"continue": second["metadata"]["continue"]})

    assert names(first) + names(second) + names(third) == list("abcde")
    assert second["metadata"]["remainingItemCount"] == 1
    assert "x" not in second["items"][1]["status"]
    assert third["metadata"] == {"continue": "", "resourceVersion": first["metadata"]["resourceVersion"]}


async def test_expired_continue_token_is_410_and_offers_an_inconsistent_one(five: Api) -> None:
    first = await five.get(APPS, limit=2)
    five.server.store.delete("kustomizations", "c", "apps")
    five.server.store.compact()

    status, refusal = await five.call("GET", APPS, limit=2, **{"continue": first["metadata"]["continue"]})
    assert (status, refusal["reason"]) == (410, "Expired")

    rest = await five.get(APPS, **{"continue": refusal["metadata"]["continue"]})
    assert names(rest) == ["d", "e"]
    assert rest["metadata"]["resourceVersion"] == str(five.server.store.resource_version)


async def test_limit_is_ignored_at_resource_version_zero(five: Api) -> None:
    listing = await five.get(APPS, limit=2, resourceVersion=0)
    assert names(listing) == list("abcde")
    assert listing["metadata"]["continue"] == ""


async def test_exact_list_shows_the_past_until_it_is_compacted(five: Api) -> None:
    past = five.server.store.resource_version
    five.server.store.delete("kustomizations", "a", "apps")

    listing = await five.get(APPS, resourceVersion=past, resourceVersionMatch="Exact")
    assert names(listing) == list("abcde")
    assert listing["metadata"]["resourceVersion"] == str(past)
    newer = await five.get(APPS, resourceVersion=past, resourceVersionMatch="NotOlderThan")
    assert names(newer) == list("bcde")

    five.server.store.compact()
    refusal = await five.refused("GET", APPS, resourceVersion=past, resourceVersionMatch="Exact")
    assert refusal == (410, "Expired", "The resourceVersion for the provided list is too old.")


async def test_list_from_the_future_is_504_with_retry_after(five: Api) -> None:
    async with five.session.get(five.server.url + APPS, params={"resourceVersion": "999999"}) as response:
        body = await response.json()
    assert response.status == 504
    assert response.headers["Retry-After"] == "1"
    assert body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_list_waits_for_a_version_that_is_about_to_come(five: Api) -> None:
    store = five.server.store
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(five.get(APPS, resourceVersion=store.resource_version + 1))
        store.create("kustomizations", kustomization("f"))
    assert names(waiting.result()) == list("abcdef")


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("app=a", "a"),
        ("app==a", "a"),
        ("app!=a", "bcde"),
        ("app in (a, b)", "ab"),
        ("app notin (a,b),tier", "cde"),
        ("!app", ""),
        ("tier,app=e", "e"),
        ("absent!=x", "abcde"),
    ],
)
async def test_label_selector(five: Api, selector: str, expected: str) -> None:
    assert names(await five.get(APPS, labelSelector=selector)) == list(expected)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [("metadata.name=b", "b"), ("metadata.name!=b", "acde"), ("metadata.namespace=apps,metadata.name=c", "c")],
)
async def test_field_selector(five: Api, selector: str, expected: str) -> None:
    assert names(await five.get(KUSTOMIZATIONS, fieldSelector=selector)) == list(expected)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [("involvedObject.uid=u1", "ab"), ("involvedObject.uid=u1,type=Warning", "a"), ("type!=Warning", "bd")],
)
async def test_events_are_selected_by_what_they_are_about(api: Api, selector: str, expected: str) -> None:
    events = "/api/v1/namespaces/apps/events"
    for name, uid, kind in [("a", "u1", "Warning"), ("b", "u1", "Normal"), ("c", "u2", "Warning"), ("d", "", "")]:
        about = {"involvedObject": {"uid": uid}, "type": kind} if uid else {}
        await api.call("POST", events, body={"metadata": {"name": name}} | about)
    assert names(await api.get(events, fieldSelector=selector)) == list(expected)


async def test_selected_pages_hide_what_remains(five: Api) -> None:
    page = await five.get(APPS, labelSelector="tier=web", limit=2)
    assert names(page) == ["a", "b"]
    assert page["metadata"]["continue"]
    assert "remainingItemCount" not in page["metadata"]


@pytest.mark.parametrize(
    ("query", "status", "reason", "words"),
    [
        ({"resourceVersionMatch": "Exact"}, 422, "Invalid", "forbidden unless resourceVersion is provided"),
        (
            {"resourceVersionMatch": "Exact", "resourceVersion": "0"},
            422,
            "Invalid",
            'forbidden for resourceVersion "0"',
        ),
        ({"resourceVersionMatch": "Best", "resourceVersion": "1"}, 422, "Invalid", 'Unsupported value: "Best"'),
        ({"sendInitialEvents": "true"}, 422, "Invalid", "sendInitialEvents is forbidden for list"),
        ({"resourceVersion": "abc"}, 400, "BadRequest", 'parsing "abc"'),
        ({"continue": "garbage"}, 400, "BadRequest", "continue key is not valid"),
        ({"limit": "many"}, 400, "BadRequest", 'parsing "many"'),
        ({"labelSelector": "a b c"}, 400, "BadRequest", "unable to parse requirement"),
        ({"labelSelector": "a in ("}, 400, "BadRequest", "unable to parse requirement"),
        ({"fieldSelector": "spec.path=x"}, 400, "BadRequest", "field label not supported: spec.path"),
    ],
)
async def test_wrong_options_are_refused(api: Api, query: dict[str, str], status: int, reason: str, words: str) -> None:
    refusal = await api.refused("GET", APPS, **query)
    assert refusal[:2] == (status, reason)
    assert words in refusal[2]


async def test_continue_excludes_a_resource_version(five: Api) -> None:
    token = (await five.get(APPS, limit=1))["metadata"]["continue"]
    refusal = await five.refused("GET", APPS, **{"continue": token, "resourceVersion": 5})
    assert refusal == (400, "BadRequest", "specifying resource version is not allowed when using continue")


async def test_large_list_arrives_whole(api: Api) -> None:
    padding = "x" * 20_000
    for number in range(100):
        body = {"metadata": {"name": f"big-{number:03}", "namespace": "apps"}, "data": {"padding": padding}}
        api.server.store.create("configmaps", body)
    listing = await api.get(CONFIGMAPS)
    assert names(listing) == [f"big-{number:03}" for number in range(100)]
    assert all(item["data"]["padding"] == padding for item in listing["items"])
