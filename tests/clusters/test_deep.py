"""An object nested deeper than a decoder goes costs nobody else, and not even itself what is read of it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.clusters.scripted import ScriptedApi, line, watching

from fluxtrail.clusters.deep import DEEPEST, cut_deep, decode_deep
from fluxtrail.clusters.wire import Page

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='ab"\\[]{}é'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='x"\\[{'), inner, max_size=3),
    max_leaves=20,
)


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


def cut(value: Any, depth: int) -> Any:
    if isinstance(value, list):
        return [cut(item, depth - 1) for item in value] if depth > 0 else None
    if isinstance(value, dict):
        return {key: cut(item, depth - 1) for key, item in value.items()} if depth > 0 else None
    return value


@given(value=VALUES, depth=st.integers(0, 4), is_escaped=st.booleans())
def test_what_is_deeper_is_null_and_nothing_else_changes(value: Any, depth: int, is_escaped: bool) -> None:
    body = json.dumps(value, ensure_ascii=is_escaped).encode()
    assert json.loads(cut_deep(body, depth=depth)) == cut(value, depth)


def test_page_with_a_deep_object_is_read() -> None:
    body = b'{"items":[{"values":%s},{"b":1}],"metadata":{"continue":"next"}}' % nested(9_000)
    decoder = msgspec.json.Decoder(Page)
    with pytest.raises(RecursionError):
        decoder.decode(body)
    page = decode_deep(decoder, body)
    assert page.items is not None
    assert bytes(page.items[1]) == b'{"b":1}'
    assert page.metadata is not None
    assert page.metadata.continue_token == "next"


@pytest.mark.parametrize(
    "body",
    [b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), b"[" * 5_000, b"[" * 5_000 + b'"', b"[[1]]]" + b"[" * 5_000],
    ids=["deeper than any", "no end", "no end of a string", "one end too many"],
)
def test_what_is_no_answer_is_none_when_cut(body: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, RecursionError)):
        decode_deep(msgspec.json.Decoder(Page), body)


async def test_deep_object_is_listed_and_watched_like_the_others(api: ScriptedApi) -> None:
    deep: Any = json.loads(nested(600))
    body = await api.put("a")
    await api.put("b")
    body["spec"]["values"] = deep
    async with watching(api) as at:
        await at.collector.until_listed()
        await api.wait_for_watch()
        told = msgspec.json.encode({"type": "MODIFIED", "object": None})
        changed = json.dumps(body | {"metadata": body["metadata"] | {"resourceVersion": "9000"}}).encode()
        changed = changed.replace(nested(600), nested(5_000))
        await api.publish(told.replace(b"null", changed) + b"\n")
        await api.publish(line("BOOKMARK", {"metadata": {"resourceVersion": "9001"}}))
        await at.collector.until(lambda _: at.stats.bookmarks == 1)
    assert at.problems == []
    assert (at.stats.events, at.stats.decode_errors) == (1, 0)
