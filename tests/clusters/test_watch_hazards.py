"""What a cluster does to a watcher, one test each: nothing is lost, nothing is invented."""

from __future__ import annotations

import asyncio

import pytest
from tests.clusters.scripted import (
    WIDGETS,
    Answer,
    Collector,
    ScriptedApi,
    bookmark,
    expired,
    line,
    refuse,
    watching,
    widgets,
)

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.endpoint import Endpoint
from fluxtrail.clusters.subjects import WatchOptions
from fluxtrail.clusters.watcher import Watcher
from fluxtrail.model.errors import UpstreamError
from fluxtrail.model.observation import Listed, Seen, Unavailable


async def test_stream_ending_silently_is_resumed_from_the_last_version(api: ScriptedApi) -> None:
    await api.put("a")
    async with watching(api) as at:
        await at.collector.until_listed()
        await api.put("a", "blue")
        await at.collector.until_said("a blue held")
        resume_from = str(api.version)
        await api.end_watches()
        await api.wait_for_watch(2)
        await api.put("a", "green")
        await at.collector.until_said("a green held")
    assert at.collector.told() == ["a red", "listed", "a blue held", "a green held"]
    assert api.watches[1].query["resourceVersion"] == resume_from
    assert len(api.lists) == 1
    assert (at.stats.resumes, at.stats.relists, at.stats.lists) == (1, 0, 1)


async def test_changes_during_a_short_cut_count_as_held(api: ScriptedApi) -> None:
    await api.put("a")
    api.next_watches.append(Answer(lines=[], then="end"))
    async with watching(api) as at:
        await at.collector.until_listed()
        await api.put("a", "blue")
        await at.collector.until_said("a blue held")


async def test_backlog_after_a_long_cut_is_delivered_but_not_as_seen_when_it_happened(api: ScriptedApi) -> None:
    async def change_while_nobody_watches(number: int) -> None:
        if number == 4:
            await api.put("a", "blue")

    await api.put("a")
    api.before_watch = change_while_nobody_watches
    api.next_watches.extend([Answer(lines=[]), refuse(503), refuse(503), refuse(503)])
    async with watching(api) as at:
        await at.collector.until_said("a blue")
        await api.put("a", "green")
        await at.collector.until_said("a green held")
    assert at.collector.told() == ["a red", "listed", "a blue", "a green held"]
    assert at.stats.relists == 0


@pytest.mark.parametrize("form", ["http", "event"])
async def test_410_lists_again_and_tells_only_the_differences(api: ScriptedApi, form: str) -> None:
    for name in ("kept", "changed", "deleted", "reborn"):
        await api.put(name)
    async with watching(api) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
        at.collector.clear()
        # What happens now the stream does not tell.
        api.next_watches.append(refuse(410) if form == "http" else Answer(lines=[expired()]))
        log, api.log = api.log, []
        await api.put("changed", "blue")
        await api.put("new")
        await api.delete("deleted")
        await api.delete("reborn")
        await api.put("reborn", uid="uid-2")
        api.log = log
        await api.end_watches()
        await at.collector.until_listed()
        await api.put("kept", "green")
        await at.collector.until_said("kept green held")
    assert at.collector.told() == [
        "changed blue",
        "new red",
        "gone reborn uid-reborn",
        "reborn red",
        "gone deleted uid-deleted",
        "listed",
        "kept green held",
    ]
    assert at.stats.relists == 1


async def test_events_before_an_error_event_in_the_same_chunk_are_told(api: ScriptedApi) -> None:
    body = await api.put("a")
    changed = body | {"spec": {"colour": "blue"}, "metadata": body["metadata"] | {"resourceVersion": "102"}}
    api.next_watches.append(Answer(lines=[line("MODIFIED", changed) + expired()]))
    async with watching(api) as at:
        await at.collector.until_said("a blue held")
        await at.collector.until_listed(2)


async def test_bookmarks_move_the_position_and_say_current(api: ScriptedApi) -> None:
    await api.put("a")
    async with watching(api) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
        at.clock.advance(30)
        await api.publish(bookmark(5000))
        await at.collector.until(lambda seen: "Current" in {type(each).__name__ for each in seen})
        assert at.collector.seen[-1].observed_at == at.clock.now()
        api.version = 5000
        await api.end_watches()
        await api.wait_for_watch(2)
    assert api.watches[1].query["resourceVersion"] == "5000"
    assert at.stats.bookmarks == 1


async def test_half_open_connection_is_given_up_after_the_deadline(api: ScriptedApi) -> None:
    body = await api.put("a")
    changed = body | {"spec": {"colour": "blue"}, "metadata": body["metadata"] | {"resourceVersion": "102"}}
    api.next_watches.append(Answer(lines=[line("MODIFIED", changed)], then="hold"))
    async with watching(api, idle_seconds=0.2) as at:
        await at.collector.until_said("a blue held")
        api.version = 102
        await api.wait_for_watch(2)
    assert api.watches[1].query["resourceVersion"] == "102"
    assert at.stats.relists == 0


async def test_stream_without_a_single_byte_is_not_trusted(api: ScriptedApi) -> None:
    """A resourceVersion from the future gives an empty stream: listing finds out."""
    await api.put("a")
    api.next_watches.append(Answer(lines=[], then="hold"))
    async with watching(api, idle_seconds=0.2) as at:
        await at.collector.until_listed(2)
    assert at.collector.told() == ["a red", "listed", "listed"]


async def test_429_waits_as_long_as_retry_after_says(api: ScriptedApi) -> None:
    await api.put("a")
    api.next_lists.append(refuse(429, headers={"Retry-After": "17"}))
    async with watching(api) as at:
        await at.collector.until_listed()
    assert at.clock.slept == [17.0]


async def test_429_in_the_form_of_a_status_waits_too(api: ScriptedApi) -> None:
    api.next_watches.append(refuse(429, details={"retryAfterSeconds": 21}))
    async with watching(api) as at:
        await api.wait_for_watch(2)
    assert 21.0 in at.clock.slept


async def test_line_over_the_bound_is_skipped_counted_and_made_good_by_a_list(api: ScriptedApi) -> None:
    await api.put("a")
    async with watching(api, line_limit_bytes=100_000) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
        await api.put("a", "blue")
        await api.publish(line("MODIFIED", {"metadata": {"name": "x" * 200_000}}))
        await api.put("a", "green")
        await at.collector.until_listed(2)
        await api.put("a", "black")
        await at.collector.until_said("a black held")
    assert "a green" in at.collector.told()
    assert (at.stats.oversized_lines, at.stats.relists) == (1, 1)


@pytest.mark.parametrize(
    "text",
    [
        b"<html>not an event</html>",
        b'{"type":"MODIFIED","object":' + b'{"a":' * 100_000,
        b'{"type":"MODIFIED","object":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"type":"\xff","object":{}}',
    ],
    ids=["html", "no end", "nested", "no text"],
)
async def test_line_that_is_no_event_is_made_good_by_a_list(api: ScriptedApi, text: bytes) -> None:
    await api.put("a")
    async with watching(api) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
        await api.publish(text + b"\n")
        await at.collector.until_listed(2)
    assert at.stats.decode_errors == 1


async def test_explicit_nulls_are_tolerated_everywhere(api: ScriptedApi) -> None:
    body = await api.put("a")
    body["spec"] = None
    body["metadata"] |= {"labels": None, "annotations": None, "managedFields": None}
    async with watching(api) as at:
        await at.collector.until_said("a none")
        await api.wait_for_watch()
        await api.publish(line("BOOKMARK", {"metadata": {"resourceVersion": "9000", "annotations": None}}))
        await at.collector.until(lambda _: at.stats.bookmarks == 1)
    assert at.problems == []


async def test_list_with_null_items_is_an_empty_list(api: ScriptedApi) -> None:
    api.next_lists.append(Answer(body=b'{"items":null,"metadata":{"resourceVersion":"100","continue":null}}'))
    async with watching(api) as at:
        await at.collector.until_listed()
    assert at.collector.told() == ["listed"]


async def test_kind_that_is_not_installed_is_waited_for(api: ScriptedApi) -> None:
    api.served = None
    async with watching(api) as at:
        await at.collector.until_said("not_installed")
        await at.collector.until(lambda _: len(at.clock.slept) >= 4)
        await api.put("a")
        api.served = ["v1"]
        await at.collector.until_listed()
    assert at.collector.told() == ["not_installed", "a red", "listed"]
    assert at.clock.slept[0] < at.clock.slept[3] <= 60


async def test_kind_uninstalled_and_installed_again_is_compared_not_lost(api: ScriptedApi) -> None:
    await api.put("a")
    await api.put("b")
    async with watching(api) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
        api.served = None
        await api.end_watches()
        await at.collector.until_said("not_installed")
        del api.objects["one", "a"]
        api.served = ["v1"]
        await at.collector.until_listed(2)
    assert at.collector.told() == ["a red", "b red", "listed", "not_installed", "gone a uid-a", "listed"]


async def test_kind_served_at_another_version_is_found_and_resumed(api: ScriptedApi) -> None:
    await api.put("a")
    async with watching(api, subject=widgets(versions=("v2", "v1"))) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
        api.served = ["v2"]
        await api.end_watches()
        await api.wait_for_watch(2)
        await api.put("a", "blue")
        await at.collector.until_said("a blue held")
    assert [each.path.split("/")[3] for each in api.watches] == ["v1", "v2"]
    assert len(api.lists) == 1


async def test_namespace_that_may_not_be_read_is_said_once_and_tried_again(api: ScriptedApi) -> None:
    await api.put("a")
    api.next_lists.extend([refuse(403, "widgets is forbidden: User cannot list")] * 3)
    async with watching(api, subject=widgets(namespaces=("one",))) as at:
        await at.collector.until_listed()
    assert at.collector.told() == ["forbidden", "a red", "listed"]
    said = at.collector.of(Unavailable)[0]
    assert "User cannot list" in said.message
    assert "namespace one" in said.message


async def test_etcd_restore_is_noticed_before_resuming(api: ScriptedApi) -> None:
    """The server is behind us: a resumed stream would stay silent, then skip what it passed meanwhile."""
    for name in ("kept", "changed", "newer"):
        await api.put(name)
    async with watching(api) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
        at.collector.clear()
        # The backup knew neither "newer" nor the last state of "changed"; versions are given out a second time.
        api.version = 50
        api.log.clear()
        del api.objects["one", "newer"]
        await api.put("changed", "older")
        await api.end_watches()
        await at.collector.until_listed()
        await api.put("changed", "blue")
        await at.collector.until_said("changed blue held")
    assert at.collector.told() == [
        "changed older",
        "kept red",
        "gone newer uid-newer",
        "listed",
        "changed blue held",
    ]


async def test_version_going_back_within_a_stream_lists_again(api: ScriptedApi) -> None:
    body = await api.put("a")
    older = body | {"metadata": body["metadata"] | {"resourceVersion": "7"}}
    api.next_watches.append(Answer(lines=[line("MODIFIED", older)], then="hold"))
    async with watching(api) as at:
        await at.collector.until_listed(2)
    assert at.stats.relists == 1


async def test_too_large_resource_version_lists_again(api: ScriptedApi) -> None:
    await api.put("a")
    causes = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]}
    api.next_watches.append(refuse(504, "Too large resource version: 9, current: 3", details=causes))
    async with watching(api) as at:
        await at.collector.until_listed(2)
    assert at.stats.relists == 1


async def test_undecodable_object_does_not_stop_the_others(api: ScriptedApi) -> None:
    await api.put("a")
    broken = await api.put("b")
    broken["spec"] = {"colour": 7}
    await api.put("c")
    async with watching(api) as at:
        await at.collector.until_listed()
        await api.put("c", "blue")
        await at.collector.until_said("c blue held")
    assert at.collector.told() == ["a red", "c red", "listed", "c blue held"]
    assert [str(problem.key) for problem in at.problems] == ["Widget/one/b"]
    assert at.stats.decode_errors == 1


@pytest.mark.parametrize("name", [b'"\xff"', b"7"], ids=["no text", "number"])
async def test_an_object_whose_name_cannot_be_read_does_not_stop_the_others(api: ScriptedApi, name: bytes) -> None:
    await api.put("a")
    async with watching(api) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
        await api.publish(b'{"type":"MODIFIED","object":{"metadata":{"name":%s}}}\n' % name)
        await api.put("a", "blue")
        await at.collector.until_said("a blue held")
    assert at.stats.relists == 0
    assert [problem.key for problem in at.problems] == [None]


async def test_held_object_that_becomes_undecodable_stays_and_its_next_state_comes_after_a_gap(
    api: ScriptedApi,
) -> None:
    await api.put("a")
    async with watching(api) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
        broken = await api.put("a")
        api.log.pop()
        await api.publish(line("MODIFIED", broken | {"spec": 3}))
        await at.collector.until(lambda _: at.problems)
        await api.put("a", "green")
        await at.collector.until_said("a green")
        await api.put("a", "blue")
        await at.collector.until_said("a blue held")
        await api.delete("a")
        await at.collector.until_said("gone a uid-a")
    assert at.collector.told() == ["a red", "listed", "a green", "a blue held", "gone a uid-a"]


async def test_object_without_identity_is_reported(api: ScriptedApi) -> None:
    await api.put("a")
    api.objects["one", "z"] = {"metadata": {"name": "z"}}
    async with watching(api) as at:
        await at.collector.until_listed()
    assert at.collector.told() == ["a red", "listed"]
    assert at.problems[0].key is None


async def test_recreated_object_under_watch_is_gone_then_seen(api: ScriptedApi) -> None:
    await api.put("a")
    async with watching(api) as at:
        await at.collector.until_listed()
        await api.delete("a")
        await api.put("a", "blue", uid="uid-2")
        await at.collector.until_said("a blue")
    assert at.collector.told() == ["a red", "listed", "gone a uid-a", "a blue"]


async def test_object_the_projection_leaves_out_goes(api: ScriptedApi) -> None:
    await api.put("a")
    await api.put("b", "invisible")
    async with watching(api) as at:
        await at.collector.until_listed()
        await api.put("a", "invisible")
        await at.collector.until_said("gone a uid-a")
    assert at.collector.told() == ["a red", "listed", "gone a uid-a"]


async def test_unreachable_server_is_said_once_and_the_stream_goes_on(api: ScriptedApi) -> None:
    await api.put("a")
    async with watching(api) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
        api.next_answers.extend([refuse(500)] * 12)
        api.break_watches()
        await at.collector.until_said("unreachable")
        await at.collector.until(lambda _: not api.next_answers)
        await api.wait_for_watch(2)
        await api.put("a", "blue")
        await at.collector.until_said("a blue held")
    assert at.collector.told() == ["a red", "listed", "unreachable", "a blue held"]
    assert max(at.clock.slept) <= 30.0
    assert min(at.clock.slept[5:]) >= 7.0


async def test_expired_continue_token_starts_the_list_again(api: ScriptedApi) -> None:
    for name in "abcde":
        await api.put(name)
    async with watching(api, page_limit=2) as at:

        async def expire_once() -> None:
            if len(api.lists) == 1:
                api.next_lists.append(refuse(410, "The provided continue parameter is too old"))

        at.collector.gate = expire_once
        await at.collector.until_listed()
    assert at.collector.told() == ["a red", "b red", "c red", "d red", "e red", "listed"]
    assert [each.query.get("continue") for each in api.lists] == [None, "2", None, "2", "4"]


async def test_object_deleted_between_two_attempts_at_a_list_is_gone(api: ScriptedApi) -> None:
    for name in "abc":
        await api.put(name)
    collector = Collector()

    async def expire_once() -> None:
        if len(api.lists) == 1:
            api.next_lists.append(refuse(410))
            await api.delete("a")

    collector.gate = expire_once
    async with watching(api, page_limit=2, collector=collector) as at:
        await at.collector.until_listed()
    assert collector.told() == ["a red", "b red", "c red", "gone a uid-a", "listed"]


async def test_page_over_the_bound_is_asked_for_in_smaller_pieces(api: ScriptedApi) -> None:
    for number in range(30):
        body = await api.put(f"w{number:02}")
        body["metadata"]["annotations"] = {"padding": "x" * 1000}
    async with watching(api, page_limit=25, page_limit_bytes=10_000) as at:
        await at.collector.until_listed()
    assert len(at.collector.of(Seen)) == 30
    assert {each.query["limit"] for each in api.lists} == {"25", "5"}


async def test_receiver_failure_ends_the_run_unchanged(api: ScriptedApi) -> None:
    await api.put("a")
    collector = Collector()
    collector.failure = UpstreamError("the receiver's own trouble")
    async with Connection(Endpoint(name="scripted", server=api.url)) as connection:
        for namespaces in ((), ("one", "two")):
            watcher = Watcher(connection, widgets(namespaces=namespaces), options=WatchOptions(uses_watch_list=False))
            with pytest.raises(UpstreamError) as caught:
                await watcher.run(collector.emit)
            assert caught.value is collector.failure


async def test_receiver_that_is_slow_holds_the_stream_back(api: ScriptedApi) -> None:
    await api.put("a")
    async with watching(api) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
        opened, entered = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            entered.set()
            await opened.wait()

        at.collector.gate = wait
        await api.put("a", "blue")
        await entered.wait()
        for number in range(20):
            await api.put("a", f"shade-{number}")
        assert at.stats.events == 1
        opened.set()
        await at.collector.until_said("a shade-19 held")
    assert at.collector.told()[2:] == ["a blue held", *(f"a shade-{number} held" for number in range(20))]


async def test_stream_asks_for_bookmarks_and_a_jittered_time(api: ScriptedApi) -> None:
    async with watching(api, subject=widgets(label_selector="app=x", field_selector="metadata.name=a")) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
    query = api.watches[0].query
    assert query["allowWatchBookmarks"] == "true"
    assert 290 <= int(query["timeoutSeconds"]) <= 350
    for asked in (api.lists[0], api.watches[0]):
        assert (asked.query["labelSelector"], asked.query["fieldSelector"]) == ("app=x", "metadata.name=a")
        assert asked.path == WIDGETS


async def test_several_namespaces_are_listed_when_all_are(api: ScriptedApi) -> None:
    await api.put("a", namespace="one")
    await api.put("b", namespace="two")
    await api.put("c", namespace="three")
    api.next_lists.append(refuse(403))
    async with watching(api, subject=widgets(namespaces=("one", "two"))) as at:
        await at.collector.until_listed()
        await api.put("b", "blue", namespace="two")
        await at.collector.until_said("b blue held")
    told = at.collector.told()
    assert sorted(told[:4]) == ["a red", "b red", "forbidden", "listed"]
    assert told[3] == "listed"
    assert len(at.collector.of(Listed)) == 1
