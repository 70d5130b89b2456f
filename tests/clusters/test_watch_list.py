"""WatchList: the first state as a stream, and falling back where a server does not know it."""

from __future__ import annotations

import pytest
from tests.clusters.scripted import Answer, ScriptedApi, bookmark, line, refuse, watching, widgets

from fluxtrail.model.observation import Listed


async def test_first_state_comes_as_a_stream_that_goes_on(api: ScriptedApi) -> None:
    api.knows_watch_list = True
    await api.put("a")
    await api.put("b")
    async with watching(api, uses_watch_list=True) as at:
        await at.collector.until_listed()
        await api.put("b", "blue")
        await at.collector.until_said("b blue held")
    assert at.collector.told() == ["a red", "b red", "listed", "b blue held"]
    assert api.lists == []
    asked = api.watches[0].query
    assert (asked["sendInitialEvents"], asked["resourceVersionMatch"]) == ("true", "NotOlderThan")
    assert "resourceVersion" not in asked
    assert (at.stats.lists, at.stats.relists) == (1, 0)


async def test_relist_as_a_stream_tells_only_the_differences(api: ScriptedApi) -> None:
    api.knows_watch_list = True
    for name in ("kept", "changed", "deleted"):
        await api.put(name)
    async with watching(api, uses_watch_list=True) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
        at.collector.clear()
        api.next_watches.append(refuse(410))
        log, api.log = api.log, []
        await api.put("changed", "blue")
        await api.delete("deleted")
        api.log = log
        await api.end_watches()
        await at.collector.until_listed()
        await api.put("kept", "green")
        await at.collector.until_said("kept green held")
    assert at.collector.told() == ["changed blue", "gone deleted uid-deleted", "listed", "kept green held"]
    assert api.lists == []


async def test_change_amid_the_initial_events_is_news_of_what_the_stream_itself_told(api: ScriptedApi) -> None:
    body = await api.put("a")
    changed = body | {"spec": {"colour": "blue"}, "metadata": body["metadata"] | {"resourceVersion": "102"}}
    gone = body | {"metadata": body["metadata"] | {"name": "b", "uid": "uid-b"}}
    lines = [
        line("ADDED", gone) + line("ADDED", body) + line("MODIFIED", changed),
        line("DELETED", gone) + bookmark(103, is_end=True),
    ]
    api.next_watches.append(Answer(lines=lines, then="hold"))
    async with watching(api, uses_watch_list=True) as at:
        await at.collector.until_listed()
    assert at.collector.told() == ["b red", "a red", "a blue held", "gone b uid-b", "listed"]


@pytest.mark.parametrize("code", [400, 422])
async def test_server_that_refuses_is_listed_in_pages_and_never_asked_again(api: ScriptedApi, code: int) -> None:
    await api.put("a")
    api.next_watches.append(refuse(code, "sendInitialEvents is forbidden for watch"))
    async with watching(api, uses_watch_list=True) as at:
        await at.collector.until_listed()
        await api.wait_for_watch(2)
        api.next_watches.append(refuse(410))
        await api.end_watches()
        await at.collector.until_listed(2)
    assert [("sendInitialEvents" in each.query) for each in api.watches[:3]] == [True, False, False]
    assert len(api.lists) == 2


async def test_server_that_ignores_the_request_is_listed_in_pages_after_a_silence(api: ScriptedApi) -> None:
    body = await api.put("a")
    api.next_watches.append(Answer(lines=[line("ADDED", body)], then="hold"))
    async with watching(api, uses_watch_list=True, initial_idle_seconds=0.2) as at:
        await at.collector.until_listed()
    assert at.collector.told() == ["a red", "listed"]
    assert len(api.lists) == 1


async def test_stream_that_twice_ends_amid_the_initial_events_is_replaced_by_pages(api: ScriptedApi) -> None:
    body = await api.put("a")
    await api.put("b")
    api.next_watches.extend([Answer(lines=[line("ADDED", body)])] * 2)
    async with watching(api, uses_watch_list=True) as at:
        await at.collector.until_listed()
    assert at.collector.told() == ["a red", "b red", "listed"]
    assert [("sendInitialEvents" in each.query) for each in api.watches[:2]] == [True, True]
    assert len(api.lists) == 1


async def test_server_error_says_nothing_about_watch_list(api: ScriptedApi) -> None:
    api.knows_watch_list = True
    await api.put("a")
    api.next_watches.extend([refuse(503), refuse(429)])
    async with watching(api, uses_watch_list=True) as at:
        await at.collector.until_listed()
    assert api.lists == []


async def test_oversized_object_is_fetched_in_a_page(api: ScriptedApi) -> None:
    api.knows_watch_list = True
    body = await api.put("a")
    body["metadata"]["annotations"] = {"padding": "x" * 50_000}
    async with watching(api, uses_watch_list=True, line_limit_bytes=10_000) as at:
        await at.collector.until_listed()
    assert at.collector.told() == ["a red", "listed"]
    assert (at.stats.oversized_lines, len(api.lists)) == (1, 1)


async def test_history_that_went_back_is_told_whole_even_where_versions_agree(api: ScriptedApi) -> None:
    api.knows_watch_list = True
    await api.put("a")
    async with watching(api, uses_watch_list=True) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
        at.collector.clear()
        # Another history: the same resourceVersion stands for another content, the server is older as a whole.
        api.objects["one", "a"]["spec"]["colour"] = "blue"
        api.version = 90
        api.next_watches.append(refuse(410))
        await api.end_watches()
        await at.collector.until_said("a blue")
        await at.collector.until(lambda seen: any(isinstance(each, Listed) for each in seen))
    assert at.collector.told() == ["a blue", "listed"]


async def test_namespaces_each_have_their_own_stream(api: ScriptedApi) -> None:
    api.knows_watch_list = True
    await api.put("a", namespace="one")
    await api.put("b", namespace="two")
    await api.put("c", namespace="three")
    async with watching(api, subject=widgets(namespaces=("one", "two")), uses_watch_list=True) as at:
        await at.collector.until_listed()
        await api.put("c", "blue", namespace="three")
        await api.put("a", "blue", namespace="one")
        await at.collector.until_said("a blue held")
    assert sorted(at.collector.told()) == ["a blue held", "a red", "b red", "listed"]
