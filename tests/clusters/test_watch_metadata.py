"""Watching no more than metadata: how it is asked for, and a server that does not know it."""

from __future__ import annotations

from tests.clusters.scripted import Answer, ScriptedApi, bookmark, line, refuse, watching, widgets

LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
WATCH = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"


async def test_lists_and_watches_ask_each_in_its_form(api: ScriptedApi) -> None:
    await api.put("a")
    async with watching(api, subject=widgets(is_metadata_only=True)) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
        await api.end_watches()
        await api.wait_for_watch(2)
    assert {each.accept for each in api.lists} == {LIST}
    assert {each.accept for each in api.asked if each.is_probe} == {LIST}
    assert {each.accept for each in api.watches} == {WATCH}
    assert [each.accept for each in api.asked if "widgets" not in each.path] == ["application/json", "application/json"]


async def test_a_watch_list_asks_in_the_form_of_a_watch(api: ScriptedApi) -> None:
    api.knows_watch_list = True
    await api.put("a")
    async with watching(api, subject=widgets(is_metadata_only=True), uses_watch_list=True) as at:
        await at.collector.until_listed()
    assert [each.accept for each in api.watches] == [WATCH]
    assert api.lists == []


async def test_nothing_is_asked_for_where_whole_objects_are_wanted(api: ScriptedApi) -> None:
    async with watching(api) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
    assert {each.accept for each in api.asked} == {"application/json"}


async def test_whole_objects_are_understood_as_well(api: ScriptedApi) -> None:
    """A server that does not know the form sends what it always sends."""
    await api.put("a")
    async with watching(api, subject=widgets(is_metadata_only=True)) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
        await api.put("a", "blue")
        await at.collector.until_said("a blue held")
    assert (at.stats.decode_errors, at.stats.relists) == (0, 0)


async def test_metadata_changes_and_goes_as_objects_do(api: ScriptedApi) -> None:
    def partial(version: int) -> dict[str, object]:
        meta = {"name": "a", "namespace": "one", "uid": "uid-a", "resourceVersion": str(version)}
        return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta}

    lines = [
        line("ADDED", partial(101)) + bookmark(101, is_end=True),
        line("MODIFIED", partial(102)),
        line("DELETED", partial(103)),
    ]
    api.next_watches.append(Answer(lines=lines, then="hold"))
    async with watching(api, subject=widgets(is_metadata_only=True), uses_watch_list=True) as at:
        await at.collector.until_said("gone a uid-a")
    assert at.collector.told() == ["a none", "listed", "a none held", "gone a uid-a"]


async def test_a_refusal_amid_metadata_is_the_refusal_it_is(api: ScriptedApi) -> None:
    await api.put("a")
    async with watching(api, subject=widgets(is_metadata_only=True)) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
        api.next_watches.append(refuse(410))
        await api.end_watches()
        await at.collector.until_listed(2)
    assert at.stats.relists == 1
