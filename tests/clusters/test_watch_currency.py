"""`Current` and `Listed`: never later than what is really known."""

from __future__ import annotations

import asyncio

from tests.clusters.scripted import Answer, ScriptedApi, bookmark, refuse, watching, widgets

from fluxtrail.model.observation import Current, Listed


async def test_events_prove_currency_every_few_seconds_only(api: ScriptedApi) -> None:
    await api.put("a")
    async with watching(api) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
        for number in range(3):
            await api.put("a", f"shade-{number}")
            await at.collector.until_said(f"a shade-{number} held")
        assert len(at.collector.of(Current)) == 1
        at.clock.advance(6)
        await api.put("a", "blue")
        await at.collector.until_said("a blue held")
        await at.collector.until(lambda _: len(at.collector.of(Current)) == 2)


async def test_listed_is_dated_by_the_question_not_by_the_last_page(api: ScriptedApi) -> None:
    for name in "abc":
        await api.put(name)
    async with watching(api, page_limit=1) as at:
        asked_at = at.clock.now()

        async def take_a_while() -> None:
            at.clock.advance(40)

        at.collector.gate = take_a_while
        await at.collector.until_listed()
    assert at.collector.of(Listed)[0].observed_at == asked_at


async def test_what_happened_during_a_long_list_does_not_count_as_seen_when_it_happened(api: ScriptedApi) -> None:
    for name in "abc":
        await api.put(name)
    async with watching(api, page_limit=2) as at:

        async def change_meanwhile() -> None:
            at.collector.gate = None
            at.clock.advance(40)
            api.next_lists.append(Answer(body=b'{"items":[],"metadata":{"resourceVersion":"103"}}'))
            await api.put("a", "blue")

        at.collector.gate = change_meanwhile
        await at.collector.until_said("a blue")
        await api.put("a", "green")
        await at.collector.until_said("a green held")
    assert at.collector.told() == ["a red", "b red", "listed", "a blue", "a green held"]
    assert at.stats.relists == 0


async def test_backlog_proves_no_currency_before_its_end(api: ScriptedApi) -> None:
    await api.put("a")
    async with watching(api) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
        api.version = 500
        api.next_watches.append(Answer(lines=[bookmark(300), bookmark(400)], then="live"))
        await api.end_watches()
        await at.collector.until(lambda _: at.stats.bookmarks == 2)
        await asyncio.sleep(0.05)
        assert at.collector.of(Current) == []
        await api.publish(bookmark(501))
        await at.collector.until(lambda _: at.collector.of(Current))


async def test_several_namespaces_are_current_as_far_as_the_last(api: ScriptedApi) -> None:
    await api.put("a", namespace="one")
    await api.put("b", namespace="two")
    async with watching(api, subject=widgets(namespaces=("one", "two"))) as at:
        await at.collector.until_listed()
        await api.wait_for_watch(2)
        listed_at = at.collector.of(Listed)[0].observed_at
        # The first event may have been queued before the stream was read at all; the second cannot.
        for colour in ("blue", "green"):
            at.clock.advance(30)
            await api.put("a", colour, namespace="one")
            await at.collector.until_said(f"a {colour} held")
        one_read_at = at.clock.now()
        assert {each.observed_at for each in at.collector.of(Current)} == {listed_at}
        for colour in ("blue", "green"):
            at.clock.advance(30)
            await api.put("b", colour, namespace="two")
            await at.collector.until_said(f"b {colour} held")
        assert [each.observed_at for each in at.collector.of(Current)] == [listed_at, one_read_at]


async def test_refusals_of_different_kinds_are_each_said_once(api: ScriptedApi) -> None:
    await api.put("a")
    api.next_lists.extend([refuse(403), refuse(403), refuse(401), refuse(401), refuse(403)])
    async with watching(api) as at:
        await at.collector.until_listed()
    assert at.collector.told() == ["forbidden", "unauthorized", "forbidden", "a red", "listed"]


async def test_bookmark_of_a_quiet_kind_need_not_reach_the_newest_version(api: ScriptedApi) -> None:
    """Another kind's writes moved the server on; this kind's bookmarks follow minutes later."""
    await api.put("a")
    async with watching(api) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
        api.version = 500
        await api.end_watches()
        await api.wait_for_watch(2)
        at.clock.advance(60)
        await api.publish(bookmark(300))
        await at.collector.until(lambda _: at.collector.of(Current))
